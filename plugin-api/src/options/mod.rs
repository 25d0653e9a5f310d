//! A sink's options: a struct that derives [`SinkOptions`], whose fields are [`OptionType`]s.

mod error;
mod json_text;
mod option_type;
mod seconds;
mod table;
#[cfg(test)]
mod tests;

use serde_json::Value;

pub use error::OptionsError;
pub use json_text::{Part, bytes, length, text, write};
pub use option_type::{OptionType, choose};
pub use seconds::Seconds;
pub use table::OptionTable;

/// A struct of options. Derive it:
///
/// ```
/// use audit_plugin_api::{OptionType, Seconds, SinkOptions};
///
/// #[derive(SinkOptions)]
/// struct FileOptions {
///     /// The file that is appended to.
///     path: std::path::PathBuf,
///     /// Text before each event.
///     #[option(default = "[permission]")]
///     prefix: String,
///     /// What a line looks like.
///     #[option(default = "python")]
///     format: Format,
///     /// Seconds at most between two syncs.
///     #[option(default = 1.0)]
///     fsync: Seconds,
///     #[option(name = "stream", values("stdout", "stderr"))]
///     output: Option<String>,
/// }
///
/// #[derive(Debug, PartialEq, OptionType)]
/// enum Format {
///     Python,
///     Json,
/// }
///
/// let options = FileOptions::from_json(serde_json::json!({"path": "a.log", "format": "json", "fsync": 2})).unwrap();
/// assert_eq!(options.format, Format::Json);
/// assert_eq!(options.prefix, "[permission]");
/// assert_eq!(options.fsync.duration().as_secs(), 2);
/// assert_eq!(options.output, None);
///
/// let error = FileOptions::from_json(serde_json::json!({"path": "a.log", "stream": "sdtout"})).err().unwrap();
/// assert_eq!(error.path, "stream");
/// assert_eq!(error.reason, r#"expected one of "stdout", "stderr", found "sdtout""#);
/// ```
///
/// A field's name is its name in `audit.toml`, unless `name` says otherwise. A field of type `Option<T>` or with a
/// `default` may be absent; an unknown option is refused. `default` takes what an operator could have written (text,
/// numbers, booleans, lists of them), which then stands in the manifest, or any other Rust expression. The first
/// paragraph of the doc comment becomes the help in the manifest. A struct of options is an [`OptionType`] as well, so
/// options can hold tables and lists of tables.
pub trait SinkOptions: Sized {
    /// The options as a JSON array of [`manifest::OptionSpec`](crate::manifest::OptionSpec), for the manifest.
    const SPECS: &'static str;

    /// Reads the options from a JSON object (the table of `audit.toml`, without the worker's keys).
    fn from_json(options: Value) -> Result<Self, OptionsError>;
}

/// A sink without options.
impl SinkOptions for () {
    const SPECS: &'static str = "[]";

    fn from_json(options: Value) -> Result<Self, OptionsError> {
        OptionTable::new(options, &[]).map(drop)
    }
}
