//! The canonical line: the one place that knows its keys, their order and their punctuation.
//!
//! `{"event_id":…,"timestamp":…,"action":…,"attributes":…,"granted":…,"bypassed":…,"manager":…,"user_id":…,"user":…,
//! "permissions":…,"metadata":…}` and a newline. Readers must ignore keys behind `metadata`: a later version may append.

use uuid::Uuid;

use super::{Action, PermissionAuditEvent, Timestamp, text};
use crate::{RawEvent, flags};

const HEAD: [u8; 108] = *b"{\"event_id\":\"00000000-0000-0000-0000-000000000000\",\"timestamp\":\"0000-00-00T00:00:00.000000+00:00\",\"action\":\"";
const EVENT_ID_AT: usize = 13;
const TIMESTAMP_AT: usize = 64;
const ATTRIBUTES: &[u8] = b"\",\"attributes\":[";
const USER_ID: &[u8] = b",\"user_id\":";
const USER: &[u8] = b",\"user\":";
const PERMISSIONS: &[u8] = b",\"permissions\":[";
const METADATA: &[u8] = b"],\"metadata\":";
const END: &[u8] = b"}\n";

/// The parts of an event, borrowed; for hosts, which keep events in forms of their own.
///
/// Texts are UTF-8 and not escaped; `metadata` is canonical. A line stays below 4 GiB: that is the host's to see to.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a, A, P> {
    /// Goes into the entry.
    pub sequence: u64,
    /// Bits of [`flags`]; `GRANTED` and `BYPASSED` are the fields of those names.
    pub flags: u32,
    /// Its id.
    pub event_id: Uuid,
    /// When it was recorded.
    pub timestamp: Timestamp,
    /// What was asked for.
    pub action: Action,
    /// The attributes asked for.
    pub attributes: A,
    /// The manager class asked.
    pub manager: Option<&'a [u8]>,
    /// The user's primary key.
    pub user_id: Option<&'a [u8]>,
    /// A representation of the user.
    pub user: Option<&'a [u8]>,
    /// The permission expressions evaluated.
    pub permissions: P,
    /// Whatever else is known.
    pub metadata: Option<&'a [u8]>,
}

impl<'a, A, P> Fields<'a, A, P>
where
    A: Iterator<Item = &'a [u8]>,
    P: Iterator<Item = &'a [u8]>,
{
    /// Appends the canonical line, with its newline, and says where it stands (`run` 0, `offset` within `out`).
    ///
    /// `push_text` appends one text in its escaped form: [`text::push_escaped`], or a plain copy where the caller knows
    /// that nothing needs escaping.
    #[inline]
    pub fn write(self, push_text: impl Fn(&[u8], &mut Vec<u8>) + Copy, out: &mut Vec<u8>) -> RawEvent {
        let start = out.len();
        out.extend_from_slice(&HEAD);
        self.fill_in_head(&mut out[start..]);
        out.extend_from_slice(self.action.as_str().as_bytes());
        out.extend_from_slice(ATTRIBUTES);
        push_list(self.attributes, push_text, out);
        out.extend_from_slice(decision(self.flags));
        let manager = push_nullable(self.manager, start, push_text, out);
        out.extend_from_slice(USER_ID);
        let user_id = push_nullable(self.user_id, start, push_text, out);
        out.extend_from_slice(USER);
        push_nullable(self.user, start, push_text, out);
        out.extend_from_slice(PERMISSIONS);
        push_list(self.permissions, push_text, out);
        out.extend_from_slice(METADATA);
        out.extend_from_slice(self.metadata.unwrap_or(b"null"));
        out.extend_from_slice(END);
        RawEvent {
            run: 0,
            offset: start as u32,
            len: (out.len() - 1 - start) as u32,
            action: self.action.code(),
            flags: self.flags,
            user_id_offset: user_id.0,
            user_id_len: user_id.1,
            manager_offset: manager.0,
            manager_len: manager.1,
            reserved: 0,
            sequence: self.sequence,
            timestamp: self.timestamp.as_micros(),
            event_id: self.event_id.into_bytes(),
        }
    }

    #[inline]
    fn fill_in_head(&self, line: &mut [u8]) {
        let Some(head) = line.first_chunk_mut::<{ HEAD.len() }>() else { return };
        write_id(self.event_id, head);
        if let Some(text) = head[TIMESTAMP_AT..].first_chunk_mut() {
            self.timestamp.write_text(text);
        }
    }
}

