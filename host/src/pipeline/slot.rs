//! The place in the store that one thread records into, or, where each event waits for the disk, all threads.
//!
//! A thread that has it to itself finds the lock free whenever it records, but for the moment in which the worker carries
//! away what is in it: the whole chunk, or, where the chunk is in the spool, what was written since the last time.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use audit_plugin_api::{RawEvent, Timestamp};

use super::budget::Charge;
use super::pool::Buffer;
use super::record::{Record, charge};
use super::spooled::Stretch;
use crate::event::IdGenerator;
use crate::event::frame::{self, Stamp};
use crate::spool;

/// Sequence numbers that a slot takes at a time.
const SEQUENCE_BLOCK: u64 = 4096;

/// The slot is closed.
#[derive(Debug)]
pub struct Closed;

/// The place in the store that a thread records into.
pub struct Slot {
    inner: Mutex<Inner>,
    ended: AtomicBool,
}

struct Inner {
    open: bool,
    chunk: Option<Chunk>,
    full: VecDeque<Portion>,
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
        let full = inner.full.front().map(|portion| portion.oldest);
        let oldest = full.or(inner.chunk.as_ref().map(|chunk| chunk.oldest))?;
        let events = inner.accepted - inner.taken;
        (events > 0).then_some((events, oldest))
    }

    /// Moves what is in it to the end of `portions`, in order. Where numbers are missing, `lose` is told how many.
    pub fn take(&self, portions: &mut VecDeque<Portion>, lose: &mut dyn FnMut(u64)) -> SlotTaken {
        let ended = self.ended.load(Ordering::Acquire);
        let mut inner = self.lock();
        let inner = &mut *inner;
        let rest = Chunk::carry_away(&mut inner.chunk);
        for portion in inner.full.drain(..).chain(rest) {
            lose(portion.first - inner.taken);
            inner.taken = portion.first + u64::from(portion.events);
            portions.push_back(portion);
        }
        lose(inner.accepted - inner.taken);
        inner.taken = inner.accepted;
        if ended {
            // Nothing more comes: its place in the spool can be given back.
            inner.chunk = None;
        }
        SlotTaken { ended_with: ended.then_some(inner.accepted) }
    }

    /// Lets go of a chunk of which everything was carried away: its place in the spool is wanted.
    pub fn let_go_of_idle_chunk(&self) {
        let mut inner = self.lock();
        if inner.chunk.as_ref().is_some_and(|chunk| chunk.events == 0) {
            inner.chunk = None;
        }
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
    /// Puts what is in the chunk to what is full, and lets go of the chunk.
    pub fn seal(&mut self) {
        let inner = &mut *self.inner;
        inner.full.extend(Chunk::carry_away(&mut inner.chunk));
        inner.chunk = None;
    }

    /// Goes on in this chunk; what is in another one is full.
    pub fn begin(&mut self, mut chunk: Chunk) {
        self.seal();
        chunk.first = self.inner.accepted;
        self.inner.chunk = Some(chunk);
    }

    /// Writes an event into the chunk, if there is one with room for it. What it takes is known only when it is written:
    /// after an error nothing is changed.
    pub fn push(
        &mut self,
        record: Record<'_>,
        timestamp: Timestamp,
        max_line_len: usize,
        sequences: &AtomicU64,
    ) -> Result<(), Unfit> {
        let inner = &mut *self.inner;
        let Some(chunk) = &mut inner.chunk else { return Err(Unfit::NoRoom) };
        if inner.next_sequence == inner.last_sequence {
            inner.next_sequence = sequences.fetch_add(SEQUENCE_BLOCK, Ordering::Relaxed);
            inner.last_sequence = inner.next_sequence + SEQUENCE_BLOCK;
        }
        let sequence = inner.next_sequence;
        let mut write = |room: &mut [u8]| match record {
            Record::Event(event) => {
                let event_id = event.event_id.unwrap_or_else(|| inner.ids.next(timestamp));
                frame::write_event(event, Stamp { sequence, timestamp, event_id, flags: 0 }, room)
            }
            Record::Line(line, entry) => {
                frame::write_line_frame(line, &RawEvent { sequence, ..*entry }, room)
            }
        };
        let written = match &mut chunk.place {
            Place::Memory { bytes, used, lease } => {
                let written = write(&mut bytes[*used..]).ok_or(Unfit::NoRoom)?;
                if written.line_len > max_line_len {
                    return Err(Unfit::TooLarge(written.line_len));
                }
                if chunk.charged + charge(written.line_len, written.frame_len) > lease.bytes() {
                    return Err(Unfit::NoRoom);
                }
                *used += written.frame_len;
                written
            }
            Place::Spool { writer, .. } => {
                let written = write(writer.room()).ok_or(Unfit::NoRoom)?;
                if written.line_len > max_line_len {
                    return Err(Unfit::TooLarge(written.line_len));
                }
                writer.accept(written.frame_len);
                written
            }
        };
        if chunk.events == 0 {
            chunk.oldest = Instant::now();
        }
        chunk.events += 1;
        chunk.charged += charge(written.line_len, written.frame_len);
        inner.next_sequence += 1;
        inner.accepted += 1;
        Ok(())
    }
}

