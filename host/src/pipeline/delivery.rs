//! What one sink still has to get, and what comes next: a state machine without thread, clock or I/O.
//!
//! The worker asks [`Delivery::next`], does what it says, and tells how it went. The rules:
//!
//! - A fresh batch goes out when it is full, when its oldest event is `flush_interval` old, when the store is half
//!   full, or when a flush or close is under way.
//! - What failed comes before anything newer, in its order; nothing newer is handed out until it is settled.
//! - A permanent failure without positions, and a panic, first let everything else land, then the batch is halved, in
//!   order, until the poisonous event stands alone. Retryable failures are never halved.
//! - The first acknowledgement of an event counts, also one that comes before `write_batch` has returned.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use audit_plugin_api::{AckStatus, Acknowledgement, Delivered, ErrorKind, SinkError, Timestamp, Written};

use super::backoff::Backoff;
use super::piece::{Doubt, Isolation, Piece};
use super::run::{Outcome, Run, Span};
use super::store::Waiting;
use crate::config::{DeliverySettings, SinkSettings};

/// How often the worker looks whether a batch has become full. Producers do not wake it for that.
pub const POLL: Duration = Duration::from_millis(1);
/// How long a sink that took nothing is left alone, unless an acknowledgement comes first.
const BACKPRESSURE: Duration = Duration::from_millis(10);
/// How long to wait before dead letters are written again.
const BURIAL_RETRY: Duration = Duration::from_secs(1);
/// A panic over a single event this often is a dead letter.
const PANICS: u32 = 3;

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
    Bury(Vec<Doomed>),
    /// Have the instance make everything durable.
    Flush,
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
    /// Names it in acknowledgements.
    pub id: u64,
    /// 1 the first time.
    pub attempt: u32,
    /// The events.
    pub spans: Vec<Span>,
    /// Whether an earlier attempt may have delivered them.
    pub doubt: Doubt,
}

/// Events that are given up.
#[derive(Clone, Debug)]
pub struct Doomed {
    /// The events, and what is known of their attempts.
    pub piece: Piece,
}

/// Whether the instance is of further use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instance {
    /// Go on with it.
    Keep,
    /// Drop it, and open a fresh one.
    Replace,
}

struct Pending {
    id: u64,
    piece: Piece,
    settled: Vec<bool>,
    left: usize,
    deadline: Instant,
}

enum Fate {
    Delivered,
    Retry { reason: String, after: Option<Duration>, counts: Counts },
    Doomed(String),
}

/// Whether a failure counts towards `max_attempts`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counts {
    Yes,
    No,
}

/// What one sink still has to get.
pub struct Delivery {
    sink: usize,
    settings: SinkSettings,
    max_attempts: u32,
    ack_timeout: Duration,
    backoff: Backoff,

    queue: VecDeque<Span>,
    queued: usize,
    /// What failed, in order.
    front: VecDeque<Piece>,
    offered: Option<(u64, Piece, Vec<Acknowledgement>)>,
    pending: VecDeque<Pending>,
    doomed: Vec<Doomed>,
    /// Events handed to the burial that is going on.
    burying: usize,
    burial_not_before: Option<Instant>,
    refused_until: Option<Instant>,
    next_id: u64,

    open: bool,
    open_failures: u32,
    open_not_before: Option<Instant>,

    /// Position behind the last run that was pushed.
    received: u64,
    /// Batches of events before this position do not wait.
    hurry_to: u64,
    flush_to: u64,
    flushed_to: u64,
    nudged_to: u64,
    closing: bool,

    delivered: u64,
    retried: u64,
    dead_lettered: u64,
    dropped: u64,
}

