//! Draining and closing.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::{BURIAL_PATIENCE, DISK_PATIENCE, Pipeline, deadline_after};
use crate::pipeline::backoff::LONGEST;
use crate::pipeline::error::FromCallback;
use crate::pipeline::report::{CloseReport, SinkReport};
use crate::pipeline::sink_state::{Phase, SinkState, State, seconds};
use crate::pipeline::worker::in_callback;

/// How long sinks that do not hang may take to close when the time for delivering is over.
const LONGEST_GRACE: Duration = Duration::from_secs(1);
const SHORTEST_GRACE: Duration = Duration::from_millis(100);
/// Lost events that are shown in the log.
const SHOWN: usize = 20;

/// How far closing is.
pub enum Closing {
    No,
    UnderWay,
    Done(CloseReport),
}

impl Pipeline {
    /// Refuses new events, delivers what there is, flushes and closes the sinks. What is not delivered when `timeout`
    /// has passed stays in the spool, or is dead-lettered where there is none. Writing dead letters may take 5 s more for each
    /// sink, and the last sync of the spool too. Called again, it answers the same; called meanwhile, it waits for at most its
    /// own `timeout`, and then says how it stands.
    pub fn close(&self, timeout: Duration) -> Result<CloseReport, FromCallback> {
        if in_callback(self.store.id()) {
            return Err(FromCallback);
        }
        let begun = Instant::now();
        let deadline = deadline_after(timeout);
        let closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
        let is_under_way = |closing: &mut Closing| matches!(closing, Closing::UnderWay);
        let waited = self.closed.wait_timeout_while(closing, deadline - begun, is_under_way);
        let (mut closing, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match &*closing {
            Closing::Done(report) => return Ok(report.clone()),
            Closing::UnderWay => {
                drop(closing);
                return Ok(self.close_report());
            }
            Closing::No => *closing = Closing::UnderWay,
        }
        drop(closing);
        let spool_failure = self.drain_and_close(begun, timeout.min(LONGEST));
        let mut report = self.close_report();
        // Where nothing is left there, nobody has to find it. What a sink's last flush failed for is told as that sink's failure.
        if let Some(failure) = spool_failure.filter(|_| report.sinks.iter().any(SinkReport::left_some)) {
            tracing::error!("what stays in the spool may not be on the disk: {failure}");
            report.spool_failure = Some(failure);
        }
        *self.closing.lock().unwrap_or_else(PoisonError::into_inner) = Closing::Done(report.clone());
        self.closed.notify_all();
        Ok(report)
    }

    pub(super) fn request_close(&self, deadline: Instant) {
        self.store.close();
        let position = self.store.seal();
        for sink in &self.sinks {
            let mut state = sink.lock();
            state.close_deadline = Some(deadline);
            state.delivery.request_close(position);
            state.notify_work(sink);
        }
    }

    /// Says why what stays in the spool may not be on the disk.
    fn drain_and_close(&self, begun: Instant, timeout: Duration) -> Option<String> {
        // The last part of the time is for closing what has not delivered everything by then.
        let grace = (timeout / 8).min(LONGEST_GRACE);
        let drained = begun + (timeout - grace);
        let deadline = drained + grace.max(SHORTEST_GRACE);
        self.store.tell_gaps();
        self.request_close(deadline);
        for sink in &self.sinks {
            sink.wait_until(drained, |state| state.phase != Phase::Running);
        }
        self.store.tell_gaps();
        // What a hung sink left in the store becomes dead letters with the rest, or stays in the spool with it.
        match self.store.spool {
            None => self.store.collect_all(),
            Some(_) => self.store.collect_all_unread(),
        }
        let reason = format!("not delivered within {} of closing", seconds(timeout));
        let is_closed = |state: &State| state.phase == Phase::Closed;
        for sink in self.sinks.iter().filter(|sink| !is_closed(&sink.lock())) {
            sink.give_up_waiting(&reason);
        }
        for sink in &self.sinks {
            sink.wait_until(deadline, |state| state.phase != Phase::Running);
            sink.end(&reason);
        }
        let spool = self.store.spool.as_ref()?;
        self.store.let_go_of_idle_chunks();
        spool.close(deadline.max(deadline_after(DISK_PATIENCE)))
    }

    fn close_report(&self) -> CloseReport {
        CloseReport {
            totals: self.counts(),
            sinks: self.sinks.iter().map(|sink| self.report_of(sink)).collect(),
            spool_failure: None,
        }
    }

    fn report_of(&self, sink: &SinkState) -> SinkReport {
        let state = sink.lock();
        let flush = state.flush_failure.iter().map(|reason| format!("flush: {reason}"));
        let close = state.close_failure.iter().map(|reason| format!("close: {reason}"));
        let failures = flush.chain(close).collect();
        drop(state);
        SinkReport { name: sink.settings.name.clone(), counts: self.counts_of(sink), failures }
    }
}

impl SinkState {
    /// Somebody waits until then for everything before this position, and for the sink's own flush after that; returns
    /// the number of the request.
    pub(super) fn request_flush(&self, position: u64, deadline: Instant) -> u64 {
        let mut state = self.lock();
        let request = state.delivery.request_flush(position);
        state.flushes.wait(request, deadline);
        match state.phase {
            Phase::Running => state.notify_work(self),
            Phase::Failed => state.flushes.answer(request, &Err("the sink is failed".into())),
            Phase::Closed => {
                let flushed = state.flush_failure.clone().map_or(Ok(()), Err);
                state.flushes.answer(request, &flushed);
            }
        }
        request
    }

