//! A sink's options.

use serde_json::Value;

/// A struct of options. Derive it:
///
/// ```ignore
/// #[derive(SinkOptions)]
/// struct PrintOptions {
///     /// Text before each event.        ← becomes the help in the manifest
///     #[option(default = "[permission]")]
///     prefix: String,
/// }
/// ```
///
/// Field names are the names in `audit.toml`; a field of type `Option<T>` or with a `default` may be absent; an unknown option is refused.
pub trait SinkOptions: Sized {
    /// The options as a JSON array of [`manifest::OptionSpec`](crate::manifest::OptionSpec), for the manifest.
    const SPECS: &'static str;

    /// Reads the options from a JSON object (the table of `audit.toml`, without the worker's keys).
    fn from_json(options: Value) -> Result<Self, OptionsError>;
}

/// An option that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct OptionsError {
    /// Where, e.g. `brokers[1].host`; empty when it concerns all of them (a missing one).
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}
