//! What is taken back from an instance, dropped, or given up and dead-lettered.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use audit_plugin_api::Timestamp;

use super::answer::Blame;
use super::pending::Pending;
use super::{Burial, Delivery};
use crate::pipeline::piece::{Doubt, Piece};
use crate::pipeline::run::{Outcome, Run, Span};

/// How long to wait before dead letters are written again.
const BURIAL_RETRY: Duration = Duration::from_secs(1);

impl Delivery {
    /// The call is abandoned, its instance leaked: what it had is offered to a fresh one.
    pub fn abandoned(&mut self, reason: &str, now: Instant) {
        if let Some(pending) = self.take_offered(now) {
            self.retried += if pending.piece.attempts > 1 { pending.piece.len() as u64 } else { 0 };
            self.return_pending(&pending, reason, Blame::Events, now);
        }
        self.replace(now);
    }

    /// The instance is gone: what it had not acknowledged is offered again, and what it had but not flushed.
    pub fn replace(&mut self, now: Instant) {
        self.open = false;
        self.refused_until = None;
        for pending in std::mem::take(&mut self.pending) {
            let reason = "its instance was replaced before it was acknowledged";
            self.return_pending(&pending, reason, Blame::Instance, now);
        }
        self.return_unflushed(now);
    }

    /// What the instance had said yes to may be gone with it: after a failed sync the kernel drops what it had to write, and
    /// the next sync succeeds. So it is delivered no longer, but queued, and its successor gets it and is flushed before
    /// anything newer is offered, unless something older was in flight: then as soon as that is settled. Again and again,
    /// with backoff, as long as no flush says yes: that is no failure of the events.
    fn return_unflushed(&mut self, now: Instant) {
        if self.flush_failures > 0 {
            self.open_not_before = Some(now + self.backoff.delay(self.flush_failures));
        }
        self.drop_what_was_let_go();
        let spans = self.unflushed.take();
        let Some(behind) = spans.last().map(Span::behind) else { return };
        let failed = self.front.front().map_or(u64::MAX, Piece::position);
        for span in spans {
            self.take_back_delivered(&span);
            self.insert(Piece {
                spans: vec![span],
                attempts: 1,
                doubt: Doubt::PossibleDuplicate,
                first_failed: Some(Timestamp::now()),
                reason: "its instance was replaced before its flush had said yes".into(),
                ..Piece::default()
            });
        }
        self.request_flush(behind.min(failed));
    }

    /// What the instance had said yes to, and the spool has no more, can be offered to nobody.
    pub(super) fn drop_what_was_let_go(&mut self) {
        for span in self.unflushed.take_before(self.let_go_to) {
            self.take_back_delivered(&span);
            self.settle(&[span], Outcome::Dropped);
        }
    }

    fn take_back_delivered(&mut self, span: &Span) {
        span.run.take_back_delivered(self.sink, span.start, span.end);
        self.delivered -= span.len() as u64;
    }

    pub(super) fn return_pending(&mut self, pending: &Pending, reason: &str, blame: Blame, now: Instant) {
        if let Some(mut rest) = pending.unsettled() {
            rest.doubt = Doubt::PossibleDuplicate;
            self.retry(rest, reason.to_owned(), None, blame, now);
        }
    }

    /// Dooms everything that is left, for this reason (its own last one goes with it). Answers and acknowledgements
    /// of what is in flight come too late from now on.
    pub fn give_up(&mut self, reason: &str, now: Instant) {
        let in_flight = self.take_in_flight(now);
        self.doom_all(in_flight, reason);
    }

    /// Dooms everything that is left but the batch that is being offered.
    pub fn give_up_waiting(&mut self, reason: &str) {
        let pending = std::mem::take(&mut self.pending);
        self.doom_all(doubtful(&pending), reason);
    }

