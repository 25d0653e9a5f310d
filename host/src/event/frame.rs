//! The compact form that `record` copies an event into, and the worker makes the canonical line of.
//!
//! A frame holds the fields as they are, texts not escaped; one kind holds a line that is canonical already:
//!
//! ```text
//! all     crc u32 | total u32 | sequence u64 | timestamp i64 | event_id 16 | flags u32 | action u8 | kind u8 | index u16
//! event   lengths of manager, user_id, user, metadata u32 (!0 = null) | counts of attributes, permissions u32
//!         | length of the line, what escaping adds to it u32 | length of each attribute, permission u32
//!         | attributes | permissions | manager | user_id | user | metadata
//! line    offset, length of user_id u32 | of manager u32 | the line, without newline
//! hole    what could not be read
//! ```
//!
//! Numbers are little-endian. `total` is the length of all that; zeros follow up to the next multiple of eight bytes.
//! `crc` and `index` are the spool's and 0 in memory. What is no frame ends [`write_lines`], and never panics it.

use audit_plugin_api::event::{Fields, line_len, text};
use audit_plugin_api::{Action, PermissionAuditEvent, RawEvent, Timestamp, Uuid};

/// Length in bytes of what each frame begins with.
pub(crate) const HEADER_LEN: usize = 48;
/// Frames begin at multiples of this many bytes, from where the first one begins.
pub(crate) const ALIGN: usize = 8;
/// Where the length in bytes of the frame stands (u32), without the zeros behind it.
pub(crate) const TOTAL_AT: usize = 4;
/// Where the sequence number stands (u64).
pub(crate) const SEQUENCE_AT: usize = 8;
/// Where the time stands (i64, microseconds since 1970).
pub(crate) const TIMESTAMP_AT: usize = 16;
/// Where the id stands (16 bytes).
pub(crate) const EVENT_ID_AT: usize = 24;
/// Where the bits of `RawEvent::flags` stand (u32).
pub(crate) const FLAGS_AT: usize = 40;
/// Where the code of the action stands (u8).
pub(crate) const ACTION_AT: usize = 44;
/// Where one of [`EVENT`], [`LINE`] and [`HOLE`] stands (u8).
pub(crate) const KIND_AT: usize = 45;

/// The kind of a frame that holds the fields of an event.
pub(crate) const EVENT: u8 = 1;
/// The kind of a frame that holds a canonical line.
pub(crate) const LINE: u8 = 2;
/// The kind of a frame that holds no event, but fills the place of what could not be read.
pub(crate) const HOLE: u8 = 3;

const EVENT_LEN: usize = HEADER_LEN + 32;
const LINE_LEN: usize = HEADER_LEN + 16;
/// The length of a text that is null.
const NULL: u32 = u32::MAX;

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
    event.canonical_len()
}

/// Length in bytes of the event's frame, with the zeros behind it.
pub fn frame_len(event: &PermissionAuditEvent) -> usize {
    let list = |texts: &[String]| texts.iter().map(|text| 4 + text.len()).sum::<usize>();
    let nullable = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let total = EVENT_LEN
        + list(&event.attributes)
        + list(&event.permissions)
        + nullable(&event.manager)
        + nullable(&event.user_id)
        + nullable(&event.user)
        + event.metadata.as_ref().map_or(0, |metadata| metadata.as_str().len());
    total.next_multiple_of(ALIGN)
}

/// Length in bytes of the first frame, with the zeros behind it; `None` where no whole one can be there.
pub fn frame_total(frames: &[u8]) -> Option<usize> {
    let header: &[u8; HEADER_LEN] = frames.first_chunk()?;
    let total = (get_u32(header, TOTAL_AT) as usize).next_multiple_of(ALIGN);
    (HEADER_LEN..=frames.len()).contains(&total).then_some(total)
}

/// How many events the first of these frames stands for: one, if it is no hole.
pub fn frame_events(frames: &[u8]) -> usize {
    frames.first_chunk().map_or(1, |header| if header[KIND_AT] == HOLE { hole_events(header) } else { 1 })
}

/// The entry of an event that is lost in a hole.
fn missing(offset: u32) -> RawEvent {
    RawEvent { offset, ..RawEvent::default() }
}

