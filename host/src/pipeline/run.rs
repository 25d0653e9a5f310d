//! A run: canonical lines, made once, shared by every sink.
//!
//! The worker that first needs events makes a run of them, of at most about 256 KiB. It stays until its last sink has
//! settled each of its events; then its bytes go back to the budget, unless a sink holds them. A run that is dropped
//! with events that a sink never settled counts those as *lost*: that is how `lost` is known without being a remainder.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use audit_plugin_api::RawEvent;

use super::budget::Charge;
use super::counters::Tally;
use super::pool::Pool;

/// What became of an event at one sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The sink has it.
    Delivered,
    /// It was given up, and kept as a dead letter.
    DeadLettered,
    /// It was given up by a sink that is not required.
    Dropped,
    /// It was given up, and could not be kept as a dead letter.
    Lost,
}

const LOST: u8 = 0x80;
const DEAD: u8 = 0x40;
const DROPPED: u8 = 0x20;
const LEFT: u8 = 0x1f;

/// Most sinks that one store serves.
pub const MAX_SINKS: usize = LEFT as usize;

/// Canonical lines and where each stands.
pub struct Run {
    first: u64,
    behind: u64,
    lines: Vec<u8>,
    entries: Vec<RawEvent>,
    oldest: Instant,
    charge: Mutex<Option<Arc<Charge>>>,
    pool: Arc<Pool>,
    tally: Arc<Tally>,
    /// For each sink, how many of the events it has not settled.
    unsettled: Box<[AtomicU32]>,
    /// For each event, how many sinks have not settled it, and whether any gave it up (several sinks only).
    outcomes: Box<[AtomicU8]>,
    /// How many sinks have not settled all of it.
    open_sinks: AtomicU32,
}

/// What a run is made of.
pub struct RunParts {
    /// Position of the first event in the order of the store.
    pub first: u64,
    /// Position behind the last event; further than the entries reach where frames were lost.
    pub behind: u64,
    /// Lines, each with its newline.
    pub lines: Vec<u8>,
    /// An entry for each line.
    pub entries: Vec<RawEvent>,
    /// When the oldest of the events was recorded.
    pub oldest: Instant,
    /// What they take from the budget.
    pub charge: Charge,
}

impl Run {
    /// A run for this many sinks.
    pub fn new(parts: RunParts, sinks: usize, pool: Arc<Pool>, tally: Arc<Tally>) -> Self {
        let events = parts.entries.len();
        let outcomes = if sinks > 1 {
            (0..events).map(|_| AtomicU8::new(sinks as u8)).collect()
        } else {
            Box::default()
        };
        Self {
            first: parts.first,
            behind: parts.behind,
            lines: parts.lines,
            entries: parts.entries,
            oldest: parts.oldest,
            charge: Mutex::new(Some(Arc::new(parts.charge))),
            pool,
            tally,
            unsettled: (0..sinks).map(|_| AtomicU32::new(events as u32)).collect(),
            outcomes,
            open_sinks: AtomicU32::new(sinks as u32),
        }
    }

    /// Number of events.
    pub fn len(&self) -> u32 {
        self.entries.len() as u32
    }

    /// Position of the first event in the order of the store.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Position behind the last event.
    pub fn behind(&self) -> u64 {
        self.behind
    }

    /// When the oldest of the events was recorded.
    pub fn oldest(&self) -> Instant {
        self.oldest
    }

    /// The entries from `start` to `end`.
    pub fn entries(&self, start: u32, end: u32) -> &[RawEvent] {
        &self.entries[start as usize..end as usize]
    }

    /// The lines from `start` to `end`, and where in the run they begin.
    pub fn lines(&self, start: u32, end: u32) -> (&[u8], u32) {
        let entries = self.entries(start, end);
        match (entries.first(), entries.last()) {
            (Some(first), Some(last)) => {
                (&self.lines[first.offset as usize..(last.offset + last.len) as usize + 1], first.offset)
            }
            _ => (&[], 0),
        }
    }

    /// The canonical JSON of one event, without newline.
    pub fn json(&self, index: u32) -> &[u8] {
        let entry = &self.entries[index as usize];
        &self.lines[entry.offset as usize..(entry.offset + entry.len) as usize]
    }

