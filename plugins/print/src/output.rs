//! The stream that is printed to.
//!
//! A batch goes out with one gathering write, which is repeated only where the kernel took a part. After an error it is
//! known to the byte how much went out.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::os::fd::AsFd;

use audit_plugin_api::Deadline;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Most slices that one system call takes.
const SLICES: usize = 1024;

/// The stream that is printed to.
pub struct Output {
    file: File,
    name: &'static str,
}

/// A write that ended before its end.
#[derive(Debug)]
pub struct Cut {
    /// Bytes that went out.
    pub written: usize,
    /// What ended it.
    pub error: io::Error,
}

impl Output {
    /// A descriptor of its own for `stream`, which is called `name` in errors.
    pub fn of(stream: impl AsFd, name: &'static str) -> io::Result<Self> {
        Ok(Self { file: stream.as_fd().try_clone_to_owned()?.into(), name })
    }

    /// What it is called in errors.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Writes all of `parts`. A stream that somebody made non-blocking is waited for, until `deadline`.
    pub fn write_all(&mut self, parts: &[&[u8]], deadline: Deadline) -> Result<(), Cut> {
        let mut slices: Vec<IoSlice<'_>> =
            parts.iter().filter(|part| !part.is_empty()).map(|part| IoSlice::new(part)).collect();
        let mut left = slices.as_mut_slice();
        let mut written = 0;
        while !left.is_empty() {
            match self.file.write_vectored(&left[..left.len().min(SLICES)]) {
                Ok(0) => return Err(Cut { written, error: ErrorKind::WriteZero.into() }),
                Ok(count) => {
                    written += count;
                    IoSlice::advance_slices(&mut left, count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wait(deadline).map_err(|error| Cut { written, error })?;
                }
                Err(error) => return Err(Cut { written, error }),
            }
        }
        Ok(())
    }

    fn wait(&self, deadline: Deadline) -> io::Result<()> {
        if deadline.has_passed() {
            return Err(io::Error::new(ErrorKind::TimedOut, "nobody reads from it"));
        }
        let timeout = Timespec::try_from(deadline.remaining()).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&self.file, PollFlags::OUT)], Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
