//! What is recorded, how patiently, and why it may be refused.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use audit_plugin_api::{PermissionAuditEvent, RawEvent};

use crate::event::frame;

/// What an event takes in the store beside its line.
pub const ENTRY_BYTES: usize = size_of::<RawEvent>() + 8;

/// What is recorded.
#[derive(Clone, Copy)]
pub enum Record<'a> {
    /// An event; its id and time are made now where it brings none.
    Event(&'a PermissionAuditEvent),
    /// A canonical line, without newline, and where its parts stand within it.
    Line(&'a [u8], &'a RawEvent),
}

impl Record<'_> {
    /// Length of the canonical line, without newline.
    pub fn line_len(&self) -> usize {
        match self {
            Record::Event(event) => frame::canonical_len(event),
            Record::Line(line, _) => line.len(),
        }
    }

    /// The code of its action, and its flags as of a `RawEvent`.
    pub(super) fn action_and_flags(&self) -> (u32, u32) {
        match self {
            Record::Event(event) => (event.action.code(), event.flags()),
            Record::Line(_, entry) => (entry.action, entry.flags),
        }
    }

    /// Length of its frame.
    pub(super) fn frame_len(&self) -> usize {
        match self {
            Record::Event(event) => frame::frame_len(event),
            Record::Line(line, _) => frame::line_frame_len(line),
        }
    }
}

/// What an event with a line (without newline) and a frame of these lengths takes in the store.
pub(super) fn charge(line_len: usize, frame_len: usize) -> usize {
    (line_len + 1 + ENTRY_BYTES).max(frame_len)
}

/// What to do while the store is full.
#[derive(Clone, Copy)]
pub enum Patience<'a> {
    /// Fail at once.
    None,
    /// Wait, and fail this long after the last progress.
    Progress(Duration),
    /// Wait as long as it takes, until this is set.
    UntilStopped(&'a AtomicBool),
}

/// Why an event was not accepted. Of two words, which are returned in registers: `record` moves it for each event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::box_collection)]
pub enum Refused {
    /// The store is closed.
    Closed,
    /// The store is full.
    Full,
    /// Its canonical line has so many bytes, without newline.
    TooLarge(usize),
    /// The spool cannot take it, for this reason.
    Spool(Box<String>),
    /// It was accepted, but cannot be made durable, for this reason.
    NotDurable(Box<String>),
}
