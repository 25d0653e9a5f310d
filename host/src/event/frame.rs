//! The compact form that `record` copies an event into, and the worker makes the canonical line of.
//!
//! A frame holds the fields as they are, texts not escaped; one kind holds a line that is canonical already:
//!
//! ```text
//! all     check u32 | total u32 | sequence u64 | timestamp i64 | event_id 16 | flags u32 | action u32     48 bytes
//! event   lengths of manager, user_id, user, metadata u32 (!0 = null) | counts of attributes, permissions u32
//!         | length of each attribute, permission u32 | attributes | permissions | manager | user_id | user | metadata
//! line    offset, length of user_id u32 | of manager u32 | the line, without newline
//! ```
//!
//! Numbers are little-endian. `check` is the frame's length mixed with a constant for its kind: bytes that are no frame
//! end [`write_lines`], and never panic it. Nothing here allocates while the output has room.

use audit_plugin_api::event::{Fields, line_len, text};
use audit_plugin_api::{Action, PermissionAuditEvent, RawEvent, Timestamp, Uuid};

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

const EVENT_CHECK: u32 = 0xa0d1_7e01;
const LINE_CHECK: u32 = 0xa0d1_7e02;
const HEADER_LEN: usize = 48;
const EVENT_LEN: usize = HEADER_LEN + 24;
const LINE_LEN: usize = HEADER_LEN + 16;
/// The length of a text that is null.
const NULL: u32 = u32::MAX;

/// Length in bytes of the canonical line, without newline: exact.
pub fn canonical_len(event: &PermissionAuditEvent) -> usize {
    event.canonical_len()
}

/// Length in bytes of the frame that [`push_event`] appends.
pub fn frame_len(event: &PermissionAuditEvent) -> usize {
    let list = |texts: &[String]| texts.iter().map(|text| 4 + text.len()).sum::<usize>();
    let nullable = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    EVENT_LEN
        + list(&event.attributes)
        + list(&event.permissions)
        + nullable(&event.manager)
        + nullable(&event.user_id)
        + nullable(&event.user)
        + event.metadata.as_ref().map_or(0, |metadata| metadata.as_str().len())
}

/// Appends the frame of an event, which must be below 4 GiB. Returns its [`canonical_len`], which costs less here: one
/// scan over all texts at once.
pub fn push_event(event: &PermissionAuditEvent, stamp: Stamp, out: &mut Vec<u8>) -> usize {
    let total = frame_len(event);
    out.reserve(total);
    let flags = event.flags() | stamp.flags;
    let metadata = event.metadata.as_ref().map(|metadata| metadata.as_str());
    let nullable = [event.manager.as_deref(), event.user_id.as_deref(), event.user.as_deref(), metadata];
    let mut fixed = [0; EVENT_LEN];
    fixed[..HEADER_LEN].copy_from_slice(&header(EVENT_CHECK, total, stamp, flags, event.action.code()));
    for (at, text) in nullable.iter().enumerate() {
        put_u32(&mut fixed, HEADER_LEN + at * 4, text.map_or(NULL, |text| text.len() as u32));
    }
    put_u32(&mut fixed, HEADER_LEN + 16, event.attributes.len() as u32);
    put_u32(&mut fixed, HEADER_LEN + 20, event.permissions.len() as u32);
    out.extend_from_slice(&fixed);
    // A loop in a loop: `chain` would ask before each text which list it is in.
    let lists = [&event.attributes, &event.permissions];
    for list in lists {
        for text in list {
            out.extend_from_slice(&(text.len() as u32).to_le_bytes());
        }
    }
    let texts_start = out.len();
    for list in lists {
        for text in list {
            out.extend_from_slice(text.as_bytes());
        }
    }
    for text in nullable[..3].iter().flatten() {
        out.extend_from_slice(text.as_bytes());
    }
    let texts = &out[texts_start..];
    let escapes = text::escaped_len(texts) - texts.len();
    out.extend_from_slice(metadata.unwrap_or_default().as_bytes());
    line_len(event, <[u8]>::len) + escapes
}

/// Length in bytes of the frame that [`push_line`] appends.
pub fn line_frame_len(line: &[u8]) -> usize {
    LINE_LEN + line.len()
}

/// Appends the frame of a line that is canonical already; `entry` says where its parts stand within the line.
pub fn push_line(line: &[u8], entry: &RawEvent, out: &mut Vec<u8>) {
    let stamp = Stamp {
        sequence: entry.sequence,
        timestamp: Timestamp::from_micros(entry.timestamp),
        event_id: Uuid::from_bytes(entry.event_id),
        flags: 0,
    };
    let mut fixed = [0; LINE_LEN];
    fixed[..HEADER_LEN].copy_from_slice(&header(
        LINE_CHECK,
        LINE_LEN + line.len(),
        stamp,
        entry.flags,
        entry.action,
    ));
    put_u32(&mut fixed, HEADER_LEN, entry.user_id_offset);
    put_u32(&mut fixed, HEADER_LEN + 4, entry.user_id_len);
    put_u32(&mut fixed, HEADER_LEN + 8, entry.manager_offset);
    put_u32(&mut fixed, HEADER_LEN + 12, entry.manager_len);
    out.reserve(LINE_LEN + line.len());
    out.extend_from_slice(&fixed);
    out.extend_from_slice(line);
}

