//! The counters of the contract, and where they are kept.

use std::sync::atomic::{AtomicU64, Ordering};

use super::run::Outcome;

/// Counters of one sink, or of all. For every snapshot
/// `accepted = delivered + dead_lettered + dropped + spooled + queued + in_flight + lost`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Accepted by `record`, or recovered.
    pub accepted: u64,
    /// Found in the spool at start.
    pub recovered: u64,
    /// The sink said yes.
    pub delivered: u64,
    /// Attempts after the first, each event counted.
    pub retried: u64,
    /// Given up, and kept as dead letters.
    pub dead_lettered: u64,
    /// Given up by a sink that is not required.
    pub dropped: u64,
    /// Never accepted.
    pub rejected: u64,
    /// Left in the spool.
    pub spooled: u64,
    /// Waiting.
    pub queued: u64,
    /// Offered to a sink and not yet settled.
    pub in_flight: u64,
    /// Accepted, and nowhere: counted from sequence numbers and acknowledgements.
    pub lost: u64,
}

impl Counts {
    /// Derives `queued` from the others.
    pub fn with_queued(mut self) -> Self {
        let elsewhere =
            self.delivered + self.dead_lettered + self.dropped + self.spooled + self.in_flight + self.lost;
        self.queued = self.accepted.saturating_sub(elsewhere);
        self
    }

    /// Events that are not settled.
    pub fn unsettled(&self) -> u64 {
        self.queued + self.in_flight
    }
}

/// Totals over all sinks, each event once, and what was lost at each sink.
#[derive(Debug)]
pub struct Tally {
    delivered: AtomicU64,
    /// Of those, what is delivered no longer: it is to be delivered again.
    taken_back: AtomicU64,
    dead_lettered: AtomicU64,
    dropped: AtomicU64,
    spooled: AtomicU64,
    lost: AtomicU64,
    rejected: AtomicU64,
    lost_at: Box<[AtomicU64]>,
}

impl Tally {
    /// Zeros, for this many sinks.
    pub fn new(sinks: usize) -> Self {
        Self {
            delivered: AtomicU64::new(0),
            taken_back: AtomicU64::new(0),
            dead_lettered: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            spooled: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            lost_at: (0..sinks).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Counts events that came to this.
    pub fn add(&self, outcome: Outcome, count: u64) {
        if count > 0 {
            self.counter(outcome).fetch_add(count, Ordering::AcqRel);
        }
    }

    /// Counts an event under what it has come to, and no longer under what it had come to before. That is only ever
    /// from spooled to dropped to dead-lettered to lost, and [`Tally::counts`] reads in the opposite order: no
    /// snapshot has an event twice.
    pub fn reclassify(&self, before: Option<Outcome>, after: Option<Outcome>) {
        if before != after {
            if let Some(before) = before {
                self.counter(before).fetch_sub(1, Ordering::AcqRel);
            }
            if let Some(after) = after {
                self.counter(after).fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    /// Counts events no longer as delivered. On its own, and read after `delivered`: another sink may have settled an event
    /// and not counted it yet.
    pub fn take_back_delivered(&self, count: u64) {
        self.taken_back.fetch_add(count, Ordering::AcqRel);
    }

    fn counter(&self, outcome: Outcome) -> &AtomicU64 {
        match outcome {
            Outcome::Delivered => &self.delivered,
            Outcome::DeadLettered => &self.dead_lettered,
            Outcome::Dropped => &self.dropped,
            Outcome::Lost => &self.lost,
            Outcome::Spooled => &self.spooled,
        }
    }

    /// Counts an event that was never accepted.
    pub fn reject(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts events that no sink ever got.
    pub fn lose(&self, count: u64) {
        self.add(Outcome::Lost, count);
        (0..self.lost_at.len()).for_each(|sink| self.lose_at(sink, count));
        tracing::error!(count, "accepted events were lost: this is a defect of audit-host, please report it");
    }

    /// Counts events of an earlier process that these sinks (a bit each) will not get, since the spool is damaged.
    pub fn lose_in_spool(&self, count: u64, owed: u32) {
        self.add(Outcome::Lost, count);
        let losers = (0..self.lost_at.len()).filter(|sink| owed & 1 << sink != 0);
        losers.for_each(|sink| self.lose_at(sink, count));
    }

    /// Counts events that one sink lost.
    pub fn lose_at(&self, sink: usize, count: u64) {
        self.lost_at[sink].fetch_add(count, Ordering::AcqRel);
    }

    /// Events that this sink never settled.
    pub fn lost_at(&self, sink: usize) -> u64 {
        self.lost_at[sink].load(Ordering::Acquire)
    }

    /// Never accepted.
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// The totals; `accepted`, `retried` and `in_flight` are for the caller to fill in, `accepted` last.
    pub fn counts(&self) -> Counts {
        let lost = self.lost.load(Ordering::Acquire);
        let dead_lettered = self.dead_lettered.load(Ordering::Acquire);
        let dropped = self.dropped.load(Ordering::Acquire);
        let spooled = self.spooled.load(Ordering::Acquire);
        let delivered = self.delivered.load(Ordering::Acquire);
        let delivered = delivered.saturating_sub(self.taken_back.load(Ordering::Acquire));
        let rejected = self.rejected();
        Counts { delivered, dead_lettered, dropped, spooled, lost, rejected, ..Counts::default() }
    }
}
