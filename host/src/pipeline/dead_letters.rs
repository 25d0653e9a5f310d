//! Where events go that are given up: one JSON line each, with the reason, readable and replayable.
//!
//! ```text
//! {"schema":1,"id":…,"event":{…canonical…},"sink":…,"class":…,"reason":…,"attempts":n,"first_failed":…,"dead_lettered":…}
//! ```
//!
//! The file has mode 0600 and is synced after each group. A write that fails is cut back, so that no line is torn by
//! this process; a tail that was torn before is ended with a newline, and so remains one unreadable line.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use audit_plugin_api::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use super::delivery::Doomed;

/// The file of dead letters, shared by all sinks.
pub struct DeadLetters {
    path: PathBuf,
    /// Serialises the writers of this process; the file's lock those of others.
    writer: Mutex<()>,
}

#[derive(Serialize)]
struct Letter<'a> {
    schema: u32,
    id: String,
    event: &'a RawValue,
    sink: &'a str,
    class: &'a str,
    reason: &'a str,
    attempts: u32,
    first_failed: String,
    dead_lettered: String,
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

    /// Writes an entry for each event, and syncs. On an error nothing was written.
    pub fn write(&self, sink: &str, class: &str, doomed: &[Doomed]) -> io::Result<()> {
        let now = Timestamp::now().to_string();
        let mut text = Vec::new();
        for Doomed { piece } in doomed {
            for span in &piece.spans {
                for index in span.start..span.end {
                    let event = std::str::from_utf8(span.run.json(index)).map_err(io::Error::other)?;
                    let letter = Letter {
                        schema: 1,
                        id: uuid::Uuid::now_v7().to_string(),
                        event: serde_json::from_str(event)?,
                        sink,
                        class,
                        reason: &piece.reason,
                        attempts: piece.attempts,
                        first_failed: piece.first_failed.map_or_else(|| now.clone(), |at| at.to_string()),
                        dead_lettered: now.clone(),
                    };
                    serde_json::to_writer(&mut text, &letter)?;
                    text.push(b'\n');
                }
            }
        }
        let _one_writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        append(&self.path, &text)
    }
}

/// Appends whole lines to a file of mode 0600 and syncs it; on an error the file is as long as before.
pub fn append(path: &Path, lines: &[u8]) -> io::Result<()> {
    let (mut file, made) = open(path)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)?;
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
    })?;
    if made && let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn open(path: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            Ok((options.create(true).open(path)?, true))
        }
        opened => Ok((opened?, false)),
    }
}