/// Appends the canonical lines of all `frames`, each with its newline, to `lines`, and an entry for each to `entries`
/// (`run` 0, `offset` within `lines`). Returns how many frames were read; stops at one that makes no sense.
pub fn write_lines(frames: &[u8], lines: &mut Vec<u8>, entries: &mut Vec<RawEvent>) -> usize {
    let mut rest = frames;
    let mut read = 0;
    while let Some(total) = write_first(rest, lines, entries) {
        rest = &rest[total..];
        read += 1;
    }
    read
}

/// Writes the first frame's line and returns the frame's length.
#[inline]
fn write_first(frames: &[u8], lines: &mut Vec<u8>, entries: &mut Vec<RawEvent>) -> Option<usize> {
    let header: &[u8; HEADER_LEN] = frames.first_chunk()?;
    let total = get_u32(header, 4);
    let frame = frames.get(HEADER_LEN..total as usize)?;
    entries.push(match get_u32(header, 0) ^ total {
        EVENT_CHECK => write_event(header, frame, lines)?,
        LINE_CHECK => write_line(header, frame, lines)?,
        _ => return None,
    });
    Some(total as usize)
}

#[inline]
fn write_event(header: &[u8; HEADER_LEN], body: &[u8], lines: &mut Vec<u8>) -> Option<RawEvent> {
    let (fixed, rest) = body.split_first_chunk::<{ EVENT_LEN - HEADER_LEN }>()?;
    let attributes = get_u32(fixed, 16) as usize * 4;
    let permissions = get_u32(fixed, 20) as usize * 4;
    let (attribute_lens, rest) = rest.split_at_checked(attributes)?;
    let (permission_lens, rest) = rest.split_at_checked(permissions)?;
    let (attributes, after) = Texts::split(attribute_lens, rest)?;
    let (permissions, after) = Texts::split(permission_lens, after)?;
    let (manager, after) = split_nullable(get_u32(fixed, 0), after)?;
    let (user_id, after) = split_nullable(get_u32(fixed, 4), after)?;
    let (user, after) = split_nullable(get_u32(fixed, 8), after)?;
    let texts_len = rest.len() - after.len();
    let (metadata, after) = split_nullable(get_u32(fixed, 12), after)?;
    if !after.is_empty() {
        return None;
    }
    let stamp = stamp(header);
    let fields = Fields {
        sequence: stamp.sequence,
        flags: stamp.flags,
        event_id: stamp.event_id,
        timestamp: stamp.timestamp,
        action: Action::from_code(get_u32(header, 44))?,
        attributes,
        manager,
        user_id,
        user,
        permissions,
        metadata,
    };
    // One scan over all texts at once, which nearly always finds nothing to escape, is cheaper than one for each.
    if text::plain_len(&rest[..texts_len]) == texts_len {
        Some(fields.write(|text, out| out.extend_from_slice(text), lines))
    } else {
        Some(fields.write(text::push_escaped, lines))
    }
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
        action: get_u32(header, 44),
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
fn header(check: u32, total: usize, stamp: Stamp, flags: u32, action: u32) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    put_u32(&mut header, 0, check ^ total as u32);
    put_u32(&mut header, 4, total as u32);
    header[8..16].copy_from_slice(&stamp.sequence.to_le_bytes());
    header[16..24].copy_from_slice(&stamp.timestamp.as_micros().to_le_bytes());
    header[24..40].copy_from_slice(stamp.event_id.as_bytes());
    put_u32(&mut header, 40, flags);
    put_u32(&mut header, 44, action);
    header
}

