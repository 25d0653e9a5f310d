//! The two spellings that nearly every line has that is not canonical already: ours, and general_manager's.
//!
//! Both have all keys in the canonical order (general_manager's has no `event_id`), and the same punctuation around them
//! each time, so that comparing with a few constants finds the way through the line. What is not spelled exactly so is
//! `None`, and for [`Members::read`] to read or refuse: what is read here is what it reads, and no rule is told apart here.

use std::ops::Range;

use audit_plugin_api::event::json::Reader;

use super::input::{Members, parse_action, parse_id};
use super::{MissingOffset, Timestamp};

/// Reads a line of one of the two spellings into `members`, its lists and metadata into `values`. Where it is `None`, both
/// hold what was read up to there.
#[inline]
pub(super) fn read<'a>(line: &Reader<'a>, members: &mut Members<'a>, values: &mut Vec<u8>) -> Option<()> {
    let mut line = line.clone();
    if line.take_literal(GeneralManagers::FIRST_TIMESTAMP).is_some() {
        read_timestamp_and_rest::<GeneralManagers>(line, members, values)
    } else if line.take_literal(Ours::FIRST_TIMESTAMP).is_some() {
        read_timestamp_and_rest::<Ours>(line, members, values)
    } else {
        line.take_literal(Ours::FIRST_EVENT_ID)?;
        members.event_id = Some(parse_id(line.take_text_of::<36>()?).ok()?);
        line.take_literal(Ours::TIMESTAMP)?;
        read_timestamp_and_rest::<Ours>(line, members, values)
    }
}

/// What stands between the values of a line.
trait Spelling {
    const FIRST_EVENT_ID: &[u8];
    const FIRST_TIMESTAMP: &[u8];
    const TIMESTAMP: &[u8];
    const ACTION: &[u8];
    const ATTRIBUTES: &[u8];
    const GRANTED: &[u8];
    const BYPASSED: &[u8];
    const MANAGER: &[u8];
    const USER_ID: &[u8];
    const USER: &[u8];
    const PERMISSIONS: &[u8];
    const METADATA: &[u8];
    const COMMA: &[u8];
}

macro_rules! spelling {
    ($(#[$doc:meta])* $name:ident, $comma:literal, $colon:literal) => {
        $(#[$doc])*
        struct $name;

        impl Spelling for $name {
            const FIRST_EVENT_ID: &[u8] = concat!("{\"event_id\"", $colon).as_bytes();
            const FIRST_TIMESTAMP: &[u8] = concat!("{\"timestamp\"", $colon).as_bytes();
            const TIMESTAMP: &[u8] = concat!($comma, "\"timestamp\"", $colon).as_bytes();
            const ACTION: &[u8] = concat!($comma, "\"action\"", $colon).as_bytes();
            const ATTRIBUTES: &[u8] = concat!($comma, "\"attributes\"", $colon, "[").as_bytes();
            const GRANTED: &[u8] = concat!($comma, "\"granted\"", $colon).as_bytes();
            const BYPASSED: &[u8] = concat!($comma, "\"bypassed\"", $colon).as_bytes();
            const MANAGER: &[u8] = concat!($comma, "\"manager\"", $colon).as_bytes();
            const USER_ID: &[u8] = concat!($comma, "\"user_id\"", $colon).as_bytes();
            const USER: &[u8] = concat!($comma, "\"user\"", $colon).as_bytes();
            const PERMISSIONS: &[u8] = concat!($comma, "\"permissions\"", $colon, "[").as_bytes();
            const METADATA: &[u8] = concat!($comma, "\"metadata\"", $colon).as_bytes();
            const COMMA: &[u8] = $comma.as_bytes();
        }
    };
}

spelling!(
    /// The canonical one.
    Ours,
    ",",
    ":"
);
spelling!(
    /// That of Python's `json.dumps`.
    GeneralManagers,
    ", ",
    ": "
);

fn read_timestamp_and_rest<'a, S: Spelling>(
    mut line: Reader<'a>,
    members: &mut Members<'a>,
    values: &mut Vec<u8>,
) -> Option<()> {
    let before = line.clone();
    members.timestamp = Some(match line.take_text_of().and_then(Timestamp::parse_canonical) {
        Some(timestamp) => timestamp,
        None => {
            line = before;
            Timestamp::parse(line.take_plain_text()?, MissingOffset::Refuse).ok()?
        }
    });
    line.take_literal(S::ACTION)?;
    members.action = Some(parse_action(line.take_plain_text()?).ok()?);
    line.take_literal(S::ATTRIBUTES)?;
    members.attributes = list::<S>(&mut line, values)?;
    line.take_literal(S::GRANTED)?;
    members.granted = Some(boolean(&mut line)?);
    line.take_literal(S::BYPASSED)?;
    members.bypassed = boolean(&mut line)?;
    line.take_literal(S::MANAGER)?;
    members.manager = nullable_text(&mut line)?.map(Into::into);
    line.take_literal(S::USER_ID)?;
    members.user_id = nullable_text(&mut line)?.map(Into::into);
    line.take_literal(S::USER)?;
    members.user = nullable_text(&mut line)?.map(Into::into);
    line.take_literal(S::PERMISSIONS)?;
    members.permissions = list::<S>(&mut line, values)?;
    line.take_literal(S::METADATA)?;
    let start = values.len();
    let is_object = line.nullable_object("metadata", values).ok()?;
    members.metadata = is_object.then_some(start..values.len());
    line.take_literal(b"}")?;
    line.end().ok()
}

#[inline]
pub(super) fn boolean(line: &mut Reader<'_>) -> Option<bool> {
    match line.take_literal(b"false") {
        Some(()) => Some(false),
        None => line.take_literal(b"true").map(|()| true),
    }
}

#[inline]
fn nullable_text<'a>(line: &mut Reader<'a>) -> Option<Option<&'a [u8]>> {
    match line.take_literal(b"null") {
        Some(()) => Some(None),
        None => line.take_plain_text().map(Some),
    }
}

