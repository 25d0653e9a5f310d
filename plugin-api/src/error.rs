//! What a sink answers when it could not do what it was asked.

use std::time::Duration;

use crate::OptionsError;

/// What the host does about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The same events are offered again, after a delay that grows.
    Retryable,
    /// Trying again is of no use. With [`Delivered::AllExcept`] the events named are dead-lettered; otherwise the batch
    /// is halved until the poisonous event stands alone.
    Permanent,
    /// The instance is of no more use: it is dropped, a fresh one is opened, and the events are offered to that.
    Reopen,
    /// The request is not known to this sink (control, inspect).
    Unsupported,
    /// A callback panicked. Made by the export macro and the host, not by sinks.
    Panicked,
}

/// Which events of a failed batch were delivered all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Delivered {
    /// None of them, or the sink cannot tell.
    #[default]
    Nothing,
    /// The first `n`; the error concerns the others.
    Prefix(u32),
    /// All but those at these positions (ascending, from 0); the error concerns these alone.
    AllExcept(Vec<u32>),
}

/// An error of a sink.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct SinkError {
    /// What the host shall do.
    pub kind: ErrorKind,
    /// Which events of the batch were delivered all the same.
    pub events: Delivered,
    /// What happened, for the operator; it stands in the log and in dead letters.
    pub reason: String,
    /// The earliest next attempt, where the destination said so.
    pub retry_after: Option<Duration>,
    /// The option at fault, e.g. `brokers[1].host`, where one is (validate, open).
    pub option: Option<String>,
}

impl SinkError {
    fn new(kind: ErrorKind, reason: impl Into<String>) -> Self {
        Self { kind, events: Delivered::Nothing, reason: reason.into(), retry_after: None, option: None }
    }

    /// The same events may succeed later.
    pub fn retryable(reason: impl Into<String>) -> Self {
        Self::new(ErrorKind::Retryable, reason)
    }

    /// The same events will never succeed.
    pub fn permanent(reason: impl Into<String>) -> Self {
        Self::new(ErrorKind::Permanent, reason)
    }

    /// The instance is of no more use, a fresh one may be.
    pub fn reopen(reason: impl Into<String>) -> Self {
        Self::new(ErrorKind::Reopen, reason)
    }

    /// The request is not known.
    pub fn unsupported(request: &str) -> Self {
        Self::new(ErrorKind::Unsupported, format!("unsupported: {request}"))
    }

    /// A callback panicked with this message.
    pub fn panicked(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Panicked, message)
    }

    /// The first `count` events were delivered.
    #[must_use]
    pub fn after(mut self, count: u32) -> Self {
        self.events = Delivered::Prefix(count);
        self
    }

    /// Only the events at these positions failed; **all others of the batch were delivered**.
    #[must_use]
    pub fn only(mut self, positions: impl IntoIterator<Item = u32>) -> Self {
        let mut list: Vec<u32> = positions.into_iter().collect();
        list.sort_unstable();
        list.dedup();
        self.events = Delivered::AllExcept(list);
        self
    }

    /// No attempt before this much time has passed.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// The option at fault, so that the host can point at its line in `audit.toml`.
    #[must_use]
    pub fn option(mut self, path: impl Into<String>) -> Self {
        self.option = Some(path.into());
        self
    }
}

impl From<OptionsError> for SinkError {
    fn from(error: OptionsError) -> Self {
        let sink_error = Self::permanent(error.reason);
        if error.path.is_empty() { sink_error } else { sink_error.option(error.path) }
    }
}
