//! The place in the store that one thread records into.
//!
//! The thread has it to itself: the lock is free whenever it records, but for the moment in which the worker carries
//! the chunks away.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use audit_plugin_api::{RawEvent, Timestamp};

use super::budget::Charge;
use super::store::{Record, charge};
use crate::event::IdGenerator;
use crate::event::frame::{self, Stamp};

/// Sequence numbers that a slot takes at a time.
const SEQUENCE_BLOCK: u64 = 4096;

/// The slot is closed.
#[derive(Debug)]
pub struct Closed;

/// The place in the store that one thread records into.
pub struct Slot {
    inner: Mutex<Inner>,
    ended: AtomicBool,
}

struct Inner {
    open: bool,
    chunk: Option<Chunk>,
    full: VecDeque<Chunk>,
    accepted: u64,
    taken: u64,
    ids: IdGenerator,
    next_sequence: u64,
    last_sequence: u64,
}

/// What [`Slot::take`] found.
pub struct SlotTaken {
    /// How many events the slot had accepted, if its thread has ended and nothing more will come.
    pub ended_with: Option<u64>,
}

impl Slot {
    /// An empty slot.
    pub fn new(closed: bool) -> Self {
        let inner = Inner {
            open: !closed,
            chunk: None,
            full: VecDeque::new(),
            accepted: 0,
            taken: 0,
            ids: IdGenerator::new(),
            next_sequence: 0,
            last_sequence: 0,
        };
        Self { inner: Mutex::new(inner), ended: AtomicBool::new(false) }
    }

    /// The right to write into it.
    pub fn writer(&self) -> Result<SlotWriter<'_>, Closed> {
        let inner = self.lock();
        if inner.open { Ok(SlotWriter { inner }) } else { Err(Closed) }
    }

    /// Events it has accepted.
    pub fn accepted(&self) -> u64 {
        self.lock().accepted
    }

    /// How many events wait in it, and when the oldest was recorded; `None` when none does.
    pub fn waiting(&self) -> Option<(u64, Instant)> {
        let inner = self.lock();
        let oldest = inner.full.front().or(inner.chunk.as_ref())?.oldest;
        let events = inner.accepted - inner.taken;
        (events > 0).then_some((events, oldest))
    }

    /// Moves its chunks to the end of `chunks`, in order. Where numbers are missing, `lose` is told how many.
    pub fn take(&self, chunks: &mut VecDeque<Chunk>, lose: &mut dyn FnMut(u64)) -> SlotTaken {
        let ended = self.ended.load(Ordering::Acquire);
        let mut inner = self.lock();
        while let Some(chunk) = inner.full.pop_front().or_else(|| inner.chunk.take()) {
            lose(chunk.first - inner.taken);
            inner.taken = chunk.first + u64::from(chunk.events);
            chunks.push_back(chunk);
        }
        lose(inner.accepted - inner.taken);
        inner.taken = inner.accepted;
        SlotTaken { ended_with: ended.then_some(inner.accepted) }
    }

    /// Accepts nothing more.
    pub fn close(&self) {
        self.lock().open = false;
    }

    /// Says that its thread has ended.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to write into a slot.
pub struct SlotWriter<'a> {
    inner: MutexGuard<'a, Inner>,
}

impl SlotWriter<'_> {
    /// Whether its chunk has room for an event of this charge.
    pub fn has_room(&self, charge: usize) -> bool {
        self.inner.chunk.as_ref().is_some_and(|chunk| chunk.has_room(charge))
    }

    /// Puts the chunk to the full ones, unless it is empty.
    pub fn seal(&mut self) {
        let inner = &mut *self.inner;
        inner.full.extend(inner.chunk.take().filter(|chunk| chunk.events > 0));
    }

    /// Goes on in this chunk.
    pub fn begin(&mut self, mut chunk: Chunk) {
        chunk.first = self.inner.accepted;
        self.inner.chunk = Some(chunk);
    }

    /// Writes an event into the chunk, if there is one with room for it. What it takes is known only when it is written:
    /// the error says so, and nothing is changed.
    pub fn push(
        &mut self,
        record: Record<'_>,
        timestamp: Timestamp,
        sequences: &AtomicU64,
    ) -> Result<(), usize> {
        let inner = &mut *self.inner;
        let Some(chunk) = &mut inner.chunk else { return Err(record.charge()) };
        if inner.next_sequence == inner.last_sequence {
            inner.next_sequence = sequences.fetch_add(SEQUENCE_BLOCK, Ordering::Relaxed);
            inner.last_sequence = inner.next_sequence + SEQUENCE_BLOCK;
        }
        let sequence = inner.next_sequence;
        let before = chunk.bytes.len();
        let line_len = match record {
            Record::Event(event) => {
                let event_id = event.event_id.unwrap_or_else(|| inner.ids.next(timestamp));
                frame::push_event(event, Stamp { sequence, timestamp, event_id, flags: 0 }, &mut chunk.bytes)
            }
            Record::Line(line, entry) => {
                frame::push_line(line, &RawEvent { sequence, ..*entry }, &mut chunk.bytes);
                line.len()
            }
        };
        let charge = charge(line_len, chunk.bytes.len() - before);
        if !chunk.has_room(charge) {
            chunk.bytes.truncate(before);
            return Err(charge);
        }
        if chunk.events == 0 {
            chunk.oldest = Instant::now();
        }
        chunk.events += 1;
        chunk.charged += charge;
        inner.next_sequence += 1;
        inner.accepted += 1;
        Ok(())
    }
}

/// Frames of one thread, and what they take from the budget.
pub struct Chunk {
    bytes: Vec<u8>,
    lease: Charge,
    charged: usize,
    events: u32,
    first: u64,
    oldest: Instant,
}

impl Chunk {
    /// An empty chunk in this buffer, for events of together this charge.
    pub fn new(bytes: Vec<u8>, lease: Charge) -> Self {
        Self { bytes, lease, charged: 0, events: 0, first: 0, oldest: Instant::now() }
    }

    fn has_room(&self, charge: usize) -> bool {
        self.charged + charge <= self.lease.bytes()
    }

    /// Its frames.
    pub fn frames(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of events.
    pub fn events(&self) -> u32 {
        self.events
    }

    /// What its events take, as lines with their entries.
    pub fn charged(&self) -> usize {
        self.charged
    }

    /// When the first of its events was recorded.
    pub fn oldest(&self) -> Instant {
        self.oldest
    }

    /// Its buffer, and what it took from the budget.
    pub fn into_parts(self) -> (Vec<u8>, Charge) {
        (self.bytes, self.lease)
    }
}
