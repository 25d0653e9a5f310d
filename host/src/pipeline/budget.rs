//! The bound of the store, in bytes.
//!
//! Every byte that the store holds for an event is taken from one budget before the event is accepted, and given back
//! when its last sink has settled it (and nobody holds it any more). What is taken for an event when it is recorded is
//! at least what it takes later, as a canonical line with its entry: the bound never has to stretch.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The bound of the store, in bytes.
#[derive(Debug)]
pub struct Budget {
    capacity: usize,
    used: AtomicUsize,
    last_progress: Mutex<Instant>,
    room: Condvar,
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
            last_progress: Mutex::new(Instant::now()),
            room: Condvar::new(),
        }
    }

    /// Bytes it has in all.
    pub fn capacity(&self) -> usize {
        self.capacity
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
        match taken {
            Ok(before) if before < self.capacity / 2 && before + bytes >= self.capacity / 2 => {
                Taken::HalfFull
            }
            Ok(_) => Taken::Yes,
            Err(_) => Taken::No,
        }
    }

    /// Gives bytes back, and wakes those who wait for room.
    pub fn give(&self, bytes: usize) {
        if bytes > 0 {
            self.used.fetch_sub(bytes, Ordering::AcqRel);
            drop(self.last_progress.lock().unwrap_or_else(PoisonError::into_inner));
            self.room.notify_all();
        }
    }

    /// Notes that a sink has settled something: who waits for room goes on waiting.
    pub fn note_progress(&self, now: Instant) {
        *self.last_progress.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Waits until there may be room for this many bytes; `false` when `patience` has passed since the later of the
    /// last progress and `since`.
    pub fn wait_for_room(&self, bytes: usize, since: Instant, patience: Duration) -> bool {
        let mut last = self.last_progress.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if self.used() + bytes <= self.capacity {
                return true;
            }
            let waited = last.max(since).elapsed();
            let Some(left) = patience.checked_sub(waited).filter(|left| !left.is_zero()) else {
                return false;
            };
            last = self.room.wait_timeout(last, left).unwrap_or_else(PoisonError::into_inner).0;
        }
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
            std::thread::spawn(move || budget.wait_for_room(50, Instant::now(), Duration::from_secs(60)))
        };
        drop(charge);
        assert!(waiter.join().unwrap());
    }

    #[test]
    fn waiting_ends_when_nothing_moves() {
        let budget = Budget::new(10);
        budget.take(10);
        assert!(!budget.wait_for_room(1, Instant::now(), Duration::from_millis(5)));
    }
}
