//! An option that cannot be used.

/// An option that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct OptionsError {
    /// Where, e.g. `brokers[1].host`; empty when it concerns all of them (a missing one).
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

impl OptionsError {
    /// What is wrong with a value; whoever knows where it stands says so with [`OptionsError::within`].
    pub fn new(reason: impl Into<String>) -> Self {
        Self { path: String::new(), reason: reason.into() }
    }

    /// The same error, seen from one step further out: `step` is a key, or an index such as `[1]`.
    #[must_use]
    pub fn within(mut self, step: &str) -> Self {
        self.path = match self.path.as_str() {
            "" => step.to_owned(),
            inner if inner.starts_with('[') => format!("{step}{inner}"),
            inner => format!("{step}.{inner}"),
        };
        self
    }
}
