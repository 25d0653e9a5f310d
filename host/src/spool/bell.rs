//! What many threads sleep on and are woken from at once.
//!
//! A condition variable would have each of them take a lock when it wakes: they would stand in line for it, and sleep again
//! meanwhile. Here they only look at what they wait for, which has to be an atomic.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::thread::futex::{Flags, Timespec, wait, wake};

/// What many threads sleep on and are woken from at once.
#[derive(Default)]
pub struct Bell {
    /// How often it has rung, as far as that fits in.
    rung: AtomicU32,
}

impl Bell {
    /// How often it has rung. To be asked before the caller looks whether it has to wait at all: no ring is missed then.
    pub fn rung(&self) -> u32 {
        self.rung.load(Ordering::Acquire)
    }

    /// Sleeps until it has rung more often than `heard`, or for this long; may end sooner.
    pub fn wait(&self, heard: u32, longest: Duration) {
        // A time that does not fit in is longer than anybody waits.
        let longest = Timespec::try_from(longest).ok();
        // Whatever ended it, the caller looks.
        let _ = wait(&self.rung, Flags::PRIVATE, heard, longest.as_ref());
    }

    /// Wakes all who sleep. What was stored before is seen by them.
    pub fn ring(&self) {
        self.rung.fetch_add(1, Ordering::Release);
        let _ = wake(&self.rung, Flags::PRIVATE, i32::MAX.unsigned_abs());
    }
}
