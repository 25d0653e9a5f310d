//! What can go wrong with a spool, as whoever runs it is told.

use std::io;
use std::path::PathBuf;

use super::format::MOST_SINKS;
use crate::trust::Untrusted;

/// Why a spool cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    /// The folder cannot be made, read or written.
    #[error("{doing} {} failed: {source}: see to it that the running user may write spool_dir, and that its disk has room", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may write the folder.
    #[error("the spool cannot be trusted: {0}")]
    Untrusted(#[from] Untrusted),
    /// There are more sinks than marks.
    #[error(
        "{0} sinks are configured, but a spool keeps marks for {MOST_SINKS} at most: configure fewer, or leave spool_dir out"
    )]
    TooManySinks(usize),
    /// The names of the sinks do not fit into a segment's header.
    #[error(
        "the names of the sinks take {0} bytes in the spool, but {1} at most fit: give them shorter names"
    )]
    NamesTooLong(usize, usize),
}

/// Why there is no room for a frame.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// All of `spool_max_bytes` is in use.
    #[error("the spool is full")]
    Full,
    /// The disk does not give any.
    #[error("the spool cannot have more of the disk: {0}")]
    Io(#[from] io::Error),
}

/// What was recorded is not known to be on the disk.
#[derive(Debug, thiserror::Error)]
#[error("not known to be on the disk: {reason}")]
pub struct NotDurable {
    /// Why.
    pub reason: String,
}
