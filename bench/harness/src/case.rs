//! What one process is to measure: words of `key=value`, which contenders in every language can read.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use crate::{Input, Pace};

/// One measurement.
///
/// | key | meaning (default) |
/// |---|---|
/// | `contender` | what is measured |
/// | `producers` | threads that record (1) |
/// | `events` | events of all producers together (100,000) |
/// | `pace` | `full`, `spin:RATE`, `sleep:RATE` (`full`) |
/// | `timed` | 1: each call is timed (0) |
/// | `input` | `measured` or `real` (`measured`) |
/// | `out` | the file that the events reach |
///
/// A contender may read further keys.
#[derive(Clone, Debug, Default)]
pub struct Case(BTreeMap<String, String>);

impl Case {
    /// A case for this contender.
    pub fn of(contender: &str) -> Self {
        Self::default().with("contender", contender)
    }

    /// The case that a command line says.
    pub fn from_arguments(arguments: impl Iterator<Item = String>) -> Self {
        let words =
            arguments.filter_map(|word| word.split_once('=').map(|(key, value)| (key.into(), value.into())));
        Self(words.collect())
    }

    /// The words of its command line.
    pub fn arguments(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(key, value)| format!("{key}={value}"))
    }

    /// The same with this key set.
    pub fn with(mut self, key: &str, value: impl Display) -> Self {
        self.0.insert(key.to_owned(), value.to_string());
        self
    }

    /// The text of a key, or the empty text.
    pub fn text(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    /// The value of a key, or its default; a value of the wrong kind ends the program.
    pub fn get<T: FromStr>(&self, key: &str, default: T) -> T {
        match self.0.get(key) {
            None => default,
            Some(text) => text.parse().unwrap_or_else(|_| panic!("{key}={text} makes no sense")),
        }
    }

    /// Threads that record.
    pub fn producers(&self) -> u64 {
        self.get("producers", 1)
    }

    /// Events of all producers together.
    pub fn events(&self) -> u64 {
        self.get("events", 100_000) / self.producers() * self.producers()
    }

    /// How fast they come.
    pub fn pace(&self) -> Pace {
        self.get("pace", Pace::Full)
    }

    /// Whether each call is timed.
    pub fn is_timed(&self) -> bool {
        self.get("timed", 0) == 1
    }

    /// Which events.
    pub fn input(&self) -> Input {
        self.get("input", Input::Measured)
    }

    /// The file that the events reach.
    pub fn out(&self) -> PathBuf {
        self.text("out").into()
    }
}
