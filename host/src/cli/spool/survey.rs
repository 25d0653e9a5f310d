//! What is in a spool, as `status` and `verify` say it.

use std::fmt;
use std::io;
use std::path::Path;

use audit_host::spool::{FolderContents, inspect_folder};
use audit_plugin_api::Timestamp;
use serde::Serialize;

use super::owner::{Owner, ProcessFolder, process_folders};
use crate::cli::failure::Failure;

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
    /// Whether the process is alive.
    pub alive: bool,
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
    /// Reads all of a spool, and changes nothing. What cannot be read counts as damaged.
    pub fn take(dir: &Path) -> Result<Self, Failure> {
        let folders = process_folders(dir)
            .map_err(|error| Failure::new(format!("the spool {} cannot be read: {error}", dir.display())))?;
        let mut survey = Self { dir: dir.display().to_string(), ..Self::default() };
        for folder in folders {
            match inspect(&folder) {
                Ok(contents) => survey.add(&folder, contents),
                // Its process has just left.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => survey.damage.push(Damage {
                    path: folder.path.display().to_string(),
                    lost: None,
                    reason: error.to_string(),
                }),
            }
        }
        Ok(survey)
    }

    fn add(&mut self, folder: &ProcessFolder, contents: FolderContents) {
        let (alive, pid) = match folder.owner {
            Owner::Alive(pid) => (true, pid),
            Owner::Gone => (false, None),
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
            lost: Some(damage.lost),
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

/// What a living process changes while it is read may look damaged: then it is read once more.
fn inspect(folder: &ProcessFolder) -> io::Result<FolderContents> {
    let contents = inspect_folder(&folder.path)?;
    if matches!(folder.owner, Owner::Alive(_)) && !contents.damage.is_empty() {
        return inspect_folder(&folder.path);
    }
    Ok(contents)
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