impl Delivery {
    /// Nothing to deliver yet, and no instance open.
    pub fn new(sink: usize, settings: SinkSettings, delivery: &DeliverySettings, seed: u64) -> Self {
        Self {
            sink,
            settings,
            max_attempts: delivery.max_attempts,
            ack_timeout: delivery.ack_timeout,
            backoff: Backoff::new(delivery, seed),
            queue: VecDeque::new(),
            queued: 0,
            front: VecDeque::new(),
            offered: None,
            pending: VecDeque::new(),
            doomed: Vec::new(),
            burying: 0,
            burial_not_before: None,
            refused_until: None,
            next_id: 1,
            open: false,
            open_failures: 0,
            open_not_before: None,
            received: 0,
            hurry_to: 0,
            flush_to: 0,
            flushed_to: 0,
            nudged_to: 0,
            closing: false,
            delivered: 0,
            retried: 0,
            dead_lettered: 0,
            dropped: 0,
        }
    }

    // --- What comes in ---

    /// A run to deliver.
    pub fn push(&mut self, run: std::sync::Arc<Run>) {
        self.received = run.behind();
        if run.len() > 0 {
            self.queued += run.len() as usize;
            self.queue.push_back(Span::whole(run));
        }
    }

    /// Batches of events before this position do not wait.
    pub fn hurry(&mut self, to: u64) {
        self.hurry_to = self.hurry_to.max(to);
    }

    /// Everything before this position is to be delivered and made durable.
    pub fn request_flush(&mut self, to: u64) {
        self.flush_to = self.flush_to.max(to);
        self.hurry(to);
    }

    /// Everything is to be delivered, made durable, and the sink closed.
    pub fn request_close(&mut self, to: u64) {
        self.closing = true;
        self.request_flush(to);
    }

    /// An acknowledgement; those of batches that are gone are ignored.
    pub fn acknowledge(&mut self, ack: Acknowledgement, now: Instant) {
        self.refused_until = None;
        if let Some((id, _, early)) = &mut self.offered
            && *id == ack.batch
        {
            early.push(ack);
        } else if let Some(index) = self.pending.iter().position(|pending| pending.id == ack.batch) {
            let mut pending = self.pending.remove(index).expect("the index was just found");
            self.apply_ack(&mut pending, &ack, now);
            if pending.left > 0 {
                self.pending.insert(index, pending);
            }
        }
    }

    /// The sink itself may need longer for its acknowledgements than the configuration says.
    pub fn raise_ack_timeout(&mut self, timeout: Duration) {
        self.ack_timeout = self.ack_timeout.max(timeout);
    }

    // --- What to do ---

    /// What the worker shall do next. `waiting` is what the store holds beyond the queue; `pressed` whether the store
    /// is half full.
    pub fn next(&mut self, now: Instant, waiting: Waiting, pressed: bool) -> Step {
        self.expire_acknowledgements(now);
        if !self.doomed.is_empty() && self.burial_not_before.is_none_or(|moment| moment <= now) {
            let doomed = std::mem::take(&mut self.doomed);
            self.burying = doomed.iter().map(|doomed| doomed.piece.len()).sum();
            return Step::Bury(doomed);
        }
        if !self.open {
            if self.closing && self.settled_to() >= self.flush_to && self.is_idle() {
                return Step::Close;
            }
            return match self.open_not_before.filter(|moment| *moment > now) {
                Some(moment) => Step::Wait(moment),
                None => Step::Open,
            };
        }
        let mut until = self.pending.iter().map(|pending| pending.deadline).min();
        let mut wait =
            |moment: Instant| until = Some(until.map_or(moment, |other: Instant| other.min(moment)));
        if let Some(moment) = self.burial_not_before.filter(|moment| *moment > now && !self.doomed.is_empty())
        {
            wait(moment);
        }
        if let Some(moment) = self.refused_until.filter(|moment| *moment > now) {
            wait(moment);
        } else if self.pending.len() < self.settings.max_in_flight.max(1) {
            if let Some(piece) = self.front.front() {
                if let Some(moment) = piece.not_before.filter(|moment| *moment > now) {
                    wait(moment);
                } else if piece.isolation == Isolation::None || self.pending.is_empty() {
                    return Step::Write(self.offer_front(now));
                }
            } else if !self.pending.iter().any(|pending| pending.piece.attempts > 1) {
                match self.fresh(now, waiting, pressed) {
                    Fresh::Offer => return Step::Write(self.offer_fresh()),
                    Fresh::Collect => return Step::Collect,
                    Fresh::Wait(moment) => wait(moment),
                    Fresh::Nothing => {}
                }
            }
        }
        if self.flush_to > self.flushed_to && self.received >= self.flush_to {
            if self.settled_to() >= self.flush_to {
                return Step::Flush;
            }
            if self.nudged_to < self.flush_to && self.handed_out_to() >= self.flush_to {
                self.nudged_to = self.flush_to;
                return Step::Flush;
            }
        }
        if self.closing && self.flushed_to >= self.flush_to && self.is_idle() && waiting.events == 0 {
            return Step::Close;
        }
        until.map_or(Step::Sleep, Step::Wait)
    }

