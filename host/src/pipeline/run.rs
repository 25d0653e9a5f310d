//! A run: events in the order of the store, shared by every sink, and what became of each.
//!
//! The worker that first needs events makes a run of them, of at most about 256 KiB of lines (its *body*). It stays until
//! its last sink has settled each of its events; then the body's bytes go back to the budget, unless a sink holds them. A
//! run that is dropped with events that a sink never settled counts those as *lost*: that is how `lost` is known without
//! being a remainder.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::body::Body;
use super::counters::Tally;
use super::spooled::Source;

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
    /// It stays in the spool, for a later process.
    Spooled,
}

const LOST: u16 = 0x8000;
const DEAD: u16 = 0x4000;
const DROPPED: u16 = 0x2000;
const SPOOLED: u16 = 0x1000;
const LEFT: u16 = 0x001f;

/// Most sinks that one store serves.
pub const MAX_SINKS: usize = LEFT as usize;

/// Events in the order of the store, and what became of each.
pub struct Run {
    first: u64,
    behind: u64,
    len: u32,
    oldest: Instant,
    /// The lines; none when all is settled, and while they are only in the spool.
    body: Mutex<Option<Arc<Body>>>,
    source: Option<Source>,
    tally: Arc<Tally>,
    /// For each sink, how many of the events it has not settled.
    unsettled: Box<[AtomicU32]>,
    /// For each event, how many sinks have not settled it, and whether any gave it up (several sinks only).
    outcomes: Box<[AtomicU16]>,
    /// How many sinks have not settled all of it.
    open_sinks: AtomicU32,
}

/// What a run is made of.
pub struct RunParts {
    /// Position of the first event in the order of the store.
    pub first: u64,
    /// Position behind the last event; further than `len` reaches where frames were lost.
    pub behind: u64,
    /// Number of events.
    pub len: u32,
    /// When the oldest of the events was recorded.
    pub oldest: Instant,
    /// The lines, unless they are only in the spool.
    pub body: Option<Arc<Body>>,
    /// Where the spool has them, if there is one.
    pub source: Option<Source>,
    /// Which sinks are to get it, a bit each.
    pub owed: u32,
}

/// For every one of this many sinks.
pub fn owed_to_all(sinks: usize) -> u32 {
    (1 << sinks) - 1
}

impl Run {
    /// A run in a store of this many sinks.
    pub fn new(parts: RunParts, sinks: usize, tally: Arc<Tally>) -> Self {
        let owed = parts.owed & owed_to_all(sinks);
        let open_sinks = owed.count_ones();
        let outcomes = if open_sinks > 1 {
            (0..parts.len).map(|_| AtomicU16::new(open_sinks as u16)).collect()
        } else {
            Box::default()
        };
        let unsettled = |sink: usize| AtomicU32::new(if owed & 1 << sink == 0 { 0 } else { parts.len });
        Self {
            first: parts.first,
            behind: parts.behind,
            len: parts.len,
            oldest: parts.oldest,
            body: Mutex::new(parts.body),
            source: parts.source,
            tally,
            unsettled: (0..sinks).map(unsettled).collect(),
            outcomes,
            open_sinks: AtomicU32::new(open_sinks),
        }
    }

    /// Number of events.
    pub fn len(&self) -> u32 {
        self.len
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

    /// The lines. Reads them from the spool, if they are only there: that may block, and fail.
    pub fn body(self: &Arc<Self>) -> io::Result<Arc<Body>> {
        let mut kept = self.lock_body();
        if let Some(body) = &*kept {
            return Ok(body.clone());
        }
        let Some(source) = &self.source else {
            return Err(io::Error::other("its events are settled, and their lines are gone"));
        };
        let body = source.read(self.len)?;
        *kept = Some(body.clone());
        drop(kept);
        source.note_body(self);
        Ok(body)
    }

    /// Lets go of lines that the spool has too.
    pub fn let_go(&self) {
        if self.source.is_some() {
            drop(self.lock_body().take());
        }
    }

    /// Where the spool has it, if there is one.
    pub fn source(&self) -> Option<&Source> {
        self.source.as_ref()
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
                let before = mark(state, bit(outcome));
                let after = (before | bit(outcome)).wrapping_sub(1);
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
            let body = self.lock_body().take();
            body.iter().for_each(|body| body.give_back());
        }
    }

