//! The thread that hears what becomes of messages.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use audit_plugin_api::AckStatus;

use crate::in_flight::Settled;
use crate::native::{Happening, Producer};
use crate::notices::Notices;

/// How long deliveries of an incomplete batch are held back, to be acknowledged together.
const COLLECT: Duration = Duration::from_millis(20);
/// How often to look whether to end, where nothing happens.
const IDLE: Duration = Duration::from_secs(1);

/// Hears what becomes of messages, and tells the host, until it is dropped.
pub struct Poller {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    producer: Producer,
    notices: Notices,
    ending: AtomicBool,
    /// Something was settled; guarded by the lock of what is in flight.
    settled: Condvar,
}

impl Poller {
    /// Starts the thread.
    pub fn start(producer: Producer, notices: Notices) -> io::Result<Self> {
        let shared =
            Arc::new(Shared { producer, notices, ending: AtomicBool::new(false), settled: Condvar::new() });
        let poller = shared.clone();
        let thread = thread::Builder::new().name("audit-kafka".into()).spawn(move || poller.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The producer.
    pub fn producer(&self) -> &Producer {
        &self.shared.producer
    }

    /// What it says.
    pub fn notices(&self) -> &Notices {
        &self.shared.notices
    }

    /// Tells the host what was settled elsewhere.
    pub fn tell(&self, settled: Settled) {
        self.shared.tell(settled);
    }

    /// Waits until nothing is in flight, until then at most; returns how many messages are.
    pub fn wait(&self, until: Instant) -> usize {
        let mut in_flight = self.shared.producer.in_flight();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if in_flight.messages() == 0 || left.is_zero() {
                return in_flight.messages();
            }
            let waited = self.shared.settled.wait_timeout(in_flight, left);
            in_flight = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::Release);
        self.shared.producer.wake();
        if let Some(thread) = self.thread.take() {
            // It has panicked, or ended.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut collecting: Option<Instant> = None;
        while !self.ending.load(Ordering::Acquire) {
            let timeout = collecting.map_or(IDLE, |since| COLLECT.saturating_sub(since.elapsed()));
            self.producer.poll(timeout, &mut |happening| match happening {
                Happening::Reports(settled) => self.tell(settled),
                Happening::Log(level, facility, text) => self.notices.log(level, &facility, &text),
                Happening::Error(code, words) => self.notices.error(code, &words),
                Happening::Statistics(json) => self.notices.statistics(json),
            });
            collecting = match collecting {
                Some(since) if since.elapsed() >= COLLECT => {
                    let mut settled = Settled::default();
                    self.producer.in_flight().overdue(&mut settled);
                    self.tell(settled);
                    None
                }
                Some(since) => Some(since),
                None => self.producer.in_flight().has_ripe().then(Instant::now),
            };
        }
    }

    fn tell(&self, settled: Settled) {
        let Settled { acknowledgements, released } = settled;
        if !acknowledgements.is_empty() {
            for acknowledgement in acknowledgements {
                match acknowledgement.status {
                    AckStatus::Delivered => self.notices.delivered(),
                    AckStatus::Retryable | AckStatus::Permanent => {
                        self.notices.failed(&acknowledgement.reason);
                    }
                }
                self.notices.host().acknowledge(acknowledgement);
            }
            self.settled.notify_all();
        }
        drop(released);
    }
}