    fn doom_all(&mut self, in_flight: Vec<Piece>, reason: &str) {
        for piece in self.take_waiting(in_flight) {
            let mut why = reason.to_owned();
            if piece.doubt == Doubt::PossibleDuplicate {
                why.push_str(", though it may have been delivered");
            }
            if !piece.reason.is_empty() {
                why = format!("{why}; last error: {}", piece.reason);
            }
            self.doom(piece, why);
        }
    }

    /// Leaves everything that is not settled in the spool, for a later process. Answers and acknowledgements of what is
    /// in flight come too late from now on. What is delivered and not flushed stays there too, though it counts as delivered.
    pub fn leave(&mut self, now: Instant) {
        let in_flight = self.take_in_flight(now);
        self.leave_all(in_flight);
        self.unflushed.take();
    }

    /// Leaves everything that is not settled in the spool, but the batch that is being offered.
    pub fn leave_waiting(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        self.leave_all(doubtful(&pending));
    }

    fn leave_all(&mut self, in_flight: Vec<Piece>) {
        for piece in self.take_waiting(in_flight) {
            self.left_from = self.left_from.into_iter().chain([piece.position()]).min();
            self.settle(&piece.spans, Outcome::Spooled);
        }
    }

    /// Takes all that waits, together with these, in order.
    fn take_waiting(&mut self, mut left: Vec<Piece>) -> Vec<Piece> {
        left.extend(self.front.drain(..));
        left.push(Piece { spans: self.queue.drain(..).collect(), ..Piece::default() });
        self.queued = 0;
        left.retain(|piece| !piece.spans.is_empty());
        left.sort_by_key(Piece::position);
        left
    }

    /// The run of the oldest event that waits.
    pub fn oldest_waiting(&self) -> Option<&Run> {
        let front = self.front.front().and_then(|piece| piece.spans.first());
        front.or(self.queue.front()).map(|span| &*span.run)
    }

    /// Drops what waits before this position; for a sink that is not required.
    pub fn drop_before(&mut self, position: u64) {
        while let Some(piece) = self.front.pop_front_if(|piece| piece.position() < position) {
            self.settle(&piece.spans, Outcome::Dropped);
        }
        while let Some(span) = self.queue.pop_front_if(|span| span.position() < position) {
            self.queued -= span.len();
            self.settle(&[span], Outcome::Dropped);
        }
    }

    /// What is settled before this position need not stay in the spool, though no flush has said yes to it: the place is
    /// wanted. If its instance is replaced before one has, or cannot be flushed, it counts as dropped. Returns up to which
    /// position that is. For a sink that is not required.
    pub fn let_go(&mut self, position: u64) -> u64 {
        let position = position.min(self.settled_to());
        self.let_go_to = self.let_go_to.max(position);
        if self.flush_failures > 0 {
            self.drop_what_was_let_go();
        }
        position
    }

    /// Drops what is in flight, if all of it is `droppable`: answers and acknowledgements come too late then. For a
    /// sink that is not required.
    pub fn drop_in_flight(&mut self, now: Instant, droppable: &dyn Fn(&Run) -> bool) {
        let offered = self.offered.iter().map(|offered| &offered.piece);
        let in_flight = offered.chain(self.pending.iter().map(|pending| &pending.piece));
        if in_flight.flat_map(|piece| &piece.spans).all(|span| droppable(&span.run)) {
            for piece in self.take_in_flight(now) {
                self.settle(&piece.spans, Outcome::Dropped);
            }
        }
    }

    fn take_in_flight(&mut self, now: Instant) -> Vec<Piece> {
        let offered = self.take_offered(now);
        let pending = std::mem::take(&mut self.pending);
        doubtful(pending.iter().chain(&offered))
    }

    fn take_offered(&mut self, now: Instant) -> Option<Pending> {
        let offered = self.offered.take()?;
        let mut pending = Pending::new(offered.id, offered.piece, now);
        for ack in &offered.early {
            self.apply_ack(&mut pending, ack, now);
        }
        Some(pending)
    }