#[inline]
fn stamp(header: &[u8; HEADER_LEN]) -> Stamp {
    let (mut sequence, mut timestamp, mut event_id) = ([0; 8], [0; 8], [0; 16]);
    sequence.copy_from_slice(&header[8..16]);
    timestamp.copy_from_slice(&header[16..24]);
    event_id.copy_from_slice(&header[24..40]);
    Stamp {
        sequence: u64::from_le_bytes(sequence),
        timestamp: Timestamp::from_micros(i64::from_le_bytes(timestamp)),
        event_id: Uuid::from_bytes(event_id),
        flags: get_u32(header, 40),
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
mod tests {
    use audit_plugin_api::{Metadata, flags};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::event::{arbitrary, write_line};

    fn stamp_of(event: &PermissionAuditEvent, sequence: u64) -> Stamp {
        Stamp {
            sequence,
            timestamp: event.timestamp.expect("the strategy gives a time"),
            event_id: event.event_id.expect("the strategy gives an id"),
            flags: flags::REPLAYED,
        }
    }

    fn frame(event: &PermissionAuditEvent) -> Vec<u8> {
        let mut frame = Vec::new();
        push_event(event, stamp_of(event, 7), &mut frame);
        frame
    }

    fn sample() -> PermissionAuditEvent {
        PermissionAuditEvent::new(Action::Update, true)
            .event_id(Uuid::from_bytes([7; 16]))
            .timestamp(Timestamp::from_micros(1_795_000_000_123_456))
            .attribute("status")
            .user_id("42\n")
            .manager("Project")
            .metadata(Metadata::from_json("{}").expect("an object"))
    }

    #[test]
    fn pushing_into_room_does_not_move_the_buffer() {
        let event = sample();
        let mut out = Vec::with_capacity(frame_len(&event));
        let before = out.as_ptr();
        push_event(&event, stamp_of(&event, 1), &mut out);
        assert_eq!((out.len(), out.as_ptr()), (frame_len(&event), before));
    }

    #[test]
    fn reading_stops_at_what_is_no_frame() {
        let good = frame(&sample());
        for at in 0..good.len() {
            let mut frames = good.clone();
            frames.extend_from_slice(&good[..at]);
            let (mut lines, mut entries) = (Vec::new(), Vec::new());
            assert_eq!(write_lines(&frames, &mut lines, &mut entries), 1, "cut at {at}");
            assert_eq!(entries.len(), 1);
            assert_eq!(lines.len(), entries[0].len as usize + 1);
        }
    }

    #[test]
    fn a_line_of_an_action_unknown_here_is_kept() {
        let entry = RawEvent { action: 99, sequence: 3, len: 2, ..RawEvent::default() };
        let (mut frames, mut lines, mut entries) = (Vec::new(), b"before\n".to_vec(), Vec::new());
        push_line(b"{}", &entry, &mut frames);
        assert_eq!(write_lines(&frames, &mut lines, &mut entries), 1);
        assert_eq!(lines, b"before\n{}\n");
        assert_eq!(entries, [RawEvent { offset: 7, ..entry }]);
    }

    proptest! {
        #[test]
        fn every_way_to_the_canonical_line_gives_the_same_bytes(events in vec(arbitrary::event(), 1..4)) {
            let (mut frames, mut lines, mut entries) = (Vec::new(), Vec::new(), Vec::new());
            let (mut direct, mut direct_entries) = (Vec::new(), Vec::new());
            for (event, sequence) in events.iter().zip(10..) {
                let stamp = stamp_of(event, sequence);
                let before = frames.len();
                prop_assert_eq!(push_event(event, stamp, &mut frames), canonical_len(event));
                prop_assert_eq!(frames.len() - before, frame_len(event));

                let before = direct.len();
                let mut entry = write_line(event, sequence, stamp.event_id, stamp.timestamp, &mut direct);
                entry.flags |= flags::REPLAYED;
                direct_entries.push(entry);
                let line = &direct[before..direct.len() - 1];
                prop_assert_eq!(event.to_json().into_bytes(), line);
                prop_assert_eq!(canonical_len(event), line.len());
                prop_assert_eq!(&PermissionAuditEvent::from_canonical(line).unwrap(), event);
            }
            prop_assert_eq!(write_lines(&frames, &mut lines, &mut entries), events.len());
            prop_assert_eq!(&lines, &direct);
            prop_assert_eq!(&entries, &direct_entries);

            // The same lines once more, as frames of lines.
            let (mut frames, mut lines, mut entries) = (Vec::new(), Vec::new(), Vec::new());
            for entry in &direct_entries {
                let start = entry.offset as usize;
                push_line(&direct[start..start + entry.len as usize], entry, &mut frames);
            }
            prop_assert_eq!(write_lines(&frames, &mut lines, &mut entries), events.len());
            prop_assert_eq!(lines, direct);
            prop_assert_eq!(entries, direct_entries);
        }

        #[test]
        fn an_entry_points_at_the_escaped_texts(event in arbitrary::event()) {
            let (mut lines, mut entries) = (Vec::new(), Vec::new());
            write_lines(&frame(&event), &mut lines, &mut entries);
            let text_at = |offset: u32, len: u32| {
                (offset > 0).then(|| text::unescape(&lines[offset as usize..(offset + len) as usize]).into_owned())
            };
            let entry = entries[0];
            prop_assert_eq!(text_at(entry.user_id_offset, entry.user_id_len), event.user_id);
            prop_assert_eq!(text_at(entry.manager_offset, entry.manager_len), event.manager);
        }

        #[test]
        fn any_bytes_and_any_damage_are_read_without_panic(
            event in arbitrary::event(),
            at in any::<prop::sample::Index>(),
            damage in any::<[u8; 4]>(),
            junk in vec(any::<u8>(), 0..200),
        ) {
            let mut frame = frame(&event);
            let at = at.index(frame.len() - 3);
            frame[at..at + 4].copy_from_slice(&damage);
            for frames in [frame, junk] {
                let (mut lines, mut entries) = (Vec::new(), Vec::new());
                let read = write_lines(&frames, &mut lines, &mut entries);
                prop_assert_eq!(read, entries.len());
                let written: usize = entries.iter().map(|entry| entry.len as usize + 1).sum();
                prop_assert_eq!(written, lines.len());
            }
        }
    }
}
