//! Nothing at all: what the timer and the pacing cost.

use std::hint::black_box;

use bench_harness::{Case, Contender, Event};

/// Takes events and forgets them.
pub struct Nothing;

impl Nothing {
    /// Opens nothing.
    pub fn open(_: &Case) -> Self {
        Self
    }
}

impl Contender for Nothing {
    fn producer(&self) -> impl FnMut(&Event) {
        |event| {
            black_box(event);
        }
    }

    fn finish(self) -> Option<u64> {
        None
    }
}
