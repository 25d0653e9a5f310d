//! Why the pipeline refused something.

use audit_plugin_api::{InvalidEvent, SinkError};

use crate::spool::SpoolError;

/// Why an event was not accepted, or (with `use_worker = false`) not delivered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The logger is closed.
    #[error("the audit logger is closed: no event is accepted any more")]
    Closed,
    /// The store is full, and stayed so for as long as `when_full` and `block_timeout` say.
    #[error(
        "the store is full: {used} of capacity_bytes = {capacity} are in use and no sink made progress; \
         see `when_full` and `block_timeout` in [buffer]"
    )]
    Full {
        /// Bytes in use.
        used: usize,
        /// The bound.
        capacity: usize,
    },
    /// The spool cannot take it: the disk is full, say.
    #[error("the spool cannot take the event: {0}")]
    Spool(String),
    /// The event was accepted and will be delivered, but is not on the disk, as `durability` or `disk_for` ask.
    #[error("the event was accepted, but cannot be made durable: {0}")]
    NotDurable(String),
    /// The event's canonical line is too large.
    #[error("the event takes {size} bytes as a canonical line, more than max_event_bytes = {limit}")]
    TooLarge {
        /// Its size in bytes, without newline.
        size: usize,
        /// `max_event_bytes`.
        limit: usize,
    },
    /// It is no event.
    #[error("invalid event: {0}")]
    Invalid(#[from] InvalidEvent),
    /// With `use_worker = false`: it was accepted and dead-lettered.
    #[error("the event was not delivered, and is a dead letter now: {0}")]
    Undelivered(String),
    /// This process is a forked child, and its sinks could not be opened anew.
    #[error("this process was forked, and its sinks cannot be opened anew: {0}")]
    Unopened(String),
}

/// A sink could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("sink `{name}` ({class}) cannot be opened: {error}")]
pub struct SinkOpenError {
    /// Its name.
    pub name: String,
    /// Its class path.
    pub class: String,
    /// Why.
    pub error: Box<SinkError>,
}

/// Why the pipeline could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A sink.
    #[error(transparent)]
    Sink(#[from] SinkOpenError),
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// `flush` or `close` was called from a callback of a sink, where it would wait for itself.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "flush and close cannot be called from a sink's own callback: they would wait for that callback to return"
)]
pub struct FromCallback;