    fn fresh(&self, now: Instant, waiting: Waiting, pressed: bool) -> Fresh {
        let hurry = pressed || self.closing;
        let due = |oldest: Instant| oldest + self.settings.flush_interval;
        if let Some(front) = self.queue.front() {
            if self.queued >= self.settings.batch_size {
                return Fresh::Offer;
            }
            let moment = due(front.run.oldest());
            if hurry || moment <= now || front.position() < self.hurry_to {
                return if waiting.events > 0 { Fresh::Collect } else { Fresh::Offer };
            }
            if self.queued + waiting.events >= self.settings.batch_size {
                return Fresh::Collect;
            }
            return Fresh::Wait(moment.min(now + POLL));
        }
        let Some(oldest) = waiting.oldest else {
            return if self.received < self.hurry_to { Fresh::Collect } else { Fresh::Nothing };
        };
        let moment = due(oldest);
        let full = waiting.events >= self.settings.batch_size;
        if hurry || full || moment <= now || self.received < self.hurry_to {
            return Fresh::Collect;
        }
        Fresh::Wait(moment.min(now + POLL))
    }

    fn offer_fresh(&mut self) -> Offer {
        let mut spans = Vec::new();
        let mut missing = self.settings.batch_size;
        while missing > 0
            && let Some(span) = self.queue.front_mut()
        {
            if span.len() <= missing {
                missing -= span.len();
                spans.extend(self.queue.pop_front());
            } else {
                spans.push(span.split_front(missing));
                missing = 0;
            }
        }
        self.queued -= self.settings.batch_size - missing;
        self.offer(Piece { spans, ..Piece::default() })
    }

    fn offer_front(&mut self, now: Instant) -> Offer {
        let mut piece = self.front.pop_front().unwrap_or_default();
        // Single events that failed one by one go together again, as long as they have the same past.
        while piece.isolation == Isolation::None
            && let Some(next) = self.front.front()
            && next.isolation == Isolation::None
            && (next.failures, next.attempts, next.doubt) == (piece.failures, piece.attempts, piece.doubt)
            && next.not_before.is_none_or(|moment| moment <= now)
            && piece.len() + next.len() <= self.settings.batch_size
        {
            piece.spans.extend(self.front.pop_front().into_iter().flat_map(|next| next.spans));
        }
        self.offer(piece)
    }

    fn offer(&mut self, mut piece: Piece) -> Offer {
        if piece.attempts > 0 {
            self.retried += piece.len() as u64;
        }
        piece.attempts += 1;
        piece.not_before = None;
        let id = self.next_id;
        self.next_id += 1;
        let offer = Offer { id, attempt: piece.attempts, spans: piece.spans.clone(), doubt: piece.doubt };
        self.offered = Some((id, piece, Vec::new()));
        offer
    }

    // --- What came of it ---

    /// The instance was opened.
    pub fn opened(&mut self) {
        self.open = true;
        self.open_failures = 0;
        self.open_not_before = None;
    }

