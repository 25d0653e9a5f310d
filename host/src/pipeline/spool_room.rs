//! The spool as the store uses it: where chunks come from, and what has to be on the disk first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;

use super::backoff::LONGEST;
use super::budget::{Budget, Taken};
use super::record::{Patience, Record, Refused};
use super::spooled::Bodies;
use crate::config::{DiskFor, Durability, SpoolSettings};
use crate::spool::{Bound, ChunkWriter, LeaseError, Spool};

/// How often somebody who waits for the disk looks whether he was told to stop.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The spool, and what the store knows of it.
pub struct SpoolRoom {
    spool: Arc<Spool>,
    bound: Arc<SpoolBound>,
    bodies: Arc<Bodies>,
    durability: Durability,
    disk_for: DiskFor,
    /// How long a caller waits for the disk.
    patience: Duration,
}

impl SpoolRoom {
    /// This spool, used as the settings say. A caller waits for the disk for at most `patience`.
    pub fn new(
        spool: Arc<Spool>,
        bound: Arc<SpoolBound>,
        bodies: Arc<Bodies>,
        settings: &SpoolSettings,
        patience: Duration,
    ) -> Self {
        Self {
            spool,
            bound,
            bodies,
            durability: settings.durability,
            disk_for: settings.disk_for.clone(),
            patience: patience.min(LONGEST),
        }
    }

    /// Whether the spool has to keep copies of what is not on the disk yet.
    pub fn wants_copies(settings: &SpoolSettings) -> bool {
        settings.durability == Durability::Disk || !settings.disk_for.is_empty()
    }

    /// Makes bodies of what is in it.
    pub fn bodies(&self) -> &Arc<Bodies> {
        &self.bodies
    }

    /// It grows by so much at a time.
    pub fn segment_bytes(&self) -> usize {
        self.bound.segment_bytes
    }

    /// A chunk with room for a frame of this length.
    pub fn lease(&self, frame_len: usize) -> Result<(ChunkWriter, Taken), LeaseError> {
        let writer = self.spool.lease(frame_len)?;
        let is_half_full_now = self.bound.is_half_full_now.swap(false, Ordering::Relaxed);
        Ok((writer, if is_half_full_now { Taken::HalfFull } else { Taken::Yes }))
    }

    /// As [`SpoolRoom::lease`], but the bound is no matter.
    pub fn lease_beyond(&self, frame_len: usize) -> Result<ChunkWriter, LeaseError> {
        self.spool.lease_beyond(frame_len)
    }

    /// Whether everything has to be on the disk before `record` returns.
    pub fn is_always_durable_first(&self) -> bool {
        self.durability == Durability::Disk
    }

    /// Whether anything has to be on the disk before `record` returns.
    pub fn is_ever_durable_first(&self) -> bool {
        self.durability == Durability::Disk || !self.disk_for.is_empty()
    }

    /// Whether this has to be on the disk before `record` returns.
    pub fn is_durable_first(&self, record: Record<'_>) -> bool {
        match self.durability {
            Durability::Disk => true,
            Durability::Process if self.disk_for.is_empty() => false,
            Durability::Process => {
                let (action, flags) = record.action_and_flags();
                self.disk_for.covers(action, flags)
            }
        }
    }

    /// Waits until everything recorded before is on the disk.
    pub fn sync(&self, patience: Patience<'_>) -> Result<(), Refused> {
        let begun = Instant::now();
        loop {
            let until = match patience {
                Patience::None | Patience::Progress(_) => begun + self.patience,
                Patience::UntilStopped(_) => Instant::now() + LOOK_AGAIN,
            };
            let Err(error) = self.spool.wait_durable(until) else { return Ok(()) };
            match patience {
                Patience::UntilStopped(stop) if !stop.load(Ordering::Relaxed) => {}
                _ => return Err(Refused::NotDurable(error.to_string().into())),
            }
        }
    }

    /// Gives back what is done, and keeps the rest for a later process; waits for the disk until then at most. Says why what
    /// is kept may not be on the disk, where it has to be.
    pub fn close(&self, until: Instant) -> Option<String> {
        let spool = self.spool.clone();
        match within(until, move || spool.close()) {
            Some(closed) => closed.map(|not_durable| not_durable.reason),
            None => Some("the disk did not answer before the end of closing".into()),
        }
    }
}

/// Does this in a thread of its own, and waits for it until then; `None` if it takes longer, and goes on.
fn within<T: Send + 'static>(until: Instant, act: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, done) = bounded(1);
    let act = move || drop(sender.send(act()));
    match std::thread::Builder::new().name("audit-close".into()).spawn(act) {
        Ok(_) => done.recv_deadline(until).ok(),
        Err(error) => {
            tracing::error!("no thread in which the spool is closed: {error}; it will be in the end");
            None
        }
    }
}

/// Bounds the spool's space by a budget. Called under locks, so it only notes what workers should know.
pub struct SpoolBound {
    budget: Arc<Budget>,
    segment_bytes: usize,
    is_half_full_now: AtomicBool,
}

impl SpoolBound {
    /// Bounded by this budget, of which it takes so much at a time.
    pub fn new(budget: Arc<Budget>, segment_bytes: usize) -> Self {
        Self { budget, segment_bytes, is_half_full_now: AtomicBool::new(false) }
    }
}

impl Bound for SpoolBound {
    fn take(&self, bytes: usize) -> bool {
        let taken = self.budget.take(bytes);
        if taken == Taken::HalfFull {
            self.is_half_full_now.store(true, Ordering::Relaxed);
        }
        taken != Taken::No
    }

    fn give(&self, bytes: usize) {
        self.budget.give(bytes);
    }

    fn put_back(&self, bytes: usize) {
        self.budget.put_back(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_is_waited_for_no_longer_and_goes_on() {
        let long = Instant::now() + Duration::from_secs(60);
        assert_eq!(within(long, || 7), Some(7));
        let (go_on, waits) = bounded::<()>(0);
        let (sender, done) = bounded(1);
        let hung = move || {
            let _ = waits.recv();
            let _ = sender.send(());
        };
        assert_eq!(within(Instant::now(), hung), None);
        drop(go_on);
        assert_eq!(done.recv_deadline(long), Ok(()));
    }
}
