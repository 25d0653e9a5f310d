//! Who hears what becomes of messages: the caller of [`Poller::look`] while it has batches to write, and a thread.
//!
//! A report wakes the thread, which frees messages that the caller's core has made, and contends with it for locks. So while
//! the caller looks by itself, the thread only looks after it now and then.

use std::io;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use audit_plugin_api::AckStatus;

use crate::in_flight::Settled;
use crate::native::{Happening, Producer};
use crate::notices::Notices;

/// How often to look for deliveries of batches that do not become complete, and whether to end.
const ROUND: Duration = Duration::from_secs(1);

/// How long the thread waits, where somebody else has looked meanwhile.
const PAUSE: Duration = Duration::from_millis(1);

/// Hears what becomes of messages, and tells the host, until it is dropped.
pub struct Poller {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    producer: Producer,
    notices: Notices,
    ending: AtomicBool,
    /// How often somebody but the thread has looked.
    looks: AtomicU64,
    /// Something was settled; guarded by the lock of what is in flight.
    settled: Condvar,
}

impl Poller {
    /// Starts the thread.
    pub fn start(producer: Producer, notices: Notices) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            producer,
            notices,
            ending: AtomicBool::new(false),
            looks: AtomicU64::new(0),
            settled: Condvar::new(),
        });
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

    /// Tells the host what has become of messages so far; does not wait.
    pub fn look(&self) {
        self.shared.looks.fetch_add(1, Ordering::Relaxed);
        self.shared.poll(Duration::ZERO);
    }

    /// Tells the host what was settled elsewhere.
    pub fn tell(&self, settled: Settled) {
        self.shared.tell(settled);
    }

    /// Tells the host of all deliveries so far: afterwards it may not listen any more.
    pub fn finish(&self) {
        let mut settled = Settled::default();
        self.producer().in_flight().finish(&mut settled);
        self.tell(settled);
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
            thread.thread().unpark();
            // It has panicked, or ended.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut round = Instant::now() + ROUND;
        let mut looks = 0;
        while !self.ending.load(Ordering::Acquire) {
            let seen = mem::replace(&mut looks, self.looks.load(Ordering::Relaxed));
            match seen == looks {
                true => self.poll(round.saturating_duration_since(Instant::now())),
                false => thread::park_timeout(PAUSE),
            }
            let now = Instant::now();
            if now >= round {
                round = now + ROUND;
                let mut settled = Settled::default();
                self.producer.in_flight().overdue(&mut settled);
                self.tell(settled);
            }
        }
    }

    fn poll(&self, timeout: Duration) {
        self.producer.poll(timeout, &mut |happening| match happening {
            Happening::Reports(settled) => self.tell(settled),
            Happening::Log(level, facility, text) => self.notices.log(level, &facility, &text),
            Happening::Error(code, words) => self.notices.error(code, &words),
            Happening::Statistics(json) => self.notices.statistics(json),
        });
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
