//! What is in a spool, as `status` and `verify` say it.

use std::fmt;

use audit_plugin_api::Timestamp;
use serde::Serialize;

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
