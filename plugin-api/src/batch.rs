//! A batch of events, as a sink is given it.
//!
//! One or more *runs* of whole canonical lines, and an entry for each event that says where it stands in them. All of
//! it is borrowed; [`Batch::hold`] keeps the bytes beyond the call.

use std::ops::Deref;
use std::sync::Arc;

use uuid::Uuid;

use crate::{Action, Deadline, PermissionAuditEvent, Timestamp};

/// Bits of [`RawEvent::flags`].
pub mod flags {
    /// The decision was yes.
    pub const GRANTED: u32 = 1;
    /// The check was bypassed.
    pub const BYPASSED: u32 = 2;
    /// An earlier attempt may have delivered it.
    pub const POSSIBLE_DUPLICATE: u32 = 4;
    /// It comes from a dead letter that is replayed.
    pub const REPLAYED: u32 = 8;
    /// It stands for events that were lost (see `metadata.audit_host`).
    pub const GAP: u32 = 16;

    /// The bits of a decision.
    pub const fn decision(granted: bool, bypassed: bool) -> u32 {
        (if granted { GRANTED } else { 0 }) | (if bypassed { BYPASSED } else { 0 })
    }
}

/// One event of a batch, as it crosses the boundary. It may grow at its end: readers step by the size they are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RawEvent {
    /// Which run it stands in.
    pub run: u32,
    /// Where in that run its line starts, in bytes.
    pub offset: u32,
    /// Length of the line in bytes, without its newline.
    pub len: u32,
    /// [`Action`] as a number; unknown ones must be tolerated.
    pub action: u32,
    /// See [`flags`].
    pub flags: u32,
    /// Where within the line the text of `user_id` starts (behind its quote); 0 for null.
    pub user_id_offset: u32,
    /// Length of that text, as escaped in the line.
    pub user_id_len: u32,
    /// Where within the line the text of `manager` starts (behind its quote); 0 for null.
    pub manager_offset: u32,
    /// Length of that text, as escaped in the line.
    pub manager_len: u32,
    /// Always 0.
    pub reserved: u32,
    /// Unique for a logger, increasing for each recording thread; gaps are normal.
    pub sequence: u64,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub timestamp: i64,
    /// The UUID's bytes.
    pub event_id: [u8; 16],
}

/// Keeps the bytes of a batch alive; implemented by the store of the host, and by `testing`.
pub trait Hold: Sync {
    /// A counted handle on the bytes of all runs.
    fn hold(&self) -> Arc<dyn HeldRuns>;
}

/// Bytes that are kept.
pub trait HeldRuns: Send + Sync {
    /// The bytes of the run of this index, the same at every call; empty where there is none.
    fn run(&self, index: usize) -> &[u8];
}

/// One run.
impl HeldRuns for Vec<u8> {
    fn run(&self, index: usize) -> &[u8] {
        if index == 0 { self } else { &[] }
    }
}

/// A counted handle on the bytes of a batch, usable from any thread. They count in the host's bound until the last
/// clone is dropped.
#[derive(Clone)]
pub struct Held(Arc<dyn HeldRuns>);

impl Held {
    /// The bytes of the run of this index, the same that [`Batch::runs`] lent; empty where there is none.
    pub fn run(&self, index: usize) -> &[u8] {
        self.0.run(index)
    }

    /// The canonical JSON of an event of that batch, without newline; a further count on the same bytes.
    pub fn json(&self, event: &Event<'_>) -> HeldJson {
        HeldJson { runs: Arc::clone(&self.0), raw: *event.raw }
    }
}

/// The canonical JSON of one event, kept beyond the call that brought it; made by [`Held::json`].
#[derive(Clone)]
pub struct HeldJson {
    runs: Arc<dyn HeldRuns>,
    raw: RawEvent,
}

impl Deref for HeldJson {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        line_in(self.runs.run(self.raw.run as usize), &self.raw)
    }
}

impl AsRef<[u8]> for HeldJson {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// A batch of events.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    id: u64,
    attempt: u32,
    deadline: Deadline,
    runs: &'a [&'a [u8]],
    events: &'a [RawEvent],
    holder: &'a dyn Hold,
}

