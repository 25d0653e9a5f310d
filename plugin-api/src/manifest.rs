//! What a plugin says about itself, in a section of its own, readable without running it.
//!
//! ```text
//! section .audit_manifest:  b"AUDITMF1"  length: u32 little-endian  JSON of that length
//! ```

use serde::{Deserialize, Serialize};

use crate::options::{Part, length, write};

/// Name of the ELF section.
pub const SECTION: &str = ".audit_manifest";
/// First bytes of the section.
pub const MAGIC: &[u8; 8] = b"AUDITMF1";

/// Length in bytes of the section whose JSON is made of these parts.
#[doc(hidden)]
pub const fn section_length(parts: &[Part]) -> usize {
    MAGIC.len() + 4 + length(parts)
}

/// The content of the section whose JSON is made of these parts; `N` is [`section_length`].
#[doc(hidden)]
pub const fn section<const N: usize>(parts: &[Part]) -> [u8; N] {
    let head = MAGIC.len() + 4;
    let mut out: [u8; N] = [0; N];
    let (start, json) = out.split_at_mut(head);
    let (magic, len) = start.split_at_mut(MAGIC.len());
    magic.copy_from_slice(MAGIC);
    len.copy_from_slice(&(json.len() as u32).to_le_bytes());
    write(parts, json);
    out
}

/// What a plugin says about itself. Unknown keys are ignored, so it can grow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of `plugin-api` that it was built with.
    pub api: String,
    /// Crate it was built from.
    #[serde(rename = "crate")]
    pub crate_name: String,
    /// Version of that crate.
    pub version: String,
    /// `rustc --version`.
    pub rustc: String,
    /// Target triple.
    pub target: String,
    /// `unwind` or `abort`.
    pub panic: String,
    /// The sink classes in it.
    pub classes: Vec<ClassSpec>,
}

impl Manifest {
    /// The one symbol that the plugin exports: it is named for the crate, so that several plugins can be linked into one
    /// binary.
    pub fn entry_symbol(&self) -> String {
        let crate_name = self.crate_name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        format!("audit_sinks_of_{crate_name}")
    }
}

/// One sink class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassSpec {
    /// Class path, e.g. `print.PrintAuditLogger`.
    pub class: String,
    /// Whether a `flush` that said yes survives power loss.
    pub durable: bool,
    /// The class's own default, instead of 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<u32>,
    /// The class's own default in seconds, instead of 0.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flush_interval: Option<f64>,
    /// The class's own default, instead of 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u32>,
    /// Its options.
    pub options: Vec<OptionSpec>,
}

/// One option of a class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptionSpec {
    /// Name in `audit.toml`.
    pub name: String,
    /// TOML types it may have: `string`, `integer`, `float`, `boolean`, `array`, `table`.
    pub types: Vec<String>,
    /// Whether it must be given.
    pub required: bool,
    /// Value when it is absent, as JSON; `null` for none.
    #[serde(default)]
    pub default: serde_json::Value,
    /// The only values it may have, where they are few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// One sentence, from the field's doc comment.
    #[serde(default)]
    pub help: String,
}
