//! What tests may look at.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Pipeline;

impl Pipeline {
    /// When the oldest event was recorded that no worker has taken out of the slots.
    pub fn oldest_waiting(&self) -> Option<Instant> {
        self.store.waiting().oldest
    }

    /// Flushes of a sink that somebody waits for.
    pub fn flush_requests(&self, sink: usize) -> usize {
        self.sinks[sink].lock().flushes.len()
    }

    /// What who waits for room goes by, at a sink.
    pub fn progress(&self, sink: usize) -> u64 {
        self.sinks[sink].lock().delivery.progress()
    }

    /// Questions and orders that wait for a sink.
    pub fn waiting_requests(&self, sink: usize) -> usize {
        self.sinks[sink].lock().requests.len()
    }

    /// How often any worker looked for something to do.
    pub fn turns(&self) -> u64 {
        self.sinks.iter().map(|sink| sink.turns.load(Ordering::Relaxed)).sum()
    }

    /// Whether every worker waits.
    pub fn is_asleep(&self) -> bool {
        self.sinks.iter().all(|sink| sink.lock().worker_waits())
    }

    /// How often any worker was told to look.
    pub fn wakes(&self) -> u64 {
        self.sinks.iter().map(|sink| sink.lock().work_count()).sum()
    }
}
