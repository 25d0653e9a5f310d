//! What came of an offer: the answer to it, acknowledgements, and what has to be tried again.

use std::time::{Duration, Instant};

use audit_plugin_api::{AckStatus, Acknowledgement, Delivered, ErrorKind, SinkError, Timestamp, Written};

use super::pending::{Offered, Pending};
use super::{Delivery, Instance};
use crate::pipeline::backoff::LONGEST;
use crate::pipeline::piece::{Doubt, Isolation, Piece};
use crate::pipeline::run::{Outcome, Span};

/// How long a sink that took nothing is left alone, unless an acknowledgement comes first.
const BACKPRESSURE: Duration = Duration::from_millis(10);
/// A panic over a single event this often is a dead letter.
const PANICS: u32 = 3;

/// Who is to blame for a failure: only what the events are to blame for counts towards `max_attempts`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    Events,
    Instance,
}

impl Delivery {
    /// The answer to the offer.
    pub fn written(&mut self, answer: Result<Written, SinkError>, now: Instant) -> Instance {
        let instance = match &answer {
            Err(error) if matches!(error.kind, ErrorKind::Reopen | ErrorKind::Panicked) => Instance::Replace,
            _ => Instance::Keep,
        };
        // It is gone when its events were given up meanwhile.
        if let Some(offered) = self.offered.take() {
            self.settle_offered(offered, answer, now);
        }
        if instance == Instance::Replace {
            self.replace(now);
        }
        instance
    }

    fn settle_offered(&mut self, offered: Offered, answer: Result<Written, SinkError>, now: Instant) {
        let Offered { id, mut piece, early } = offered;
        let len = piece.len();
        let taken = match answer {
            Ok(Written::Pending { taken }) => (taken as usize).min(len),
            _ => len,
        };
        if piece.attempts > 1 {
            self.retried += taken as u64;
        }
        if early.is_empty() && answer == Ok(Written::Delivered) {
            return self.settle(&piece.spans, Outcome::Delivered);
        }
        if taken < len {
            self.give_back(piece.part(taken, len));
            piece = piece.part(0, taken);
        }
        if taken == 0 {
            self.refused_until = Some(now + BACKPRESSURE);
            return;
        }
        let mut batch = Pending::new(id, piece, now + self.ack_timeout);
        for ack in &early {
            self.apply_ack(&mut batch, ack, now);
        }
        match (answer, batch.unsettled()) {
            (_, None) => {}
            (Ok(Written::Pending { .. }), Some(_)) => self.pending.push_back(batch),
            (Ok(Written::Delivered), Some(rest)) => self.settle(&rest.spans, Outcome::Delivered),
            (Err(error), Some(rest)) => {
                let events = batch.narrow(error.events.clone());
                self.failed(rest, SinkError { events, ..error }, now);
            }
        }
    }

    /// The offer was not made after all.
    pub fn take_offer_back(&mut self) {
        if let Some(offered) = self.offered.take() {
            self.give_back(offered.piece);
        }
    }

    /// What the sink did not take goes back, as if it had never been offered.
    fn give_back(&mut self, mut rest: Piece) {
        rest.attempts -= 1;
        self.hurry(rest.behind());
        if rest.attempts == 0 && self.front.is_empty() {
            self.queued += rest.len();
            for span in rest.spans.into_iter().rev() {
                self.queue.push_front(span);
            }
        } else {
            self.insert(rest);
        }
    }

    fn failed(&mut self, mut piece: Piece, error: SinkError, now: Instant) {
        let SinkError { kind, events, reason, retry_after, .. } = error;
        let len = piece.len();
        match events {
            Delivered::Nothing => {}
            Delivered::Prefix(count) => {
                let count = (count as usize).min(len);
                self.settle(&piece.slice(0, count), Outcome::Delivered);
                piece = piece.part(count, len);
            }
            Delivered::AllExcept(mut positions) => {
                positions.retain(|position| (*position as usize) < len);
                positions.sort_unstable();
                positions.dedup();
                if !positions.is_empty() {
                    return self.failed_at(&piece, &positions, kind, &reason, retry_after, now);
                }
            }
        }
        match kind {
            _ if piece.spans.is_empty() => {}
            ErrorKind::Permanent if piece.len() == 1 => self.doom(piece, reason),
            ErrorKind::Permanent => self.halve(piece, &reason),
            ErrorKind::Panicked => {
                piece.doubt = Doubt::PossibleDuplicate;
                self.panicked_over(piece, format!("the sink panicked: {reason}"), now);
            }
            _ => self.retry(piece, reason, retry_after, Blame::Events, now),
        }
    }

    /// All but the events at these positions were delivered.
    fn failed_at(
        &mut self,
        piece: &Piece,
        positions: &[u32],
        kind: ErrorKind,
        reason: &str,
        retry_after: Option<Duration>,
        now: Instant,
    ) {
        let mut next = 0;
        for position in positions.iter().map(|position| *position as usize) {
            self.settle(&piece.slice(next, position), Outcome::Delivered);
            let part = piece.part(position, position + 1);
            if kind == ErrorKind::Permanent {
                self.doom(part, reason.to_owned());
            } else {
                self.retry(part, reason.to_owned(), retry_after, Blame::Events, now);
            }
            next = position + 1;
        }
        self.settle(&piece.slice(next, piece.len()), Outcome::Delivered);
    }

