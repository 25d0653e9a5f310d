//! The trait that a sink implements.

use serde_json::Value;

use crate::{Batch, Context, Deadline, Host, RawExtension, SinkError, SinkOptions};

/// A destination for audit events.
///
/// The host calls one instance from one thread at a time, though not always from the same thread. Every callback may
/// block, up to its deadline: a call that takes longer is *abandoned* (its thread and instance are leaked, what it
/// returns later is ignored, its events are offered to a fresh instance). A panic in any callback is caught inside the
/// plugin and becomes an error.
pub trait Sink: Sized + Send + 'static {
    /// The sink's own table in `audit.toml`.
    type Options: SinkOptions;

    /// Checks options that parsed, without any side effect; called by `audit-host check` and before `open`.
    fn validate(options: &Self::Options, context: &Context) -> Result<(), SinkError> {
        let _ = (options, context);
        Ok(())
    }

    /// Opens an instance. Called at start, and again after a panic, an abandoned call or [`ErrorKind::Reopen`](crate::ErrorKind::Reopen).
    fn open(options: Self::Options, context: Context, host: Host) -> Result<Self, SinkError>;

    /// Delivers a batch.
    ///
    /// `Ok(Written::Delivered)` is a promise: every event of the batch is where it belongs, or [`Sink::flush`] will
    /// put it there. On `Err`, [`SinkError::events`] says which events were delivered all the same; the host retries,
    /// dead-letters or reopens as [`SinkError::kind`] says.
    fn write_batch(&mut self, batch: &Batch<'_>) -> Result<Written, SinkError>;

    /// Makes everything durable that was answered with `Delivered`, and waits for what is pending where it can.
    ///
    /// With a spool, what it said yes to is deleted there. So an error has to be [`ErrorKind::Reopen`](crate::ErrorKind::Reopen)
    /// where this instance cannot make up for it: its successor gets everything again that no flush has said yes to, as
    /// possible duplicates, and so does each one after it, with backoff, until a flush says yes. After another error the same
    /// instance is asked again.
    fn flush(&mut self, deadline: Deadline) -> Result<(), SinkError> {
        let _ = deadline;
        Ok(())
    }

    /// Ends the instance; it is dropped afterwards. `flush` has been called before.
    fn close(&mut self, deadline: Deadline) -> Result<(), SinkError> {
        let _ = deadline;
        Ok(())
    }

    /// Carries out a request: `{"control": "reopen"}`; `reopen`, `rotate` and `probe` are reserved names. An unknown
    /// request is answered with [`SinkError::unsupported`].
    fn control(&mut self, request: &Value, deadline: Deadline) -> Result<Value, SinkError> {
        let _ = deadline;
        Err(SinkError::unsupported(&format!("control {request}")))
    }

    /// Answers a question about the instance's state, e.g. `"sent_messages"`.
    fn inspect(&mut self, request: &str) -> Result<Value, SinkError> {
        Err(SinkError::unsupported(&format!("inspect {request:?}")))
    }

    /// Hands out an extension of the interface; `None` is always legal.
    fn extension(&self, id: &str, version: u32) -> Option<RawExtension> {
        let _ = (id, version);
        None
    }
}

/// The answer to a batch that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Every event of the batch is delivered.
    Delivered,
    /// The first `taken` events are the sink's now, and it will acknowledge each through
    /// [`Host::acknowledge`](crate::Host::acknowledge); the rest is backpressure: it is offered again, which counts neither as an attempt nor
    /// as a retry.
    Pending {
        /// How many events, from the first, the sink has taken.
        taken: u32,
    },
}
