//! Lines that are canonical as they stand: of these nothing has to be made anew.
//!
//! What is not surely so is `None`, and for the ways that read other spellings: what is read here, they would read and
//! write back byte for byte.

use audit_plugin_api::event::json::Reader;
use audit_plugin_api::{RawEvent, Timestamp, flags};

use super::id::parse_canonical_id;
use super::input::parse_action;
use super::spelling::boolean;

/// The entry of a line whose canonical form is the line itself (`run` 0, `offset` 0, `sequence` 0).
#[inline]
pub(super) fn read(line: &Reader<'_>) -> Option<RawEvent> {
    let mut line = line.clone();
    line.take_literal(b"{\"event_id\":")?;
    let event_id = parse_canonical_id(line.take_text_of()?)?;
    line.take_literal(b",\"timestamp\":")?;
    let timestamp = Timestamp::parse_canonical(line.take_text_of()?)?;
    line.take_literal(b",\"action\":")?;
    let action = parse_action(line.take_plain_text()?).ok()?;
    line.take_literal(b",\"attributes\":[")?;
    take_texts(&mut line)?;
    line.take_literal(b",\"granted\":")?;
    let granted = boolean(&mut line)?;
    line.take_literal(b",\"bypassed\":")?;
    let bypassed = boolean(&mut line)?;
    line.take_literal(b",\"manager\":")?;
    let manager = take_nullable_text(&mut line)?;
    line.take_literal(b",\"user_id\":")?;
    let user_id = take_nullable_text(&mut line)?;
    line.take_literal(b",\"user\":")?;
    take_nullable_text(&mut line)?;
    line.take_literal(b",\"permissions\":[")?;
    take_texts(&mut line)?;
    line.take_literal(b",\"metadata\":")?;
    if line.take_literal(b"null").is_none() {
        line.take_canonical_object()?;
    }
    line.take_literal(b"}")?;
    line.is_at_end().then_some(RawEvent {
        len: line.position() as u32,
        action: action.code(),
        flags: flags::decision(granted, bypassed),
        user_id_offset: user_id.0,
        user_id_len: user_id.1,
        manager_offset: manager.0,
        manager_len: manager.1,
        timestamp: timestamp.as_micros(),
        event_id: event_id.into_bytes(),
        ..RawEvent::default()
    })
}

/// The texts of a list whose bracket is taken already, and its other bracket.
#[inline]
fn take_texts(line: &mut Reader<'_>) -> Option<()> {
    if line.take_literal(b"]").is_some() {
        return Some(());
    }
    loop {
        line.take_plain_text()?;
        if line.take_literal(b"]").is_some() {
            return Some(());
        }
        line.take_literal(b",")?;
    }
}

/// Where the text starts within the line (0 for null), and its length there.
#[inline]
fn take_nullable_text(line: &mut Reader<'_>) -> Option<(u32, u32)> {
    if line.take_literal(b"null").is_some() {
        return Some((0, 0));
    }
    let start = line.position() + 1;
    let text = line.take_plain_text()?;
    Some((start as u32, text.len() as u32))
}

#[cfg(test)]
mod tests {
    use audit_plugin_api::PermissionAuditEvent;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::event::input::Members;
    use crate::event::{MissingOffset, arbitrary, text, write_line};

    const LINE: &str = concat!(
        r#"{"event_id":"019389ab-4c5d-7e6f-8a9b-0c1d2e3f4a5b","timestamp":"2026-11-24T02:42:00.123456+00:00","#,
        r#""action":"update","attributes":["status","owner"],"granted":false,"bypassed":true,"manager":"Project","#,
        r#""user_id":"4217","user":null,"permissions":[],"metadata":{"a":[1,"\"é",{}]}}"#
    );

    fn read_line(line: &[u8]) -> Option<RawEvent> {
        read(&Reader::new(line).expect("UTF-8"))
    }

