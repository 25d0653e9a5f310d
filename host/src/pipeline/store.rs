//! The bounded store of accepted events.
//!
//! ```text
//! record ──▶ slot of the thread (chunk of frames) ──▶ pending chunks ──▶ run of canonical lines ──▶ every sink's queue
//!             copied in by the caller                 taken by whoever needs events      made once
//! ```
//!
//! A thread writes frames into a chunk of its own, under a lock that nobody else wants: the worker takes it for the
//! moment in which it carries the chunk away. So the chunk of an idle or ended thread is readable at once. Chunks keep
//! their order within a slot, and runs are made under one lock, so what one thread recorded stays in its order.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use audit_plugin_api::{PermissionAuditEvent, RawEvent, Timestamp};

use super::budget::{Budget, Charge, Taken};
use super::counters::Tally;
use super::pool::Pool;
use super::run::{Run, RunParts};
use super::slot::{Chunk, Closed, Slot};
use crate::event::frame;

/// What an event takes in the store beside its line.
pub const ENTRY_BYTES: usize = size_of::<RawEvent>() + 8;

const CHUNK_BYTES: usize = 64 << 10;
const RUN_BYTES: usize = 256 << 10;
/// How often a recorder that waits for room has the sinks that are not required make some.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What is recorded.
#[derive(Clone, Copy)]
pub enum Record<'a> {
    /// An event; its id and time are made now where it brings none.
    Event(&'a PermissionAuditEvent),
    /// A canonical line, without newline, and where its parts stand within it.
    Line(&'a [u8], &'a RawEvent),
}

impl Record<'_> {
    /// Length of the canonical line, without newline.
    pub fn line_len(&self) -> usize {
        match self {
            Record::Event(event) => frame::canonical_len(event),
            Record::Line(line, _) => line.len(),
        }
    }

    /// What it takes in the store: as a line with its entry, and before that as a frame.
    pub(super) fn charge(&self) -> usize {
        charge(self.line_len(), self.frame_len())
    }

    /// About what it takes, for less effort: nearly always at least as much.
    fn likely_charge(&self) -> usize {
        /// The keys and punctuation of a line, beyond what its frame has.
        const KEYS_BYTES: usize = 280;
        self.frame_len() + KEYS_BYTES + ENTRY_BYTES
    }

    /// Whether its line, without newline, has more bytes than this.
    pub(super) fn is_larger_than(&self, bytes: usize) -> bool {
        /// A byte of text is at most six in the line (`\u00xx`).
        const MOST_OF_A_BYTE: usize = 6;
        const MOST_OF_KEYS: usize = 512;
        match self {
            Record::Event(_) if self.frame_len() * MOST_OF_A_BYTE + MOST_OF_KEYS <= bytes => false,
            _ => self.line_len() > bytes,
        }
    }

    fn frame_len(&self) -> usize {
        match self {
            Record::Event(event) => frame::frame_len(event),
            Record::Line(line, _) => frame::line_frame_len(line),
        }
    }
}

/// What an event with a line (without newline) and a frame of these lengths takes in the store.
pub(super) fn charge(line_len: usize, frame_len: usize) -> usize {
    (line_len + 1 + ENTRY_BYTES).max(frame_len)
}

/// What to do while the store is full.
#[derive(Clone, Copy)]
pub enum Patience<'a> {
    /// Fail at once.
    None,
    /// Wait, and fail this long after the last progress.
    Progress(Duration),
    /// Wait as long as it takes, until this is set.
    UntilStopped(&'a AtomicBool),
}

/// Why an event was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The store is closed.
    Closed,
    /// The store is full.
    Full,
}

/// What waits in the store and is not yet in a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waiting {
    /// Events.
    pub events: usize,
    /// When the oldest of them was recorded.
    pub oldest: Option<Instant>,
}

impl Waiting {
    fn add(&mut self, events: usize, oldest: Instant) {
        self.events += events;
        self.oldest = Some(self.oldest.map_or(oldest, |other| other.min(oldest)));
    }
}

/// What the store asks of the pipeline around it.
pub trait StoreEvents: Send + Sync {
    /// Somebody should look for work: the first event after idleness, or the store has become half full.
    fn wake(&self);
    /// Gives a run to every sink.
    fn hand_out(&self, run: &Arc<Run>);
    /// The store is full: sinks that are not required make room for this many bytes.
    fn relieve(&self, bytes: usize);
}

/// The bounded store of accepted events.
pub struct Store {
    id: u64,
    chunk_bytes: usize,
    run_bytes: usize,
    sinks: usize,
    wake_every_event: bool,
    budget: Arc<Budget>,
    pool: Arc<Pool>,
    tally: Arc<Tally>,
    registry: Mutex<Registry>,
    pending: Mutex<Pending>,
    /// Position of the next event in the order of the store; held while a run is made and handed out.
    order: Mutex<u64>,
    next_sequence: AtomicU64,
    /// Whether somebody waits for the next event. Set before the slots are looked at, read under a slot's lock.
    asleep: AtomicBool,
    events: Box<dyn StoreEvents>,
}

