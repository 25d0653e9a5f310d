//! What is in a spool, as `status` and `verify` say it.

use std::fmt;
use std::io;
use std::path::Path;

use audit_host::spool::{FolderContents, FolderUse, inspect_folder, segment_bytes};
use audit_plugin_api::Timestamp;
use serde::Serialize;

use super::owner::{Owner, ProcessFolder, process_folders};
use crate::cli::console::Console;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::progress::Reading;

/// A spool.
#[derive(Debug, Default, Serialize)]
pub struct Survey {
    /// Where it is.
    pub dir: String,
    /// Its segment files.
    pub segments: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Events that some sink is still to get, each once.
    pub events: u64,
    /// What each sink is still to get, by name.
    pub sinks: Vec<SinkBacklog>,
    /// The folders of processes, the oldest first.
    pub processes: Vec<Process>,
    /// What is damaged.
    pub damage: Vec<Damage>,
}

/// What a sink is still to get.
#[derive(Debug, Serialize)]
pub struct SinkBacklog {
    /// Its name, when the events were recorded.
    pub sink: String,
    /// How many events.
    pub events: u64,
    /// When the oldest of them was recorded.
    #[serde(serialize_with = "as_text")]
    pub oldest: Option<Timestamp>,
}

/// The folder of one process.
#[derive(Debug, Serialize)]
pub struct Process {
    /// Where it is.
    pub folder: String,
    /// Whether the process is alive; `None` where that cannot be told.
    pub alive: Option<bool>,
    /// Its number, where it is known.
    pub pid: Option<u32>,
    /// Events that some sink is still to get, each once.
    pub events: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// When the oldest of its events was recorded.
    #[serde(serialize_with = "as_text")]
    pub oldest: Option<Timestamp>,
}

/// Something that does not validate, or cannot be read.
#[derive(Debug, Serialize)]
pub struct Damage {
    /// The file or folder.
    pub path: String,
    /// How many events it cost, where that is known.
    pub lost: Option<u64>,
    /// What is wrong.
    pub reason: String,
}

impl Survey {
    /// Reads all of a spool, and changes nothing; shows how far it is on a terminal. What cannot be read counts as
    /// damaged.
    pub fn take(dir: &Path, console: &Console) -> Result<Self, Failure> {
        let folders = process_folders(dir)
            .map_err(|error| Failure::new(format!("the spool {} cannot be read: {error}", dir.display())))?;
        let bytes = folders.iter().map(|folder| segment_bytes(&folder.path)).sum();
        let reading = Reading::start(bytes, console);
        let survey = Self::of(dir, &folders, &mut |bytes| reading.note(bytes));
        reading.end(console);
        Ok(survey)
    }

    fn of(dir: &Path, folders: &[ProcessFolder], on_read: &mut dyn FnMut(u64)) -> Self {
        let mut survey = Self { dir: dir.display().to_string(), ..Self::default() };
        for folder in folders {
            match inspect_folder(&folder.path, use_of(folder), on_read) {
                Ok(contents) => survey.add(folder, contents),
                // Its process has just left.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => survey.note_unreadable(&folder.path, error.to_string()),
            }
        }
        survey
    }

    /// The exit status of a command that only says what is there: what cannot be read is not in it.
    pub fn exit(&self) -> Exit {
        let is_whole = self.damage.iter().all(|damage| damage.lost.is_some());
        if is_whole { Exit::Complete } else { Exit::Unusable }
    }

    fn note_unreadable(&mut self, path: &Path, reason: String) {
        self.damage.push(Damage { path: path.display().to_string(), lost: None, reason });
    }

    fn add(&mut self, folder: &ProcessFolder, contents: FolderContents) {
        let (alive, pid) = match &folder.owner {
            Owner::Alive(pid) => (Some(true), *pid),
            Owner::Gone => (Some(false), None),
            Owner::Unknown(reason) => {
                self.note_unreadable(&folder.path, reason.clone());
                (None, None)
            }
        };
        let FolderContents { segments, bytes, events, oldest, sinks, damage } = contents;
        self.segments += segments;
        self.bytes += bytes;
        self.events += events;
        for sink in sinks {
            let oldest = sink.oldest.map(Timestamp::from_micros);
            let name = if sink.name.is_empty() { "(name lost)".to_owned() } else { sink.name };
            match self.sinks.iter_mut().find(|known| known.sink == name) {
                Some(known) => {
                    known.events += sink.events;
                    known.oldest = known.oldest.into_iter().chain(oldest).min();
                }
                None => self.sinks.push(SinkBacklog { sink: name, events: sink.events, oldest }),
            }
        }
        self.damage.extend(damage.into_iter().map(|damage| Damage {
            path: damage.path.display().to_string(),
            lost: damage.lost,
            reason: damage.reason,
        }));
        self.processes.push(Process {
            folder: folder.path.display().to_string(),
            alive,
            pid,
            events,
            bytes,
            oldest: oldest.map(Timestamp::from_micros),
        });
    }
}

fn use_of(folder: &ProcessFolder) -> FolderUse {
    if folder.owner == Owner::Gone { FolderUse::Left } else { FolderUse::InUse }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, lost, reason } = self;
        match lost {
            None => write!(f, "{path}: {reason}"),
            Some(1) => write!(f, "{path}: {reason}; 1 event is lost"),
            Some(lost) => write!(f, "{path}: {reason}; {lost} events are lost"),
        }
    }
}

fn as_text<S: serde::Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_string()).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(path: &Path, owner: Owner) -> ProcessFolder {
        ProcessFolder { path: path.to_owned(), owner }
    }

    fn survey(folders: &[ProcessFolder]) -> Survey {
        Survey::of(Path::new("/srv/spool"), folders, &mut |_| ())
    }

    #[test]
    fn a_folder_that_vanishes_meanwhile_is_nothing() {
        let survey = survey(&[folder(Path::new("/nowhere/at/all"), Owner::Alive(None))]);
        assert!(survey.processes.is_empty() && survey.damage.is_empty());
        assert_eq!(survey.exit(), Exit::Complete);
    }

    #[test]
    fn a_folder_whose_owner_is_unknown_is_shown_and_named() {
        let there = tempfile::tempdir().expect("a folder");
        let survey = survey(&[folder(there.path(), Owner::Unknown("its lock cannot be opened".to_owned()))]);
        assert_eq!(survey.processes[0].alive, None);
        assert_eq!(survey.damage[0].reason, "its lock cannot be opened");
        assert_eq!(survey.exit(), Exit::Unusable);
    }
}
