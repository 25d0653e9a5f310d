//! Waiting for the sinks at the end of the input.
//!
//! A sink that works is waited for, however much there is: a run is lossless. A sink that does not is given up on: when
//! nothing was settled for `shutdown_timeout`, the caller closes the logger, and what is left stays in the spool, or is
//! dead-lettered where there is none.

use std::time::{Duration, Instant};

use audit_host::logger::{AuditLogger, Logger};
use audit_host::pipeline::FlushOutcome;

use super::signals::Stop;

/// How often it is looked whether the sinks make progress.
const LOOK: Duration = Duration::from_millis(100);

/// How a drain ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Everything is settled and was flushed; these sinks' own flush failed, for this reason.
    Settled(Vec<(String, String)>),
    /// Nothing was settled for as long as the logger's `shutdown_timeout`.
    Stalled,
    /// It is time to stop.
    Stopped,
}

/// Waits until everything accepted so far is settled, for as long as there is progress.
pub fn drain(logger: &Logger, stop: &Stop) -> Drained {
    let patience = logger.shutdown_timeout();
    let mut last_settled = settled(logger);
    let mut last_progress = Instant::now();
    loop {
        if stop.is_set() {
            return Drained::Stopped;
        }
        match logger.flush(LOOK) {
            Ok(FlushOutcome::Flushed) => return Drained::Settled(Vec::new()),
            Ok(FlushOutcome::Failed { sinks, .. }) => return Drained::Settled(sinks),
            Ok(FlushOutcome::TimedOut { .. }) => {}
            Err(from_callback) => unreachable!("the command line is no sink: {from_callback}"),
        }
        let now_settled = settled(logger);
        if now_settled != last_settled {
            (last_settled, last_progress) = (now_settled, Instant::now());
        } else if last_progress.elapsed() >= patience {
            return Drained::Stalled;
        }
    }
}

/// Counts everything that the sinks have settled, each for itself.
fn settled(logger: &Logger) -> u64 {
    let sinks = logger.sink_counts();
    sinks.iter().map(|(_, counts)| counts.delivered + counts.dead_lettered + counts.dropped).sum()
}
