//! What the worker shall do next.

use std::time::{Duration, Instant};

use super::pending::Offered;
use super::{Delivery, LONGEST_POLL, Offer, POLL, Step};
use crate::pipeline::backoff::LONGEST;
use crate::pipeline::piece::{Doubt, Isolation, Piece};
use crate::pipeline::run::Span;
use crate::pipeline::store::Waiting;

/// How long a sink that can hold no more has to acknowledge something by itself, while a flush waits for it.
const NUDGE_PATIENCE: Duration = Duration::from_millis(100);

/// The earliest of the moments at which something is due.
#[derive(Default)]
struct Alarm(Option<Instant>);

impl Alarm {
    fn at(&mut self, moment: Instant) {
        self.0 = Some(self.0.map_or(moment, |earliest| earliest.min(moment)));
    }

    fn is_before(&mut self, moment: Option<Instant>, now: Instant) -> bool {
        match moment.filter(|moment| *moment > now) {
            Some(moment) => {
                self.at(moment);
                true
            }
            None => false,
        }
    }
}

impl Delivery {
    /// What the worker shall do next. `waiting` is what the store holds beyond the queue; `pressed` whether the store
    /// is half full.
    pub fn next(&mut self, now: Instant, waiting: Waiting, pressed: bool) -> Step {
        self.expire_acknowledgements(now);
        if let Some(burial) = self.start_burial(now) {
            return Step::Bury(burial);
        }
        let mut alarm = Alarm::default();
        self.pending.iter().for_each(|pending| alarm.at(pending.deadline));
        if !self.doomed.is_empty() {
            alarm.is_before(self.burial_not_before, now);
        }
        let step = if self.open {
            self.next_with_instance(now, waiting, pressed, &mut alarm)
        } else {
            self.next_without_instance(now, &mut alarm)
        };
        step.or(alarm.0.map(Step::Wait)).unwrap_or(Step::Sleep)
    }

    fn next_without_instance(&self, now: Instant, alarm: &mut Alarm) -> Option<Step> {
        let flushed = self.is_flushed() || self.open_failures > 0;
        if self.closing && flushed && self.is_drained() {
            return Some(Step::Close);
        }
        (!alarm.is_before(self.open_not_before, now)).then_some(Step::Open)
    }

    fn next_with_instance(
        &mut self,
        now: Instant,
        waiting: Waiting,
        pressed: bool,
        alarm: &mut Alarm,
    ) -> Option<Step> {
        let flushing = !self.is_flushed();
        // Before anything newer is handed out: a busy logger would never be flushed otherwise.
        if flushing && (self.settled_to() >= self.flush_to || self.has_left_the_rest()) {
            return Some(Step::Flush(self.flushes_asked));
        }
        if self.closing && !flushing && self.is_drained() {
            return Some(Step::Close);
        }
        if !alarm.is_before(self.refused_until, now)
            && let Some(step) = self.hand_out(now, waiting, pressed, alarm)
        {
            return Some(step);
        }
        if flushing { self.nudge(now, alarm) } else { None }
    }

    fn hand_out(&mut self, now: Instant, waiting: Waiting, pressed: bool, alarm: &mut Alarm) -> Option<Step> {
        if self.pending.len() >= self.settings.max_in_flight.max(1)
            || self.pending.iter().any(|pending| pending.piece.isolation == Isolation::Alone)
        {
            return None;
        }
        self.cut_first();
        let Some(piece) = self.front.front() else {
            let retrying = self.pending.iter().any(|pending| pending.piece.attempts > 1);
            return if retrying { None } else { self.hand_out_fresh(now, waiting, pressed, alarm) };
        };
        let newer_than_a_retry = self
            .pending
            .iter()
            .any(|pending| pending.piece.attempts > 1 && pending.piece.position() < piece.position());
        let must_wait = piece.isolation == Isolation::Alone && !self.pending.is_empty();
        let (count, not_before) = self.first_that_go_together();
        if alarm.is_before(not_before, now) || newer_than_a_retry || must_wait {
            return None;
        }
        if let Some(flush) = self.flush_before_suspects() {
            return Some(flush);
        }
        let together = self.front.drain(..count).reduce(|mut piece, next| {
            piece.take_in(next);
            piece
        })?;
        Some(Step::Write(self.offer(together, now)))
    }

