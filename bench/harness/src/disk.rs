//! What a disk has been told to do.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::stat::{major, minor};

/// Where in a disk's `stat` its flushes stand: since Linux 5.5.
const FLUSHES: usize = 15;

/// How often the disk under this folder has flushed its cache, for whomever: each `fdatasync` that has something to sync does so
/// once. `None` where the system does not say.
pub fn disk_flushes(folder: &Path) -> Option<u64> {
    let device = fs::metadata(folder).ok()?.dev();
    let node = fs::canonicalize(format!("/sys/dev/block/{}:{}", major(device), minor(device))).ok()?;
    // Flushes are counted for the whole disk, not for its partitions.
    let disk = if node.join("partition").exists() { node.parent()? } else { &node };
    fs::read_to_string(disk.join("stat")).ok()?.split_whitespace().nth(FLUSHES)?.parse().ok()
}
