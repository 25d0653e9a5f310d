//! The file system as the spool uses it.

use std::io;
use std::path::Path;

use super::mapped::Carver;
use crate::trust::Untrusted;

/// The file system as the spool uses it; [`RealDisk`](super::RealDisk) outside of tests.
pub trait Disk: Send + Sync {
    /// Makes a folder that only its owner may use; it must not be there.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;

    /// Says whether others may write this folder.
    fn check_folder(&self, folder: &Path) -> io::Result<Result<(), Untrusted>>;

    /// Names of what is in a folder, in order.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Makes an empty file that only its owner may use; it must not be there.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file.
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file or folder another name; what has that name already is replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Deletes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Deletes an empty folder.
    fn remove_folder(&self, folder: &Path) -> io::Result<()>;

    /// Returns when the names in a folder would survive a loss of power.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Makes a file if it is not there, and locks it; a process that ends lets go of its locks.
    fn lock(&self, path: &Path, text: &str) -> io::Result<Locked>;
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To be read.
    Read,
    /// To be read and written.
    ReadWrite,
}

/// What became of an attempt to lock a file.
pub enum Locked {
    /// It is locked until this is dropped.
    Held(Lock),
    /// Somebody else has it locked.
    Busy,
}

/// A locked file; dropped, it is free.
pub struct Lock(#[allow(dead_code)] Box<dyn Send + Sync>);

impl Lock {
    /// Holds on to what keeps the lock.
    pub fn new(held: impl Send + Sync + 'static) -> Self {
        Self(Box::new(held))
    }
}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Has space for its first `bytes` bytes, which read as zeros where nothing was written.
    fn allocate(&self, bytes: u64) -> io::Result<()>;

    /// Fills its first `bytes` bytes with zeros, in few large writes: a file system that keeps what one write brought in
    /// large pieces of memory then makes them writable through a mapping at a quarter of the cost of single pages.
    fn write_zeros(&self, bytes: usize) -> io::Result<()>;

    /// Reads from an offset; less than asked for only at the end of the file.
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes all of this at an offset.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Returns when everything in the file would survive a loss of power.
    fn sync(&self) -> io::Result<()>;

    /// Maps the first `bytes` bytes; tracks begin at `first`.
    fn map(&self, bytes: usize, first: usize) -> io::Result<Carver>;
}