    /// Reads the line here, and says so if that is not what all other ways make of it.
    fn read_like_others(line: &[u8]) -> Option<RawEvent> {
        let entry = read_line(line)?;
        let mut reader = Reader::new(line).expect("UTF-8");
        Members::read(&mut reader, MissingOffset::Refuse, &mut Vec::new()).expect("an event");
        let event = PermissionAuditEvent::from_canonical(line).expect("an event");
        let (event_id, timestamp) = (event.event_id.expect("an id"), event.timestamp.expect("a time"));
        let mut written = Vec::new();
        assert_eq!(write_line(&event, 0, event_id, timestamp, &mut written), entry);
        assert_eq!(written.strip_suffix(b"\n"), Some(line), "{}", String::from_utf8_lossy(line));
        Some(entry)
    }

    #[test]
    fn a_canonical_line_is_known_by_its_entry() {
        let entry = read_like_others(LINE.as_bytes()).expect("it is canonical");
        let at = |offset: u32, len: u32| &LINE[offset as usize..(offset + len) as usize];
        assert_eq!(at(entry.manager_offset, entry.manager_len), "Project");
        assert_eq!(at(entry.user_id_offset, entry.user_id_len), "4217");
        for (from, to) in [
            ("\"Project\"", "null"),
            ("\"Project\"", "\"\""),
            ("{\"a\":[1,\"\\\"é\",{}]}", "null"),
            ("[]", "[\"\"]"),
        ] {
            assert!(LINE.contains(from));
            assert!(read_like_others(LINE.replace(from, to).as_bytes()).is_some(), "{to} for {from}");
        }
    }

    #[test]
    fn what_is_spelled_otherwise_anywhere_is_not_read_here() {
        for (from, to) in [
            ("019389ab", "019389AB"),
            ("019389ab", "019389ag"),
            ("5d-7e", "5d_7e"),
            ("+00:00", "-00:00"),
            (".123456+00:00", "Z"),
            ("\"update\"", "\"view\""),
            ("\"granted\":false", "\"granted\": false"),
            ("\"bypassed\":true", "\"bypassed\":null"),
            ("\"status\",\"owner\"", "\"status\", \"owner\""),
            ("\"Project\"", "\"Proj\\/ect\""),
            ("null", "nul"),
            ("[1,", "[ 1,"),
            ("[1,", "[01,"),
            ("\\\"é", "\\u00e9"),
            ("\\\"é", "\\u001F"),
            ("\\\"é", "\\uD83D"),
            ("{}]}", "{}]"),
            ("{\"a\":[1,\"\\\"é\",{}]}", "[]"),
            ("{}]}}", "{}]},\"more\":1}"),
            ("{}]}}", "{}]}} "),
            ("{\"event_id\"", " {\"event_id\""),
        ] {
            assert!(LINE.contains(from), "{from}");
            assert_eq!(read_line(LINE.replacen(from, to, 1).as_bytes()), None, "{to} for {from}");
        }
        for len in 0..LINE.len() {
            if let Some(cut) = LINE.get(..len) {
                assert_eq!(read_line(cut.as_bytes()), None, "cut at {len}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_read_here_is_what_the_other_ways_read_and_write(
            event in arbitrary::event(),
            damage in vec(
                (any::<prop::sample::Index>(), prop::sample::select(b"\"\\,:{}[] \t\nnulltruefalse019-+eE.uZ\x7f".to_vec())),
                0..3,
            ),
        ) {
            let mut line = event.to_json().into_bytes();
            let is_whole = damage.is_empty();
            for (at, byte) in damage {
                let at = at.index(line.len());
                if line[at].is_ascii() {
                    line[at] = byte;
                }
            }
            let read = read_like_others(&line);
            // Only `\u` stays unsure, and texts beside the metadata in which anything is escaped.
            let texts = [&event.manager, &event.user_id, &event.user].into_iter().flatten();
            let mut texts = texts.chain(&event.attributes).chain(&event.permissions);
            let is_plain = texts.all(|text| text::is_plain(text.as_bytes()))
                && !event.metadata.is_some_and(|metadata| metadata.as_str().contains("\\u"));
            prop_assert!(read.is_some() || !is_whole || !is_plain);
        }
    }
}
