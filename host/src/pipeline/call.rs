//! A call into a sink, and how long it may take.

use std::fmt;
use std::time::{Duration, Instant};

/// A call that is going on.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Which.
    pub kind: CallKind,
    /// When it is abandoned.
    pub deadline: Instant,
    /// How long it may take.
    pub limit: Duration,
}

/// Which callback of the sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// `open`.
    Open,
    /// `write_batch`.
    Write,
    /// `flush`, for all requests up to this one.
    Flush(u64),
    /// `flush`, so that it acknowledges what it has.
    Nudge,
    /// `close`.
    Close,
    /// `control` or `inspect`.
    Request,
    /// Its `Drop`.
    Drop,
}

impl fmt::Display for CallKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CallKind::Open => "open",
            CallKind::Write => "write_batch",
            CallKind::Flush(_) | CallKind::Nudge => "flush",
            CallKind::Close => "close",
            CallKind::Request => "control or inspect",
            CallKind::Drop => "drop",
        })
    }
}
