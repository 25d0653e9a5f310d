//! What a replay came to.

use std::collections::BTreeMap;

use audit_host::config::printable;
use serde::Serialize;

use crate::cli::exit::Exit;

/// What a replay came to.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    /// Delivered, and marked so.
    pub replayed: Vec<String>,
    /// Not delivered: they stay what they are.
    pub failed: Vec<Failed>,
    /// Letters whose sink is not configured, by sink.
    pub without_sink: BTreeMap<String, u64>,
    /// Not tried, since the replay was told to stop.
    pub not_tried: u64,
}

/// A letter that was not delivered.
#[derive(Debug, Serialize)]
pub struct Failed {
    /// Its id.
    pub id: String,
    /// Why.
    pub reason: String,
}

impl Outcome {
    /// Notes that a letter was not delivered.
    pub fn fail(&mut self, id: String, reason: impl Into<String>) {
        self.failed.push(Failed { id, reason: reason.into() });
    }

    /// The exit status: as that of a run.
    pub fn exit(&self) -> Exit {
        if self.failed.is_empty() && self.without_sink.is_empty() && self.not_tried == 0 {
            Exit::Complete
        } else {
            Exit::Incomplete
        }
    }

    /// The answer as text.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for Failed { id, reason } in &self.failed {
            text += &format!("{}\n", printable(&format!("{id} was not delivered: {reason}")));
        }
        for (sink, count) in &self.without_sink {
            let line = format!("{count} dead letters stay: no sink `{sink}` is configured");
            text += &format!("{}\n", printable(&line));
        }
        if self.not_tried > 0 {
            text += &format!("{} dead letters were not tried\n", self.not_tried);
        }
        let failed = self.failed.len();
        text + &format!("replayed {} dead letters, {failed} were not delivered\n", self.replayed.len())
    }
}
