//! What a producer notes of each event before and after it records it, so that it outlives its process.
//!
//! One file for each producer. A note is one `write`: the kernel has it when the process is killed. Nothing is synced,
//! since no test takes the power away.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::Outcome;
use super::ledger::id_of;

/// The journal of one producer.
pub struct Journal(File);

impl Journal {
    /// A new journal in this folder, which is made if it is not there.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(folder: &Path, producer: &str) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        OpenOptions::new().append(true).create_new(true).open(folder.join(producer)).map(Self)
    }

    /// Notes an event that is about to be recorded: its canonical line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn issue(&mut self, line: &str) -> io::Result<()> {
        self.0.write_all(format!("?{line}\n").as_bytes())
    }

    /// Notes what `record` said of the event of this line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note(&mut self, line: &str, outcome: Outcome) -> io::Result<()> {
        let sign = match outcome {
            Outcome::Unknown => return Ok(()),
            Outcome::Refused => '-',
            Outcome::Accepted => '+',
            Outcome::Durable => '=',
        };
        self.0.write_all(format!("{sign}{}\n", id_of(line).unwrap_or(line)).as_bytes())
    }
}

/// A note in a journal.
pub enum Entry<'a> {
    /// This line is about to be recorded.
    Issued(&'a str),
    /// The event of this id came to this.
    Noted(&'a str, Outcome),
}

/// Reads all journals in a folder. A last line that is torn was never written: the kill came first.
pub fn read(folder: &Path, take: &mut dyn FnMut(&str, Entry<'_>)) {
    let mut files: Vec<_> = fs::read_dir(folder)
        .map(|files| files.map(|file| file.expect("a journal").path()).collect())
        .unwrap_or_default();
    files.sort();
    for file in files {
        let producer = file.file_name().and_then(|name| name.to_str()).expect("a name of ours").to_owned();
        let bytes = fs::read(&file).expect("a journal");
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for line in std::str::from_utf8(&bytes[..whole]).expect("text of ours").lines() {
            let (sign, rest) = line.split_at(1);
            take(
                &producer,
                match sign {
                    "?" => Entry::Issued(rest),
                    "-" => Entry::Noted(rest, Outcome::Refused),
                    "+" => Entry::Noted(rest, Outcome::Accepted),
                    "=" => Entry::Noted(rest, Outcome::Durable),
                    _ => panic!("no journal: {line}"),
                },
            );
        }
    }
}
