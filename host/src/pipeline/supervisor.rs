//! Watches the deadlines of calls into sinks, in a thread of its own.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::sink_state::SinkState;

/// Abandons calls that pass their deadline, until the sender of `stop` is gone.
///
/// No call that starts later than now can be due before `shortest` has passed, so nobody has to wake this thread.
pub fn supervise(sinks: &[Arc<SinkState>], shortest: Duration, stop: Receiver<()>) -> std::io::Result<()> {
    let sinks: Vec<Weak<SinkState>> = sinks.iter().map(Arc::downgrade).collect();
    let shortest = shortest.clamp(Duration::from_millis(1), Duration::from_secs(3600));
    std::thread::Builder::new().name("audit-supervisor".into()).spawn(move || {
        loop {
            let now = Instant::now();
            let mut next = now + shortest;
            for sink in &sinks {
                let Some(sink) = sink.upgrade() else { return };
                if let Some(deadline) = sink.supervise(now) {
                    next = next.min(deadline);
                }
            }
            match stop.recv_deadline(next) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => return,
            }
        }
    })?;
    Ok(())
}
