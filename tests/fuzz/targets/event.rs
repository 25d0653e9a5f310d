//! Lines of input: what is accepted becomes one canonical line, which every other way gives too.

use std::io::Read;

use audit_host::event::{InvalidEvent, LineContent, LineParser, LineReader, MissingOffset, frame};
use audit_plugin_api::{Action, PermissionAuditEvent, RawEvent, Timestamp, flags};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use super::assert_is_sentence;

const MOST_LINE_BYTES: usize = 4096;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// An input: it is split as if it were in memory as a whole, and each line is an event or refused.
pub fn check(input: &[u8]) {
    let mut reader = LineReader::new(Slowly(input), MOST_LINE_BYTES);
    for (number, offset, line) in lines(input) {
        let read = reader.next_line().expect("memory can be read").expect("as many lines");
        assert_eq!((read.number, read.offset), (number, offset));
        match read.content {
            LineContent::Bytes(bytes) => {
                assert!(bytes == line && line.len() <= MOST_LINE_BYTES);
                check_line(bytes, offset);
            }
            LineContent::TooLong { len_bytes } => {
                assert!(len_bytes == line.len() as u64 && line.len() > MOST_LINE_BYTES);
            }
        }
    }
    assert!(reader.next_line().expect("memory can be read").is_none(), "a line that is not there");
}

/// Gives a few bytes at a time.
struct Slowly<'a>(&'a [u8]);

impl Read for Slowly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = (self.0.len() % 7 + 1) * 13;
        let len = buffer.len().min(most);
        self.0.read(&mut buffer[..len])
    }
}

/// Number, offset and bytes of each line that is not blank.
fn lines(input: &[u8]) -> impl Iterator<Item = (u64, u64, &[u8])> {
    let text = input.strip_prefix(BYTE_ORDER_MARK).unwrap_or(input);
    let mut offset = input.len() - text.len();
    let lines = text.split_inclusive(|byte| *byte == b'\n').map(move |line| {
        let start = offset;
        offset += line.len();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        (start as u64, line.strip_suffix(b"\r").unwrap_or(line))
    });
    let is_blank =
        |line: &[u8]| line.len() <= MOST_LINE_BYTES && line.iter().all(|byte| b" \t\r".contains(byte));
    (1..)
        .zip(lines)
        .map(|(number, (offset, line))| (number, offset, line))
        .filter(move |line| !is_blank(line.2))
}

fn check_line(line: &[u8], offset: u64) {
    match parse(line, offset, MissingOffset::Refuse) {
        Ok((canonical, entry)) => {
            check_shape(&canonical, &entry);
            check_again(line, offset, &canonical, &entry);
            check_spellings(&canonical);
            check_frames(&canonical, &entry);
            check_values(line, &canonical);
        }
        Err(invalid) => check_refusal(line, &invalid),
    }
}

fn parse(line: &[u8], offset: u64, missing: MissingOffset) -> Result<(String, RawEvent), InvalidEvent> {
    let now = || Timestamp::from_micros(1_795_488_120_123_456);
    let mut out = b"before".to_vec();
    let parsed = LineParser::new(missing).parse(line, offset, now, &mut out);
    let line = out.strip_prefix(b"before").expect("what was there stays");
    match parsed {
        Ok(entry) => {
            let line = line.strip_suffix(b"\n").expect("a newline ends the line");
            assert_eq!((entry.run, entry.offset, entry.len as usize), (0, 6, line.len()));
            Ok((String::from_utf8(line.to_vec()).expect("UTF-8"), entry))
        }
        Err(invalid) => {
            assert!(line.is_empty(), "a refused line leaves something behind");
            Err(invalid)
        }
    }
}

fn check_refusal(line: &[u8], invalid: &InvalidEvent) {
    assert_is_sentence(&invalid.to_string());
    let is_text = std::str::from_utf8(line).is_ok();
    assert_eq!(matches!(invalid, InvalidEvent::NotUtf8 { .. }), !is_text);
    if matches!(invalid, InvalidEvent::NotJson { .. } | InvalidEvent::NotANumber { .. }) {
        assert!(serde_json::from_slice::<IgnoredAny>(line).is_err(), "it is JSON: {invalid}");
    }
}

/// The canonical line, its values as they stand there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Canonical<'a> {
    #[serde(borrow)]
    event_id: &'a RawValue,
    timestamp: &'a RawValue,
    action: &'a RawValue,
    attributes: &'a RawValue,
    granted: &'a RawValue,
    bypassed: &'a RawValue,
    manager: &'a RawValue,
    user_id: &'a RawValue,
    user: &'a RawValue,
    permissions: &'a RawValue,
    metadata: &'a RawValue,
}