/// How many events a hole stands for.
fn hole_events(header: &[u8; HEADER_LEN]) -> usize {
    usize::from(get_u32(header, FLAGS_AT) as u16)
}

/// What [`write_event`] wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Length in bytes of the frame, with the zeros behind it.
    pub frame_len: usize,
    /// Length in bytes of the canonical line that it stands for, without newline.
    pub line_len: usize,
}

/// Writes the frame of an event, which must be below 4 GiB, to the start of `room`; `None` where it does not fit in, and
/// then `room` holds anything.
#[inline]
pub fn write_event(event: &PermissionAuditEvent, stamp: Stamp, room: &mut [u8]) -> Option<Written> {
    let (fixed, rest) = room.split_first_chunk_mut::<EVENT_LEN>()?;
    let lens_len = (event.attributes.len() + event.permissions.len()) * 4;
    let (lens, texts) = rest.split_at_mut_checked(lens_len)?;
    let mut lens = lens.as_chunks_mut::<4>().0.iter_mut();
    let mut end = 0;
    // A loop in a loop: `chain` would ask before each text which list it is in.
    for list in [&event.attributes, &event.permissions] {
        for (text, len) in list.iter().zip(&mut lens) {
            *len = (text.len() as u32).to_le_bytes();
            put(texts, &mut end, text.as_bytes())?;
        }
    }
    put_nullable(event.manager.as_deref(), fixed, 0, texts, &mut end)?;
    put_nullable(event.user_id.as_deref(), fixed, 1, texts, &mut end)?;
    put_nullable(event.user.as_deref(), fixed, 2, texts, &mut end)?;
    // One scan over all texts at once.
    let texts_len = end;
    let escapes = text::escaped_len(&texts[..texts_len]) - texts_len;
    put_nullable(event.metadata.as_ref().map(|metadata| metadata.as_str()), fixed, 3, texts, &mut end)?;
    let total = EVENT_LEN + lens_len + end;
    let frame_len = total.next_multiple_of(ALIGN);
    match texts.get_mut(end..).and_then(|rest| rest.first_chunk_mut::<ALIGN>()) {
        Some(zeros) => *zeros = [0; ALIGN],
        None => texts.get_mut(end..frame_len - EVENT_LEN - lens_len)?.fill(0),
    }
    let line_len = line_len(event, texts_len + escapes);
    let flags = event.flags() | stamp.flags;
    fixed[..HEADER_LEN].copy_from_slice(&header(EVENT, total, stamp, flags, event.action.code()));
    put_u32(fixed, HEADER_LEN + 16, event.attributes.len() as u32);
    put_u32(fixed, HEADER_LEN + 20, event.permissions.len() as u32);
    put_u32(fixed, HEADER_LEN + 24, line_len as u32);
    put_u32(fixed, HEADER_LEN + 28, escapes as u32);
    Some(Written { frame_len, line_len })
}

#[inline]
fn put(texts: &mut [u8], end: &mut usize, text: &[u8]) -> Option<()> {
    texts.get_mut(*end..)?.get_mut(..text.len())?.copy_from_slice(text);
    *end += text.len();
    Some(())
}

/// Puts the text behind the others, and its length to this place among the four.
#[inline]
fn put_nullable(
    text: Option<&str>,
    fixed: &mut [u8; EVENT_LEN],
    place: usize,
    texts: &mut [u8],
    end: &mut usize,
) -> Option<()> {
    put_u32(fixed, HEADER_LEN + place * 4, text.map_or(NULL, |text| text.len() as u32));
    text.map_or(Some(()), |text| put(texts, end, text.as_bytes()))
}

/// Appends the frame of an event, which must be below 4 GiB. Returns its [`canonical_len`], which costs less here.
pub fn push_event(event: &PermissionAuditEvent, stamp: Stamp, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.resize(start + frame_len(event), 0);
    write_event(event, stamp, &mut out[start..]).map_or(0, |written| written.line_len)
}

/// Length in bytes of the frame that [`push_line`] appends, with the zeros behind it.
pub fn line_frame_len(line: &[u8]) -> usize {
    (LINE_LEN + line.len()).next_multiple_of(ALIGN)
}