/// Writes the digits of the id; its hyphens are there.
#[inline]
fn write_id(id: Uuid, head: &mut [u8; HEAD.len()]) {
    let bytes = id.as_bytes();
    let digits = |at: usize| hex_digits([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let [first, second, third, fourth] = [digits(0), digits(4), digits(8), digits(12)];
    for (at, digits) in [
        (0, &first[..]),
        (9, &second[..4]),
        (14, &second[4..]),
        (19, &third[..4]),
        (24, &third[4..]),
        (28, &fourth[..]),
    ] {
        head[EVENT_ID_AT + at..][..digits.len()].copy_from_slice(digits);
    }
}

/// The hexadecimal digits of four bytes, in lower case: all eight at once.
#[inline]
fn hex_digits(bytes: [u8; 4]) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut word = u64::from(u32::from_le_bytes(bytes));
    word = (word | word << 16) & 0x0000_ffff_0000_ffff;
    word = (word | word << 8) & 0x00ff_00ff_00ff_00ff;
    let nibbles = word >> 4 & 0x000f_000f_000f_000f | (word & 0x000f_000f_000f_000f) << 8;
    let is_letter = (nibbles + ONES * 6) >> 4 & ONES;
    (nibbles + ONES * u64::from(b'0') + is_letter * u64::from(b'a' - b'0' - 10)).to_le_bytes()
}

/// Appends the canonical line of an event, with its newline, and says where it stands (`run` 0, `offset` within `out`).
pub fn write_line(
    event: &PermissionAuditEvent,
    sequence: u64,
    event_id: Uuid,
    timestamp: Timestamp,
    out: &mut Vec<u8>,
) -> RawEvent {
    Fields {
        sequence,
        flags: event.flags(),
        event_id,
        timestamp,
        action: event.action,
        attributes: event.attributes.iter().map(String::as_bytes),
        manager: event.manager.as_deref().map(str::as_bytes),
        user_id: event.user_id.as_deref().map(str::as_bytes),
        user: event.user.as_deref().map(str::as_bytes),
        permissions: event.permissions.iter().map(String::as_bytes),
        metadata: event.metadata.as_ref().map(|metadata| metadata.as_str().as_bytes()),
    }
    .write(text::push_escaped, out)
}

/// Length in bytes of the canonical line, without newline, where `texts_len` is the length of all its texts together
/// (attributes, permissions, manager, user_id, user) in the form that they have in it.
#[inline]
pub fn line_len(event: &PermissionAuditEvent, texts_len: usize) -> usize {
    const PUNCTUATION: usize = HEAD.len()
        + ATTRIBUTES.len()
        + USER_ID.len()
        + USER.len()
        + PERMISSIONS.len()
        + METADATA.len()
        + END.len()
        - 1;
    let list_len = |texts: &[String]| (texts.len() * 3).saturating_sub(1);
    let nullable_len = |text: &Option<String>| if text.is_some() { 2 } else { 4 };
    PUNCTUATION
        + event.action.as_str().len()
        + texts_len
        + list_len(&event.attributes)
        + decision(event.flags()).len()
        + nullable_len(&event.manager)
        + nullable_len(&event.user_id)
        + nullable_len(&event.user)
        + list_len(&event.permissions)
        + event.metadata.as_ref().map_or(4, |metadata| metadata.as_str().len())
}

fn decision(flags: u32) -> &'static [u8] {
    match (flags & flags::GRANTED != 0, flags & flags::BYPASSED != 0) {
        (false, false) => b"],\"granted\":false,\"bypassed\":false,\"manager\":",
        (false, true) => b"],\"granted\":false,\"bypassed\":true,\"manager\":",
        (true, false) => b"],\"granted\":true,\"bypassed\":false,\"manager\":",
        (true, true) => b"],\"granted\":true,\"bypassed\":true,\"manager\":",
    }
}

#[inline]
fn push_list<'a>(
    texts: impl Iterator<Item = &'a [u8]>,
    push_text: impl Fn(&[u8], &mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    let mut opening: &[u8] = b"\"";
    for text in texts {
        out.extend_from_slice(opening);
        push_text(text, out);
        out.push(b'"');
        opening = b",\"";
    }
}

/// Appends the text in quotes, or null; returns where it starts within the line (0 for null), and its length there.
#[inline]
fn push_nullable(
    text: Option<&[u8]>,
    line_start: usize,
    push_text: impl Fn(&[u8], &mut Vec<u8>),
    out: &mut Vec<u8>,
) -> (u32, u32) {
    let Some(text) = text else {
        out.extend_from_slice(b"null");
        return (0, 0);
    };
    out.push(b'"');
    let start = out.len();
    push_text(text, out);
    let len = out.len() - start;
    out.push(b'"');
    ((start - line_start) as u32, len as u32)
}
