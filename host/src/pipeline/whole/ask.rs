//! Questions and orders for a sink.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use audit_plugin_api::SinkError;
use audit_plugin_api::serde_json::Value;

use super::{Pipeline, deadline_after};
use crate::pipeline::report::Inspection;
use crate::pipeline::request::{Ask, Request};
use crate::pipeline::sink_state::{Phase, SinkState};
use crate::pipeline::worker::in_callback;

/// How long an inspection waits for a busy sink before it takes the last reply.
const INSPECTION_PATIENCE: Duration = Duration::from_millis(250);

impl Pipeline {
    /// Asks a sink; a busy one, and one that is closed, is answered for from its last reply.
    pub fn inspect(&self, sink: &str, request: &str) -> Result<Inspection, SinkError> {
        let sink = self.sink(sink)?;
        let answer = self.ask(sink, INSPECTION_PATIENCE, Ask::Inspect(request.to_owned()));
        let state = sink.lock();
        let why = match answer {
            Some(Ok(reply)) => return Ok(Inspection { reply, age: Duration::ZERO }),
            Some(Err(error)) if state.phase == Phase::Running => return Err(error),
            Some(Err(error)) => error,
            None => SinkError::retryable("the sink is busy, and has not answered this before"),
        };
        let last = state.replies.get(request);
        last.map(|(at, reply)| Inspection { reply: reply.clone(), age: at.elapsed() }).ok_or(why)
    }

    /// Gives a sink an order, such as `{"control": "reopen"}`, and waits for its answer. An order that it has not begun
    /// with when `timeout` has passed is withdrawn.
    pub fn control(&self, sink: &str, request: &Value, timeout: Duration) -> Result<Value, SinkError> {
        let sink = self.sink(sink)?;
        self.ask(sink, timeout, Ask::Control(request.clone()))
            .unwrap_or_else(|| Err(SinkError::retryable("the sink is busy")))
    }

    fn sink(&self, name: &str) -> Result<&Arc<SinkState>, SinkError> {
        self.sinks.iter().find(|sink| sink.settings.name == name).ok_or_else(|| {
            let known: Vec<_> = self.sink_names().collect();
            SinkError::permanent(format!("there is no sink `{name}`; there are: {}", known.join(", ")))
        })
    }

    /// `None` if there was no answer in time.
    fn ask(&self, sink: &SinkState, patience: Duration, what: Ask) -> Option<Result<Value, SinkError>> {
        if in_callback(self.store.id()) {
            return Some(Err(SinkError::retryable("asked from a sink's own callback")));
        }
        let (reply, answer) = sync_channel(1);
        let deadline = deadline_after(patience);
        let mut state = sink.lock();
        if state.phase != Phase::Running {
            return Some(Err(SinkError::permanent("the sink is closed or failed")));
        }
        state.requested += 1;
        let id = state.requested;
        state.requests.push_back(Request { id, what, deadline, reply });
        state.notify_work(sink);
        drop(state);
        let answer = answer.recv_timeout(patience).ok();
        if answer.is_none() {
            sink.lock().requests.retain(|request| request.id != id);
        }
        answer
    }
}
