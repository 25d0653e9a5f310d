//! What a logger is, to those who record.

use std::time::Duration;

use audit_plugin_api::{PermissionAuditEvent, SinkError};

use crate::pipeline::{CloseReport, FlushOutcome, FromCallback, Inspection, RecordError};

/// Takes permission audit events. [`Logger`](super::Logger) is the one with sinks; anyone may write another, in-process.
pub trait AuditLogger: Send + Sync {
    /// Hands over one event; returns when it is accepted, or says why it is not. Never drops it silently.
    fn record(&self, event: &PermissionAuditEvent) -> Result<(), RecordError>;

    /// Waits until everything accepted before the call is delivered and durable, for at most `timeout`. The logger stays
    /// open.
    fn flush(&self, timeout: Duration) -> Result<FlushOutcome, FromCallback>;

    /// Refuses new events, delivers what there is within `timeout`, and ends. Called again, it answers the same.
    fn close(&self, timeout: Duration) -> Result<CloseReport, FromCallback>;

    /// Asks a sink, by its name, about its state, e.g. `"sent_messages"`. A logger without such sinks knows no request.
    fn inspect(&self, sink: &str, request: &str) -> Result<Inspection, SinkError> {
        Err(SinkError::unsupported(&format!(
            "inspect {request:?} of `{sink}`: this logger has no sinks to ask"
        )))
    }

    /// How long a close may take where nobody says otherwise.
    fn shutdown_timeout(&self) -> Duration {
        crate::config::DeliverySettings::default().shutdown_timeout
    }
}
