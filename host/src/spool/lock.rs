//! Locks that end with their process, and not with the last of its forked children.
//!
//! A forked child has copies of its parent's descriptors, and with them the parent's locks: it would keep the folder of
//! a parent that is gone from being adopted. So each descriptor of a lock is noted where the child's fork handler can
//! find and close it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::fs::{FlockOperation, flock};

use super::disk::{Lock, Locked};

const NONE: RawFd = -1;
/// Locks that a process can hold.
const MOST: usize = 1024;

static HELD: [AtomicI32; MOST] = [const { AtomicI32::new(NONE) }; MOST];

struct HeldLock {
    file: File,
    slot: &'static AtomicI32,
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        // Before the descriptor is closed: its number may be another file's after that.
        let _ = self.slot.compare_exchange(self.file.as_raw_fd(), NONE, Ordering::SeqCst, Ordering::SeqCst);
    }
}

/// Makes the file if it is not there, locks it, and writes this text into it.
pub fn lock_file(path: &Path, text: &str) -> io::Result<Locked> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)?;
    let slot = HELD
        .iter()
        .find(|slot| {
            slot.compare_exchange(NONE, file.as_raw_fd(), Ordering::SeqCst, Ordering::SeqCst).is_ok()
        })
        .ok_or_else(|| io::Error::other(format!("this process holds {MOST} locks already")))?;
    let mut lock = HeldLock { file, slot };
    match flock(&lock.file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(Locked::Busy),
        Err(error) => return Err(error.into()),
    }
    // Whoever had it before may have deleted it in the meantime: then it locks nothing.
    let (locked, there) = (lock.file.metadata()?, std::fs::symlink_metadata(path)?);
    if (locked.dev(), locked.ino()) != (there.dev(), there.ino()) {
        return Ok(Locked::Busy);
    }
    lock.file.set_len(0)?;
    lock.file.write_all(text.as_bytes())?;
    Ok(Locked::Held(Lock::new(lock)))
}

/// Lets go of all locks in a forked child, without touching the parent's. To be called from the child's handler of
/// `pthread_atfork`: it only calls `close`, which is allowed there. What held the locks must never be dropped in the
/// child.
pub fn close_locks_in_child() {
    for slot in &HELD {
        let descriptor = slot.swap(NONE, Ordering::SeqCst);
        if descriptor != NONE {
            // SAFETY: the number is of a descriptor that a `HeldLock` of the parent owns; the child has a copy, and
            // nothing in the child uses or closes it, since what the child inherited is leaked.
            unsafe { libc::close(descriptor) };
        }
    }
}
