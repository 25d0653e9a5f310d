//! The inputs of a run: files, pipes, and standard input.
//!
//! All are opened before the first one is read, without waiting for anybody: a FIFO that nobody writes to yet is waited
//! for when its turn comes. A read ends early when it is time to stop.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};

use super::failure::Failure;
use super::signals::Stop;

/// What standard input is called in messages.
const STANDARD_INPUT: &str = "<stdin>";

/// What a pipe is to hold: as much as is read at a time. Of what holds less, as pipes do that nobody asked for more, the
/// writer and this program wait for each other in turns.
const PIPE_BYTES: usize = 256 << 10;

/// An input that is open.
#[derive(Debug)]
pub struct Input {
    name: String,
    file: File,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Never waits; holds this many bytes.
    Regular(u64),
    Terminal,
    Stream,
}

/// Which file something is, by whatever name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// That of the regular file of this name, if there is one.
    pub fn at(path: &Path) -> Option<Self> {
        Self::of_regular(&path.metadata().ok()?)
    }

    /// That of an open file, if it is a regular one.
    pub fn of(open: impl AsFd) -> Option<Self> {
        let file = File::from(open.as_fd().try_clone_to_owned().ok()?);
        Self::of_regular(&file.metadata().ok()?)
    }

    fn of_regular(metadata: &Metadata) -> Option<Self> {
        metadata.is_file().then(|| Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

impl Input {
    /// Opens all of these, or standard input if there are none.
    pub fn open_all(paths: &[PathBuf]) -> Result<Vec<Self>, Failure> {
        let standard_input = [PathBuf::from("-")];
        let paths = if paths.is_empty() { &standard_input[..] } else { paths };
        if paths.iter().filter(|path| **path == standard_input[0]).count() > 1 {
            return Err(Failure::new("`-` is given twice, but standard input can be read only once"));
        }
        paths.iter().map(|path| Self::open(path)).collect()
    }

    fn open(path: &Path) -> Result<Self, Failure> {
        let (name, opened) = if path == Path::new("-") {
            (STANDARD_INPUT.to_owned(), io::stdin().as_fd().try_clone_to_owned().map(File::from))
        } else {
            let mut options = OpenOptions::new();
            options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY);
            (path.display().to_string(), options.open(path))
        };
        let cannot = |what: &str, error: io::Error| {
            Failure::new(format!("{name} cannot be {what}: {error}; no event was taken"))
        };
        let file = opened.map_err(|error| cannot("opened", error))?;
        let metadata = file.metadata().map_err(|error| cannot("examined", error))?;
        if metadata.is_dir() {
            return Err(cannot("read", ErrorKind::IsADirectory.into()));
        }
        let kind = match () {
            () if metadata.is_file() => Kind::Regular(metadata.len()),
            () if file.is_terminal() => Kind::Terminal,
            () => Kind::Stream,
        };
        if kind == Kind::Stream {
            widen_pipe(&file);
        }
        Ok(Self { name, file, kind })
    }

    /// What it is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a person is typing it.
    pub fn is_terminal(&self) -> bool {
        self.kind == Kind::Terminal
    }

    /// Which file it is; `None` for pipes and the like.
    pub fn identity(&self) -> Option<FileIdentity> {
        FileIdentity::of(&self.file)
    }

    /// How many bytes it holds, where that is known.
    pub fn size_bytes(&self) -> Option<u64> {
        match self.kind {
            Kind::Regular(size_bytes) => Some(size_bytes),
            _ => None,
        }
    }

    /// Its bytes, until `stop`; adds what was read to `read_bytes`.
    pub fn reader<'a>(&'a self, stop: &'a Stop, read_bytes: &'a AtomicU64) -> InputReader<'a> {
        InputReader { input: self, stop, read_bytes }
    }
}

/// What is no pipe, holds enough, or may not hold more (`/proc/sys/fs/pipe-*`) stays as it is.
fn widen_pipe(file: &File) {
    if fcntl_getpipe_size(file).is_ok_and(|held_bytes| held_bytes < PIPE_BYTES) {
        let _ = fcntl_setpipe_size(file, PIPE_BYTES);
    }
}

/// Reads an input until it is time to stop: then a read is an error.
#[derive(Debug)]
pub struct InputReader<'a> {
    input: &'a Input,
    stop: &'a Stop,
    read_bytes: &'a AtomicU64,
}

impl Read for InputReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !matches!(self.input.kind, Kind::Regular(_)) {
                self.stop.wait_readable(&self.input.file)?;
            }
            if self.stop.is_set() {
                return Err(io::Error::other("told to stop"));
            }
            match (&self.input.file).read(buffer) {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                read => {
                    let count = read?;
                    self.read_bytes.fetch_add(count as u64, Ordering::Relaxed);
                    return Ok(count);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_pipe_is_made_to_hold_what_is_read_at_a_time_and_a_wider_one_is_left_alone() {
        for (before_bytes, expected_bytes) in [(64 << 10, PIPE_BYTES), (2 * PIPE_BYTES, 2 * PIPE_BYTES)] {
            let (reader, writer) = io::pipe().expect("a pipe");
            fcntl_setpipe_size(&writer, before_bytes).expect("a size that everyone may set");
            Input::open(Path::new(&format!("/proc/self/fd/{}", reader.as_raw_fd()))).expect("it opens");
            assert_eq!(fcntl_getpipe_size(&writer).ok(), Some(expected_bytes));
        }
    }
}
