//! What is not as promised.

use std::fmt;

/// Something that is not as promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// In which way.
    pub kind: Kind,
    /// Where: a sink, the spool, the dead letters.
    pub place: String,
    /// The id of the event, or the line, or the counter.
    pub what: String,
}

/// In which way something is not as promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An accepted event is not there, and nothing accounts for it.
    Missing,
    /// A line that nobody has issued.
    NeverIssued,
    /// An event that was refused is there all the same.
    RefusedYetThere,
    /// An event is there with other bytes.
    Altered,
    /// The last line is not whole.
    Torn,
    /// An event came behind a later one of its producer.
    OutOfOrder,
    /// An event is there twice, where that is not allowed.
    Repeated,
    /// An event is delivered, and dead-lettered too.
    SettledTwice,
    /// A counter is not what was found.
    Miscounted,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, place, what } = self;
        write!(f, "{kind:?} ({place}): {what}")
    }
}