    fn panicked_over(&mut self, mut piece: Piece, reason: String, now: Instant) {
        if piece.len() > 1 {
            return self.halve(piece, &reason);
        }
        piece.isolation = Isolation::Alone;
        // With others in flight it may have been one of those.
        if self.pending.is_empty() {
            piece.panics += 1;
        }
        if piece.panics >= PANICS {
            self.doom(piece, reason);
        } else {
            self.retry(piece, reason, None, Blame::Instance, now);
        }
    }

    fn halve(&mut self, piece: Piece, reason: &str) {
        let len = piece.len();
        let middle = len.div_ceil(2);
        for (start, end) in [(0, middle), (middle, len)] {
            let mut half = piece.part(start, end);
            half.isolation = Isolation::Alone;
            half.first_failed.get_or_insert_with(Timestamp::now);
            half.reason = reason.to_owned();
            self.insert(half);
        }
    }

    pub(super) fn apply_ack(&mut self, pending: &mut Pending, ack: &Acknowledgement, now: Instant) {
        let Some(part) = pending.settle(ack.first, ack.count) else { return };
        match ack.status {
            AckStatus::Delivered => self.settle(&part.spans, Outcome::Delivered),
            AckStatus::Permanent => self.doom(part, ack.reason.clone()),
            AckStatus::Retryable => {
                self.retry(part, ack.reason.clone(), ack.retry_after, Blame::Events, now);
            }
        }
    }

    pub(super) fn expire_acknowledgements(&mut self, now: Instant) {
        while let Some(index) = self.pending.iter().position(|pending| pending.deadline <= now)
            && let Some(pending) = self.pending.remove(index)
        {
            let reason =
                format!("not acknowledged within ack_timeout = {} s", self.ack_timeout.as_secs_f64());
            self.return_pending(&pending, &reason, Blame::Events, now);
        }
    }

    /// An instance could not be opened: the events that wait first have failed once more.
    pub fn open_failed(&mut self, error: &SinkError, now: Instant) {
        self.open_failures += 1;
        let asked = error.retry_after.unwrap_or_default().min(LONGEST);
        let delay = self.backoff.delay(self.open_failures).max(asked);
        self.open_not_before = Some(now + delay);
        self.cut_first();
        if let Some(mut piece) = self.front.pop_front() {
            piece.attempts += 1;
            self.retry(piece, error.reason.clone(), Some(delay), Blame::Events, now);
        }
    }

    pub(super) fn retry(
        &mut self,
        mut piece: Piece,
        reason: String,
        after: Option<Duration>,
        blame: Blame,
        now: Instant,
    ) {
        piece.first_failed.get_or_insert_with(Timestamp::now);
        if blame == Blame::Events {
            piece.failures = piece.failures.saturating_add(1);
            let delay = self.backoff.delay(piece.failures).max(after.unwrap_or_default().min(LONGEST));
            piece.not_before = Some(now + delay);
        }
        if self.max_attempts > 0 && piece.failures >= self.max_attempts {
            return self.doom(piece, reason);
        }
        piece.reason = reason;
        self.insert(piece);
    }

    pub(super) fn doom(&mut self, mut piece: Piece, reason: String) {
        piece.first_failed.get_or_insert_with(Timestamp::now);
        piece.reason = if reason.is_empty() { "the sink gave no reason".into() } else { reason };
        self.doomed.push(piece);
    }

    /// Puts a piece to its place. One with gaps is taken apart, since what belongs there may come back too; on their way
    /// out, pieces with the same past go together again.
    pub(super) fn insert(&mut self, piece: Piece) {
        let pieces = if piece.isolation == Isolation::None { piece.into_stretches() } else { vec![piece] };
        for piece in pieces {
            let index = self.front.partition_point(|other| other.position() < piece.position());
            self.front.insert(index, piece);
        }
    }

    /// Cuts what waits first to the size of a batch.
    pub(super) fn cut_first(&mut self) {
        let batch_size = self.settings.batch_size.max(1);
        if let Some(first) = self.front.pop_front_if(|first| first.len() > batch_size) {
            self.front.push_front(first.part(batch_size, first.len()));
            self.front.push_front(first.part(0, batch_size));
        }
    }

    pub(super) fn settle(&mut self, spans: &[Span], outcome: Outcome) {
        let mut count = 0;
        for span in spans {
            span.run.settle(self.sink, span.start, span.end, outcome);
            count += span.len() as u64;
        }
        if outcome == Outcome::Delivered {
            self.unflushed.note(spans);
        }
        match outcome {
            Outcome::Delivered => self.delivered += count,
            Outcome::DeadLettered => self.dead_lettered += count,
            Outcome::Dropped => self.dropped += count,
            Outcome::Spooled => self.spooled += count,
            Outcome::Lost => self.lost += count,
        }
        let settled = self.delivered + self.dead_lettered + self.dropped + self.spooled + self.lost;
        self.most_settled = self.most_settled.max(settled);
    }
}