    /// An instance could not be opened; the events that wait first have failed once more.
    pub fn open_failed(&mut self, error: &SinkError, now: Instant) {
        self.open_failures += 1;
        let delay = self.backoff.delay(self.open_failures).max(error.retry_after.unwrap_or_default());
        self.open_not_before = Some(now + delay);
        if let Some(piece) = self.front.pop_front() {
            let fate = Fate::Retry { reason: error.reason.clone(), after: Some(delay), counts: Counts::Yes };
            self.apply(piece, fate, now);
        }
    }

    /// The answer to the offer.
    pub fn written(&mut self, answer: Result<Written, SinkError>, now: Instant) -> Instance {
        let Some((id, piece, early)) = self.offered.take() else { return Instance::Keep };
        let len = piece.len();
        if early.is_empty() {
            if answer == Ok(Written::Delivered) {
                self.settle(&piece.spans, Outcome::Delivered);
                return Instance::Keep;
            }
            if let Err(error) = answer {
                return self.failed(piece, error, now);
            }
        }
        let mut pending =
            Pending { id, settled: vec![false; len], left: len, piece, deadline: now + self.ack_timeout };
        for ack in &early {
            self.apply_ack(&mut pending, ack, now);
        }
        let open = unsettled_ranges(&pending.settled);
        match answer {
            Ok(Written::Delivered) => {
                for (start, end) in open {
                    self.settle(&pending.piece.slice(start, end), Outcome::Delivered);
                }
                Instance::Keep
            }
            Ok(Written::Pending { taken }) => {
                let taken = (taken as usize).min(len);
                self.give_back(&mut pending, taken, now);
                if pending.left > 0 {
                    self.pending.push_back(pending);
                }
                Instance::Keep
            }
            Err(error) => {
                // Some events were acknowledged before the call failed: the answer concerns the others.
                let mut instance = Instance::Keep;
                for (start, end) in open {
                    let part = pending.piece.part(start, end);
                    let error = SinkError { events: narrow(&error.events, start, end), ..error.clone() };
                    if self.failed(part, error, now) == Instance::Replace {
                        instance = Instance::Replace;
                    }
                }
                instance
            }
        }
    }

    /// What the sink did not take goes back, as if it had never been offered.
    fn give_back(&mut self, pending: &mut Pending, taken: usize, now: Instant) {
        for (start, end) in unsettled_ranges(&pending.settled[taken..]) {
            let mut part = pending.piece.part(start + taken, end + taken);
            part.attempts -= 1;
            if part.attempts == 0 && self.front.is_empty() {
                self.queued += part.len();
                for span in part.spans.into_iter().rev() {
                    self.queue.push_front(span);
                }
            } else {
                self.insert(part);
            }
            pending.left -= end - start;
        }
        pending.settled[taken..].fill(true);
        if taken == 0 {
            self.refused_until = Some(now + BACKPRESSURE);
        }
    }

