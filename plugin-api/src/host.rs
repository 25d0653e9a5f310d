//! What a sink may call.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::RawExtension;

/// How important a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Somebody has to act.
    Error = 1,
    /// Somebody should know.
    Warn = 2,
    /// Normal, and worth a line.
    Info = 3,
    /// For the author of the sink.
    Debug = 4,
    /// Everything.
    Trace = 5,
}

/// What became of pending events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AckStatus {
    /// They are delivered.
    Delivered = 0,
    /// They are offered again.
    Retryable = 1,
    /// They are dead-lettered.
    Permanent = 2,
}

/// What became of a range of pending events of one batch; the first acknowledgement of an event counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// [`Batch::id`](crate::Batch::id) of the batch that the events were taken from.
    pub batch: u64,
    /// Position of the first event within that batch.
    pub first: u32,
    /// How many events.
    pub count: u32,
    /// What became of them.
    pub status: AckStatus,
    /// The earliest next attempt, where the destination said so.
    pub retry_after: Option<Duration>,
    /// Why, unless delivered.
    pub reason: String,
}

/// What stands behind a [`Host`]: the real host across the ABI, or `testing`'s recorder.
pub trait HostServices: Send + Sync {
    /// Takes a log line; shown under the sink's name.
    fn log(&self, level: Level, target: &str, text: &str);
    /// Takes an acknowledgement; from any thread, in any order, even before `write_batch` has returned.
    fn acknowledge(&self, acknowledgement: Acknowledgement);
    /// Takes a JSON object of state and metrics. `{"state": "failed", "reason": …}` says that nothing more will be
    /// delivered, and ends `audit-host run`. `"ack_timeout"` (seconds) raises the time that its pending events may take;
    /// `"last_error"` goes into the dead letters of what was pending when the logger was closed.
    fn report(&self, report: &Value);
    /// Hands out an extension of the host.
    fn extension(&self, id: &str, version: u32) -> Option<RawExtension>;
}

/// A sink's way to its host: cheap to clone, usable from any thread, never blocking for long.
///
/// A sink must not write to standard output or standard error itself (unless that is what it is for): it logs here.
#[derive(Clone)]
pub struct Host(Arc<dyn HostServices>);

impl Host {
    /// The host behind these services.
    pub fn new(services: Arc<dyn HostServices>) -> Self {
        Self(services)
    }

    /// Writes a line to the host's log, under the sink's name.
    pub fn log(&self, level: Level, target: &str, text: &str) {
        self.0.log(level, target, text);
    }

    /// Acknowledges pending events.
    pub fn acknowledge(&self, acknowledgement: Acknowledgement) {
        self.0.acknowledge(acknowledgement);
    }

    /// Reports state and metrics.
    pub fn report(&self, report: &Value) {
        self.0.report(report);
    }

    /// Asks for an extension of the host; `None` where it has none of that name and version.
    pub fn extension(&self, id: &str, version: u32) -> Option<RawExtension> {
        self.0.extension(id, version)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Host")
    }
}
