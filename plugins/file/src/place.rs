//! Is an open file still what its path names?
//!
//! One `stat` of the path tells all: another inode (or none) says that the file was moved, deleted or replaced, another
//! size that somebody truncated it or wrote to it.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::lock::FileId;

/// Where an open file is.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// Where it was, as it was left.
    Kept,
    /// Somewhere else; its path names nothing.
    Moved,
    /// Nowhere.
    Deleted,
    /// Somewhere else; its path names another file.
    Replaced,
    /// Where it was, but this much shorter.
    Truncated(u64),
    /// Where it was, but longer: kin have written to it, or a line could not be cut back.
    Grown,
}

impl Place {
    /// What befell a file of so many bytes, as it was left; `None` if it can be written to.
    pub fn what_befell(&self, len: u64) -> Option<String> {
        match self {
            Self::Kept | Self::Grown => None,
            Self::Moved => Some("was moved away".to_owned()),
            Self::Deleted => Some(format!("was deleted, with {len} bytes in it")),
            Self::Replaced => Some("was replaced by another file".to_owned()),
            Self::Truncated(bytes) => Some(format!("was truncated: its last {bytes} bytes are gone")),
        }
    }
}

/// Finds the place of a file that was opened at `path`, is `id`, and was left `len` bytes long. What cannot be looked
/// up is taken as kept: the file can still be written to.
pub fn find(path: &Path, file: &File, id: FileId, len: u64) -> Place {
    match fs::symlink_metadata(path) {
        Ok(now) if id_of(&now) == id => match now.len() {
            size if size < len => Place::Truncated(len - size),
            size if size > len => Place::Grown,
            _ => Place::Kept,
        },
        Ok(_) => Place::Replaced,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            match file.metadata() {
                Ok(metadata) if metadata.nlink() == 0 => Place::Deleted,
                _ => Place::Moved,
            }
        }
        Err(_) => Place::Kept,
    }
}

/// Device and inode.
pub fn id_of(metadata: &Metadata) -> FileId {
    (metadata.dev(), metadata.ino())
}

/// What kind of file this is, in a word.
pub fn kind_of(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_dir() {
        "folder"
    } else if kind.is_fifo() {
        "pipe"
    } else if kind.is_socket() {
        "socket"
    } else if kind.is_block_device() {
        "block device"
    } else if kind.is_char_device() {
        "character device"
    } else {
        "file"
    }
}