    fn failed(&mut self, piece: Piece, error: SinkError, now: Instant) -> Instance {
        let len = piece.len();
        let SinkError { kind, events, reason, retry_after, .. } = error;
        let retry = |counts| Fate::Retry { reason: reason.clone(), after: retry_after, counts };
        let (piece, positions) = match events {
            Delivered::Nothing => (piece, Vec::new()),
            Delivered::Prefix(count) => {
                let count = (count as usize).min(len);
                self.settle(&piece.slice(0, count), Outcome::Delivered);
                (piece.part(count, len), Vec::new())
            }
            Delivered::AllExcept(mut positions) => {
                positions.retain(|position| (*position as usize) < len);
                positions.sort_unstable();
                positions.dedup();
                (piece, positions)
            }
        };
        if piece.spans.is_empty() {
            return if matches!(kind, ErrorKind::Reopen | ErrorKind::Panicked) {
                self.replace(now);
                Instance::Replace
            } else {
                Instance::Keep
            };
        }
        if !positions.is_empty() {
            let mut next = 0;
            for position in positions.into_iter().map(|position| position as usize) {
                self.settle(&piece.slice(next, position), Outcome::Delivered);
                let fate = if kind == ErrorKind::Permanent {
                    Fate::Doomed(reason.clone())
                } else {
                    retry(Counts::Yes)
                };
                self.apply(piece.part(position, position + 1), fate, now);
                next = position + 1;
            }
            self.settle(&piece.slice(next, len), Outcome::Delivered);
        } else {
            match kind {
                ErrorKind::Permanent if piece.len() == 1 => self.apply(piece, Fate::Doomed(reason), now),
                ErrorKind::Permanent => self.halve(piece, &reason),
                ErrorKind::Panicked if piece.len() == 1 => {
                    let mut piece = piece;
                    piece.panics += 1;
                    piece.doubt = Doubt::PossibleDuplicate;
                    piece.isolation = Isolation::Alone;
                    let reason = format!("the sink panicked: {reason}");
                    if piece.panics >= PANICS {
                        self.apply(piece, Fate::Doomed(reason), now);
                    } else {
                        self.apply(
                            piece,
                            Fate::Retry { reason, after: Some(Duration::ZERO), counts: Counts::No },
                            now,
                        );
                    }
                }
                ErrorKind::Panicked => {
                    let piece = Piece { doubt: Doubt::PossibleDuplicate, ..piece };
                    self.halve(piece, &format!("the sink panicked: {reason}"));
                }
                _ => self.apply(piece, retry(Counts::Yes), now),
            }
        }
        if matches!(kind, ErrorKind::Reopen | ErrorKind::Panicked) {
            self.replace(now);
            return Instance::Replace;
        }
        Instance::Keep
    }

    /// The call is abandoned, its instance leaked: what it had is offered to a fresh one.
    pub fn abandoned(&mut self, reason: &str, now: Instant) {
        if let Some((id, piece, early)) = self.offered.take() {
            let len = piece.len();
            let mut pending = Pending { id, settled: vec![false; len], left: len, piece, deadline: now };
            for ack in &early {
                self.apply_ack(&mut pending, ack, now);
            }
            self.return_pending(pending, reason, Counts::Yes, now);
        }
        self.replace(now);
    }

    /// The instance is gone: what it had not acknowledged is offered again.
    pub fn replace(&mut self, now: Instant) {
        self.open = false;
        self.refused_until = None;
        for pending in std::mem::take(&mut self.pending) {
            self.return_pending(
                pending,
                "its instance was replaced before it was acknowledged",
                Counts::No,
                now,
            );
        }
    }

    fn return_pending(&mut self, pending: Pending, reason: &str, counts: Counts, now: Instant) {
        for (start, end) in unsettled_ranges(&pending.settled) {
            let mut part = pending.piece.part(start, end);
            part.doubt = Doubt::PossibleDuplicate;
            let after = (counts == Counts::No).then_some(Duration::ZERO);
            self.apply(part, Fate::Retry { reason: reason.to_owned(), after, counts }, now);
        }
    }

    /// The dead letters were written, or not (`failed` has those that were not).
    pub fn buried(&mut self, buried: &[Doomed], failed: Vec<Doomed>, now: Instant) {
        self.burying = 0;
        for doomed in buried {
            self.settle(&doomed.piece.spans, Outcome::DeadLettered);
        }
        self.burial_not_before = (!failed.is_empty()).then(|| now + BURIAL_RETRY);
        self.doomed.extend(failed);
    }

    /// The instance's own flush came back; returns the position up to which everything is flushed, if it is.
    pub fn flushed(&mut self, to: u64) {
        if self.settled_to() >= to {
            self.flushed_to = self.flushed_to.max(to);
        }
    }