impl<'a> Batch<'a> {
    /// Puts a batch together; for hosts and `testing`. Every entry must lie within its run.
    pub fn new(
        id: u64,
        attempt: u32,
        deadline: Deadline,
        runs: &'a [&'a [u8]],
        events: &'a [RawEvent],
        holder: &'a dyn Hold,
    ) -> Self {
        Self { id, attempt, deadline, runs, events, holder }
    }

    /// Names the batch in acknowledgements; unique within the instance.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// 1 the first time, more when any of its events was offered before and failed.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// By when `write_batch` must have returned.
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Number of events.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// The runs: whole lines, each ended by a newline. Writing every run writes the batch.
    pub fn runs(&self) -> &'a [&'a [u8]] {
        self.runs
    }

    /// The entries as they cross the boundary.
    pub fn raw_events(&self) -> &'a [RawEvent] {
        self.events
    }

    /// The events, in order.
    pub fn events(&self) -> impl ExactSizeIterator<Item = Event<'a>> + 'a {
        let runs = self.runs;
        self.events.iter().map(move |raw| Event { raw, line: line_of(runs, raw) })
    }

    /// The event at this position.
    pub fn event(&self, position: usize) -> Option<Event<'a>> {
        self.events.get(position).map(|raw| Event { raw, line: line_of(self.runs, raw) })
    }

    /// Keeps the bytes of all runs alive beyond the call.
    pub fn hold(&self) -> Held {
        Held(self.holder.hold())
    }

    pub(crate) fn holder(&self) -> &'a dyn Hold {
        self.holder
    }
}

fn line_of<'a>(runs: &[&'a [u8]], raw: &RawEvent) -> &'a [u8] {
    runs.get(raw.run as usize).map(|run| line_in(run, raw)).unwrap_or_default()
}

fn line_in<'a>(run: &'a [u8], raw: &RawEvent) -> &'a [u8] {
    let start = raw.offset as usize;
    run.get(start..start + raw.len as usize).unwrap_or_default()
}

/// One event of a batch.
#[derive(Clone, Copy)]
pub struct Event<'a> {
    raw: &'a RawEvent,
    line: &'a [u8],
}

impl<'a> Event<'a> {
    /// The canonical JSON, without newline.
    pub fn json(&self) -> &'a [u8] {
        self.line
    }

    /// The entry as it crosses the boundary.
    pub fn raw(&self) -> &'a RawEvent {
        self.raw
    }

    /// Unique for a logger, increasing for each recording thread; gaps are normal.
    pub fn sequence(&self) -> u64 {
        self.raw.sequence
    }

    /// When it was recorded.
    pub fn timestamp(&self) -> Timestamp {
        Timestamp::from_micros(self.raw.timestamp)
    }

    /// Its id.
    pub fn event_id(&self) -> Uuid {
        Uuid::from_bytes(self.raw.event_id)
    }

    /// What was asked for; `None` for an action that this version does not know.
    pub fn action(&self) -> Option<Action> {
        Action::from_code(self.raw.action)
    }

    /// Whether it was granted.
    pub fn granted(&self) -> bool {
        self.raw.flags & flags::GRANTED != 0
    }

    /// Whether the check was bypassed.
    pub fn bypassed(&self) -> bool {
        self.raw.flags & flags::BYPASSED != 0
    }

    /// The text of `user_id` as escaped in the line, without quotes; `None` for null.
    pub fn user_id_escaped(&self) -> Option<&'a [u8]> {
        self.text(self.raw.user_id_offset, self.raw.user_id_len)
    }

    /// The text of `manager` as escaped in the line, without quotes; `None` for null.
    pub fn manager_escaped(&self) -> Option<&'a [u8]> {
        self.text(self.raw.manager_offset, self.raw.manager_len)
    }

    fn text(&self, offset: u32, len: u32) -> Option<&'a [u8]> {
        if offset == 0 {
            return None;
        }
        self.line.get(offset as usize..offset as usize + len as usize)
    }

    /// All of it as a struct; costs a parse.
    pub fn decode(&self) -> Result<PermissionAuditEvent, crate::event::InvalidEvent> {
        PermissionAuditEvent::from_canonical(self.line)
    }
}
