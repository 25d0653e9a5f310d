//! What flush, close and inspect answer.

use std::time::Duration;

use audit_plugin_api::serde_json::Value;

use super::counters::Counts;

/// What a flush came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlushOutcome {
    /// Everything accepted before the call is delivered by all its sinks, and each sink's own flush said yes.
    Flushed,
    /// Everything is settled, but some was given up since the flush before, or a sink's flush failed.
    Failed {
        /// Dead-lettered, dropped or lost since the flush before, all sinks together.
        given_up: u64,
        /// Sinks whose own flush failed, with the reason.
        sinks: Vec<(String, String)>,
    },
    /// Time ran out; the logger stays open and goes on.
    TimedOut {
        /// Events that are not settled, for each sink that has some.
        remaining: Vec<(String, u64)>,
    },
}

/// What a close came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CloseReport {
    /// Each event once.
    pub totals: Counts,
    /// Each sink for itself.
    pub sinks: Vec<SinkReport>,
    /// Why what stays in the spool may not be on the disk, where it has to be.
    pub spool_failure: Option<String>,
}

impl CloseReport {
    /// Whether every accepted event was delivered by all its sinks, and every sink flushed and closed well.
    pub fn is_clean(&self) -> bool {
        self.totals.delivered == self.totals.accepted
            && self.sinks.iter().all(|sink| sink.failures.is_empty())
    }
}

/// How one sink ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SinkReport {
    /// Its name.
    pub name: String,
    /// Its counters.
    pub counts: Counts,
    /// What failed while it was flushed and closed.
    pub failures: Vec<String>,
}

impl SinkReport {
    /// Whether some of its events stay in the spool.
    pub fn left_some(&self) -> bool {
        self.counts.spooled > 0
    }
}

/// The answer to an inspection.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// What the sink said.
    pub reply: Value,
    /// How old it is: zero unless the sink was busy and its last reply was taken.
    pub age: Duration,
}
