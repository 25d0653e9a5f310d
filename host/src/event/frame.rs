//! The compact form that `record` copies an event into, and the worker makes the canonical line of.

use audit_plugin_api::{PermissionAuditEvent, RawEvent, Timestamp, Uuid};

/// What `record` adds to an event.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// Unique for a logger, increasing for a thread.
    pub sequence: u64,
    /// When it was recorded (the event's own, where it brings one).
    pub timestamp: Timestamp,
    /// Its id (the event's own, where it brings one).
    pub event_id: Uuid,
    /// Bits of `RawEvent::flags` to add (`REPLAYED`, `POSSIBLE_DUPLICATE`, `GAP`).
    pub flags: u32,
}

/// Length in bytes of the canonical line, without newline: exact.
pub fn canonical_len(event: &PermissionAuditEvent) -> usize {
    let _ = event;
    todo!()
}

/// Length in bytes of the frame that [`push_event`] appends.
pub fn frame_len(event: &PermissionAuditEvent) -> usize {
    let _ = event;
    todo!()
}

/// Appends the frame of an event.
pub fn push_event(event: &PermissionAuditEvent, stamp: Stamp, out: &mut Vec<u8>) {
    let _ = (event, stamp, out);
    todo!()
}

/// Appends the frame of a line that is canonical already; `entry` says where its parts stand within the line.
pub fn push_line(line: &[u8], entry: &RawEvent, out: &mut Vec<u8>) {
    let _ = (line, entry, out);
    todo!()
}

/// Appends the canonical lines of all `frames`, each with its newline, to `lines`, and an entry for each to `entries`
/// (`run` 0, `offset` within `lines`). Returns how many frames were read; stops at one that makes no sense.
pub fn write_lines(frames: &[u8], lines: &mut Vec<u8>, entries: &mut Vec<RawEvent>) -> usize {
    let _ = (frames, lines, entries);
    todo!()
}
