//! Watches the deadlines of calls into sinks, in a thread of its own.
//!
//! While a call is going on the thread sleeps until the call is due; otherwise until one begins. No call that begins
//! while it sleeps can be due before `shortest` has passed, so the beginning of a call wakes it only from idleness.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::backoff::LONGEST;
use super::sink_state::SinkState;

/// Says that calls begin.
pub struct Watch {
    asleep: AtomicBool,
    wake: Sender<()>,
}

impl Watch {
    /// For [`supervise`], with what wakes it.
    pub fn new() -> (Arc<Self>, Receiver<()>) {
        let (wake, woken) = bounded(1);
        (Arc::new(Self { asleep: AtomicBool::new(false), wake }), woken)
    }

    /// A call begins; its deadline must be visible by now.
    pub fn notice(&self) {
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            let _ = self.wake.try_send(());
        }
    }
}

/// Abandons calls that pass their deadline, until the pipeline is gone. No call may take less than `shortest`.
pub fn supervise(
    sinks: &[Arc<SinkState>],
    shortest: Duration,
    watch: &Arc<Watch>,
    woken: Receiver<()>,
) -> std::io::Result<()> {
    let sinks: Vec<Weak<SinkState>> = sinks.iter().map(Arc::downgrade).collect();
    let watch = Arc::downgrade(watch);
    let shortest = shortest.clamp(Duration::from_millis(1), LONGEST);
    std::thread::Builder::new().name("audit-supervisor".into()).spawn(move || {
        loop {
            let Some(watch) = watch.upgrade() else { return };
            watch.asleep.store(true, Ordering::SeqCst);
            let now = Instant::now();
            let mut next = None::<Instant>;
            for sink in &sinks {
                let deadline = sink.upgrade().and_then(|sink| sink.supervise(now));
                next = next.into_iter().chain(deadline).min();
            }
            if next.is_some() {
                watch.asleep.store(false, Ordering::SeqCst);
            }
            drop(watch);
            let woken = match next {
                None => woken.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(deadline) => woken.recv_deadline(deadline.min(now + shortest)),
            };
            if woken == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    })?;
    Ok(())
}