    /// What is to be dead-lettered now; nothing while an earlier burial is under way, or has just failed.
    pub fn start_burial(&mut self, now: Instant) -> Option<Burial> {
        let too_early = self.burial_not_before.is_some_and(|moment| moment > now);
        if self.doomed.is_empty() || self.burial.is_some() || too_early {
            return None;
        }
        let burial = Burial { id: self.next_burial, pieces: std::mem::take(&mut self.doomed) };
        self.next_burial += 1;
        self.burial = Some(burial.clone());
        Some(burial)
    }

    /// The first `written` events of this burial are dead letters now; the others are tried again later. Ignored where
    /// the burial was taken back.
    pub fn buried(&mut self, burial: u64, mut written: usize, now: Instant) {
        let Some(burial) = self.burial.take_if(|current| current.id == burial) else { return };
        self.burial_not_before = None;
        for piece in burial.pieces {
            let done = piece.len().min(written);
            written -= done;
            self.settle(&piece.slice(0, done), Outcome::DeadLettered);
            if done < piece.len() {
                self.doomed.push(piece.part(done, piece.len()));
                self.burial_not_before = Some(now + BURIAL_RETRY);
            }
        }
    }

    /// This burial is not done; its events are doomed as before.
    pub fn unbury(&mut self, burial: u64) {
        let burial = self.burial.take_if(|current| current.id == burial);
        self.doomed.extend(burial.into_iter().flat_map(|burial| burial.pieces));
    }

    /// Counts as lost what waits or is doomed of these events of a run, which are damaged; returns which those are.
    pub fn lose_damaged(&mut self, run: &Arc<Run>, damaged: &[Range<u32>]) -> Vec<Range<u32>> {
        let mut lost = Vec::new();
        let mut sift = |spans: Vec<Span>| {
            let mut kept = Vec::with_capacity(spans.len());
            for span in spans {
                if Arc::ptr_eq(&span.run, run) {
                    span.part(damaged, &mut lost, &mut kept);
                } else {
                    kept.push(span);
                }
            }
            kept
        };
        self.queue = sift(std::mem::take(&mut self.queue).into()).into();
        let mut front = std::mem::take(&mut self.front);
        for piece in front.iter_mut().chain(&mut self.doomed) {
            piece.spans = sift(std::mem::take(&mut piece.spans));
        }
        self.queued = self.queue.iter().map(Span::len).sum();
        self.doomed.retain(|piece| !piece.spans.is_empty());
        front.retain(|piece| !piece.spans.is_empty());
        front.into_iter().for_each(|piece| self.insert(piece));
        self.settle(&lost, Outcome::Lost);
        lost.into_iter().map(|span| span.start..span.end).collect()
    }

    /// Whoever was writing dead letters will never say what came of it.
    pub fn take_burial_back(&mut self) {
        self.doomed.extend(self.burial.take().into_iter().flat_map(|burial| burial.pieces));
    }

    /// Dead letters are to be written now, also if that has just failed.
    pub fn retry_burial(&mut self) {
        self.burial_not_before = None;
    }

    /// Takes what is doomed and in no dead letter; it is to be settled in another way.
    pub fn take_doomed(&mut self) -> Vec<Piece> {
        self.take_burial_back();
        let mut doomed = std::mem::take(&mut self.doomed);
        doomed.sort_by_key(Piece::position);
        doomed
    }

    /// Counts these as lost.
    pub fn lose(&mut self, pieces: &[Piece]) {
        pieces.iter().for_each(|piece| self.settle(&piece.spans, Outcome::Lost));
    }

    /// Leaves these in the spool, for a later process.
    pub fn leave_pieces(&mut self, pieces: Vec<Piece>) {
        self.leave_all(pieces);
    }
}

/// What is not settled of these batches: it may have been delivered.
fn doubtful<'a>(batches: impl IntoIterator<Item = &'a Pending>) -> Vec<Piece> {
    let unsettled = batches.into_iter().filter_map(Pending::unsettled);
    unsettled.map(|piece| Piece { doubt: Doubt::PossibleDuplicate, ..piece }).collect()
}
