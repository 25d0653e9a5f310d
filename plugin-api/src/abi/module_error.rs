//! Why a file is not used as a plugin, after it was loaded.

/// Why the handshake with a plugin failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{summary}")]
pub struct ModuleError {
    /// One sentence: the file, both sides of the mismatch, and who must do what.
    pub summary: String,
    /// All that is known, for `--verbose`; may be over a thousand lines.
    pub report: String,
}