    /// A counted handle that keeps the bytes in the bound until it is dropped; `None` when all is settled already.
    pub fn hold(&self) -> Option<Arc<Charge>> {
        self.charge.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this sink has settled all of it.
    pub fn is_settled_at(&self, sink: usize) -> bool {
        self.unsettled[sink].load(Ordering::Acquire) == 0
    }

    /// Notes what became of the events from `start` to `end` at a sink. The caller settles each event once.
    pub fn settle(&self, sink: usize, start: u32, end: u32, outcome: Outcome) {
        let count = end - start;
        if outcome == Outcome::Lost {
            self.tally.lose_at(sink, u64::from(count));
        }
        if self.outcomes.is_empty() {
            self.tally.add(outcome, u64::from(count));
        } else {
            let mut delivered = 0;
            for state in &self.outcomes[start as usize..end as usize] {
                let before = match outcome {
                    Outcome::Delivered => state.fetch_sub(1, Ordering::AcqRel),
                    Outcome::DeadLettered => mark(state, DEAD),
                    Outcome::Dropped => mark(state, DROPPED),
                    Outcome::Lost => mark(state, LOST),
                };
                let after = state_after(before, outcome);
                match (class(before), class(after)) {
                    (None, Some(Outcome::Delivered)) => delivered += 1,
                    (before, after) => self.tally.reclassify(before, after),
                }
            }
            self.tally.add(Outcome::Delivered, delivered);
        }
        let before = self.unsettled[sink].fetch_sub(count, Ordering::AcqRel);
        debug_assert!(before >= count, "events were settled twice");
        if before == count && self.open_sinks.fetch_sub(1, Ordering::AcqRel) == 1 {
            drop(self.charge.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

/// Takes one sink off, and notes that it gave the event up.
fn mark(state: &AtomicU8, bit: u8) -> u8 {
    state
        .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| Some((state | bit) - 1))
        .unwrap_or_else(|state| state)
}

fn state_after(before: u8, outcome: Outcome) -> u8 {
    let bit = match outcome {
        Outcome::Delivered => 0,
        Outcome::DeadLettered => DEAD,
        Outcome::Dropped => DROPPED,
        Outcome::Lost => LOST,
    };
    (before | bit).wrapping_sub(1)
}

/// What counts in the totals: lost if any sink lost it, else dead-lettered if any gave it up, else dropped if any
/// dropped it, else delivered if all have it.
fn class(state: u8) -> Option<Outcome> {
    if state & LOST != 0 {
        Some(Outcome::Lost)
    } else if state & DEAD != 0 {
        Some(Outcome::DeadLettered)
    } else if state & DROPPED != 0 {
        Some(Outcome::Dropped)
    } else if state & LEFT == 0 {
        Some(Outcome::Delivered)
    } else {
        None
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let mut lost = 0;
        for (sink, unsettled) in self.unsettled.iter_mut().enumerate() {
            let unsettled = u64::from(*unsettled.get_mut());
            self.tally.lose_at(sink, unsettled);
            lost = lost.max(unsettled);
        }
        if lost > 0 && self.outcomes.is_empty() {
            self.tally.add(Outcome::Lost, lost);
        } else if lost > 0 {
            for state in &mut self.outcomes {
                let state = *state.get_mut();
                if state & LEFT != 0 {
                    self.tally.reclassify(class(state), Some(Outcome::Lost));
                }
            }
        }
        if lost > 0 {
            let (first, behind) = (self.first, self.behind);
            tracing::error!(
                "{lost} of the events {first}..{behind} were never settled and are lost: \
                 this is a defect of audit-host, please report it"
            );
        }
        self.pool.put_run(std::mem::take(&mut self.lines), std::mem::take(&mut self.entries));
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Run({}..{})", self.first, self.first + u64::from(self.len()))
    }
}

/// Some events of a run, one after the other.
#[derive(Clone, Debug)]
pub struct Span {
    /// The run.
    pub run: Arc<Run>,
    /// Index of the first event within the run.
    pub start: u32,
    /// Index behind the last.
    pub end: u32,
}

impl Span {
    /// All of a run.
    pub fn whole(run: Arc<Run>) -> Self {
        let end = run.len();
        Self { run, start: 0, end }
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Position of the first event in the order of the store.
    pub fn position(&self) -> u64 {
        self.run.first() + u64::from(self.start)
    }

    /// Cuts the first `count` events off.
    pub fn split_front(&mut self, count: usize) -> Span {
        let middle = self.start + count as u32;
        let front = Span { run: self.run.clone(), start: self.start, end: middle };
        self.start = middle;
        front
    }
}