    /// A panic over what waits first may take along what the instance has not flushed: that is flushed before, so that it
    /// need not come again. Once for each batch, whatever comes of it.
    fn flush_before_suspects(&mut self) -> Option<Step> {
        let first = self.front.front()?;
        let is_suspect = first.isolation == Isolation::Alone && first.doubt == Doubt::PossibleDuplicate;
        if !is_suspect || self.unflushed.is_empty() || self.flushed_at == self.next_id {
            return None;
        }
        self.flushed_at = self.next_id;
        // It answers nobody: what they wait for may not be settled.
        Some(Step::Flush(self.flushes_done))
    }

    /// How many of the pieces that failed make the next batch, and when it may go out. Events that failed one by one have
    /// the same past, but not quite the same delay.
    fn first_that_go_together(&self) -> (usize, Option<Instant>) {
        let (mut count, mut events, mut bytes, mut not_before) = (0, 0, 0_usize, None);
        for piece in &self.front {
            bytes = bytes.saturating_add(piece.spans.iter().map(Span::spooled_bytes).sum());
            let fits = events + piece.len() <= self.settings.batch_size
                && bytes <= self.batch_bytes
                && self.front[0].has_same_past(piece);
            if count > 0 && !fits {
                break;
            }
            count += 1;
            events += piece.len();
            not_before = not_before.max(piece.not_before);
        }
        (count, not_before)
    }

    fn hand_out_fresh(
        &mut self,
        now: Instant,
        waiting: Waiting,
        pressed: bool,
        alarm: &mut Alarm,
    ) -> Option<Step> {
        let batch_size = self.settings.batch_size;
        if self.queued >= batch_size {
            return Some(self.offer_fresh(now));
        }
        let queued = self.queue.front();
        let Some(oldest) = queued.map(|span| span.run.oldest()).or(waiting.oldest) else {
            return (self.received < self.hurry_to).then_some(Step::Collect);
        };
        let due = oldest + self.settings.flush_interval.min(LONGEST);
        let hurried = queued.map_or(self.received, |span| span.position()) < self.hurry_to;
        let is_due = pressed || self.closing || hurried || due <= now;
        if waiting.events > 0 && (is_due || self.queued + waiting.events >= batch_size) {
            return Some(Step::Collect);
        }
        if is_due {
            return if self.queue.is_empty() { None } else { Some(self.offer_fresh(now)) };
        }
        alarm.at(due.min(now + self.poll(now.saturating_duration_since(oldest), waiting)));
        None
    }

    /// How long the worker waits before it looks at the batch again: half of the time in which the batch becomes full, if
    /// events go on coming as fast as they did since its oldest.
    fn poll(&self, age: Duration, waiting: Waiting) -> Duration {
        let there = (self.queued + waiting.events).max(1) as f64;
        let missing = self.settings.batch_size as f64 - there;
        let half = age.as_secs_f64() * missing / there / 2.0;
        Duration::from_secs_f64(half.clamp(POLL.as_secs_f64(), LONGEST_POLL.as_secs_f64()))
    }

    fn offer_fresh(&mut self, now: Instant) -> Step {
        let mut spans = Vec::new();
        let mut missing = self.settings.batch_size;
        let mut bytes = 0_usize;
        while missing > 0
            && let Some(span) = self.queue.front_mut()
        {
            bytes = bytes.saturating_add(span.spooled_bytes());
            if bytes > self.batch_bytes && !spans.is_empty() {
                break;
            }
            if span.len() <= missing {
                missing -= span.len();
                spans.extend(self.queue.pop_front());
            } else {
                spans.push(span.split_front(missing));
                missing = 0;
            }
        }
        self.queued -= self.settings.batch_size - missing;
        Step::Write(self.offer(Piece { spans, ..Piece::default() }, now))
    }

    fn offer(&mut self, mut piece: Piece, now: Instant) -> Offer {
        piece.attempts += 1;
        piece.not_before = None;
        let id = self.next_id;
        self.next_id += 1;
        self.last_offer = Some(now);
        let sink = self.sink;
        let offer =
            Offer { sink, id, attempt: piece.attempts, spans: piece.spans.clone(), doubt: piece.doubt };
        self.offered = Some(Offered { id, piece, early: Vec::new() });
        offer
    }

    /// A sink may acknowledge only when it is flushed: once after each batch, as soon as all is handed out, or after a
    /// while in which it took nothing.
    fn nudge(&mut self, now: Instant, alarm: &mut Alarm) -> Option<Step> {
        if self.pending.is_empty() || self.nudged_at == self.next_id {
            return None;
        }
        let soon = self.last_offer.map(|last| last + NUDGE_PATIENCE);
        if self.handed_out_to() < self.flush_to && alarm.is_before(soon, now) {
            return None;
        }
        self.nudged_at = self.next_id;
        Some(Step::Nudge)
    }
}
