//! Waiting until everything is delivered and durable.

use std::sync::PoisonError;
use std::time::Duration;

use super::{Pipeline, deadline_after};
use crate::pipeline::error::FromCallback;
use crate::pipeline::report::FlushOutcome;
use crate::pipeline::sink_state::Phase;
use crate::pipeline::worker::in_callback;

impl Pipeline {
    /// Waits until everything accepted before the call is delivered and durable, for at most `timeout`.
    pub fn flush(&self, timeout: Duration) -> Result<FlushOutcome, FromCallback> {
        if in_callback(self.store.id()) {
            return Err(FromCallback);
        }
        let deadline = deadline_after(timeout);
        // What was given up before and is not reported yet, a flush that is under way may report as well.
        let reported = *self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let position = self.store.seal();
        let requests: Vec<u64> =
            self.sinks.iter().map(|sink| sink.request_flush(position, deadline)).collect();
        let mut remaining = Vec::new();
        let mut failures = Vec::new();
        let mut given_up = 0;
        for (sink, request) in self.sinks.iter().zip(requests) {
            sink.wait_until(deadline, |state| state.flushes.is_answered(request));
            let mut state = sink.lock();
            let answer = state.flushes.take(request);
            given_up += state.delivery.given_up() + state.delivery.lost();
            // It was settled when the flush failed, though the next instance may get some of it again.
            let is_settled = state.delivery.settled_to() >= position
                || state.phase == Phase::Running && state.delivery.spooled() == 0;
            drop(state);
            let name = sink.settings.name.clone();
            match answer {
                Some(Ok(())) => {}
                Some(Err(reason)) if is_settled => failures.push((name, reason)),
                _ => remaining.push((name, self.counts_of(sink).unsettled())),
            }
        }
        if !remaining.is_empty() {
            return Ok(FlushOutcome::TimedOut { remaining });
        }
        let mut before = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        *before = given_up.max(*before);
        let given_up = given_up.saturating_sub(reported);
        if given_up == 0 && failures.is_empty() {
            Ok(FlushOutcome::Flushed)
        } else {
            Ok(FlushOutcome::Failed { given_up, sinks: failures })
        }
    }
}
