//! A host that only keeps what it is told.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::{Acknowledgement, Host, HostServices, Level, RawExtension};

/// A host that only keeps what it is told.
#[derive(Debug, Default)]
pub struct TestHost {
    told: Mutex<Told>,
    changed: Condvar,
    extensions: HashMap<(String, u32), RawExtension>,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How important it is.
    pub level: Level,
    /// Which part of the sink wrote it.
    pub target: String,
    /// The text.
    pub text: String,
}

#[derive(Debug, Default)]
struct Told {
    logs: Vec<LogLine>,
    acknowledgements: Vec<Acknowledgement>,
    reports: Vec<Value>,
}

impl TestHost {
    /// A host without extensions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an extension that sinks may ask for.
    #[must_use]
    pub fn with_extension(mut self, id: &str, version: u32, extension: RawExtension) -> Self {
        self.extensions.insert((id.to_owned(), version), extension);
        self
    }

    /// The handle that a sink is given.
    pub fn host(self: &Arc<Self>) -> Host {
        Host::new(self.clone())
    }

    /// All log lines so far.
    pub fn logs(&self) -> Vec<LogLine> {
        self.told().logs.clone()
    }

    /// All acknowledgements so far.
    pub fn acknowledgements(&self) -> Vec<Acknowledgement> {
        self.told().acknowledgements.clone()
    }

    /// All reports so far.
    pub fn reports(&self) -> Vec<Value> {
        self.told().reports.clone()
    }

    /// Waits until this many events were acknowledged (one that is acknowledged twice counts twice), at most for `timeout`;
    /// returns all acknowledgements so far.
    pub fn wait_for_acknowledgements(&self, events: u32, timeout: Duration) -> Vec<Acknowledgement> {
        let too_few =
            |told: &mut Told| told.acknowledgements.iter().map(|each| each.count).sum::<u32>() < events;
        let waited = self.changed.wait_timeout_while(self.told(), timeout, too_few);
        waited.unwrap_or_else(PoisonError::into_inner).0.acknowledgements.clone()
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HostServices for TestHost {
    fn log(&self, level: Level, target: &str, text: &str) {
        self.told().logs.push(LogLine { level, target: target.to_owned(), text: text.to_owned() });
    }

    fn acknowledge(&self, acknowledgement: Acknowledgement) {
        self.told().acknowledgements.push(acknowledgement);
        self.changed.notify_all();
    }

    fn report(&self, report: &Value) {
        self.told().reports.push(report.clone());
    }

    fn extension(&self, id: &str, version: u32) -> Option<RawExtension> {
        self.extensions.get(&(id.to_owned(), version)).copied()
    }
}
