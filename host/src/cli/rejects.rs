//! Lines that are no events: said on standard error, and kept in a file.
//!
//! ```text
//! {"input":"events.ndjson","line":7,"reason":"key 'action' is missing","text":"{…}"}
//! ```
//!
//! `text` is the line. Where that is not UTF-8, `text` has replacement characters and `hex` holds the exact bytes; where the
//! line was too long to be read, `text` is null. The file has mode 0600, is appended to, and is made when there is
//! something to keep. If it cannot be written, that is said once, and the run goes on.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::console::Console;

/// How many are said on standard error.
const SHOWN: u64 = 20;

/// Where rejected lines go.
#[derive(Debug)]
pub struct Rejects {
    console: Console,
    path: PathBuf,
    file: RejectsFile,
    count: u64,
}

#[derive(Debug)]
enum RejectsFile {
    NotNeededYet,
    Open(File),
    /// It cannot be written; that was said.
    Broken,
}

/// A line that is no event.
#[derive(Clone, Copy, Debug)]
pub struct RejectedLine<'a> {
    /// The name of the input.
    pub input: &'a str,
    /// The number of the line.
    pub number: u64,
    /// What stands in it; `None` if it was too long to be read.
    pub text: Option<&'a [u8]>,
}

#[derive(Serialize)]
struct Entry<'a> {
    input: &'a str,
    line: u64,
    reason: &'a str,
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

impl Rejects {
    /// Rejected lines go to this file.
    pub fn new(path: &Path, console: &Console) -> Self {
        Self { console: console.clone(), path: path.into(), file: RejectsFile::NotNeededYet, count: 0 }
    }

    /// Says and keeps that a line was rejected.
    pub fn push(&mut self, line: RejectedLine<'_>, reason: &str) {
        self.count += 1;
        if self.count <= SHOWN {
            self.console.warn(&format!("{}:{}: rejected: {reason}", line.input, line.number));
        }
        if let Err(error) = self.keep(line, reason) {
            self.file = RejectsFile::Broken;
            let path = self.path.display();
            self.console.error(&format!("rejected lines cannot be kept in {path} (rejected_path): {error}"));
        }
    }

    fn keep(&mut self, line: RejectedLine<'_>, reason: &str) -> io::Result<()> {
        let file = match &mut self.file {
            RejectsFile::Broken => return Ok(()),
            RejectsFile::Open(file) => file,
            not_open => {
                *not_open = RejectsFile::Open(open(&self.path)?);
                let RejectsFile::Open(file) = not_open else { return Ok(()) };
                file
            }
        };
        let lossy = line.text.map(String::from_utf8_lossy);
        let is_exact = line.text.map(std::str::from_utf8).is_none_or(|text| text.is_ok());
        let mut entry = serde_json::to_vec(&Entry {
            input: line.input,
            line: line.number,
            reason,
            text: lossy.as_deref(),
            hex: line.text.filter(|_| !is_exact).map(hex),
        })?;
        entry.push(b'\n');
        file.write_all(&entry)
    }

    /// Says how many there were beyond those that were said, and makes the file durable.
    pub fn finish(self) {
        if self.count > SHOWN {
            let (count, more) = (self.count, self.count - SHOWN);
            let kept = match &self.file {
                RejectsFile::Open(_) => format!("; all are in {}", self.path.display()),
                _ => String::new(),
            };
            self.console.warn(&format!("{count} lines were rejected, {more} more than are shown here{kept}"));
        }
        if let RejectsFile::Open(file) = &self.file
            && let Err(error) = file.sync_data()
        {
            self.console.error(&format!("{} cannot be made durable: {error}", self.path.display()));
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    // A line that an earlier run did not finish stays a line of its own.
    if file.metadata()?.is_file() && file.seek(SeekFrom::End(0))? > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::{Value, json};

    use super::*;
    use crate::cli::args::LogFormat;

    fn reject(path: &Path, text: Option<&[u8]>) {
        let mut rejects = Rejects::new(path, &Console::new(LogFormat::Text));
        rejects.push(RejectedLine { input: "in", number: 7, text }, "why");
        rejects.finish();
    }

    fn entries(path: &Path) -> Vec<Value> {
        let text = std::fs::read_to_string(path).expect("there");
        text.lines().map(|line| serde_json::from_str(line).unwrap_or(Value::Null)).collect()
    }

    #[test]
    fn bytes_that_are_no_text_are_kept_exactly() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("made/rejected.ndjson");
        reject(&path, Some(b"a\"\xff"));
        reject(&path, None);
        assert_eq!(
            entries(&path),
            [
                json!({"input": "in", "line": 7, "reason": "why", "text": "a\"\u{fffd}", "hex": "6122ff"}),
                json!({"input": "in", "line": 7, "reason": "why", "text": null}),
            ]
        );
        assert_eq!(path.metadata().expect("there").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_torn_last_line_stays_a_line_of_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rejected.ndjson");
        std::fs::write(&path, "{\"input\":\"torn").expect("written");
        reject(&path, Some(b"x"));
        assert_eq!(entries(&path)[0], Value::Null);
        assert_eq!(entries(&path)[1]["text"], "x");
    }
}
