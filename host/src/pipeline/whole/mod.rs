//! The pipeline as a whole: a store, its sinks, and what can be asked of them.

mod ask;
mod backlog;
mod close;
mod counts;
mod flush;
mod open;
#[cfg(test)]
mod peek;
mod record;
mod shares;

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use audit_plugin_api::Deadline;

use super::counters::Tally;
use super::sink::SinkFactory;
use super::sink_state::SinkState;
use super::store::Store;
use super::supervisor::Watch;
use crate::config::{BufferSettings, SinkSettings};

use backlog::Recovered;
use close::Closing;
use record::Turnstile;

/// How long a burial that is under way may go on beyond a timeout: it is a write to the host's own file.
const BURIAL_PATIENCE: Duration = Duration::from_secs(5);

/// How long the last sync of the spool may go on beyond a timeout.
const DISK_PATIENCE: Duration = Duration::from_secs(5);

/// A sink to open.
pub struct SinkSetup {
    /// The worker's side of it.
    pub settings: SinkSettings,
    /// Opens its instances.
    pub factory: Arc<dyn SinkFactory>,
}

/// A store, its sinks, and their workers.
pub struct Pipeline {
    store: Arc<Store>,
    sinks: Vec<Arc<SinkState>>,
    tally: Arc<Tally>,
    recovered: Recovered,
    buffer: BufferSettings,
    shutdown_timeout: Duration,
    /// With sinks that are written through.
    turnstile: Option<Turnstile>,
    /// Given up, as far as a flush has said so.
    reported: Mutex<u64>,
    closing: Mutex<Closing>,
    closed: Condvar,
    /// The supervisor ends with it.
    _watch: Arc<Watch>,
}

impl Pipeline {
    /// Bytes of memory that the store has in use.
    pub fn used_bytes(&self) -> usize {
        self.store.used_bytes()
    }

    /// How long a close may take by default.
    pub fn shutdown_timeout(&self) -> Duration {
        self.shutdown_timeout
    }

    /// Names of the sinks, in the order of the configuration.
    pub fn sink_names(&self) -> impl Iterator<Item = &str> {
        self.sinks.iter().map(|sink| sink.settings.name.as_str())
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        if self.close(self.shutdown_timeout).is_err() {
            // From a sink's own callback: the workers drain and close once that has returned.
            self.request_close(deadline_after(self.shutdown_timeout));
        }
    }
}

fn deadline_after(timeout: Duration) -> Instant {
    Deadline::after(timeout).instant()
}
