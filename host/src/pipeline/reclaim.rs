//! When a sink is flushed so that its place in the spool can be given back.
//!
//! What a sink has settled stays in the spool until the sink's own flush has said yes. So it is flushed now and then:
//! once a second, or sooner where much is settled, but so that flushing takes about a twentieth of the time at most.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::run::Run;

/// A sink that has settled something is flushed this often.
const INTERVAL: Duration = Duration::from_secs(1);
/// So many settled runs (of about 256 KiB) are flushed sooner.
const MANY_RUNS: usize = 32;
/// So much longer than a flush takes, the next one comes.
const FLUSH_SHARE: u32 = 20;

/// What one sink has not settled for good, in order.
#[derive(Default)]
pub struct Reclaim {
    runs: VecDeque<Arc<Run>>,
    /// When the latest flush ended, and how long it took.
    last: Option<(Instant, Duration)>,
}

impl Reclaim {
    /// A run that the sink gets, and that is in the spool.
    pub fn push(&mut self, run: Arc<Run>) {
        self.runs.push_back(run);
    }

    /// When the sink is to be flushed, if it has settled everything before this position.
    pub fn due(&self, settled_to: u64, pressed: bool) -> Option<Instant> {
        let first = self.runs.front().filter(|run| run.behind() <= settled_to)?;
        let Some((last, took)) = self.last else { return Some(first.oldest()) };
        let many = pressed || self.runs.get(MANY_RUNS).is_some_and(|run| run.behind() <= settled_to);
        let pause = took * if pressed { 1 } else { FLUSH_SHARE };
        Some(last + if many { pause } else { pause.max(INTERVAL) })
    }

    /// A flush of the sink has ended.
    pub fn note_flush(&mut self, begun: Instant, now: Instant) {
        self.last = Some((now, now.saturating_duration_since(begun)));
    }

    /// Takes out what is settled for good: everything before this position. The last one may be so only in part.
    pub fn take(&mut self, settled_to: u64) -> Vec<(Arc<Run>, u32)> {
        let mut taken = Vec::new();
        while let Some(run) = self.runs.pop_front_if(|run| run.behind() <= settled_to) {
            let len = run.len();
            taken.push((run, len));
        }
        if let Some(run) = self.runs.front().filter(|run| run.first() < settled_to) {
            taken.push((run.clone(), (settled_to - run.first()) as u32));
        }
        taken
    }
}
