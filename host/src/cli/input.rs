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

use super::failure::Failure;
use super::signals::Stop;

/// What standard input is called in messages.
const STANDARD_INPUT: &str = "<stdin>";

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
