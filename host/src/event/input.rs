//! Lines of input: any JSON that is an event, made canonical.
//!
//! Keys may stand in any order and texts may be escaped in any way; what comes out is the one canonical line. A key that
//! is unknown or given twice, a missing `action` or `granted` and a wrong type are refused by name. Each value goes from
//! the input straight to its canonical bytes, since a tree would lose duplicate keys, number tokens and lone surrogates.
//! A canonical line that is read again gives identical bytes: most are known as canonical once they are checked, and copied.

use std::borrow::Cow;
use std::ops::Range;

use audit_plugin_api::event::Fields;
use audit_plugin_api::event::json::Reader;
use audit_plugin_api::{Action, InvalidEvent, RawEvent, Timestamp, Uuid, flags};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::key::Key;
use super::{MissingOffset, canonical, derived_id, spelling};

/// Makes canonical lines of lines of input.
#[derive(Clone, Debug, Default)]
pub struct LineParser {
    missing_offset: MissingOffset,
    /// The canonical bytes of lists and metadata; kept between lines for its room.
    values: Vec<u8>,
}

impl LineParser {
    /// A parser to which a time without UTC offset means this.
    pub fn new(missing_offset: MissingOffset) -> Self {
        Self { missing_offset, values: Vec::new() }
    }

    /// Appends the canonical line with its newline to `out`, and says where it stands (`run` 0, `offset` within `out`,
    /// `sequence` 0). On an error `out` is as it was. The line must be below 512 MiB.
    ///
    /// An event without a time gets that of `now`. One without an id gets one that is derived from its time, the bytes of the
    /// line, and `offset`, the line's place in its input: the same file read twice gives the same ids.
    pub fn parse(
        &mut self,
        line: &[u8],
        offset: u64,
        now: impl FnOnce() -> Timestamp,
        out: &mut Vec<u8>,
    ) -> Result<RawEvent, InvalidEvent> {
        let mut reader = Reader::new(line)?;
        if let Some(entry) = canonical::read(&reader) {
            let offset = out.len() as u32;
            out.extend_from_slice(line);
            out.push(b'\n');
            return Ok(RawEvent { offset, ..entry });
        }
        let mut members = Members::default();
        self.read(&mut reader, &mut members)?;
        let action = members.action.ok_or(missing(Key::Action))?;
        let granted = members.granted.ok_or(missing(Key::Granted))?;
        let timestamp = members.timestamp.unwrap_or_else(now);
        let derive = || derived_id(timestamp, xxh3_128_with_seed(line, offset));
        let value = |range: Option<Range<usize>>| range.map(|range| &self.values[range]);
        let fields = Fields {
            sequence: 0,
            flags: flags::decision(granted, members.bypassed),
            event_id: members.event_id.unwrap_or_else(derive),
            timestamp,
            action,
            // The texts of a list with the quotes and commas between them, as if they were one.
            attributes: value(members.attributes).into_iter(),
            manager: members.manager.as_deref(),
            user_id: members.user_id.as_deref(),
            user: members.user.as_deref(),
            permissions: value(members.permissions).into_iter(),
            metadata: value(members.metadata),
        };
        Ok(fields.write(|escaped, out| out.extend_from_slice(escaped), out))
    }

    #[inline]
    fn read<'a>(&mut self, reader: &mut Reader<'a>, members: &mut Members<'a>) -> Result<(), InvalidEvent> {
        self.values.clear();
        if spelling::read(reader, members, &mut self.values).is_none() {
            self.values.clear();
            *members = Members::read(reader, self.missing_offset, &mut self.values)?;
        }
        Ok(())
    }
}

/// What stands in a line: texts escaped and without quotes, lists and metadata as ranges of the `values`.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Members<'a> {
    pub(super) event_id: Option<Uuid>,
    pub(super) timestamp: Option<Timestamp>,
    pub(super) action: Option<Action>,
    pub(super) attributes: Option<Range<usize>>,
    pub(super) granted: Option<bool>,
    pub(super) bypassed: bool,
    pub(super) manager: Option<Cow<'a, [u8]>>,
    pub(super) user_id: Option<Cow<'a, [u8]>>,
    pub(super) user: Option<Cow<'a, [u8]>>,
    pub(super) permissions: Option<Range<usize>>,
    pub(super) metadata: Option<Range<usize>>,
}

