//! Where things are.

use std::env;
use std::path::{Path, PathBuf};

/// Folders of the repository and of the benchmarks.
#[derive(Clone, Debug)]
pub struct Places {
    repository: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self::new()
    }
}

impl Places {
    /// Of the repository that this was compiled in.
    pub fn new() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self { repository: here.ancestors().nth(2).expect("bench/harness is in the repository").to_owned() }
    }

    /// A file of the repository.
    pub fn file(&self, path: &str) -> PathBuf {
        self.repository.join(path)
    }

    /// The 5,000 events that general_manager wrote.
    pub fn real_events(&self) -> PathBuf {
        self.file("examples/permission-events.ndjson")
    }

    /// What the README's build makes.
    pub fn built(&self) -> PathBuf {
        self.file("target/release")
    }

    /// Where tables and pictures go.
    pub fn docs(&self) -> PathBuf {
        self.file("docs/bench")
    }

    /// Where events are written to: `$BENCH_FOLDER`, else below `target`, on the disk that an audit file would be on.
    pub fn output(&self) -> PathBuf {
        self.folder("BENCH_FOLDER", "target/bench/out")
    }

    /// A folder on a disk, for what is durable: `$BENCH_DISK`, else below `target`.
    pub fn disk(&self) -> PathBuf {
        self.folder("BENCH_DISK", "target/bench/scratch")
    }

    fn folder(&self, variable: &str, usual: &str) -> PathBuf {
        self.repository.join(env::var_os(variable).unwrap_or_else(|| usual.into()))
    }
}
