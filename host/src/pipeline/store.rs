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

use super::body::Body;
use super::budget::{Budget, Charge, Taken};
use super::counters::Tally;
use super::pool::Pool;
use super::run::{Run, RunParts, owed_to_all};
use super::slot::{Chunk, Closed, Frames, Portion, Slot, Unfit};
use super::spool_room::SpoolRoom;
use super::spooled::Source;
use crate::event::frame;
use crate::spool::LeaseError;

/// What an event takes in the store beside its line.
pub const ENTRY_BYTES: usize = size_of::<RawEvent>() + 8;

/// How often a recorder that waits for room has the sinks that are not required make some.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How often it is said that the disk gives no room, while that lasts.
const SAY_AGAIN: Duration = Duration::from_secs(10);

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

    /// The code of its action, and its flags as of a `RawEvent`.
    pub(super) fn action_and_flags(&self) -> (u32, u32) {
        match self {
            Record::Event(event) => (event.action.code(), event.flags()),
            Record::Line(_, entry) => (entry.action, entry.flags),
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The store is closed.
    Closed,
    /// The store is full.
    Full,
    /// Its canonical line has so many bytes, without newline.
    TooLarge(usize),
    /// The spool cannot take it, for this reason.
    Spool(String),
    /// It was accepted, but cannot be made durable, for this reason.
    NotDurable(String),
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

/// Whether the lines of a run are made at once.
#[derive(Clone, Copy)]
enum Reading {
    Now,
    /// When a sink is to get them.
    Later,
}

/// Events that an earlier process left in the spool.
pub struct BacklogRun {
    /// How many.
    pub len: u32,
    /// Where they are.
    pub source: Source,
    /// Which sinks are to get them, a bit each.
    pub owed: u32,
    /// When they count as recorded, for their `flush_interval`.
    pub oldest: Instant,
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

/// What a store is made of.
pub struct StoreParts {
    /// How many sinks it serves.
    pub sinks: usize,
    /// Whether each event wakes the workers (`batch_size = 1`).
    pub wake_every_event: bool,
    /// Most bytes of a canonical line, without newline.
    pub max_event_bytes: usize,
    /// Bounds what is accepted: bytes of memory, or of the spool.
    pub budget: Arc<Budget>,
    /// Bounds what is in memory.
    pub memory: Arc<Budget>,
    /// Where its buffers come from.
    pub pool: Arc<Pool>,
    /// Where chunks are, if not in memory.
    pub spool: Option<SpoolRoom>,
    /// Counts what became of the events.
    pub tally: Arc<Tally>,
}

/// The bounded store of accepted events.
pub struct Store {
    id: u64,
    parts: StoreParts,
    registry: Mutex<Registry>,
    pending: Mutex<Pending>,
    /// Position of the next event in the order of the store; held while a run is made and handed out.
    order: Mutex<u64>,
    next_sequence: AtomicU64,
    /// Whether somebody waits for the next event. Set before the slots are looked at, read under a slot's lock.
    asleep: AtomicBool,
    /// When it was said last that the disk gives nothing.
    disk_refusal_said: Mutex<Option<Instant>>,
    events: Box<dyn StoreEvents>,
}

/// What was carried away from the slots. The first is about the oldest.
#[derive(Default)]
struct Pending {
    portions: VecDeque<Portion>,
    events: u64,
}

#[derive(Default)]
struct Registry {
    slots: Vec<Arc<Slot>>,
    closed: bool,
    /// Accepted in slots of threads that have ended.
    accepted_before: u64,
}

impl std::ops::Deref for Store {
    type Target = StoreParts;

    fn deref(&self) -> &StoreParts {
        &self.parts
    }
}

impl Store {
    /// An empty store.
    pub fn new(parts: StoreParts, events: Box<dyn StoreEvents>) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            parts,
            registry: Mutex::default(),
            pending: Mutex::default(),
            order: Mutex::new(0),
            next_sequence: AtomicU64::new(1),
            asleep: AtomicBool::new(false),
            disk_refusal_said: Mutex::default(),
            events,
        }
    }

    /// Tells this store from others of the process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Bytes of memory that are in use.
    pub fn used_bytes(&self) -> usize {
        self.memory.used()
    }

    /// Events accepted so far.
    pub fn accepted(&self) -> u64 {
        let registry = lock(&self.registry);
        registry.accepted_before + registry.slots.iter().map(|slot| slot.accepted()).sum::<u64>()
    }

    /// Accepts an event, or says why not. Where the spool has to have it on the disk first, that is waited for.
    pub fn record(&self, record: Record<'_>, patience: Patience<'_>) -> Result<(), Refused> {
        self.record_unsynced(record, patience)?;
        match &self.spool {
            Some(spool) if spool.is_durable_first(record) => spool.sync(patience),
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
            Record::Event(event) => event.timestamp.unwrap_or_else(Timestamp::now),
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
        // Near the bound, and for a large event: a chunk of just the size that this one needs. A frame is no larger.
        match self.budget.take(charge) {
            Taken::No => Err(LeaseError::Full),
            taken => {
                let lease = Charge::of(&self.budget, charge);
                Ok((Chunk::new(vec![0; charge], lease), taken))
            }
        }
    }

    fn wait_for_room(&self, charge: usize, lack: &LeaseError, patience: Patience<'_>) -> Result<(), Refused> {
        if let LeaseError::Io(error) = lack {
            self.say_disk_refusal(error);
        }
        let refused = || match lack {
            LeaseError::Full => Refused::Full,
            LeaseError::Io(error) => Refused::Spool(error.to_string()),
        };
        loop {
            if self.spool.is_some() {
                self.let_go_of_idle_chunks();
            }
            self.events.relieve(charge);
            self.wake();
            if matches!(lack, LeaseError::Full) && self.budget.has_room(charge) {
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
                LeaseError::Full => self.budget.wait_for_room(charge, until),
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
        if let Some(portion) = pending.portions.front() {
            waiting.add(pending.events as usize, portion.oldest);
        }
        waiting
    }

    /// Makes one run of what waits, and hands it to every sink; `false` when nothing waited.
    pub fn collect(&self) -> bool {
        self.collect_run(Reading::Now)
    }

    /// Makes runs of everything that waits, and hands them to every sink.
    pub fn collect_all(&self) {
        while self.collect() {}
    }

    /// As [`Store::collect_all`], but what is in the spool is not read.
    pub fn collect_all_unread(&self) {
        while self.collect_run(Reading::Later) {}
    }

    fn collect_run(&self, reading: Reading) -> bool {
        let mut position = lock(&self.order);
        let portions = self.next_portions();
        if portions.is_empty() {
            return false;
        }
        let run = self.make_run(portions, *position, reading);
        *position = run.behind();
        self.events.hand_out(&run);
        drop(position);
        if self.spool.is_none() {
            self.pool.prepare_chunks();
        }
        true
    }

    /// Hands out what an earlier process left in the spool, before anything else.
    pub fn hand_out_backlog(&self, parts: Vec<BacklogRun>) {
        let mut position = lock(&self.order);
        for part in parts {
            let first = *position;
            let run = RunParts {
                first,
                behind: first + u64::from(part.len),
                len: part.len,
                oldest: part.oldest,
                body: None,
                source: Some(part.source),
                owed: part.owed,
            };
            let run = Arc::new(Run::new(run, self.sinks, self.tally.clone()));
            *position = run.behind();
            self.events.hand_out(&run);
        }
    }

    /// Takes all that was accepted before the call out of the slots; returns the position behind it.
    pub fn seal(&self) -> u64 {
        let position = lock(&self.order);
        self.take_slots();
        *position + lock(&self.pending).events
    }

    /// Has all threads let go of chunks of which everything was carried away: their places in the spool are wanted.
    pub fn let_go_of_idle_chunks(&self) {
        lock(&self.registry).slots.iter().for_each(|slot| slot.let_go_of_idle_chunk());
    }

    /// Accepts nothing more.
    pub fn close(&self) {
        let mut registry = lock(&self.registry);
        registry.closed = true;
        for slot in &registry.slots {
            slot.close();
        }
    }

    /// What makes one run: at least one portion if any waits, of about [`RUN_BYTES`] together.
    fn next_portions(&self) -> Vec<Portion> {
        self.take_slots();
        let mut pending = lock(&self.pending);
        let mut portions = Vec::new();
        let mut bytes = 0;
        while let Some(portion) = pending.portions.front() {
            bytes += portion.charged;
            if bytes > self.pool.run_bytes() && !portions.is_empty() {
                break;
            }
            portions.extend(pending.portions.pop_front());
        }
        pending.events -= portions.iter().map(|portion| u64::from(portion.events)).sum::<u64>();
        portions
    }

    fn take_slots(&self) {
        let mut registry = lock(&self.registry);
        let mut pending = lock(&self.pending);
        let mut ended = 0;
        registry.slots.retain(|slot| {
            let before = pending.portions.len();
            let taken = slot.take(&mut pending.portions, &mut |lost| self.lose(lost));
            pending.events +=
                pending.portions.range(before..).map(|portion| u64::from(portion.events)).sum::<u64>();
            ended += taken.ended_with.unwrap_or(0);
            taken.ended_with.is_none()
        });
        registry.accepted_before += ended;
    }

    fn make_run(&self, portions: Vec<Portion>, first: u64, reading: Reading) -> Arc<Run> {
        let events: u32 = portions.iter().map(|portion| portion.events).sum();
        let oldest = portions.iter().map(|portion| portion.oldest).min().unwrap_or_else(Instant::now);
        let behind = first + u64::from(events);
        let owed = owed_to_all(self.sinks);
        let parts = match &self.spool {
            None => {
                let body = self.make_body(portions, events);
                RunParts { first, behind, len: body.len(), oldest, body: Some(body), source: None, owed }
            }
            Some(spool) => {
                let stretches = portions.into_iter().filter_map(|portion| match portion.frames {
                    Frames::Spool(stretch) => Some(stretch),
                    Frames::Memory { .. } => None,
                });
                let source = Some(Source::new(stretches.collect(), spool.bodies().clone()));
                RunParts { first, behind, len: events, oldest, body: None, source, owed }
            }
        };
        let run = Arc::new(Run::new(parts, self.sinks, self.tally.clone()));
        if self.spool.is_some() && matches!(reading, Reading::Now) {
            // What cannot be read now is read again by whoever needs it.
            let _ = run.body();
        }
        run
    }

    fn make_body(&self, portions: Vec<Portion>, events: u32) -> Arc<Body> {
        let charged: usize = portions.iter().map(|portion| portion.charged).sum();
        let bytes = charged.saturating_sub(events as usize * ENTRY_BYTES);
        let (mut lines, mut entries) = self.pool.run(bytes, events as usize);
        let mut charge = Charge::of(&self.budget, 0);
        for portion in portions {
            let Frames::Memory { bytes, used, lease } = portion.frames else { continue };
            let read = frame::write_lines(&bytes[..used], &mut lines, &mut entries);
            self.lose(u64::from(portion.events).saturating_sub(read as u64));
            lines.truncate(entries.last().map_or(0, |last: &RawEvent| (last.offset + last.len) as usize + 1));
            self.pool.put_chunk(bytes);
            charge.absorb(lease);
        }
        charge.shrink_to(lines.len() + entries.len() * ENTRY_BYTES);
        Arc::new(Body::new(lines, entries, charge, self.pool.clone()))
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
