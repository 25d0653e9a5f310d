//! The moment by which a callback must have returned.

use std::time::{Duration, Instant};

/// A moment on the monotonic clock; a call that outlasts it is abandoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline at this moment.
    pub fn at(moment: Instant) -> Self {
        Self(moment)
    }

    /// The deadline this far from now (at most a century, so that no sum overflows).
    pub fn after(delay: Duration) -> Self {
        Self(Instant::now() + delay.min(Duration::from_secs(100 * 365 * 86_400)))
    }

    /// The moment itself.
    pub fn instant(self) -> Instant {
        self.0
    }

    /// The time left; zero when it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    pub fn has_passed(self) -> bool {
        Instant::now() >= self.0
    }
}