    /// Dooms everything that is left: answers and acknowledgements come too late from now on.
    pub(super) fn give_up(&self, reason: &str) {
        let mut state = self.lock();
        state.delivery.give_up(reason, Instant::now());
        state.notify_work(self);
        state.notify_settled(self);
    }

    /// Gives up what waits and is unacknowledged; a call that is going on may still return in time.
    fn give_up_waiting(&self, reason: &str) {
        let mut state = self.lock();
        if !state.delivery.is_idle() {
            tracing::error!(sink = self.settings.name, "{reason}");
        }
        if self.store.spool.is_some() {
            state.delivery.leave_waiting();
        } else {
            let reason = state.with_last_error(reason);
            state.delivery.give_up_waiting(&reason);
        }
        state.notify_work(self);
    }

    /// Ends a sink that has not closed in time.
    fn end(self: &Arc<Self>, reason: &str) {
        let mut state = self.lock();
        if state.phase == Phase::Closed && state.delivery.is_idle() {
            return;
        }
        let now = Instant::now();
        let mut reason = state.with_last_error(reason);
        if let Some(call) = state.call {
            let hung = format!("{} did not return before the end of closing, and was abandoned", call.kind);
            reason = format!("{reason}: {hung}");
            state.close_failure = Some(hung);
        } else if state.phase == Phase::Failed {
            reason = "the sink is failed".into();
        }
        if self.store.spool.is_some() {
            state.delivery.leave(now);
        } else {
            state.delivery.give_up(&reason, now);
        }
        self.abandon(&mut state, &reason, now);
        if state.phase != Phase::Closed {
            state.end(Phase::Closed, &reason);
        }
        state.notify_settled(self);
        drop(state);
        // One that does not end would keep the next one waiting as well.
        if self.wait_until(deadline_after(BURIAL_PATIENCE), |state| !state.delivery.is_burying()) {
            self.lock().delivery.retry_burial();
            self.bury_doomed();
        }
        let doomed = self.lock().delivery.take_doomed();
        if self.store.spool.is_some() {
            // Given up, but not kept as dead letters: a later process tries once more.
            return self.lock().delivery.leave_pieces(doomed);
        }
        let mut events = 0;
        for span in doomed.iter().flat_map(|piece| &piece.spans) {
            let Ok(body) = span.run.body() else { continue };
            for index in (span.start..span.end).take(SHOWN.saturating_sub(events)) {
                let event = self.secrets.mask(&String::from_utf8_lossy(body.json(index))).into_owned();
                tracing::error!(sink = self.settings.name, "lost, since it cannot be dead-lettered: {event}");
            }
            events += span.len();
        }
        if events > SHOWN {
            tracing::error!(sink = self.settings.name, "and {} more events are lost", events - SHOWN);
        }
        self.lock().delivery.lose(&doomed);
    }
}