    /// Takes back that a sink has the events from `start` to `end`: it has to settle them once more. Their lines are read again.
    pub fn take_back_delivered(&self, sink: usize, start: u32, end: u32) {
        let count = end - start;
        if self.unsettled[sink].fetch_add(count, Ordering::AcqRel) == 0 {
            self.open_sinks.fetch_add(1, Ordering::AcqRel);
        }
        let mut delivered = u64::from(count);
        if !self.outcomes.is_empty() {
            let states = &self.outcomes[start as usize..end as usize];
            let before = states.iter().map(|state| class(state.fetch_add(1, Ordering::AcqRel)));
            delivered = before.filter(|before| *before == Some(Outcome::Delivered)).count() as u64;
        }
        self.tally.take_back_delivered(delivered);
    }

    fn lock_body(&self) -> MutexGuard<'_, Option<Arc<Body>>> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes one sink off, and notes how it gave the event up, if it did; returns what was before.
fn mark(state: &AtomicU16, bit: u16) -> u16 {
    if bit == 0 {
        return state.fetch_sub(1, Ordering::AcqRel);
    }
    state
        .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| Some((state | bit).wrapping_sub(1)))
        .unwrap_or_else(|state| state)
}

fn bit(outcome: Outcome) -> u16 {
    match outcome {
        Outcome::Delivered => 0,
        Outcome::DeadLettered => DEAD,
        Outcome::Dropped => DROPPED,
        Outcome::Lost => LOST,
        Outcome::Spooled => SPOOLED,
    }
}

/// What counts in the totals: lost if any sink lost it, else dead-lettered if any gave it up, else dropped if any
/// dropped it, else spooled if it stays there for any, else delivered if all have it.
fn class(state: u16) -> Option<Outcome> {
    if state & LOST != 0 {
        Some(Outcome::Lost)
    } else if state & DEAD != 0 {
        Some(Outcome::DeadLettered)
    } else if state & DROPPED != 0 {
        Some(Outcome::Dropped)
    } else if state & SPOOLED != 0 {
        Some(Outcome::Spooled)
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
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Run({}..{})", self.first, self.first + u64::from(self.len))
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

    /// Position behind the last event.
    pub fn behind(&self) -> u64 {
        self.run.first() + u64::from(self.end)
    }

    /// Whether the other one goes on in the same run where this one ends.
    pub fn is_followed_by(&self, other: &Span) -> bool {
        Arc::ptr_eq(&self.run, &other.run) && self.end == other.start
    }

    /// About how much memory has to be taken so that it can be offered: that of its whole run. None, where it is there
    /// anyway.
    pub fn spooled_bytes(&self) -> usize {
        self.run.source().map_or(0, Source::bytes)
    }

    /// Takes it apart: what is in these ranges of events, which are in order, goes to `inside`, the rest to `outside`.
    pub fn part(mut self, ranges: &[Range<u32>], inside: &mut Vec<Span>, outside: &mut Vec<Span>) {
        for range in ranges {
            for (to, end) in [(&mut *outside, range.start), (&mut *inside, range.end)] {
                let front = self.split_front(end.clamp(self.start, self.end) as usize - self.start as usize);
                to.extend((front.len() > 0).then_some(front));
            }
        }
        outside.extend((self.len() > 0).then_some(self));
    }

    /// Cuts the first `count` events off.
    pub fn split_front(&mut self, count: usize) -> Span {
        let middle = self.start + count as u32;
        let front = Span { run: self.run.clone(), start: self.start, end: middle };
        self.start = middle;
        front
    }
}
