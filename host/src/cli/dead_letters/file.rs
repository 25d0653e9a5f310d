//! The file of dead letters, as it is read and marked here.
//!
//! It is only ever appended to, so it is read in several passes, and what others append meanwhile does no harm. Damaged
//! lines are told with their number, and passed over.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use audit_host::event::{LineContent, LineReader};
use audit_host::pipeline::dead_letters::{Entry, Letter, Mark, append};
use audit_plugin_api::Timestamp;

use crate::cli::failure::Failure;

const LONGEST_LINE: usize = 1 << 30;

/// The file of dead letters.
#[derive(Debug)]
pub struct LetterFile {
    path: PathBuf,
}

/// A line that is neither a dead letter nor a mark.
#[derive(Debug)]
pub struct Damage {
    /// The number of the line.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// Which letters were replayed, and when, by id.
pub type Marks = HashMap<String, String>;

impl LetterFile {
    /// The file at this path; it need not be there.
    pub fn new(path: &Path) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The letters that were replayed.
    pub fn marks(&self) -> Result<Marks, Failure> {
        let mut marks = Marks::new();
        self.read(&mut |entry| {
            if let Ok(Entry::Mark(Mark { replayed, at })) = entry {
                marks.insert(replayed, at);
            }
            Ok(())
        })?;
        Ok(marks)
    }

    /// Shows every letter, and every damaged line, in the order of the file.
    pub fn letters(
        &self,
        visit: &mut dyn FnMut(Result<Letter, Damage>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.read(&mut |entry| match entry {
            Ok(Entry::Letter(letter)) => visit(Ok(letter)),
            Ok(Entry::Mark(_)) => Ok(()),
            Err(damage) => visit(Err(damage)),
        })
    }

    fn read(
        &self,
        visit: &mut dyn FnMut(Result<Entry, Damage>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let cannot = |error| Failure::new(format!("{} cannot be read: {error}", self.path.display()));
        // Non-blocking: opening a FIFO must not wait for its writer.
        let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(cannot)?,
        };
        if !file.metadata().map_err(cannot)?.is_file() {
            return Err(cannot(io::Error::other("it is no regular file; let dead_letter_path name one")));
        }
        let mut lines = LineReader::new(file, LONGEST_LINE);
        while let Some(line) = lines.next_line().map_err(cannot)? {
            let entry = match line.content {
                LineContent::Bytes(bytes) => Entry::parse(bytes),
                LineContent::TooLong { len_bytes } => {
                    Err(format!("has {len_bytes} bytes, as no dead letter"))
                }
            };
            visit(entry.map_err(|reason| Damage { line: line.number, reason }))?;
        }
        Ok(())
    }

    /// Marks letters as replayed, durably.
    pub fn mark_replayed(&self, ids: &[String]) -> Result<(), Failure> {
        let at = Timestamp::now().to_string();
        let mut lines = Vec::new();
        for id in ids {
            let mark = Mark { replayed: id.clone(), at: at.clone() };
            serde_json::to_writer(&mut lines, &mark)
                .map_err(|error| Failure::new(format!("a mark cannot be written as JSON: {error}")))?;
            lines.push(b'\n');
        }
        append(&self.path, &lines).map_err(|error| {
            Failure::new(format!(
                "{} cannot be written: {error}; {} dead letters were delivered and are not marked so: the next replay \
                 sends them again",
                self.path.display(),
                ids.len()
            ))
        })
    }

    /// Keeps other replays out until the lock is dropped. It is beside the file, whose own lock its writers need.
    pub fn lock_for_replay(&self) -> Result<File, Failure> {
        let mut name = self.path.clone().into_os_string();
        name.push(".lock");
        let path = PathBuf::from(name);
        let cannot = |error| Failure::new(format!("{} cannot be locked: {error}", path.display()));
        let mut options = OpenOptions::new();
        options.write(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let lock = options.open(&path).map_err(cannot)?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => Err(Failure::new(format!(
                "another replay of {} is running: wait until it has ended",
                self.path.display()
            ))),
            Err(TryLockError::Error(error)) => Err(cannot(error)),
        }
    }
}
