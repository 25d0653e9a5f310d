//! For how long frames have waited, and what that means for those that are read from a mapping.
//!
//! What was written a moment ago has hardly left memory: it is used as it stands, and reading it costs next to nothing. A page
//! of what waits may be written to the disk, taken from memory, and read from the disk again, which may return something
//! else: its frames are checked each time just before they are used, as those that are read from the file. What is kept outside the mapping until it is
//! on the disk needs no check, however old it is.

use std::time::{Duration, Instant};

/// For how long what was written is used as it stands: the kernel keeps it to itself for longer, unless it is short of memory.
const YOUNG: Duration = Duration::from_secs(1);

/// For how long frames have waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// They were written a moment ago.
    Young,
    /// For longer, or nobody knows.
    Waited,
}

impl Age {
    /// That of frames of which the oldest was written at this moment.
    pub fn of(oldest: Instant, now: Instant) -> Self {
        if now.saturating_duration_since(oldest) < YOUNG { Self::Young } else { Self::Waited }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_within_a_second_is_young() {
        let oldest = Instant::now();
        let age = |waited| Age::of(oldest, oldest + waited);
        assert_eq!(age(Duration::ZERO), Age::Young);
        assert_eq!(age(YOUNG - Duration::from_nanos(1)), Age::Young);
        assert_eq!(age(YOUNG), Age::Waited);
        assert_eq!(
            Age::of(oldest + YOUNG, oldest),
            Age::Young,
            "another thread has looked at the clock later"
        );
    }
}