impl<'a> Members<'a> {
    /// Reads a line of any spelling; its lists and metadata are appended to `values`.
    pub(super) fn read(
        reader: &mut Reader<'a>,
        missing_offset: MissingOffset,
        values: &mut Vec<u8>,
    ) -> Result<Self, InvalidEvent> {
        let mut members = Self::default();
        let mut keys_found = 0_u16;
        reader.open_event()?;
        while reader.has_next(b'}', keys_found == 0)? {
            let text = reader.key()?;
            let key = Key::parse(&text);
            let key = key.ok_or_else(|| InvalidEvent::unknown_key(&text, Key::nearest(&text)))?;
            if keys_found & bit(key) != 0 {
                return Err(InvalidEvent::TwiceGivenKey { key: key.as_str() });
            }
            keys_found |= bit(key);
            members.read_value(key, reader, missing_offset, values)?;
        }
        reader.end()?;
        Ok(members)
    }

    fn read_value(
        &mut self,
        key: Key,
        reader: &mut Reader<'a>,
        missing_offset: MissingOffset,
        values: &mut Vec<u8>,
    ) -> Result<(), InvalidEvent> {
        let name = key.as_str();
        match key {
            Key::EventId => self.event_id = Some(parse_id(&reader.text(name)?)?),
            Key::Timestamp => self.timestamp = Some(Timestamp::parse(&reader.text(name)?, missing_offset)?),
            Key::Action => self.action = Some(parse_action(&reader.text(name)?)?),
            Key::Granted => self.granted = Some(reader.boolean(name)?),
            Key::Bypassed => self.bypassed = reader.boolean(name)?,
            Key::Attributes => self.attributes = read_list(name, reader, values)?,
            Key::Permissions => self.permissions = read_list(name, reader, values)?,
            Key::Manager => self.manager = reader.nullable_text(name)?,
            Key::UserId => self.user_id = reader.nullable_text(name)?,
            Key::User => self.user = reader.nullable_text(name)?,
            Key::Metadata => {
                let start = values.len();
                let is_object = reader.nullable_object(name, values)?;
                self.metadata = is_object.then_some(start..values.len());
            }
        }
        Ok(())
    }
}

fn missing(key: Key) -> InvalidEvent {
    InvalidEvent::MissingKey { key: key.as_str() }
}

fn bit(key: Key) -> u16 {
    1 << key as u16
}

/// The texts of a list with the quotes and commas between them; nothing for an empty one.
fn read_list(
    key: &'static str,
    reader: &mut Reader<'_>,
    values: &mut Vec<u8>,
) -> Result<Option<Range<usize>>, InvalidEvent> {
    reader.open_list(key)?;
    let start = values.len();
    let mut is_empty = true;
    while reader.has_next(b']', is_empty)? {
        if !is_empty {
            values.extend_from_slice(b"\",\"");
        }
        values.extend_from_slice(&reader.list_text(key)?);
        is_empty = false;
    }
    Ok((!is_empty).then_some(start..values.len()))
}

/// Any RFC 9562 UUID, in upper or lower case; the other forms that `Uuid` can read are none.
pub(super) fn parse_id(text: &[u8]) -> Result<Uuid, InvalidEvent> {
    let hyphenated = (text.len() == 36).then(|| Uuid::try_parse_ascii(text).ok()).flatten();
    hyphenated.ok_or_else(|| InvalidEvent::event_id(text))
}

pub(super) fn parse_action(text: &[u8]) -> Result<Action, InvalidEvent> {
    Action::parse_bytes(text).ok_or_else(|| InvalidEvent::unknown_action(text))
}

#[cfg(test)]
mod tests {
    use audit_plugin_api::PermissionAuditEvent;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::event::{arbitrary, text};

    const NOW: &str = "2026-11-24T02:42:00.123456+00:00";

    fn parse_as(
        missing_offset: MissingOffset,
        line: &[u8],
        offset: u64,
    ) -> Result<(String, RawEvent), String> {
        let now = Timestamp::parse(NOW.as_bytes(), MissingOffset::Refuse).expect("a time");
        let mut out = b"before\n".to_vec();
        let parsed = LineParser::new(missing_offset).parse(line, offset, || now, &mut out);
        let line = String::from_utf8(out.split_off(7)).expect("canonical lines are UTF-8");
        assert_eq!(out, b"before\n");
        match parsed {
            Ok(entry) => {
                let line = line.strip_suffix('\n').expect("a newline ends the line").to_owned();
                assert_eq!((entry.offset, entry.len as usize, entry.run), (7, line.len(), 0));
                Ok((line, entry))
            }
            Err(error) => {
                assert_eq!(line, "", "a refused line left something behind");
                Err(error.to_string())
            }
        }
    }

    fn parse(line: impl AsRef<[u8]>) -> Result<String, String> {
        parse_as(MissingOffset::Refuse, line.as_ref(), 0).map(|(line, _)| line)
    }