/// Chunks that were taken out of their slots. The first is about the oldest.
#[derive(Default)]
struct Pending {
    chunks: VecDeque<Chunk>,
    events: u64,
}

#[derive(Default)]
struct Registry {
    slots: Vec<Arc<Slot>>,
    closed: bool,
    /// Accepted in slots of threads that have ended.
    accepted_before: u64,
}

impl Store {
    /// A store for this many sinks. With `wake_every_event` each event wakes the worker (`batch_size = 1`).
    pub fn new(
        capacity: usize,
        sinks: usize,
        wake_every_event: bool,
        tally: Arc<Tally>,
        events: Box<dyn StoreEvents>,
    ) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let chunk_bytes = (capacity / 16).clamp(1, CHUNK_BYTES);
        let run_bytes = (capacity / 8).clamp(1, RUN_BYTES);
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            chunk_bytes,
            run_bytes,
            sinks,
            wake_every_event,
            budget: Arc::new(Budget::new(capacity)),
            pool: Arc::new(Pool::new(chunk_bytes, run_bytes)),
            tally,
            registry: Mutex::default(),
            pending: Mutex::default(),
            order: Mutex::new(0),
            next_sequence: AtomicU64::new(1),
            asleep: AtomicBool::new(false),
            events,
        }
    }

    /// Tells this store from others of the process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The bound.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Events accepted so far.
    pub fn accepted(&self) -> u64 {
        let registry = lock(&self.registry);
        registry.accepted_before + registry.slots.iter().map(|slot| slot.accepted()).sum::<u64>()
    }

    /// Accepts an event, or says why not.
    pub fn record(&self, record: Record<'_>, patience: Patience<'_>) -> Result<(), Refused> {
        self.with_slot(|slot| self.record_into(slot, record, patience))
    }

    fn record_into(&self, slot: &Slot, record: Record<'_>, patience: Patience<'_>) -> Result<(), Refused> {
        let timestamp = match record {
            Record::Event(event) => event.timestamp.unwrap_or_else(Timestamp::now),
            Record::Line(_, entry) => Timestamp::from_micros(entry.timestamp),
        };
        let mut needed = record.likely_charge();
        let mut half_full = false;
        let wake = loop {
            let mut writer = slot.writer().map_err(|Closed| Refused::Closed)?;
            if !writer.has_room(needed) {
                writer.seal();
                match self.lease(needed) {
                    Some((chunk, taken)) => {
                        half_full |= taken == Taken::HalfFull;
                        writer.begin(chunk);
                    }
                    None => {
                        drop(writer);
                        needed = record.charge();
                        self.wait_for_room(needed, patience)?;
                        continue;
                    }
                }
            }
            match writer.push(record, timestamp, &self.next_sequence) {
                Ok(()) => break self.asleep.load(Ordering::Relaxed),
                Err(charge) => needed = charge,
            }
        };
        if wake || half_full || self.wake_every_event {
            self.wake();
        }
        Ok(())
    }

    fn lease(&self, charge: usize) -> Option<(Chunk, Taken)> {
        if charge <= self.chunk_bytes {
            let taken = self.budget.take(self.chunk_bytes);
            if taken != Taken::No {
                let lease = Charge::of(&self.budget, self.chunk_bytes);
                return Some((Chunk::new(self.pool.chunk(), lease), taken));
            }
        }
        // Near the bound, and for a large event: a chunk of just the size that this one needs. A frame is no larger.
        let taken = self.budget.take(charge);
        (taken != Taken::No)
            .then(|| (Chunk::new(Vec::with_capacity(charge), Charge::of(&self.budget, charge)), taken))
    }

    fn wait_for_room(&self, charge: usize, patience: Patience<'_>) -> Result<(), Refused> {
        loop {
            self.events.relieve(charge);
            self.wake();
            if self.budget.has_room(charge) {
                return Ok(());
            }
            let now = Instant::now();
            let until = match patience {
                Patience::None => return Err(Refused::Full),
                Patience::Progress(patience) => {
                    let waited = now.saturating_duration_since(self.budget.stalled_since(now));
                    match patience.checked_sub(waited).filter(|left| !left.is_zero()) {
                        None => return Err(Refused::Full),
                        Some(left) => now + left.min(LOOK_AGAIN),
                    }
                }
                Patience::UntilStopped(stop) if stop.load(Ordering::Relaxed) => return Err(Refused::Full),
                Patience::UntilStopped(_) => now + LOOK_AGAIN,
            };
            if lock(&self.registry).closed {
                return Err(Refused::Closed);
            }
            self.budget.wait_for_room(charge, until);
        }
    }

    /// Wakes whoever waits for events.
    pub fn wake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
        self.events.wake();
    }

    /// Says that the caller is about to wait for the next event; it must look at [`Store::waiting`] once more before.
    pub fn fall_asleep(&self) {
        self.asleep.store(true, Ordering::SeqCst);
    }

    /// What waits and is in no run yet.
    pub fn waiting(&self) -> Waiting {
        let mut waiting = Waiting::default();
        for (events, oldest) in lock(&self.registry).slots.iter().filter_map(|slot| slot.waiting()) {
            waiting.add(events as usize, oldest);
        }
        let pending = lock(&self.pending);
        if let Some(chunk) = pending.chunks.front() {
            waiting.add(pending.events as usize, chunk.oldest());
        }
        waiting
    }

    /// Makes one run of what waits, and hands it to every sink; `false` when nothing waited.
    pub fn collect(&self) -> bool {
        let mut position = lock(&self.order);
        let chunks = self.next_chunks();
        if chunks.is_empty() {
            return false;
        }
        let run = self.make_run(chunks, *position);
        *position = run.behind();
        self.events.hand_out(&run);
        drop(position);
        self.pool.prepare_chunks();
        true
    }

    /// Makes runs of everything that waits, and hands them to every sink.
    pub fn collect_all(&self) {
        while self.collect() {}
    }

    /// Takes all that was accepted before the call out of the slots; returns the position behind it.
    pub fn seal(&self) -> u64 {
        let position = lock(&self.order);
        self.take_slots();
        *position + lock(&self.pending).events
    }

    /// Accepts nothing more.
    pub fn close(&self) {
        let mut registry = lock(&self.registry);
        registry.closed = true;
        for slot in &registry.slots {
            slot.close();
        }
    }

    /// Chunks for one run: at least one if any waits, of about [`RUN_BYTES`] together.
    fn next_chunks(&self) -> Vec<Chunk> {
        self.take_slots();
        let mut pending = lock(&self.pending);
        let mut chunks = Vec::new();
        let mut bytes = 0;
        while let Some(chunk) = pending.chunks.front() {
            bytes += chunk.charged();
            if bytes > self.run_bytes && !chunks.is_empty() {
                break;
            }
            chunks.extend(pending.chunks.pop_front());
        }
        pending.events -= chunks.iter().map(|chunk| u64::from(chunk.events())).sum::<u64>();
        chunks
    }

    fn take_slots(&self) {
        let mut registry = lock(&self.registry);
        let mut pending = lock(&self.pending);
        let mut ended = 0;
        registry.slots.retain(|slot| {
            let before = pending.chunks.len();
            let taken = slot.take(&mut pending.chunks, &mut |lost| self.lose(lost));
            pending.events +=
                pending.chunks.range(before..).map(|chunk| u64::from(chunk.events())).sum::<u64>();
            ended += taken.ended_with.unwrap_or(0);
            taken.ended_with.is_none()
        });
        registry.accepted_before += ended;
    }

    fn make_run(&self, chunks: Vec<Chunk>, first: u64) -> Arc<Run> {
        let events: usize = chunks.iter().map(|chunk| chunk.events() as usize).sum();
        let bytes: usize =
            chunks.iter().map(|chunk| chunk.charged()).sum::<usize>().saturating_sub(events * ENTRY_BYTES);
        let oldest = chunks.iter().map(Chunk::oldest).min().unwrap_or_else(Instant::now);
        let (mut lines, mut entries) = self.pool.run(bytes, events);
        let mut charge = Charge::of(&self.budget, 0);
        for chunk in chunks {
            let read = frame::write_lines(chunk.frames(), &mut lines, &mut entries);
            self.lose(u64::from(chunk.events()).saturating_sub(read as u64));
            lines.truncate(entries.last().map_or(0, |last: &RawEvent| (last.offset + last.len) as usize + 1));
            let (buffer, leased) = chunk.into_parts();
            self.pool.put_chunk(buffer);
            charge.absorb(leased);
        }
        charge.shrink_to(lines.len() + entries.len() * ENTRY_BYTES);
        let parts = RunParts { first, behind: first + events as u64, lines, entries, oldest, charge };
        Arc::new(Run::new(parts, self.sinks, self.pool.clone(), self.tally.clone()))
    }

    fn lose(&self, count: u64) {
        if count > 0 {
            self.tally.lose(count);
        }
    }

    fn with_slot<R>(&self, use_slot: impl FnOnce(&Slot) -> R) -> R {
        let mut use_slot = Some(use_slot);
        let found = SLOTS.try_with(|slots| {
            let Ok(mut slots) = slots.try_borrow_mut() else { return None };
            let slot = match slots.0.iter().position(|(id, _)| *id == self.id) {
                Some(index) => &slots.0[index].1,
                None => slots.add(self.id, self.new_slot()),
            };
            use_slot.take().map(|use_slot| use_slot(slot))
        });
        match (found, use_slot) {
            (Ok(Some(result)), _) => result,
            // The thread is ending, its thread-locals are gone: a slot for this one event.
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
