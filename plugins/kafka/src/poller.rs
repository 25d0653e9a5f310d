//! Who hears what becomes of messages: whoever writes batches, while it does so and where it would have to wait, and a thread.
//!
//! A report wakes whoever hears it. The thread would then free messages that the writer's core has made, contend with it for
//! locks, and wake the writer in turn. So the thread only hears reports while the writer has better things to do, or nothing.

use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use audit_plugin_api::AckStatus;

use crate::in_flight::{InFlight, Settled};
use crate::native::{Happening, Producer};
use crate::notices::Notices;

/// How often to look for deliveries of batches that do not become complete, and whether to end.
const ROUND: Duration = Duration::from_secs(1);

/// How long the thread waits, where somebody else has listened meanwhile.
const PAUSE: Duration = Duration::from_millis(1);

/// How long a writer waits for reports, where it can send no more before them.
const WAIT: Duration = Duration::from_millis(10);

/// Hears what becomes of messages, and tells the host, until it is dropped.
pub struct Poller {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    producer: Producer,
    notices: Notices,
    ending: AtomicBool,
    /// How often somebody but the thread has begun to listen, or ended: odd while one does.
    turns: AtomicU64,
}

/// While it is there, the thread leaves the reports alone.
pub struct Listening<'a>(&'a Shared);

impl Poller {
    /// Starts the thread.
    pub fn start(producer: Producer, notices: Notices) -> io::Result<Self> {
        let shared =
            Arc::new(Shared { producer, notices, ending: AtomicBool::new(false), turns: AtomicU64::new(0) });
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

    /// From now on the caller hears what becomes of messages, and tells the host; does not wait. Only one thread at a time
    /// may listen.
    pub fn listen(&self) -> Listening<'_> {
        self.shared.turns.fetch_add(1, Ordering::SeqCst);
        self.shared.poll(Duration::ZERO);
        Listening(&self.shared)
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
}

impl Listening<'_> {
    /// Waits for a moment while this many batches are in flight, since the host gives no more until one is settled.
    pub fn wait_for_room(&self, batches: usize) {
        self.wait(Instant::now() + WAIT, |in_flight| in_flight.batches() < batches);
    }

    /// Waits until nothing is in flight, until then at most; returns how many messages are.
    pub fn wait_for_all(&self, until: Instant) -> usize {
        self.wait(until, |in_flight| in_flight.messages() == 0);
        self.0.producer.in_flight().messages()
    }

    fn wait(&self, until: Instant, done: impl Fn(&InFlight) -> bool) {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if done(&self.0.producer.in_flight()) || left.is_zero() {
                return;
            }
            self.0.poll(left);
        }
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.0.turns.fetch_add(1, Ordering::SeqCst);
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
        let mut turns = 0;
        while !self.ending.load(Ordering::Acquire) {
            let seen = mem::replace(&mut turns, self.turns.load(Ordering::SeqCst));
            match seen == turns && turns % 2 == 0 {
                true => {
                    self.poll(round.saturating_duration_since(Instant::now()));
                    if self.turns.load(Ordering::SeqCst) != turns {
                        // Somebody may wait for the reports that this thread has just taken.
                        self.producer.wake();
                    }
                }
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
        // Whoever hears that a batch is settled finds its bytes free.
        drop(released);
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
        }
    }
}