    /// Dooms everything that is left, for this reason (its own last one goes with it).
    pub fn give_up(&mut self, reason: &str, now: Instant) {
        self.abandoned(reason, now);
        let fresh = Piece { spans: self.queue.drain(..).collect(), ..Piece::default() };
        self.queued = 0;
        for piece in std::mem::take(&mut self.front).into_iter().chain([fresh]) {
            if !piece.spans.is_empty() {
                let reason = match piece.reason.as_str() {
                    "" => reason.to_owned(),
                    last if last == reason => reason.to_owned(),
                    last => format!("{reason}; last error: {last}"),
                };
                self.apply(piece, Fate::Doomed(reason), now);
            }
        }
    }

    /// Takes what is to be dead-lettered, also what a burial that never came back had.
    pub fn take_doomed(&mut self) -> Vec<Doomed> {
        std::mem::take(&mut self.doomed)
    }

    /// Drops what waits, oldest first, until `enough` says so; for a sink that is not required.
    pub fn drop_waiting(&mut self, enough: &mut dyn FnMut() -> bool) -> u64 {
        let before = self.dropped;
        while !enough() {
            if let Some(span) = self.queue.pop_front() {
                self.queued -= span.len();
                self.settle(&[span], Outcome::Dropped);
            } else if let Some(piece) = self.front.pop_front() {
                self.settle(&piece.spans, Outcome::Dropped);
            } else {
                break;
            }
        }
        self.dropped - before
    }

    fn expire_acknowledgements(&mut self, now: Instant) {
        while let Some(index) = self.pending.iter().position(|pending| pending.deadline <= now) {
            let Some(pending) = self.pending.remove(index) else { break };
            let reason =
                format!("not acknowledged within ack_timeout = {} s", self.ack_timeout.as_secs_f64());
            self.return_pending(pending, &reason, Counts::Yes, now);
        }
    }

    fn apply_ack(&mut self, pending: &mut Pending, ack: &Acknowledgement, now: Instant) {
        let len = pending.settled.len();
        let start = (ack.first as usize).min(len);
        let end = start.saturating_add(ack.count as usize).min(len);
        for (from, to) in unsettled_ranges(&pending.settled[start..end]) {
            let part = pending.piece.part(start + from, start + to);
            let fate = match ack.status {
                AckStatus::Delivered => Fate::Delivered,
                AckStatus::Permanent => Fate::Doomed(ack.reason.clone()),
                AckStatus::Retryable => {
                    Fate::Retry { reason: ack.reason.clone(), after: ack.retry_after, counts: Counts::Yes }
                }
            };
            self.apply(part, fate, now);
            pending.left -= to - from;
        }
        pending.settled[start..end].fill(true);
    }

    fn apply(&mut self, mut piece: Piece, fate: Fate, now: Instant) {
        let reason = match fate {
            Fate::Delivered => return self.settle(&piece.spans, Outcome::Delivered),
            Fate::Retry { reason, after, counts } => {
                piece.first_failed.get_or_insert_with(Timestamp::now);
                if counts == Counts::Yes {
                    piece.failures += 1;
                    let backoff = self.backoff.delay(piece.failures);
                    piece.not_before = Some(now + backoff.max(after.unwrap_or_default()));
                } else {
                    piece.not_before = after.map(|after| now + after);
                }
                piece.reason = reason;
                if self.max_attempts == 0 || piece.failures < self.max_attempts {
                    return self.insert(piece);
                }
                piece.reason
            }
            Fate::Doomed(reason) => {
                piece.first_failed.get_or_insert_with(Timestamp::now);
                reason
            }
        };
        self.doomed.push(Doomed { piece: Piece { reason, ..piece } });
    }

    fn halve(&mut self, piece: Piece, reason: &str) {
        let len = piece.len();
        let middle = len.div_ceil(2);
        for (start, end) in [(0, middle), (middle, len)] {
            if start < end {
                let mut half = piece.part(start, end);
                half.isolation = Isolation::Alone;
                half.first_failed.get_or_insert_with(Timestamp::now);
                half.reason = reason.to_owned();
                self.insert(half);
            }
        }
    }

