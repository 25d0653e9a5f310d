//! A duration, written as a number of seconds.

use std::time::Duration;

use serde_json::Value;

use super::option_type::mismatch;
use crate::{OptionType, OptionsError};

/// A duration of zero or more, written in `audit.toml` as a number of seconds (integer or float).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub Duration);

impl Seconds {
    /// The duration.
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl OptionType for Seconds {
    const TYPES: &'static [&'static str] = &["integer", "float"];

    fn from_value(value: Value) -> Result<Self, OptionsError> {
        let seconds = value.as_f64().ok_or_else(|| mismatch::<Self>(&value))?;
        Duration::try_from_secs_f64(seconds)
            .map(Self)
            .map_err(|_| OptionsError::new(format!("expected seconds, zero or more, found {value}")))
    }
}
