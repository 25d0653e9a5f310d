//! What is in the spool, and in the dead letters.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Dir;
use crate::modes::PATIENT;

/// What is in a spool when nobody uses it.
#[derive(Clone, Debug, Default)]
pub struct Left {
    /// The events of which some sink has not settled all, each once.
    pub lines: Vec<String>,
    /// How many each sink is still to get.
    pub by_sink: BTreeMap<String, u64>,
    /// How many some sink is still to get, each once.
    pub events: u64,
}

impl Left {
    /// Reads the spool `spool` of a folder, and changes nothing: the counts are those of `spool status`, the lines those
    /// that `spool drain` finds in a copy of it.
    pub fn read(dir: &Dir) -> Self {
        let status = dir.audit_host(&["spool", "status", "--format", "json"]).run();
        assert_eq!(status.status, 0, "{status:?}");
        let status = status.json();
        let count = |value: &serde_json::Value| value["events"].as_u64().expect("a number of events");
        let sinks = status["sinks"].as_array().expect("a list of sinks");
        let named =
            |sink: &serde_json::Value| (sink["sink"].as_str().expect("a name").to_owned(), count(sink));
        let copy = Dir::with(&dir.read("audit.toml"));
        copy.copy_spool_of(dir);
        copy.write(
            "to.toml",
            format!("[audit_logger]\nclass = \"file.FileAuditLogger\"\noptions = {{ path = \"left.ndjson\" }}\n{PATIENT}"),
        );
        let drained = copy.audit_host(&["spool", "drain", "--to", "to.toml"]).run();
        assert!(drained.status < 2, "{drained:?}");
        Self {
            lines: copy.lines("left.ndjson"),
            by_sink: sinks.iter().map(named).collect(),
            events: count(&status),
        }
    }
}

#[derive(Deserialize)]
struct Letter {
    event: Box<RawValue>,
    sink: String,
}

/// The sink and the event of a dead letter.
pub fn read_letter(line: &str) -> Option<(String, String)> {
    let letter: Letter = serde_json::from_str(line).ok()?;
    Some((letter.sink, letter.event.get().to_owned()))
}
