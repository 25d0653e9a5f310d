//! `fcntl` locks of single bytes, far behind any data.
//!
//! They belong to the process: they end with it, a forked child does not inherit them, and the kernel knows the holder's
//! pid. Between instances of one process they say nothing, and closing any descriptor of the file ends them.

use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// What a lock stands for.
#[derive(Clone, Copy, Debug)]
pub enum Range {
    /// The file is in use by this process, or by its kin.
    Use,
    /// This process changes the file just now.
    Turn,
}

/// Locks, unless another process has done so; whether it did.
pub fn try_lock(file: &File, range: Range) -> io::Result<bool> {
    match fcntl(file, FcntlArg::F_SETLK(&lock(libc::F_WRLCK, range))) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Locks, as soon as no other process does.
pub fn wait_and_lock(file: &File, range: Range) -> io::Result<()> {
    loop {
        match fcntl(file, FcntlArg::F_SETLKW(&lock(libc::F_WRLCK, range))) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Ends a lock. It cannot fail: at worst there was none.
pub fn unlock(file: &File, range: Range) {
    let _ = fcntl(file, FcntlArg::F_SETLK(&lock(libc::F_UNLCK, range)));
}

/// The pid of the process that has locked, if another one has; 0 or less where it cannot be seen from here.
pub fn holder(file: &File, range: Range) -> Option<i32> {
    let mut lock = lock(libc::F_WRLCK, range);
    fcntl(file, FcntlArg::F_GETLK(&mut lock)).ok()?;
    (lock.l_type != libc::F_UNLCK as libc::c_short).then_some(lock.l_pid)
}

fn lock(kind: libc::c_int, range: Range) -> libc::flock {
    let byte = match range {
        Range::Use => 0,
        Range::Turn => 1,
    };
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: (1 << 62) + byte,
        l_len: 1,
        l_pid: 0,
    }
}
