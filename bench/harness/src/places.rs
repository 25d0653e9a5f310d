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

    /// Where events are written to: `$BENCH_FOLDER`, else in memory where there is such a file system, so that the disk does
    /// not decide what is measured.
    pub fn output(&self) -> PathBuf {
        let folder = match env::var_os("BENCH_FOLDER") {
            Some(folder) => folder.into(),
            None if Path::new("/dev/shm").is_dir() => PathBuf::from("/dev/shm"),
            None => self.disk(),
        };
        folder.join("audit-bench")
    }

    /// A folder on a disk, for what is durable: `$BENCH_DISK`, else below `target`.
    pub fn disk(&self) -> PathBuf {
        env::var_os("BENCH_DISK").map_or_else(|| self.file("target/bench/scratch"), PathBuf::from)
    }
}