    /// The line without its id.
    fn without_id(line: &str) -> String {
        let rest = line.strip_prefix("{\"event_id\":\"").expect("the id comes first");
        format!("{{{}", &rest[38..])
    }

    /// An event with these members besides the two that must be.
    fn with(members: &str) -> String {
        format!(r#"{{"action":"read","granted":true{members}}}"#)
    }

    #[test]
    fn absent_members_have_their_defaults() {
        let line = parse(r#"{"action":"read","granted":false}"#).unwrap();
        let expected = concat!(
            r#"{"timestamp":"2026-11-24T02:42:00.123456+00:00","action":"read","attributes":[],"granted":false,"#,
            r#""bypassed":false,"manager":null,"user_id":null,"user":null,"permissions":[],"metadata":null}"#
        );
        assert_eq!(without_id(&line), expected);
    }

    #[test]
    fn keys_in_any_order_whitespace_and_escapes_become_canonical() {
        let line = concat!(
            r#" { "metadata" : { "b" : [ 1.50 , 1e999 ] , "a" : "\u00e9\/\ud83d" , "b" : { } } , "permissions" : [ "x" , "" ] ,"#,
            "\t",
            r#""user":"\ud83d\ude00","user_id":"\u0034\n","m\u0061nager":"A","bypassed":true,"granted":true,"#,
            r#""attributes":["\u0000"],"\u0061ction":"\u0072ead","timestamp":"2026-11-24t03:42:00,","#,
            r#""event_id":"019389AB-4C5D-7E6F-8A9B-0C1D2E3F4A5B"} "#,
        )
        .replace(":00,\"", ":00.1+01:00\"");
        let (line, entry) = parse_as(MissingOffset::Refuse, line.as_bytes(), 0).unwrap();
        let expected = concat!(
            r#"{"event_id":"019389ab-4c5d-7e6f-8a9b-0c1d2e3f4a5b","timestamp":"2026-11-24T02:42:00.100000+00:00","#,
            r#""action":"read","attributes":["\u0000"],"granted":true,"bypassed":true,"manager":"A","user_id":"4\n","#,
            r#""user":"😀","permissions":["x",""],"metadata":{"b":[1.50,1e999],"a":"é/\ud83d","b":{}}}"#
        );
        assert_eq!(line, expected);
        let at = |offset: u32, len: u32| &line[offset as usize..(offset + len) as usize];
        assert_eq!(at(entry.user_id_offset, entry.user_id_len), "4\\n");
        assert_eq!(at(entry.manager_offset, entry.manager_len), "A");
        assert_eq!(entry.flags, flags::GRANTED | flags::BYPASSED);
        assert_eq!((entry.action, entry.timestamp), (Action::Read.code(), 1_795_488_120_100_000));
    }

    #[test]
    fn every_refusal_names_what_is_wrong() {
        let refused = [
            (with(r#","grant":1"#), "unknown key 'grant', did you mean 'granted'?"),
            (with(r#","zzz":1"#), "unknown key 'zzz'"),
            (with(r#","gr\u0061nted":true"#), "key 'granted' is given twice"),
            (with(r#","metadata":null,"metadata":null"#), "key 'metadata' is given twice"),
            (r#"{"granted":true}"#.into(), "key 'action' is missing"),
            (r#"{"action":"read"}"#.into(), "key 'granted' is missing"),
            ("{}".into(), "key 'action' is missing"),
            (
                r#"{"action":"view","granted":true}"#.into(),
                "unknown action 'view' (create, read, update, delete, mutation)",
            ),
            (
                r#"{"action":"Read","granted":true}"#.into(),
                "unknown action 'Read' (create, read, update, delete, mutation)",
            ),
            (r#"{"action":null,"granted":true}"#.into(), "'action' must be text, not null"),
            (r#"{"action":"read","granted":"yes"}"#.into(), "'granted' must be true or false, not text"),
            (with(r#","bypassed":null"#), "'bypassed' must be true or false, not null"),
            (with(r#","user_id":42"#), "'user_id' must be text or null, not a number"),
            (with(r#","manager":true"#), "'manager' must be text or null, not true"),
            (with(r#","user":["a"]"#), "'user' must be text or null, not a list"),
            (with(r#","attributes":null"#), "'attributes' must be a list of text, not null"),
            (with(r#","attributes":"a""#), "'attributes' must be a list of text, not text"),
            (with(r#","permissions":["a",null]"#), "'permissions' must hold text only, not null"),
            (with(r#","metadata":[1]"#), "'metadata' must be an object or null, not a list"),
            (
                with(r#","metadata":{"a":NaN}"#),
                "NaN at byte 48 is no JSON number: write null or leave it out",
            ),
            (
                with(r#","metadata":-Infinity"#),
                "-Infinity at byte 43 is no JSON number: write null or leave it out",
            ),
            (
                with(r#","event_id":"42""#),
                "event_id '42' is no UUID, as 019389ab-4c5d-7e6f-8a9b-0c1d2e3f4a5b",
            ),
            (with(r#","event_id":null"#), "'event_id' must be text, not null"),
            (with(r#","timestamp":1795488120"#), "'timestamp' must be text, not a number"),
            (
                with(r#","timestamp":"2026-11-24 02:42""#),
                "timestamp '2026-11-24 02:42' is no RFC 3339 time of the years 0000 to 9999, as 2026-11-24T02:54:18.387810+00:00",
            ),
            (
                with(r#","timestamp":"2026-11-24T02:42:00""#),
                "timestamp '2026-11-24T02:42:00' has no UTC offset: add one (+00:00), or use --assume-utc",
            ),
            ("[]".into(), "an event is a JSON object, not a list"),
            ("7".into(), "an event is a JSON object, not a number"),
            ("hello".into(), "not JSON at byte 0: expected a value, found 'h'"),
            (with("") + "{}", "not JSON at byte 32: expected nothing more, found '{'"),
            (with(","), "not JSON at byte 32: expected a key in quotes, found '}'"),
            (with("")[..20].into(), "not JSON at byte 20: the text has no closing quote"),
        ];
        for (line, expected) in refused {
            assert_eq!(parse(&line), Err(expected.to_owned()), "{line}");
        }
    }

    #[test]
    fn invalid_utf_8_is_refused_with_its_byte() {
        let line = with(",\"user\":\"ab").into_bytes();
        let mut line = line[..line.len() - 1].to_vec();
        line.extend_from_slice(b"\xff\"}");
        assert_eq!(parse(line).unwrap_err(), "not UTF-8 at byte 42");
    }

    #[test]
    fn a_long_unknown_key_is_shortened() {
        let error = parse(with(&format!(",\"{}\":1", "é".repeat(100_000)))).unwrap_err();
        assert_eq!(error, format!("unknown key '{}…'", "é".repeat(60)));
    }

    #[test]
    fn metadata_has_a_hundred_levels_at_most() {
        let nested =
            |levels: usize| format!(",\"metadata\":{}0{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        assert!(parse(with(&nested(100))).unwrap().ends_with(&format!("0{}", "}".repeat(101))));
        assert_eq!(
            parse(with(&nested(101))).unwrap_err(),
            "more than 100 levels of arrays and objects at byte 543"
        );
    }

    #[test]
    fn a_text_of_900_kib_passes() {
        let text = "x\\n".repeat(300 << 10);
        let line = parse(with(&format!(r#","user":"{text}""#))).unwrap();
        assert_eq!(line.len() - parse(with(r#","user":"""#)).unwrap().len(), 900 << 10);
    }

    #[test]
    fn a_time_without_offset_is_read_as_utc_when_told() {
        let line = with(r#","timestamp":"2026-11-24T02:42:00.123456789""#);
        let (line, _) = parse_as(MissingOffset::AssumeUtc, line.as_bytes(), 0).unwrap();
        assert!(line.contains(&format!(r#""timestamp":"{NOW}""#)));
    }

    #[test]
    fn any_uuid_is_an_id_and_its_other_spellings_are_not() {
        for id in ["00000000-0000-0000-0000-000000000000", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"] {
            let line = parse(with(&format!(r#","event_id":"{id}""#))).unwrap();
            assert!(line.starts_with(&format!(r#"{{"event_id":"{}","#, id.to_lowercase())));
        }
        for id in [
            "019389ab4c5d7e6f8a9b0c1d2e3f4a5b",
            "{019389ab-4c5d-7e6f-8a9b-0c1d2e3f4a5b}",
            "urn:uuid:019389ab-4c5d-7e6f-8a9b-0c1d2e3f4a5b",
            "019389ab-4c5d-7e6f-8a9b-0c1d2e3f4a5g",
            "",
        ] {
            let error = parse(with(&format!(r#","event_id":"{id}""#))).unwrap_err();
            assert!(error.contains("is no UUID"), "{id}: {error}");
        }
    }

    #[test]
    fn a_derived_id_depends_on_time_line_and_offset_alone() {
        let id = |line: &str, offset| {
            let (_, entry) = parse_as(MissingOffset::Refuse, line.as_bytes(), offset).unwrap();
            Uuid::from_bytes(entry.event_id)
        };
        let line = with(r#","timestamp":"2026-11-24T02:42:00Z""#);
        let first = id(&line, 17);
        assert_eq!(first, id(&line, 17));
        assert_ne!(first, id(&line, 18));
        assert_ne!(first, id(&format!("{line} "), 17));
        assert_eq!(first.get_version_num(), 7);
        assert_eq!(first.get_timestamp().map(|time| time.to_unix()), Some((1_795_488_120, 0)));
    }

    /// An event of input: its members in any order, spelled with every escape that JSON allows.
    fn spelled_event() -> impl Strategy<Value = (String, PermissionAuditEvent)> {
        (arbitrary::event(), any::<bool>()).prop_flat_map(|(event, escape)| {
            let quoted = move |text: &str| {
                if !escape {
                    return serde_json::to_string(text).expect("text is JSON");
                }
                let units: Vec<_> = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
                format!("\"{}\"", units.concat())
            };
            let list = |texts: &[String]| {
                format!("[ {} ]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(" ,"))
            };
            let nullable =
                |text: &Option<String>| text.as_ref().map_or("null".to_owned(), |text| quoted(text));
            let members = [
                ("event_id", quoted(&event.event_id.expect("an id").to_string())),
                ("timestamp", quoted(&event.timestamp.expect("a time").to_string())),
                ("action", quoted(event.action.as_str())),
                ("attributes", list(&event.attributes)),
                ("granted", event.granted.to_string()),
                ("bypassed", event.bypassed.to_string()),
                ("manager", nullable(&event.manager)),
                ("user_id", nullable(&event.user_id)),
                ("user", nullable(&event.user)),
                ("permissions", list(&event.permissions)),
                (
                    "metadata",
                    event.metadata.as_ref().map_or("null".to_owned(), |metadata| metadata.to_string()),
                ),
            ];
            let members = members.map(|(key, value)| format!("{}: {value}", quoted(key))).to_vec();
            Just(members)
                .prop_shuffle()
                .prop_map(move |members| (format!("{{ {} }}", members.join(" , ")), event.clone()))
        })
    }

    proptest! {
        #[test]
        fn every_spelling_of_an_event_gives_its_canonical_line((line, event) in spelled_event()) {
            let (parsed, entry) = parse_as(MissingOffset::Refuse, line.as_bytes(), 0).unwrap();
            prop_assert_eq!(&parsed, &event.to_json());
            let (event_id, timestamp) = (event.event_id.expect("an id"), event.timestamp.expect("a time"));
            let written = crate::event::write_line(&event, 0, event_id, timestamp, &mut b"before\n".to_vec());
            prop_assert_eq!(entry, written);
        }

        #[test]
        fn any_bytes_are_read_or_refused(line in vec(any::<u8>(), 0..200)) {
            let _ = parse_as(MissingOffset::AssumeUtc, &line, 0);
        }

        #[test]
        fn what_is_accepted_of_a_damaged_line_is_canonical(
            (line, _) in spelled_event(),
            damage in vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(b'"'), Just(b'\\'), Just(b',')]), 1..3),
        ) {
            let mut line = line.into_bytes();
            for (at, byte) in damage {
                let at = at.index(line.len());
                line[at] = byte;
            }
            if let Ok(first) = parse(&line) {
                prop_assert_eq!(parse(&first), Ok(first));
            }
        }

        #[test]
        fn text_of_every_plane_survives(user in any::<String>()) {
            let line = with(&format!(r#","user":{}"#, serde_json::to_string(&user).expect("text is JSON")));
            let event = PermissionAuditEvent::from_canonical(parse(line).unwrap().as_bytes()).unwrap();
            prop_assert_eq!(event.user, Some(user));
        }

        #[test]
        fn lone_surrogates_stay(units in vec(prop_oneof![Just(0x61), 0xd7ff..0xe001_u16], 0..8)) {
            let escaped = |units: &[u16]| units.iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
            let expected: String = char::decode_utf16(units.clone())
                .map(|decoded| decoded.map_or_else(|lone| escaped(&[lone.unpaired_surrogate()]), String::from))
                .collect();
            let line = parse(with(&format!(r#","user":"{}""#, escaped(&units)))).unwrap();
            prop_assert!(line.contains(&format!(r#""user":"{expected}","#)), "{}", line);
            prop_assert_eq!(parse(&line), Ok(line.clone()));
            prop_assert_eq!(text::unescape(expected.as_bytes()), String::from_utf16_lossy(&units));
        }
    }
}
