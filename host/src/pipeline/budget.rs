//! The bound of the store, in bytes.
//!
//! Every byte that the store holds for an event is taken from one budget before the event is accepted, and given back
//! when its last sink has settled it (and nobody holds it any more). What is taken for an event when it is recorded is
//! at least what it takes later, as a canonical line with its entry: the bound never has to stretch.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of room with which those who wait for some are woken at the latest.
const MOST_WAKING_BYTES: usize = 4 << 20;

/// The bound of the store, in bytes.
#[derive(Debug)]
pub struct Budget {
    capacity: usize,
    used: AtomicUsize,
    flow: Mutex<Flow>,
    room: Condvar,
}

#[derive(Debug)]
struct Flow {
    /// How many wait for room, or are about to and have the lock.
    waiting: usize,
    last_progress: Instant,
    /// Since when somebody waits and nothing was given back.
    stalled_since: Option<Instant>,
}

/// What taking from a budget came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was taken, and the store is less than half full or was so no longer before.
    Yes,
    /// It was taken, and with it the store became half full: workers should know.
    HalfFull,
    /// There is no room.
    No,
}

impl Budget {
    /// A budget of this many bytes, none of them used.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            used: AtomicUsize::new(0),
            flow: Mutex::new(Flow { waiting: 0, last_progress: Instant::now(), stalled_since: None }),
            room: Condvar::new(),
        }
    }

    /// Bytes it has in all.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes that are not in use.
    pub fn room(&self) -> usize {
        self.capacity.saturating_sub(self.used())
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether the store is at least half full.
    pub fn is_half_full(&self) -> bool {
        self.used() >= self.capacity / 2
    }

    /// Takes bytes, if they fit.
    pub fn take(&self, bytes: usize) -> Taken {
        let taken = self.used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= self.capacity)
        });
        taken.map_or(Taken::No, |before| self.taken_after(before, bytes))
    }

    fn taken_after(&self, before: usize, bytes: usize) -> Taken {
        let half = self.capacity / 2;
        if before < half && before + bytes >= half { Taken::HalfFull } else { Taken::Yes }
    }

    /// Takes `most` bytes, or what is left if that is at least `least`; says how many, if so.
    pub fn take_what_is_left(&self, least: usize, most: usize) -> Option<(usize, Taken)> {
        let left = |used: usize| self.capacity.saturating_sub(used).min(most.max(least));
        let taken = self.used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |used| {
            Some(left(used)).filter(|left| *left >= least).map(|left| used + left)
        });
        taken.ok().map(|before| (left(before), self.taken_after(before, left(before))))
    }

    /// Takes bytes, also if they do not fit.
    pub fn force(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::AcqRel);
    }

    /// Gives bytes back, and wakes those who wait for room once there is some to go on with: whoever was woken for each
    /// few events would take the processor from the one who makes the room.
    pub fn give(&self, bytes: usize) {
        if bytes > 0 {
            self.used.fetch_sub(bytes, Ordering::AcqRel);
            let mut flow = self.lock();
            flow.stalled_since = None;
            if flow.waiting > 0 && self.room() >= self.wakes_at() {
                self.room.notify_all();
            }
        }
    }

    /// Gives back bytes that were just taken in vain: who waits has waited all the time.
    pub fn put_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// With how many bytes of room those who wait are woken; who needs less looks by itself.
    fn wakes_at(&self) -> usize {
        (self.capacity / 64).min(MOST_WAKING_BYTES)
    }

    /// Notes that a sink has settled something: who waits for room goes on waiting.
    pub fn note_progress(&self, now: Instant) {
        self.lock().last_progress = now;
    }

    /// Since when nothing moves: the later of the last progress and the moment when somebody first had to wait. Whoever
    /// finds the store full later in the same stall does not wait anew.
    pub fn stalled_since(&self, now: Instant) -> Instant {
        let mut flow = self.lock();
        let stalled_since = *flow.stalled_since.get_or_insert(now);
        stalled_since.max(flow.last_progress)
    }

    /// Whether this many bytes fit.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.used().checked_add(bytes).is_some_and(|sum| sum <= self.capacity)
    }

    /// Waits until there may be room for this many bytes, until then at most. Less than a sixty-fourth of the bound may be
    /// noticed only then.
    pub fn wait_for_room(&self, bytes: usize, until: Instant) {
        let mut flow = self.lock();
        while !self.has_room(bytes) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            flow = self.wait(flow, left);
        }
    }

    /// Waits until bytes are given back, until then at most; little, as [`Budget::wait_for_room`] says, may be noticed only then.
    pub fn wait_for_change(&self, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        drop(self.wait(self.lock(), left));
    }

    fn wait<'a>(&'a self, mut flow: MutexGuard<'a, Flow>, most: Duration) -> MutexGuard<'a, Flow> {
        flow.waiting += 1;
        let waited = self.room.wait_timeout(flow, most);
        let (mut flow, _) = waited.unwrap_or_else(PoisonError::into_inner);
        flow.waiting -= 1;
        flow
    }

    fn lock(&self) -> MutexGuard<'_, Flow> {
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes taken from a budget; given back when dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Charge {
    /// Takes over bytes that were taken from this budget before.
    pub fn of(budget: &Arc<Budget>, bytes: usize) -> Self {
        Self { budget: budget.clone(), bytes }
    }

    /// Takes over the bytes of another charge on the same budget.
    pub fn absorb(&mut self, mut other: Charge) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Gives back what it holds beyond this many bytes.
    pub fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.bytes.saturating_sub(bytes);
        self.bytes -= surplus;
        self.budget.give(surplus);
    }

    /// Bytes it stands for.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.give(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_and_half_full_is_said_once() {
        let budget = Budget::new(100);
        assert_eq!(budget.take(49), Taken::Yes);
        assert_eq!(budget.take(1), Taken::HalfFull);
        assert_eq!(budget.take(50), Taken::Yes);
        assert_eq!(budget.take(1), Taken::No);
        assert_eq!(budget.used(), 100);
    }

    #[test]
    fn waiting_ends_when_bytes_are_given_back() {
        let budget = Arc::new(Budget::new(100));
        assert_eq!(budget.take(100), Taken::HalfFull);
        let charge = Charge::of(&budget, 60);
        let waiter = {
            let budget = budget.clone();
            let until = Instant::now() + Duration::from_secs(600);
            std::thread::spawn(move || budget.wait_for_room(50, until))
        };
        while budget.lock().waiting == 0 {
            std::thread::yield_now();
        }
        drop(charge);
        waiter.join().unwrap();
        assert!(budget.has_room(50));
    }

    #[test]
    fn a_stall_lasts_from_the_first_wait_or_the_last_progress_until_bytes_are_given_back() {
        let budget = Budget::new(10);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(budget.stalled_since(at(10)), at(10));
        assert_eq!(budget.stalled_since(at(20)), at(10));
        budget.note_progress(at(15));
        assert_eq!(budget.stalled_since(at(20)), at(15));
        budget.take(5);
        budget.give(5);
        assert_eq!(budget.stalled_since(at(30)), at(30));
    }

    #[test]
    fn waiting_ends_when_its_time_is_over() {
        let budget = Budget::new(10);
        budget.take(10);
        budget.wait_for_room(1, Instant::now());
        assert!(!budget.has_room(1));
        assert!(!budget.has_room(usize::MAX));
    }
}
