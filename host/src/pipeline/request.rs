//! A question or an order for a sink, carried out between its other calls.

use std::sync::mpsc::SyncSender;
use std::time::Instant;

use audit_plugin_api::serde_json::Value;
use audit_plugin_api::{Deadline, SinkError};

use super::sink::SinkInstance;

/// A question or an order for a sink.
pub struct Request {
    /// Tells it from others of the sink.
    pub id: u64,
    /// What is asked.
    pub what: Ask,
    /// When whoever asked stops waiting.
    pub deadline: Instant,
    /// Whoever asked.
    pub reply: SyncSender<Result<Value, SinkError>>,
}

/// What is asked of a sink.
#[derive(Clone, Debug)]
pub enum Ask {
    /// A question.
    Inspect(String),
    /// An order.
    Control(Value),
}

impl Request {
    /// Puts it to the instance.
    pub fn ask(&self, instance: &mut dyn SinkInstance, deadline: Deadline) -> Result<Value, SinkError> {
        match &self.what {
            Ask::Inspect(request) => instance.inspect(request),
            Ask::Control(request) => instance.control(request, deadline),
        }
    }

    /// Sends the reply; whoever asked may be gone.
    pub fn reply(self, reply: Result<Value, SinkError>) {
        let _ = self.reply.try_send(reply);
    }
}
