//! Accepting events: into the slot of the thread, with a chunk that has room.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use audit_plugin_api::Timestamp;

use super::{Store, lock};
use crate::pipeline::budget::{Charge, Taken};
use crate::pipeline::pool::Buffer;
use crate::pipeline::record::{Patience, Record, Refused, charge};
use crate::pipeline::slot::{Chunk, Closed, Slot, Unfit};
use crate::pipeline::spool_room::SpoolRoom;
use crate::spool::LeaseError;

/// How often a recorder that waits for room has the sinks that are not required make some.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How often it is said that the disk gives no room, while that lasts.
const SAY_AGAIN: Duration = Duration::from_secs(10);

impl Store {
    /// Accepts an event, or says why not. Where the spool has to have it on the disk first, that is waited for.
    pub fn record(&self, record: Record<'_>, patience: Patience<'_>) -> Result<(), Refused> {
        self.record_unsynced(record, patience)?;
        match &self.spool {
            Some(spool) if spool.is_durable_first(record) => spool.sync(patience),
            _ => Ok(()),
        }
    }

    /// Accepts an event of the pipeline itself, also if the spool is full, unless the disk gives no room just now. Also while
    /// the store is closing: sinks that are not closed yet get it.
    pub(super) fn record_own(&self, record: Record<'_>) -> Result<(), Refused> {
        let mut recorded = self.record_into(&self.own, record, Patience::None);
        // Again where another one, who was at this too, has used up the chunk.
        while let (Err(Refused::Full), Some(spool)) = (&recorded, &self.spool) {
            // Nobody could wait for room: it may be this one who makes it.
            let lease = spool.lease_beyond(record.frame_len());
            let writer = lease.map_err(|lack| Refused::Spool(Box::new(lack.to_string())))?;
            self.own.writer().map_err(|Closed| Refused::Closed)?.begin(Chunk::spooled(writer));
            recorded = self.record_into(&self.own, record, Patience::None);
        }
        recorded?;
        if lock(&self.registry).closed {
            self.events.drain_to(self.seal());
        }
        match &self.spool {
            Some(spool) if spool.is_durable_first(record) => spool.sync(Patience::None),
            _ => Ok(()),
        }
    }

    /// Accepts an event without waiting for the disk.
    pub fn record_unsynced(&self, record: Record<'_>, patience: Patience<'_>) -> Result<(), Refused> {
        self.with_slot(|slot| self.record_into(slot, record, patience))
    }

    /// Waits until everything recorded before is on the disk, where that is asked for.
    pub fn sync(&self, patience: Patience<'_>) -> Result<(), Refused> {
        match &self.spool {
            Some(spool) if spool.is_ever_durable_first() => spool.sync(patience),
            _ => Ok(()),
        }
    }

    fn record_into(&self, slot: &Slot, record: Record<'_>, patience: Patience<'_>) -> Result<(), Refused> {
        let timestamp = match record {
            Record::Event(event) => event.timestamp.unwrap_or_else(crate::event::clock::now),
            Record::Line(_, entry) => Timestamp::from_micros(entry.timestamp),
        };
        let mut half_full = false;
        let wake = loop {
            let mut writer = slot.writer().map_err(|Closed| Refused::Closed)?;
            match writer.push(record, timestamp, self.max_event_bytes, &self.next_sequence) {
                Ok(()) => break self.asleep.load(Ordering::Relaxed),
                Err(Unfit::TooLarge(size)) => return Err(Refused::TooLarge(size)),
                Err(Unfit::NoRoom) => {}
            }
            let (line_len, frame_len) = (record.line_len(), record.frame_len());
            if line_len > self.max_event_bytes {
                return Err(Refused::TooLarge(line_len));
            }
            let charge = charge(line_len, frame_len);
            writer.seal();
            match self.lease(charge, frame_len) {
                Ok((chunk, taken)) => {
                    half_full |= taken == Taken::HalfFull;
                    writer.begin(chunk);
                }
                Err(lack) => {
                    drop(writer);
                    self.wait_for_room(charge, &lack, patience)?;
                }
            }
        };
        if wake || half_full || self.wake_every_event {
            self.wake();
        }
        Ok(())
    }

    fn lease(&self, charge: usize, frame_len: usize) -> Result<(Chunk, Taken), LeaseError> {
        if let Some(spool) = &self.spool {
            return spool.lease(frame_len).map(|(writer, taken)| (Chunk::spooled(writer), taken));
        }
        if charge <= self.pool.chunk_bytes() {
            let taken = self.budget.take(self.pool.chunk_bytes());
            if taken != Taken::No {
                let lease = Charge::of(&self.budget, self.pool.chunk_bytes());
                return Ok((Chunk::new(self.pool.chunk(), lease), taken));
            }
        }
        // Near the bound, and for a large event: a chunk for a few events, or of just the size that this one needs. A frame
        // is no larger.
        let left = self.budget.take_what_is_left(charge, self.pool.chunk_bytes() / 8);
        let (bytes, taken) = left.ok_or(LeaseError::Full)?;
        Ok((Chunk::new(Buffer::new(bytes), Charge::of(&self.budget, bytes)), taken))
    }

