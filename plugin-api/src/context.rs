//! What an instance is told about its place.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What an instance is told about its place. Crosses the boundary as JSON; unknown keys are ignored, so it can grow.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Context {
    /// Version of the interface that the host speaks.
    pub api: String,
    /// Version of the host.
    pub host_version: String,
    /// Unique for each instance that this process opened.
    pub instance: u64,
    /// Name of the sink (default: its class path).
    pub name: String,
    /// Class path.
    pub class: String,
    /// Folder of `audit.toml`: what relative paths are relative to.
    pub config_dir: PathBuf,
    /// Most events that one batch holds.
    pub batch_size: usize,
    /// Largest canonical line, without its newline.
    pub max_event_bytes: usize,
    /// Batches that the sink may hold unacknowledged.
    pub max_in_flight: usize,
    /// Seconds that a shutdown may take.
    pub shutdown_timeout: f64,
    /// What an accepted event outlives: `process` or `disk` (loss of power); `None` where events wait in memory, and from a
    /// host that does not say. With `disk` a flush that says yes must have made everything durable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durability: Option<String>,
}

impl Context {
    /// The path as the operator meant it: relative to the folder of `audit.toml`.
    pub fn resolve(&self, path: impl AsRef<Path>) -> PathBuf {
        self.config_dir.join(path)
    }
}