/// The texts of a list with the quotes and commas between them; nothing for an empty one. Its bracket is taken already.
#[inline]
fn list<S: Spelling>(line: &mut Reader<'_>, values: &mut Vec<u8>) -> Option<Option<Range<usize>>> {
    if line.take_literal(b"]").is_some() {
        return Some(None);
    }
    let start = values.len();
    loop {
        values.extend_from_slice(line.take_plain_text()?);
        if line.take_literal(b"]").is_some() {
            return Some(Some(start..values.len()));
        }
        line.take_literal(S::COMMA)?;
        values.extend_from_slice(b"\",\"");
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::event::arbitrary;

    /// The line as Python's `json.dumps` spells it: with a space behind each comma and colon that is not within a text.
    fn respell(canonical: &str) -> String {
        let (mut spelled, mut in_text, mut is_escaped) = (String::new(), false, false);
        for character in canonical.chars() {
            spelled.push(character);
            in_text ^= character == '"' && !is_escaped;
            is_escaped = in_text && character == '\\' && !is_escaped;
            if !in_text && matches!(character, ',' | ':') {
                spelled.push(' ');
            }
        }
        spelled
    }

    fn without_id(canonical: &str) -> String {
        format!("{{{}", &canonical[r#"{"event_id":"","#.len() + 36..])
    }

    fn both_ways(line: &[u8]) -> (Option<()>, Members<'_>, Vec<u8>) {
        let reader = Reader::new(line).expect("UTF-8");
        let (mut members, mut values) = (Members::default(), Vec::new());
        let read = read(&reader, &mut members, &mut values);
        if read.is_some() {
            let mut general_values = Vec::new();
            let general = Members::read(&mut reader.clone(), MissingOffset::Refuse, &mut general_values);
            assert_eq!(general.as_ref(), Ok(&members), "{}", String::from_utf8_lossy(line));
            assert_eq!(general_values, values);
        }
        (read, members, values)
    }

    #[test]
    fn both_spellings_are_read_with_and_without_an_id() {
        let ours = concat!(
            r#"{"event_id":"019389ab-4c5d-7e6f-8a9b-0c1d2e3f4a5b","timestamp":"2026-11-24T02:42:00.123456+00:00","#,
            r#""action":"update","attributes":["status","owner"],"granted":false,"bypassed":true,"manager":"Project","#,
            r#""user_id":"4217","user":null,"permissions":[],"metadata":{"a":[1,"\u00e9"]}}"#
        );
        let without_id = without_id(ours);
        let other_time = without_id.replace(".123456+00:00", "Z");
        for line in [ours, &without_id, &other_time, &respell(&without_id), &respell(&other_time)] {
            let (read, members, values) = both_ways(line.as_bytes());
            assert_eq!(read, Some(()), "{line}");
            assert_eq!(members.manager.as_deref(), Some(&b"Project"[..]));
            assert_eq!(values, "status\",\"owner{\"a\":[1,\"é\"]}".as_bytes());
        }
        for line in [ours.replace("\"granted\":", "\"granted\": "), format!("{ours},"), format!(" {ours}")] {
            assert_eq!(both_ways(line.as_bytes()).0, None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_here_is_what_the_general_way_reads(
            event in arbitrary::event(),
            has_id in any::<bool>(),
            is_ours in any::<bool>(),
            damage in vec(
                (any::<prop::sample::Index>(), prop::sample::select(b"\"\\,:{}[] \t\nnulltruefalse019-+eE.uZ\x7f".to_vec())),
                0..3,
            ),
        ) {
            let canonical = event.to_json();
            let line = if has_id { canonical } else { without_id(&canonical) };
            let mut line = if is_ours { line } else { respell(&line) }.into_bytes();
            for (at, byte) in damage {
                let at = at.index(line.len());
                if line[at].is_ascii() {
                    line[at] = byte;
                }
            }
            both_ways(&line);
        }
    }
}