    fn insert(&mut self, piece: Piece) {
        let index = self.front.partition_point(|other| other.position() < piece.position());
        self.front.insert(index, piece);
    }

    fn settle(&mut self, spans: &[Span], outcome: Outcome) {
        let mut count = 0;
        for span in spans {
            span.run.settle(self.sink, span.start, span.end, outcome);
            count += span.len() as u64;
        }
        match outcome {
            Outcome::Delivered => self.delivered += count,
            Outcome::DeadLettered => self.dead_lettered += count,
            Outcome::Dropped => self.dropped += count,
        }
    }

    // --- How it stands ---

    /// Whether nothing waits and nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
            && self.front.is_empty()
            && self.offered.is_none()
            && self.pending.is_empty()
            && self.doomed.is_empty()
            && self.burying == 0
    }

    /// Position up to which everything is settled.
    pub fn settled_to(&self) -> u64 {
        if self.burying > 0 {
            return 0;
        }
        let pending = self.pending.iter().map(|pending| pending.piece.position());
        let doomed = self.doomed.iter().map(|doomed| doomed.piece.position());
        pending.chain(doomed).chain([self.handed_out_to()]).min().unwrap_or(0)
    }

    /// Position up to which everything was taken by the sink, at least.
    fn handed_out_to(&self) -> u64 {
        let offered = self.offered.as_ref().map(|(_, piece, _)| piece.position());
        let front = self.front.front().map(Piece::position);
        let queue = self.queue.front().map(Span::position);
        [offered, front, queue].into_iter().flatten().min().unwrap_or(self.received).min(self.received)
    }

    /// Position up to which everything is settled and made durable.
    pub fn flushed_to(&self) -> u64 {
        self.flushed_to
    }

    /// What the flush that is under way covers.
    pub fn flush_target(&self) -> u64 {
        self.flush_to
    }

    /// Events offered and not settled.
    pub fn in_flight(&self) -> u64 {
        let offered = self.offered.as_ref().map_or(0, |(_, piece, _)| piece.len());
        (offered + self.pending.iter().map(|pending| pending.left).sum::<usize>()) as u64
    }

    /// `(delivered, retried, dead_lettered, dropped)`.
    pub fn settled(&self) -> (u64, u64, u64, u64) {
        (self.delivered, self.retried, self.dead_lettered, self.dropped)
    }

    /// Whether anything was given up so far: dead letters, written or not, and drops.
    pub fn given_up(&self) -> u64 {
        self.dead_lettered + self.dropped
    }
}

enum Fresh {
    Offer,
    Collect,
    Wait(Instant),
    Nothing,
}

/// The stretches of `false`, as `(start, end)`.
fn unsettled_ranges(settled: &[bool]) -> Vec<(usize, usize)> {
    let mut ranges = Vec::new();
    let mut start = None;
    for (index, done) in settled.iter().chain([&true]).enumerate() {
        match (done, start) {
            (false, None) => start = Some(index),
            (true, Some(from)) => {
                ranges.push((from, index));
                start = None;
            }
            _ => {}
        }
    }
    ranges
}

/// What `delivered` says of the events from `start` to `end`, counted from `start`.
fn narrow(delivered: &Delivered, start: usize, end: usize) -> Delivered {
    match delivered {
        Delivered::Nothing => Delivered::Nothing,
        Delivered::Prefix(count) => {
            Delivered::Prefix((*count as usize).clamp(start, end) as u32 - start as u32)
        }
        Delivered::AllExcept(positions) => {
            let inside: Vec<u32> = positions
                .iter()
                .filter(|position| (start..end).contains(&(**position as usize)))
                .map(|position| position - start as u32)
                .collect();
            // None of the failed ones is in here: all of these were delivered.
            if inside.is_empty() {
                Delivered::Prefix((end - start) as u32)
            } else {
                Delivered::AllExcept(inside)
            }
        }
    }
}
