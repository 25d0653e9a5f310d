//! What `audit.toml` may say to the file sink.

use std::path::PathBuf;

use audit_plugin_api::SinkOptions;

use crate::{Fsync, Mode};

/// The options of `file.FileAuditLogger`.
#[derive(Clone, Debug, SinkOptions)]
pub struct FileOptions {
    /// The file to append to; its folder is made where it is missing.
    pub path: PathBuf,
    /// Permissions of a file that the sink makes, in octal.
    #[option(default = "0600")]
    pub mode: Mode,
    /// Most seconds between two syncs to the disk, or "batch" (before each answer), or "never" (not even at a flush, and not
    /// beside `durability = "disk"`).
    #[option(default = 1.0)]
    pub fsync: Fsync,
    /// Size in bytes at which the file is rotated; 0 = never.
    #[option(default = 0)]
    pub max_bytes: u64,
    /// How many rotated files are kept, path.1 to path.N; 0 = all.
    #[option(default = 0)]
    pub max_files: u32,
}
