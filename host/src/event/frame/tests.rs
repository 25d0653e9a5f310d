//! Frames: what is written is read back, and what is no frame ends the reading.

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
fn a_hole_has_entries_without_lines_for_the_events_it_stands_for() {
    let mut frames = frame(&sample());
    let mut hole = frame(&sample());
    hole[KIND_AT] = HOLE;
    hole[FLAGS_AT..][..4].copy_from_slice(&3_u32.to_le_bytes());
    frames.extend_from_slice(&hole);
    frames.extend_from_slice(&frame(&sample()));
    let (mut lines, mut entries) = (Vec::new(), Vec::new());
    assert_eq!(write_lines(&frames, &mut lines, &mut entries), 5);
    let line = entries[0].len;
    assert_eq!(entries.iter().map(|entry| entry.len).collect::<Vec<_>>(), [line, 0, 0, 0, line]);
    assert_eq!((entries[4].offset, lines.len()), (line + 1, 2 * (line as usize + 1)));
    assert_eq!((frame_events(&frame(&sample())), frame_events(&hole)), (1, 3));
}

#[test]
fn a_frame_is_written_only_where_all_of_it_fits_in() {
    let event = sample();
    let whole = frame(&event);
    for len in 0..whole.len() {
        assert_eq!(write_event(&event, stamp_of(&event, 7), &mut vec![1; len]), None, "room of {len}");
    }
    for more in 0..20 {
        let mut room = vec![1; whole.len() + more];
        let written = write_event(&event, stamp_of(&event, 7), &mut room).expect("it fits in");
        assert_eq!(written, Written { frame_len: whole.len(), line_len: canonical_len(&event) });
        assert_eq!(room[..whole.len()], whole);
    }
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

    let (mut frames, mut entries) = (Vec::new(), Vec::new());
    push_line(b"{}", &RawEvent { action: 256, ..entry }, &mut frames);
    write_lines(&frames, &mut lines, &mut entries);
    assert_eq!(entries[0].action, 255);
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
            prop_assert_eq!(frame_total(&frames[before..]), Some(frame_len(event)));
            prop_assert_eq!(frames.len() % ALIGN, 0);

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
            let (line, before) = (&direct[start..start + entry.len as usize], frames.len());
            push_line(line, entry, &mut frames);
            prop_assert_eq!(frame_total(&frames[before..]), Some(line_frame_len(line)));
            prop_assert_eq!(frames.len(), before + line_frame_len(line));
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
            let lines_of = entries.iter().filter(|entry| **entry != missing(entry.offset));
            let written: usize = lines_of.map(|entry| entry.len as usize + 1).sum();
            prop_assert_eq!(written, lines.len());
        }
    }
}
