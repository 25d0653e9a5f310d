//! When the disk is waited for.

use std::time::Duration;

use audit_plugin_api::serde_json::Value;
use audit_plugin_api::{OptionType, OptionsError, Seconds};

/// When the disk is waited for. Written as seconds, `"batch"` or `"never"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Before the answer to each batch.
    Batch,
    /// At most this long after a batch, and at each flush.
    Within(Duration),
    /// Never, not even at a flush: what was answered with yes survives the process, but not the machine.
    Never,
}

impl OptionType for Fsync {
    const TYPES: &'static [&'static str] = &["integer", "float", "string"];

    fn from_value(value: Value) -> Result<Self, OptionsError> {
        match value {
            Value::Number(_) => Ok(match Seconds::from_value(value)?.duration() {
                Duration::ZERO => Self::Batch,
                interval => Self::Within(interval),
            }),
            Value::String(word) if word == "batch" => Ok(Self::Batch),
            Value::String(word) if word == "never" => Ok(Self::Never),
            other => Err(OptionsError::new(format!(
                "expected a number of seconds, \"batch\" or \"never\", found {other}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use audit_plugin_api::serde_json::json;

    use super::*;

    #[test]
    fn it_is_seconds_or_one_of_two_words() {
        assert_eq!(Fsync::from_value(json!(2.5)), Ok(Fsync::Within(Duration::from_millis(2500))));
        assert_eq!(Fsync::from_value(json!(3)), Ok(Fsync::Within(Duration::from_secs(3))));
        assert_eq!(Fsync::from_value(json!(0)), Ok(Fsync::Batch));
        assert_eq!(Fsync::from_value(json!("batch")), Ok(Fsync::Batch));
        assert_eq!(Fsync::from_value(json!("never")), Ok(Fsync::Never));
        for bad in [json!(-1), json!("always"), json!("1.0"), json!(true)] {
            let error = Fsync::from_value(bad.clone()).unwrap_err();
            assert!(error.reason.ends_with(&format!("found {bad}")), "{error}");
        }
    }
}