/// Why an event was not written into a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Its chunk has no room for it.
    NoRoom,
    /// Its line has more bytes than are allowed: so many, without newline.
    TooLarge(usize),
}

/// Where frames are written.
pub struct Chunk {
    place: Place,
    /// What its events take, as lines with their entries; as the next three, of those that nobody carried away.
    charged: usize,
    events: u32,
    first: u64,
    oldest: Instant,
}

enum Place {
    /// For events of together this charge; their frames take the first `used` bytes.
    Memory { bytes: Buffer, used: usize, lease: Charge },
    /// Up to `taken` it was carried away.
    Spool { writer: spool::ChunkWriter, taken: u32 },
}

impl Chunk {
    /// An empty chunk in all of this buffer, for events of together this charge.
    pub fn new(bytes: Buffer, lease: Charge) -> Self {
        Self::at(Place::Memory { bytes, used: 0, lease })
    }

    /// An empty chunk in the spool.
    pub fn spooled(writer: spool::ChunkWriter) -> Self {
        Self::at(Place::Spool { writer, taken: 0 })
    }

    fn at(place: Place) -> Self {
        Self { place, charged: 0, events: 0, first: 0, oldest: Instant::now() }
    }

    /// What was written into it and not carried away before. A chunk in memory goes as a whole; one in the spool stays,
    /// and its threads go on in it.
    fn carry_away(chunk: &mut Option<Chunk>) -> Option<Portion> {
        let current = chunk.as_mut().filter(|chunk| chunk.events > 0)?;
        let Place::Spool { writer, taken } = &mut current.place else {
            let Chunk { place, charged, events, first, oldest } = chunk.take()?;
            let Place::Memory { bytes, used, lease } = place else { return None };
            return Some(Portion {
                frames: Frames::Memory { bytes, used, lease },
                charged,
                events,
                first,
                oldest,
            });
        };
        let (from, to) = (*taken, writer.written());
        *taken = to;
        let index = writer.events() - current.events as u16;
        let (chunk, events, oldest) = (writer.chunk().clone(), current.events, current.oldest);
        let stretch = Stretch { chunk, from, to, index, events, oldest };
        let portion = Portion {
            frames: Frames::Spool(stretch),
            charged: std::mem::take(&mut current.charged),
            events,
            first: current.first,
            oldest,
        };
        current.first += u64::from(std::mem::take(&mut current.events));
        Some(portion)
    }
}

/// Frames of one slot that were carried away.
pub struct Portion {
    /// Where they are.
    pub frames: Frames,
    /// What the events take, as lines with their entries.
    pub charged: usize,
    /// Number of events.
    pub events: u32,
    /// When the first of them was recorded.
    pub oldest: Instant,
    first: u64,
}

/// Where frames are.
pub enum Frames {
    /// The first `used` of these bytes, with what they took from the budget.
    Memory { bytes: Buffer, used: usize, lease: Charge },
    /// In the spool.
    Spool(Stretch),
}
