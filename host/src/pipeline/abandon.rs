//! Calls that do not come back, and workers that break: taken over by a fresh instance and thread.

use std::sync::Arc;
use std::time::Instant;

use super::call::CallKind;
use super::delivery::Burial;
use super::offering::damaged_in;
use super::sink_state::{Phase, SinkState, State, seconds};
use super::worker::Worker;

/// Abandoned calls after which a sink is failed.
const ABANDONED_CALLS: u32 = 3;

impl SinkState {
    /// Abandons a call that has passed its deadline; returns when to look again.
    pub fn supervise(self: &Arc<Self>, now: Instant) -> Option<Instant> {
        let mut state = self.lock();
        let call = state.call?;
        if call.deadline > now {
            return Some(call.deadline);
        }
        let reason = format!("{} did not return within {} and was abandoned", call.kind, seconds(call.limit));
        match call.kind {
            CallKind::Flush(request) => {
                let failed = Err(reason.clone());
                state.delivery.flushed(request, &failed);
                state.flush_failure = Some(reason.clone());
                state.flushes.answer(request, &failed);
            }
            CallKind::Close => state.close_failure = Some(reason.clone()),
            _ => {}
        }
        self.abandon(&mut state, &reason, now);
        if call.kind == CallKind::Close {
            state.end(Phase::Closed, "the sink is closed");
        } else {
            self.replace_worker(&mut state);
        }
        state.notify_settled(self);
        let is_failed = state.phase == Phase::Failed;
        drop(state);
        tracing::error!(sink = self.settings.name, "{reason}");
        if is_failed {
            // No worker will.
            self.bury_doomed();
        }
        None
    }

    /// A defect of this program ended the worker of this epoch.
    pub fn worker_broke(self: &Arc<Self>, epoch: u64) {
        let reason = "the sink's worker panicked: this is a defect of audit-host, please report it";
        tracing::error!(sink = self.settings.name, "{reason}");
        let mut state = self.lock();
        if state.epoch == epoch && state.phase == Phase::Running {
            self.abandon(&mut state, reason, Instant::now());
            state.delivery.take_burial_back();
            self.replace_worker(&mut state);
            state.notify_settled(self);
        }
    }

    /// Leaks the call that is going on, with its thread and instance.
    pub fn abandon(&self, state: &mut State, reason: &str, now: Instant) {
        state.epoch += 1;
        state.call = None;
        state.delivery.abandoned(reason, now);
        state.notify_work(self);
    }

    fn replace_worker(self: &Arc<Self>, state: &mut State) {
        state.abandoned += 1;
        if state.abandoned >= ABANDONED_CALLS {
            return self.fail(state, &format!("{ABANDONED_CALLS} of its calls were abandoned"));
        }
        let worker = Worker::reopening(self.clone(), state.epoch);
        if let Err(error) = worker.start() {
            self.fail(state, &format!("no thread for its new worker: {error}"));
        }
    }

    fn fail(&self, state: &mut State, why: &str) {
        state.end(Phase::Failed, &format!("the sink is failed: {why}"));
        if !self.settings.required {
            state.delivery.drop_before(u64::MAX);
        }
        tracing::error!(
            sink = self.settings.name,
            "the sink is failed: {why}; it gets nothing more until the logger is opened anew"
        );
    }

    /// Writes what is doomed to the dead letters, unless that is being done, or has just failed.
    pub fn bury_doomed(&self) {
        let burial = self.lock().delivery.start_burial(Instant::now());
        if let Some(burial) = burial {
            self.bury(&burial);
        }
    }

    /// Writes dead letters; what cannot be written stays, and is tried again.
    pub fn bury(&self, burial: &Burial) {
        let spans = burial.pieces.iter().flat_map(|piece| &piece.spans);
        // What cannot be read is an error below.
        let damaged: Vec<_> = spans.filter_map(|span| damaged_in(span, &*span.run.body().ok()?)).collect();
        if !damaged.is_empty() {
            self.lock().delivery.unbury(burial.id);
            self.store.lose_damaged(&damaged);
            return self.bury_doomed();
        }
        let (written, result) =
            self.dead_letters.write(&self.settings.name, &self.settings.class, &burial.pieces);
        let path = self.dead_letters.path().display();
        let mut reason = burial.pieces.last().map(|piece| piece.reason.clone()).unwrap_or_default();
        if written > 0 {
            tracing::error!(
                sink = self.settings.name,
                events = written,
                dead_letters = %path,
                "events were given up and dead-lettered: {reason}"
            );
        }
        if let Err(error) = result {
            tracing::error!(
                sink = self.settings.name,
                "dead letters cannot be written to {path}: {error}; the events stay queued"
            );
            reason = format!("{reason}; and dead letters cannot be written to {path}: {error}");
        }
        let now = Instant::now();
        let mut state = self.lock();
        state.delivery.buried(burial.id, written, now);
        state.last_doom = Some(reason);
        if written > 0 {
            self.store.budget.note_progress(now);
        }
        state.notify_work(self);
        state.notify_settled(self);
    }
}