/// Writes the frame of a line that is canonical already to the start of `room`; `entry` says where its parts stand within
/// the line. `None` where it does not fit in. An action with a code above 255 is kept as 255.
pub fn write_line_frame(line: &[u8], entry: &RawEvent, room: &mut [u8]) -> Option<Written> {
    let frame_len = line_frame_len(line);
    let (fixed, rest) = room.get_mut(..frame_len)?.split_first_chunk_mut::<LINE_LEN>()?;
    let stamp = Stamp {
        sequence: entry.sequence,
        timestamp: Timestamp::from_micros(entry.timestamp),
        event_id: Uuid::from_bytes(entry.event_id),
        flags: 0,
    };
    let total = LINE_LEN + line.len();
    fixed[..HEADER_LEN].copy_from_slice(&header(LINE, total, stamp, entry.flags, entry.action));
    put_u32(fixed, HEADER_LEN, entry.user_id_offset);
    put_u32(fixed, HEADER_LEN + 4, entry.user_id_len);
    put_u32(fixed, HEADER_LEN + 8, entry.manager_offset);
    put_u32(fixed, HEADER_LEN + 12, entry.manager_len);
    let (text, zeros) = rest.split_at_mut_checked(line.len())?;
    text.copy_from_slice(line);
    zeros.fill(0);
    Some(Written { frame_len, line_len: line.len() })
}

/// Appends the frame that [`write_line_frame`] writes.
pub fn push_line(line: &[u8], entry: &RawEvent, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + line_frame_len(line), 0);
    write_line_frame(line, entry, &mut out[start..]);
}

/// Appends the canonical lines of all `frames`, each with its newline, to `lines`, and an entry for each to `entries`
/// (`run` 0, `offset` within `lines`); for a hole, an entry of no length for each event it stands for. Returns how many
/// entries; stops at a frame that makes no sense.
pub fn write_lines(frames: &[u8], lines: &mut Vec<u8>, entries: &mut Vec<RawEvent>) -> usize {
    let mut rest = frames;
    let before = entries.len();
    while let Some(total) = write_first(rest, lines, entries) {
        rest = &rest[total..];
    }
    entries.len() - before
}

/// Writes the first frame's line and returns the frame's length.
#[inline]
fn write_first(frames: &[u8], lines: &mut Vec<u8>, entries: &mut Vec<RawEvent>) -> Option<usize> {
    let frame_len = frame_total(frames)?;
    let header: &[u8; HEADER_LEN] = frames.first_chunk()?;
    let body = frames.get(HEADER_LEN..get_u32(header, TOTAL_AT) as usize)?;
    match header[KIND_AT] {
        EVENT => entries.push(write_event_line(header, body, lines)?),
        LINE => entries.push(write_line(header, body, lines)?),
        HOLE => {
            let missing = missing(lines.len() as u32);
            entries.extend(std::iter::repeat_n(missing, hole_events(header)));
        }
        _ => return None,
    }
    Some(frame_len)
}

#[inline]
fn write_event_line(header: &[u8; HEADER_LEN], body: &[u8], lines: &mut Vec<u8>) -> Option<RawEvent> {
    let (fixed, rest) = body.split_first_chunk::<{ EVENT_LEN - HEADER_LEN }>()?;
    let attributes = get_u32(fixed, 16) as usize * 4;
    let permissions = get_u32(fixed, 20) as usize * 4;
    let (attribute_lens, rest) = rest.split_at_checked(attributes)?;
    let (permission_lens, rest) = rest.split_at_checked(permissions)?;
    let (attributes, rest) = Texts::split(attribute_lens, rest)?;
    let (permissions, rest) = Texts::split(permission_lens, rest)?;
    let (manager, rest) = split_nullable(get_u32(fixed, 0), rest)?;
    let (user_id, rest) = split_nullable(get_u32(fixed, 4), rest)?;
    let (user, rest) = split_nullable(get_u32(fixed, 8), rest)?;
    let (metadata, rest) = split_nullable(get_u32(fixed, 12), rest)?;
    if !rest.is_empty() {
        return None;
    }
    let stamp = stamp(header);
    let fields = Fields {
        sequence: stamp.sequence,
        flags: stamp.flags,
        event_id: stamp.event_id,
        timestamp: stamp.timestamp,
        action: Action::from_code(u32::from(header[ACTION_AT]))?,
        attributes,
        manager,
        user_id,
        user,
        permissions,
        metadata,
    };
    let start = lines.len();
    let entry = if get_u32(fixed, 28) == 0 {
        fields.write(|text, out| out.extend_from_slice(text), lines)
    } else {
        fields.write(text::push_escaped, lines)
    };
    if entry.len != get_u32(fixed, 24) {
        lines.truncate(start);
        return None;
    }
    Some(entry)
}

