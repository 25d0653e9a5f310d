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
//!
//! Where each event waits for the disk (`durability = "disk"`), a lock costs nothing beside that, and all threads share one
//! slot: what a sync brings to the disk is then a few pages behind each other, and not a few for each thread.
//!
//! In `admission`: from `record` into the slots. In `collecting`: from the slots to the sinks. In `damage`: what is found
//! to be damaged on that way.

mod admission;
mod collecting;
mod damage;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::budget::Budget;
use super::counters::Tally;
use super::pool::Pool;
use super::run::Run;
use super::slot::{Portion, Slot};
use super::spool_room::SpoolRoom;
use crate::spool::Gap;

pub use collecting::BacklogRun;
pub use damage::Damaged;

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
    /// These events of a run are damaged: every sink where they wait loses them. Returns which those are, all sinks together.
    fn lose(&self, run: &Arc<Run>, damaged: &[Range<u32>]) -> Vec<Range<u32>>;
    /// The store is closing, but sinks that are not closed yet are to deliver everything before this position.
    fn drain_to(&self, position: u64);
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
    /// Where the pipeline's own events go. Never closed.
    own: Arc<Slot>,
    /// The slot of all threads, where each of them waits for the disk.
    shared: Option<Arc<Slot>>,
    /// Gaps in the spool that are not told yet.
    untold: Mutex<Vec<Gap>>,
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
        let own = Arc::new(Slot::new(false));
        let is_shared = parts.spool.as_ref().is_some_and(SpoolRoom::is_always_durable_first);
        let shared = is_shared.then(|| Arc::new(Slot::new(false)));
        let slots = std::iter::once(&own).chain(&shared).cloned().collect();
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            parts,
            registry: Mutex::new(Registry { slots, ..Registry::default() }),
            pending: Mutex::default(),
            order: Mutex::new(0),
            next_sequence: AtomicU64::new(1),
            own,
            shared,
            untold: Mutex::default(),
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
        for slot in registry.slots.iter().filter(|slot| !Arc::ptr_eq(slot, &self.own)) {
            slot.close();
        }
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

    fn lose(&self, count: u64) {
        if count > 0 {
            self.tally.lose(count);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
