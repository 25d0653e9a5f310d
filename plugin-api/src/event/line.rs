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
    fn fill_in_head(&self, head: &mut [u8]) {
        self.event_id.hyphenated().encode_lower(&mut head[EVENT_ID_AT..]);
        if let Some(text) = head[TIMESTAMP_AT..].first_chunk_mut() {
            self.timestamp.write_text(text);
        }
    }
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

/// Length in bytes of the canonical line, without newline, where `text_len` tells the length of each text in it:
/// exact with [`text::escaped_len`].
#[inline]
pub fn line_len(event: &PermissionAuditEvent, text_len: impl Fn(&[u8]) -> usize + Copy) -> usize {
    const PUNCTUATION: usize = HEAD.len()
        + ATTRIBUTES.len()
        + USER_ID.len()
        + USER.len()
        + PERMISSIONS.len()
        + METADATA.len()
        + END.len()
        - 1;
    let nullable_len = |text: &Option<String>| text.as_ref().map_or(4, |text| text_len(text.as_bytes()) + 2);
    PUNCTUATION
        + event.action.as_str().len()
        + list_len(&event.attributes, text_len)
        + decision(event.flags()).len()
        + nullable_len(&event.manager)
        + nullable_len(&event.user_id)
        + nullable_len(&event.user)
        + list_len(&event.permissions, text_len)
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

#[inline]
fn list_len(texts: &[String], text_len: impl Fn(&[u8]) -> usize) -> usize {
    let quotes_and_commas = (texts.len() * 3).saturating_sub(1);
    texts.iter().map(|text| text_len(text.as_bytes())).sum::<usize>() + quotes_and_commas
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
