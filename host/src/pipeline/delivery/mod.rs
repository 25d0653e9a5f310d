//! What one sink still has to get, and what comes next: a state machine without thread or I/O, told the time.
//!
//! The worker asks [`Delivery::next`], does what it says, and tells how it went. The rules:
//!
//! - A fresh batch goes out when it is full, when its oldest event is `flush_interval` old, when the store is half
//!   full, or when a flush or close is under way.
//! - What failed comes before anything newer, in its order; nothing newer is handed out until it is settled.
//! - A permanent failure without positions, and a panic, first let everything else land, then the batch is halved, in
//!   order, until the poisonous event stands alone. Retryable failures are never halved.
//! - The first acknowledgement of an event counts, also one that comes before `write_batch` has returned.
//!
//! In `next`: what to do. In `answer`: what came of it. In `give_up`: what is taken back, dropped or dead-lettered. In
//! `standing`: how it stands.

mod answer;
mod give_up;
mod next;
mod pending;
mod standing;
mod unflushed;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use audit_plugin_api::Acknowledgement;

use super::backoff::{Backoff, LONGEST};
use super::flush_requests::Flushed;
use super::piece::{Doubt, Piece};
use super::run::{Run, Span};
use crate::config::{DeliverySettings, SinkSettings};

use pending::{Offered, Pending};
use unflushed::Unflushed;

/// How often the worker looks whether a batch has become full, at most. Producers do not wake it for that, and each look
/// takes the slots' memory away from their cores.
pub const POLL: Duration = Duration::from_millis(1);
/// How often it looks at least, as long as anything waits.
pub const LONGEST_POLL: Duration = Duration::from_millis(8);

/// What the worker shall do next.
#[derive(Debug)]
pub enum Step {
    /// Open an instance.
    Open,
    /// Offer this to the instance.
    Write(Offer),
    /// Take a run out of the store.
    Collect,
    /// Write these to the dead letters.
    Bury(Burial),
    /// Have the instance flush, so that it acknowledges what it has; the flush that counts comes later.
    Nudge,
    /// Have the instance make everything durable, for all requests up to this one.
    Flush(u64),
    /// All is settled, and the sink is to be closed.
    Close,
    /// Wait for something to happen, until then at most.
    Wait(Instant),
    /// Wait for something to happen.
    Sleep,
}

/// A batch on its way to the sink.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Which of the sinks of the store it is for.
    pub sink: usize,
    /// Names it in acknowledgements.
    pub id: u64,
    /// 1 the first time.
    pub attempt: u32,
    /// The events.
    pub spans: Vec<Span>,
    /// Whether an earlier attempt may have delivered them.
    pub doubt: Doubt,
}

/// Events on their way to the dead letters.
#[derive(Clone, Debug)]
pub struct Burial {
    /// Names it in [`Delivery::buried`].
    pub id: u64,
    /// The events, and what is known of their attempts.
    pub pieces: Vec<Piece>,
}

/// Whether the instance is of further use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instance {
    /// Go on with it.
    Keep,
    /// Drop it, and open a fresh one.
    Replace,
}

/// What one sink still has to get.
pub struct Delivery {
    sink: usize,
    settings: SinkSettings,
    max_attempts: u32,
    /// Most memory of what is in the spool that one batch takes, about.
    batch_bytes: usize,
    ack_timeout: Duration,
    backoff: Backoff,

    /// Never offered, in order.
    queue: VecDeque<Span>,
    queued: usize,
    /// What failed, in order.
    front: VecDeque<Piece>,
    offered: Option<Offered>,
    pending: VecDeque<Pending>,
    /// Delivered, and in the spool until a flush has said yes.
    unflushed: Unflushed,
    /// Before this position the spool may have given back what was delivered, flushed or not.
    let_go_to: u64,
    doomed: Vec<Piece>,
    burial: Option<Burial>,
    burial_not_before: Option<Instant>,
    next_burial: u64,
    refused_until: Option<Instant>,
    next_id: u64,
    last_offer: Option<Instant>,

    open: bool,
    open_failures: u32,
    open_not_before: Option<Instant>,

    /// Position behind the last run that was pushed.
    received: u64,
    /// Batches of events before this position do not wait.
    hurry_to: u64,
    /// What the flush that is asked for covers.
    flush_to: u64,
    flushes_asked: u64,
    flushes_done: u64,
    /// Flushes that failed since one said yes.
    flush_failures: u32,
    /// What `next_id` was at the last nudge.
    nudged_at: u64,
    /// What `next_id` was at the last flush before a suspect.
    flushed_at: u64,
    closing: bool,

