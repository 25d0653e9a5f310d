//! The event: who asked to do what, and was it granted.

mod action;
mod timestamp;

use uuid::Uuid;

use crate::RawEvent;
pub use action::Action;
pub use timestamp::Timestamp;

/// One permission decision.
#[derive(Clone, Debug, PartialEq)]
pub struct PermissionAuditEvent {
    /// Its id; made at `record` (a UUIDv7) where absent.
    pub event_id: Option<Uuid>,
    /// When it was decided; the time of `record` where absent.
    pub timestamp: Option<Timestamp>,
    /// What was asked for.
    pub action: Action,
    /// The attributes asked for, in order.
    pub attributes: Vec<String>,
    /// Whether it was granted.
    pub granted: bool,
    /// Whether the check was bypassed.
    pub bypassed: bool,
    /// The manager class asked.
    pub manager: Option<String>,
    /// The user's primary key.
    pub user_id: Option<String>,
    /// A representation of the user, where there is no key.
    pub user: Option<String>,
    /// The permission expressions evaluated, in order.
    pub permissions: Vec<String>,
    /// Whatever else is known.
    pub metadata: Option<Metadata>,
}

impl PermissionAuditEvent {
    /// An event with this action and decision, and nothing else.
    pub fn new(action: Action, granted: bool) -> Self {
        Self {
            event_id: None,
            timestamp: None,
            action,
            attributes: Vec::new(),
            granted,
            bypassed: false,
            manager: None,
            user_id: None,
            user: None,
            permissions: Vec::new(),
            metadata: None,
        }
    }

    /// Reads a canonical line.
    pub fn from_canonical(line: &[u8]) -> Result<Self, InvalidEvent> {
        let _ = line;
        todo!()
    }

    /// The canonical JSON, without newline; an absent id or time is made now.
    pub fn to_json(&self) -> String {
        todo!()
    }
}

/// A JSON object, kept as canonical text: key order, duplicate keys and number tokens as given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata(Box<str>);

/// Why something is no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidEvent(pub String);

/// Appends the canonical line of an event, with its newline, and says where it stands (`run` 0, `offset` within `out`).
pub fn write_line(
    event: &PermissionAuditEvent,
    sequence: u64,
    event_id: Uuid,
    timestamp: Timestamp,
    out: &mut Vec<u8>,
) -> RawEvent {
    let _ = (event, sequence, event_id, timestamp, out);
    todo!()
}
