//! What `audit.toml` may say to the print sink.

use audit_plugin_api::{OptionType, SinkOptions};

/// The options of `print.PrintAuditLogger`.
#[derive(Clone, Debug, SinkOptions)]
pub struct PrintOptions {
    /// Text before each event; not used with `format = "json"`.
    #[option(default = "[permission]")]
    pub prefix: String,
    /// "python" prints what the Python logger prints, "json" the canonical line.
    #[option(default = "python")]
    pub format: Format,
    /// Where to.
    #[option(default = "stdout")]
    pub stream: Stream,
}

/// What a line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, OptionType)]
pub enum Format {
    /// `prefix action granted attributes`, as Python's `print` does it.
    Python,
    /// The canonical line.
    Json,
}

/// Where events are printed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, OptionType)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}
