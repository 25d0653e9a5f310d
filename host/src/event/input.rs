//! Lines of input: any JSON that is an event, made canonical.
//!
//! Keys may stand in any order and texts may be escaped in any way; what comes out is the one canonical line. A key that
//! is unknown or given twice, a missing `action` or `granted` and a wrong type are refused by name. Each value goes from
//! the input straight to its canonical bytes, since a tree would lose duplicate keys, number tokens and lone surrogates.
//! A canonical line that is read again gives identical bytes.

use std::ops::Range;

use audit_plugin_api::event::Fields;
use audit_plugin_api::event::json::Reader;
use audit_plugin_api::{Action, InvalidEvent, RawEvent, Timestamp, Uuid, flags};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::key::Key;
use super::{MissingOffset, derived_id};

/// Makes canonical lines of lines of input.
#[derive(Clone, Debug, Default)]
pub struct LineParser {
    missing_offset: MissingOffset,
    /// Where texts are put until the line is whole; kept between lines for its room.
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
    /// An event without a time gets `now`. One without an id gets one that is derived from its time, the bytes of the
    /// line, and `offset`, the line's place in its input: the same file read twice gives the same ids.
    pub fn parse(
        &mut self,
        line: &[u8],
        offset: u64,
        now: Timestamp,
        out: &mut Vec<u8>,
    ) -> Result<RawEvent, InvalidEvent> {
        let text = std::str::from_utf8(line)
            .map_err(|error| InvalidEvent::NotUtf8 { position: error.valid_up_to() })?;
        self.values.clear();
        let members = Members::read(&mut Reader::new(text), self.missing_offset, &mut self.values)?;
        let timestamp = members.timestamp.unwrap_or(now);
        let derive = || derived_id(timestamp, xxh3_128_with_seed(line, offset));
        let value = |range: Option<Range<usize>>| range.map(|range| &self.values[range]);
        let fields = Fields {
            sequence: 0,
            flags: members.flags,
            event_id: members.event_id.unwrap_or_else(derive),
            timestamp,
            action: members.action.ok_or(InvalidEvent::MissingKey { key: Key::Action.as_str() })?,
            // The texts of a list with the quotes and commas between them, as if they were one.
            attributes: value(members.attributes).into_iter(),
            manager: value(members.manager),
            user_id: value(members.user_id),
            user: value(members.user),
            permissions: value(members.permissions).into_iter(),
            metadata: value(members.metadata),
        };
        Ok(fields.write(|escaped, out| out.extend_from_slice(escaped), out))
    }
}

/// What stands in a line; ranges are of the canonical bytes of texts, without their outer quotes or brackets.
#[derive(Default)]
struct Members {
    /// One bit for each key that was found.
    keys: u16,
    event_id: Option<Uuid>,
    timestamp: Option<Timestamp>,
    action: Option<Action>,
    attributes: Option<Range<usize>>,
    flags: u32,
    manager: Option<Range<usize>>,
    user_id: Option<Range<usize>>,
    user: Option<Range<usize>>,
    permissions: Option<Range<usize>>,
    metadata: Option<Range<usize>>,
}

impl Members {
    fn read(
        reader: &mut Reader<'_>,
        missing_offset: MissingOffset,
        values: &mut Vec<u8>,
    ) -> Result<Self, InvalidEvent> {
        let mut members = Self::default();
        reader.open_event()?;
        while reader.has_next(b'}', members.keys == 0)? {
            let key = members.read_key(reader, values)?;
            members.read_value(key, reader, missing_offset, values)?;
        }
        reader.end()?;
        if members.keys & bit(Key::Granted) == 0 {
            return Err(InvalidEvent::MissingKey { key: Key::Granted.as_str() });
        }
        Ok(members)
    }

    fn read_key(&mut self, reader: &mut Reader<'_>, values: &mut Vec<u8>) -> Result<Key, InvalidEvent> {
        let start = values.len();
        reader.key(values)?;
        let text = &values[start..];
        let key = Key::parse(text).ok_or_else(|| InvalidEvent::unknown_key(text, Key::nearest(text)))?;
        values.truncate(start);
        if self.keys & bit(key) != 0 {
            return Err(InvalidEvent::TwiceGivenKey { key: key.as_str() });
        }
        self.keys |= bit(key);
        Ok(key)
    }

    fn read_value(
        &mut self,
        key: Key,
        reader: &mut Reader<'_>,
        missing_offset: MissingOffset,
        values: &mut Vec<u8>,
    ) -> Result<(), InvalidEvent> {
        let name = key.as_str();
        let start = values.len();
        match key {
            Key::EventId => {
                reader.text(name, values)?;
                self.event_id = Some(parse_id(&values[start..])?);
            }
            Key::Timestamp => {
                reader.text(name, values)?;
                self.timestamp = Some(Timestamp::parse(&values[start..], missing_offset)?);
            }
            Key::Action => {
                reader.text(name, values)?;
                self.action = Some(parse_action(&values[start..])?);
            }
            Key::Granted if reader.boolean(name)? => self.flags |= flags::GRANTED,
            Key::Bypassed if reader.boolean(name)? => self.flags |= flags::BYPASSED,
            Key::Granted | Key::Bypassed => {}
            Key::Attributes => self.attributes = read_list(name, reader, values)?,
            Key::Permissions => self.permissions = read_list(name, reader, values)?,
            Key::Manager => self.manager = read_text(name, reader, values)?,
            Key::UserId => self.user_id = read_text(name, reader, values)?,
            Key::User => self.user = read_text(name, reader, values)?,
            Key::Metadata => {
                let is_object = reader.nullable_object(name, values)?;
                self.metadata = is_object.then_some(start..values.len());
            }
        }
        Ok(())
    }
}

fn bit(key: Key) -> u16 {
    1 << key as u16
}

fn read_text(
    key: &'static str,
    reader: &mut Reader<'_>,
    values: &mut Vec<u8>,
) -> Result<Option<Range<usize>>, InvalidEvent> {
    let start = values.len();
    let is_text = reader.nullable_text(key, values)?;
    Ok(is_text.then_some(start..values.len()))
}

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
        reader.list_text(key, values)?;
        is_empty = false;
    }
    Ok((!is_empty).then_some(start..values.len()))
}

/// Any RFC 9562 UUID, in upper or lower case; the other forms that `Uuid` can read are none.
fn parse_id(text: &[u8]) -> Result<Uuid, InvalidEvent> {
    let hyphenated = (text.len() == 36).then(|| Uuid::try_parse_ascii(text).ok()).flatten();
    hyphenated.ok_or_else(|| InvalidEvent::event_id(text))
}

fn parse_action(text: &[u8]) -> Result<Action, InvalidEvent> {
    let action = std::str::from_utf8(text).ok().and_then(Action::parse);
    action.ok_or_else(|| InvalidEvent::unknown_action(text))
}