    delivered: u64,
    retried: u64,
    dead_lettered: u64,
    dropped: u64,
    spooled: u64,
    lost: u64,
    /// The most that was settled at any time.
    most_settled: u64,
    /// Position of the first event that was left in the spool.
    left_from: Option<u64>,
}

impl Delivery {
    /// Nothing to deliver yet, and no instance open.
    pub fn new(sink: usize, settings: SinkSettings, delivery: &DeliverySettings, seed: u64) -> Self {
        Self {
            sink,
            settings,
            max_attempts: delivery.max_attempts,
            batch_bytes: usize::MAX,
            ack_timeout: delivery.ack_timeout.min(LONGEST),
            backoff: Backoff::new(delivery, seed),
            queue: VecDeque::new(),
            queued: 0,
            front: VecDeque::new(),
            offered: None,
            pending: VecDeque::new(),
            unflushed: Unflushed::default(),
            let_go_to: 0,
            doomed: Vec::new(),
            burial: None,
            burial_not_before: None,
            next_burial: 1,
            refused_until: None,
            next_id: 1,
            last_offer: None,
            open: false,
            open_failures: 0,
            open_not_before: None,
            received: 0,
            hurry_to: 0,
            flush_to: 0,
            flushes_asked: 0,
            flushes_done: 0,
            flush_failures: 0,
            nudged_at: 0,
            flushed_at: 0,
            closing: false,
            delivered: 0,
            retried: 0,
            dead_lettered: 0,
            dropped: 0,
            spooled: 0,
            lost: 0,
            most_settled: 0,
            left_from: None,
        }
    }

    /// A batch of what is in the spool takes about so much memory at most: in memory it is bounded by what was accepted.
    pub fn limit_batch_bytes(&mut self, bytes: usize) {
        self.batch_bytes = bytes;
    }

    /// A run to deliver.
    pub fn push(&mut self, run: Arc<Run>) {
        self.received = run.behind();
        if !run.is_settled_at(self.sink) {
            self.queued += run.len() as usize;
            self.queue.push_back(Span::whole(run));
        }
    }

    /// Batches of events before this position do not wait.
    pub fn hurry(&mut self, to: u64) {
        self.hurry_to = self.hurry_to.max(to);
    }

    /// Everything before this position is to be delivered, and the sink flushed after that; returns the number of the
    /// request.
    pub fn request_flush(&mut self, to: u64) -> u64 {
        self.flush_to = self.flush_to.max(to);
        self.hurry(to);
        self.flushes_asked += 1;
        self.flushes_asked
    }

    /// Everything is to be delivered and made durable, and the sink closed; returns the number of the flush request.
    pub fn request_close(&mut self, to: u64) -> u64 {
        self.closing = true;
        self.request_flush(to)
    }

    /// The sink asks for more time for its acknowledgements; it cannot ask for less than is configured.
    pub fn raise_ack_timeout(&mut self, timeout: Duration) {
        self.ack_timeout = self.ack_timeout.max(timeout.min(LONGEST));
    }

    /// An acknowledgement; those of batches that are gone are ignored.
    pub fn acknowledge(&mut self, ack: Acknowledgement, now: Instant) {
        if let Some(offered) = &mut self.offered
            && offered.id == ack.batch
        {
            self.refused_until = None;
            offered.early.push(ack);
        } else if let Some(index) = self.pending.iter().position(|pending| pending.id == ack.batch)
            && let Some(mut pending) = self.pending.remove(index)
        {
            self.refused_until = None;
            self.apply_ack(&mut pending, &ack, now);
            if pending.left() > 0 {
                self.pending.insert(index, pending);
            }
        }
    }

    /// The instance was opened.
    pub fn opened(&mut self) {
        self.open = true;
        self.open_failures = 0;
        self.open_not_before = None;
    }

    /// The instance's own flush begins: it is about what is delivered by now.
    pub fn begin_flush(&mut self) {
        self.unflushed.begin_flush();
    }

    /// The instance's own flush came back, asked for by all requests up to this one.
    pub fn flushed(&mut self, request: u64, flushed: &Flushed) {
        self.flushes_done = self.flushes_done.max(request);
        if flushed.is_ok() {
            self.unflushed.confirm();
            self.flush_failures = 0;
        } else {
            self.flush_failures = self.flush_failures.saturating_add(1);
            self.drop_what_was_let_go();
        }
    }
}
