//! The spool as the store uses it: where chunks come from, and what has to be on the disk first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

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

    /// Gives back what is done, and keeps the rest for a later process.
    pub fn close(&self) {
        self.spool.close();
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
