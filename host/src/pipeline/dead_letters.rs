//! Where events go that are given up: one JSON line each ([`Letter`]), with the reason, readable and replayable.
//!
//! The file has mode 0600 and is synced after each group. A write that fails is cut back, so that no line is torn by
//! this process; a tail that was torn before is ended with a newline, and so remains one unreadable line.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use audit_plugin_api::Timestamp;
use rustix::fs::FlockOperation;
use serde_json::value::RawValue;

pub use super::letter::{Entry, Letter, Mark};
use super::piece::Piece;

/// Bytes that are written and synced at once, about.
const GROUP_BYTES: usize = 1 << 20;
const LOCK_ATTEMPTS: u32 = 100;
const LOCK_INTERVAL: Duration = Duration::from_millis(5);

/// The file of dead letters, shared by all sinks.
pub struct DeadLetters {
    path: PathBuf,
    /// Serialises the writers of this process; the file's lock those of others.
    writer: Mutex<()>,
}

impl DeadLetters {
    /// Dead letters in this file; it is made when there is one.
    pub fn new(path: PathBuf) -> Self {
        Self { path, writer: Mutex::default() }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes an entry for each event, and syncs; returns how many are written, and why not the others.
    pub fn write(&self, sink: &str, class: &str, pieces: &[Piece]) -> (usize, io::Result<()>) {
        let mut text = Vec::new();
        let (mut written, mut gathered) = (0, 0);
        let _one_writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in pieces {
            for span in &piece.spans {
                let body = match span.run.body() {
                    Ok(body) => body,
                    Err(error) => return (written, Err(error)),
                };
                for index in span.start..span.end {
                    if let Err(error) = write_letter(sink, class, piece, body.json(index), &mut text) {
                        return (written, Err(error));
                    }
                    gathered += 1;
                    if text.len() >= GROUP_BYTES {
                        if let Err(error) = append(&self.path, &text) {
                            return (written, Err(error));
                        }
                        written += std::mem::take(&mut gathered);
                        text.clear();
                    }
                }
            }
        }
        if gathered == 0 {
            return (written, Ok(()));
        }
        match append(&self.path, &text) {
            Ok(()) => (written + gathered, Ok(())),
            Err(error) => (written, Err(error)),
        }
    }
}

fn write_letter(sink: &str, class: &str, piece: &Piece, event: &[u8], text: &mut Vec<u8>) -> io::Result<()> {
    let now = Timestamp::now().to_string();
    let event = std::str::from_utf8(event).map_err(io::Error::other)?;
    let letter = Letter {
        schema: 1,
        id: uuid::Uuid::now_v7().to_string(),
        event: RawValue::from_string(event.to_owned())?,
        sink: sink.to_owned(),
        class: class.to_owned(),
        reason: piece.reason.clone(),
        attempts: piece.attempts.into(),
        first_failed: piece.first_failed.map_or_else(|| now.clone(), |at| at.to_string()),
        dead_lettered: now,
    };
    Ok(letter.write(text)?)
}

/// Appends whole lines to a file of mode 0600 and syncs it; on an error the file is as long as before.
pub fn append(path: &Path, lines: &[u8]) -> io::Result<()> {
    let mut file = open(path)?;
    lock(&file)?;
    let len = file.seek(SeekFrom::End(0))?;
    if len > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    let len = file.seek(SeekFrom::End(0))?;
    file.write_all(lines).and_then(|()| file.sync_data()).inspect_err(|_| {
        // What cannot be cut back is ended by the next writer, see above.
        let _ = file.set_len(len);
    })
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
            std::fs::create_dir_all(folder)?;
            let file = options.create(true).open(path)?;
            File::open(folder)?.sync_all()?;
            Ok(file)
        }
        opened => opened,
    }
}

/// Another process holds the lock for the moment of a write; one that holds it longer is an error, not a wait without end.
fn lock(file: &File) -> io::Result<()> {
    for _ in 0..LOCK_ATTEMPTS {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            // `flock` knows no deadline: it is tried again and again.
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(LOCK_INTERVAL),
            locked => return Ok(locked?),
        }
    }
    Err(io::Error::new(io::ErrorKind::WouldBlock, "another process keeps it locked"))
}
