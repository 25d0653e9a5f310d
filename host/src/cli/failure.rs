//! Why a command cannot do what it was asked.

use audit_host::config::{ConfigError, Rendering, printable};

/// Why a command cannot do what it was asked; its exit status is 2.
#[derive(Debug)]
pub enum Failure {
    /// The configuration, a plugin, or the opening of a sink.
    Config(ConfigError),
    /// Anything else, in one sentence.
    Other(String),
}

impl Failure {
    /// A failure in one sentence.
    pub fn new(text: impl Into<String>) -> Self {
        Self::Other(text.into())
    }

    /// The text for standard error, control characters escaped.
    pub fn render(&self, rendering: Rendering) -> String {
        match self {
            Self::Config(error) => error.render(rendering),
            Self::Other(text) => printable(text).into_owned(),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}