fn write_line(header: &[u8; HEADER_LEN], body: &[u8], lines: &mut Vec<u8>) -> Option<RawEvent> {
    let (fixed, line) = body.split_first_chunk::<{ LINE_LEN - HEADER_LEN }>()?;
    let stamp = stamp(header);
    let offset = lines.len() as u32;
    lines.extend_from_slice(line);
    lines.push(b'\n');
    Some(RawEvent {
        run: 0,
        offset,
        len: line.len() as u32,
        action: u32::from(header[ACTION_AT]),
        flags: stamp.flags,
        user_id_offset: get_u32(fixed, 0),
        user_id_len: get_u32(fixed, 4),
        manager_offset: get_u32(fixed, 8),
        manager_len: get_u32(fixed, 12),
        reserved: 0,
        sequence: stamp.sequence,
        timestamp: stamp.timestamp.as_micros(),
        event_id: stamp.event_id.into_bytes(),
    })
}

/// Texts that follow each other, with their lengths.
struct Texts<'a> {
    lens: &'a [u8],
    bytes: &'a [u8],
}

impl<'a> Texts<'a> {
    /// Splits the texts of these lengths from the rest.
    fn split(lens: &'a [u8], bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let len: u64 = lens.as_chunks().0.iter().map(|len| u64::from(u32::from_le_bytes(*len))).sum();
        let (bytes, rest) = bytes.split_at_checked(usize::try_from(len).ok()?)?;
        Some((Self { lens, bytes }, rest))
    }
}

impl<'a> Iterator for Texts<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let (len, lens) = self.lens.split_first_chunk()?;
        let (text, bytes) = self.bytes.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        (self.lens, self.bytes) = (lens, bytes);
        Some(text)
    }
}

#[inline]
fn split_nullable(len: u32, bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    if len == NULL {
        return Some((None, bytes));
    }
    let (text, rest) = bytes.split_at_checked(len as usize)?;
    Some((Some(text), rest))
}

#[inline]
fn header(kind: u8, total: usize, stamp: Stamp, flags: u32, action: u32) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    put_u32(&mut header, TOTAL_AT, total as u32);
    header[SEQUENCE_AT..][..8].copy_from_slice(&stamp.sequence.to_le_bytes());
    header[TIMESTAMP_AT..][..8].copy_from_slice(&stamp.timestamp.as_micros().to_le_bytes());
    header[EVENT_ID_AT..][..16].copy_from_slice(stamp.event_id.as_bytes());
    put_u32(&mut header, FLAGS_AT, flags);
    header[ACTION_AT] = u8::try_from(action).unwrap_or(u8::MAX);
    header[KIND_AT] = kind;
    header
}

#[inline]
fn stamp(header: &[u8; HEADER_LEN]) -> Stamp {
    let (mut sequence, mut timestamp, mut event_id) = ([0; 8], [0; 8], [0; 16]);
    sequence.copy_from_slice(&header[SEQUENCE_AT..][..8]);
    timestamp.copy_from_slice(&header[TIMESTAMP_AT..][..8]);
    event_id.copy_from_slice(&header[EVENT_ID_AT..][..16]);
    Stamp {
        sequence: u64::from_le_bytes(sequence),
        timestamp: Timestamp::from_micros(i64::from_le_bytes(timestamp)),
        event_id: Uuid::from_bytes(event_id),
        flags: get_u32(header, FLAGS_AT),
    }
}

#[inline]
fn put_u32<const N: usize>(bytes: &mut [u8; N], at: usize, number: u32) {
    bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
}

#[inline]
fn get_u32<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

#[cfg(test)]
mod tests;