fn check_shape(line: &str, entry: &RawEvent) {
    assert!(!line.contains(|c: char| c < ' '), "a control character in {line:?}");
    assert!(!has_space_outside_texts(line), "{line}");
    let values: Canonical<'_> = serde_json::from_str(line).expect("the keys of an event");
    let rebuilt = format!(
        r#"{{"event_id":{},"timestamp":{},"action":{},"attributes":{},"granted":{},"bypassed":{},"manager":{},"user_id":{},"user":{},"permissions":{},"metadata":{}}}"#,
        values.event_id,
        values.timestamp,
        values.action,
        values.attributes,
        values.granted,
        values.bypassed,
        values.manager,
        values.user_id,
        values.user,
        values.permissions,
        values.metadata
    );
    assert_eq!(rebuilt, line, "the keys in their order");
    let text_at = |offset: u32, len: u32| match offset {
        0 => "null".to_owned(),
        offset => format!("\"{}\"", &line[offset as usize..][..len as usize]),
    };
    assert_eq!(text_at(entry.user_id_offset, entry.user_id_len), values.user_id.get());
    assert_eq!(text_at(entry.manager_offset, entry.manager_len), values.manager.get());
    assert_eq!(
        format!("\"{}\"", Action::from_code(entry.action).expect("an action").as_str()),
        values.action.get()
    );
    assert_eq!((entry.flags & flags::GRANTED != 0).to_string(), values.granted.get());
    assert_eq!((entry.flags & flags::BYPASSED != 0).to_string(), values.bypassed.get());
}

fn has_space_outside_texts(json: &str) -> bool {
    let (mut in_text, mut is_escaped) = (false, false);
    json.bytes().any(|byte| {
        in_text ^= byte == b'"' && !is_escaped;
        is_escaped = in_text && byte == b'\\' && !is_escaped;
        !in_text && byte.is_ascii_whitespace()
    })
}

/// The same line gives the same; so does what it gave.
fn check_again(line: &[u8], offset: u64, canonical: &str, entry: &RawEvent) {
    let same = Ok((canonical.to_owned(), *entry));
    assert_eq!(parse(line, offset, MissingOffset::Refuse), same);
    assert_eq!(parse(line, offset, MissingOffset::AssumeUtc), same);
    assert_eq!(parse(canonical.as_bytes(), offset + 1, MissingOffset::Refuse), same);
}

/// Two spellings are read on a way of their own; the result is the same.
fn check_spellings(canonical: &str) {
    let id_len = r#""event_id":"","#.len() + 36;
    let without_id = |line: &str| line[id_len..].to_owned();
    let read = |line: String| {
        parse(line.as_bytes(), 0, MissingOffset::Refuse).expect("another spelling of an event").0
    };
    assert_eq!(read(format!(" {canonical}")), canonical);
    let bare = format!("{{{}", &canonical[1 + id_len..]);
    assert_eq!(without_id(&read(bare.clone())), without_id(canonical));
    assert_eq!(without_id(&read(spaced(&bare))), without_id(canonical));
}

/// With a space behind each comma and colon that is not within a text, as Python's `json.dumps` puts them.
fn spaced(json: &str) -> String {
    let (mut out, mut in_text, mut is_escaped) = (String::new(), false, false);
    for character in json.chars() {
        out.push(character);
        in_text ^= character == '"' && !is_escaped;
        is_escaped = in_text && character == '\\' && !is_escaped;
        if !in_text && matches!(character, ',' | ':') {
            out.push(' ');
        }
    }
    out
}

/// Through frames of both kinds it comes back as it was.
fn check_frames(canonical: &str, entry: &RawEvent) {
    let mut frames = Vec::new();
    frame::push_line(canonical.as_bytes(), entry, &mut frames);
    let event = PermissionAuditEvent::from_canonical(canonical.as_bytes()).expect("a canonical line is read");
    // A `String` cannot hold a lone surrogate.
    let is_exact = !canonical.contains("\\ud");
    if is_exact {
        assert_eq!(event.to_json(), canonical);
        let stamp = frame::Stamp {
            sequence: entry.sequence,
            timestamp: Timestamp::from_micros(entry.timestamp),
            event_id: event.event_id.expect("it has one"),
            flags: 0,
        };
        assert_eq!(frame::push_event(&event, stamp, &mut frames), canonical.len());
    }
    let (mut lines, mut entries) = (Vec::new(), Vec::new());
    let count = frame::write_lines(&frames, &mut lines, &mut entries);
    assert_eq!(count, if is_exact { 2 } else { 1 });
    assert_eq!(String::from_utf8(lines).expect("UTF-8"), format!("{canonical}\n").repeat(count));
    for (index, back) in entries.into_iter().enumerate() {
        let offset = (index * (canonical.len() + 1)) as u32;
        assert_eq!(back, RawEvent { offset, ..*entry });
    }
}

/// Another reader of JSON finds the same values.
fn check_values(line: &[u8], canonical: &str) {
    serde_json::from_slice::<IgnoredAny>(line).expect("what is accepted is JSON");
    // It cannot hold what `Value` has no room for: lone surrogates, numbers beyond f64.
    let Ok(given) = serde_json::from_slice::<Value>(line) else { return };
    let made: Value = serde_json::from_str(canonical).expect("what `Value` could hold before");
    for (key, absent) in [
        ("action", Value::Null),
        ("attributes", Value::Array(Vec::new())),
        ("granted", Value::Null),
        ("bypassed", false.into()),
        ("manager", Value::Null),
        ("user_id", Value::Null),
        ("user", Value::Null),
        ("permissions", Value::Array(Vec::new())),
        ("metadata", Value::Null),
    ] {
        assert_eq!(&made[key], given.get(key).unwrap_or(&absent), "{key}");
    }
}