    /// Waits until there may be room for this charge: in a spool, which grows by whole segments, for one of those.
    fn wait_for_room(&self, charge: usize, lack: &LeaseError, patience: Patience<'_>) -> Result<(), Refused> {
        if let LeaseError::Io(error) = lack {
            self.say_disk_refusal(error);
        }
        let needed = self.spool.as_ref().map_or(charge, SpoolRoom::segment_bytes);
        let refused = || match lack {
            LeaseError::Full => Refused::Full,
            LeaseError::Io(error) => Refused::Spool(error.to_string().into()),
        };
        loop {
            if self.spool.is_some() {
                self.let_go_of_idle_chunks();
            }
            self.events.relieve(needed);
            self.wake();
            if matches!(lack, LeaseError::Full) && self.budget.has_room(needed) {
                return Ok(());
            }
            let now = Instant::now();
            let until = match patience {
                Patience::None => return Err(refused()),
                Patience::Progress(patience) => {
                    let waited = now.saturating_duration_since(self.budget.stalled_since(now));
                    match patience.checked_sub(waited).filter(|left| !left.is_zero()) {
                        None => return Err(refused()),
                        Some(left) => now + left.min(LOOK_AGAIN),
                    }
                }
                Patience::UntilStopped(stop) if stop.load(Ordering::Relaxed) => return Err(refused()),
                Patience::UntilStopped(_) => now + LOOK_AGAIN,
            };
            if lock(&self.registry).closed {
                return Err(Refused::Closed);
            }
            match lack {
                LeaseError::Full => self.budget.wait_for_room(needed, until),
                // The bound is not the matter: the disk may have room in a moment.
                LeaseError::Io(_) => {
                    self.budget.wait_for_change(until);
                    return Ok(());
                }
            }
        }
    }

    fn say_disk_refusal(&self, error: &std::io::Error) {
        let now = Instant::now();
        let mut said = lock(&self.disk_refusal_said);
        if said.is_none_or(|said| now.saturating_duration_since(said) >= SAY_AGAIN) {
            *said = Some(now);
            drop(said);
            tracing::error!("the disk gives the spool no more room, and recording waits or fails: {error}");
        }
    }

    fn with_slot<R>(&self, use_slot: impl FnOnce(&Slot) -> R) -> R {
        let mut use_slot = Some(use_slot);
        let found = SLOTS.try_with(|slots| {
            let Ok(mut slots) = slots.try_borrow_mut() else { return None };
            let slot = match (&self.shared, slots.0.iter().position(|(id, _)| *id == self.id)) {
                (Some(shared), _) => shared,
                (None, Some(index)) => &slots.0[index].1,
                (None, None) => slots.add(self.id, self.new_slot()),
            };
            use_slot.take().map(|use_slot| use_slot(slot))
        });
        match (found, use_slot) {
            (Ok(Some(result)), _) => result,
            // The thread is ending, its thread-locals are gone, or something that is logged meanwhile is recorded too: a slot for
            // this one event.
            (_, Some(use_slot)) => {
                let slot = self.new_slot();
                let result = use_slot(&slot);
                slot.end();
                result
            }
            (_, None) => unreachable!("a slot is used at most once"),
        }
    }

    fn new_slot(&self) -> Arc<Slot> {
        let mut registry = lock(&self.registry);
        let slot = Arc::new(Slot::new(registry.closed));
        registry.slots.push(slot.clone());
        slot
    }
}

thread_local! {
    static SLOTS: RefCell<ThreadSlots> = const { RefCell::new(ThreadSlots(Vec::new())) };
}

/// The slots of this thread, one for each store it records into.
struct ThreadSlots(Vec<(u64, Arc<Slot>)>);

impl ThreadSlots {
    fn add(&mut self, store: u64, slot: Arc<Slot>) -> &Arc<Slot> {
        // Slots that only this list still knows belong to stores that are gone.
        self.0.retain(|(_, slot)| Arc::strong_count(slot) > 1);
        self.0.push((store, slot));
        &self.0[self.0.len() - 1].1
    }
}

impl Drop for ThreadSlots {
    fn drop(&mut self) {
        for (_, slot) in &self.0 {
            slot.end();
        }
    }
}
