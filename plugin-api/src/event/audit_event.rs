//! One permission decision, as a struct.

use uuid::Uuid;

use super::json::Reader;
use super::{Action, InvalidEvent, Metadata, MissingOffset, Timestamp, line, text};
use crate::flags;

/// One permission decision.
///
/// ```
/// use audit_plugin_api::{Action, Metadata, PermissionAuditEvent};
///
/// let event = PermissionAuditEvent::new(Action::Update, false)
///     .manager("Project")
///     .user_id("4217")
///     .attribute("status")
///     .attribute("owner")
///     .permission("isAdmin")
///     .metadata(Metadata::from_json(r#"{"ip": "203.0.113.7"}"#)?);
/// assert!(event.to_json().contains(r#""attributes":["status","owner"],"granted":false"#));
/// # Ok::<(), audit_plugin_api::InvalidEvent>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PermissionAuditEvent {
    /// Its id; made at `record` (a UUIDv7) where absent.
    pub event_id: Option<Uuid>,
    /// When it was decided; the time of `record` where absent.
    pub timestamp: Option<Timestamp>,
    /// What was asked for.
    pub action: Action,
    /// The attributes asked for, in order.
    pub attributes: Vec<String>,
    /// Whether it was granted.
    pub granted: bool,
    /// Whether the check was bypassed.
    pub bypassed: bool,
    /// The manager class asked.
    pub manager: Option<String>,
    /// The user's primary key.
    pub user_id: Option<String>,
    /// A representation of the user, where there is no key.
    pub user: Option<String>,
    /// The permission expressions evaluated, in order.
    pub permissions: Vec<String>,
    /// Whatever else is known.
    pub metadata: Option<Metadata>,
}

impl PermissionAuditEvent {
    /// An event with this action and decision, and nothing else.
    pub fn new(action: Action, granted: bool) -> Self {
        Self {
            event_id: None,
            timestamp: None,
            action,
            attributes: Vec::new(),
            granted,
            bypassed: false,
            manager: None,
            user_id: None,
            user: None,
            permissions: Vec::new(),
            metadata: None,
        }
    }

    /// Sets its id.
    pub fn event_id(mut self, event_id: Uuid) -> Self {
        self.event_id = Some(event_id);
        self
    }

    /// Sets when it was decided.
    pub fn timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// Adds an attribute that was asked for.
    pub fn attribute(mut self, attribute: impl Into<String>) -> Self {
        self.attributes.push(attribute.into());
        self
    }

    /// Sets whether the check was bypassed.
    pub fn bypassed(mut self, bypassed: bool) -> Self {
        self.bypassed = bypassed;
        self
    }

    /// Sets the manager class asked.
    pub fn manager(mut self, manager: impl Into<String>) -> Self {
        self.manager = Some(manager.into());
        self
    }

    /// Sets the user's primary key.
    pub fn user_id(mut self, user_id: impl Into<String>) -> Self {
        self.user_id = Some(user_id.into());
        self
    }

    /// Sets a representation of the user, where there is no key.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Adds a permission expression that was evaluated.
    pub fn permission(mut self, permission: impl Into<String>) -> Self {
        self.permissions.push(permission.into());
        self
    }

    /// Sets whatever else is known.
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// Reads a canonical line, with or without its newline; keys behind `metadata` are ignored.
    ///
    /// A lone surrogate (`\ud83d` without its partner), which a canonical line may hold and a `String` cannot, becomes
    /// U+FFFD in the texts; in the metadata it stays.
    pub fn from_canonical(line: &[u8]) -> Result<Self, InvalidEvent> {
        let mut line = Canonical { reader: Reader::new(line)? };
        line.reader.open_event()?;
        let event = Self {
            event_id: Some(line.event_id()?),
            timestamp: Some(line.timestamp()?),
            action: line.action()?,
            attributes: line.texts("attributes")?,
            granted: line.boolean("granted")?,
            bypassed: line.boolean("bypassed")?,
            manager: line.nullable_text("manager")?,
            user_id: line.nullable_text("user_id")?,
            user: line.nullable_text("user")?,
            permissions: line.texts("permissions")?,
            metadata: line.metadata()?,
        };
        line.ignore_later_keys()?;
        Ok(event)
    }

    /// The canonical JSON, without newline; an absent id or time is made now.
    pub fn to_json(&self) -> String {
        let mut line = Vec::with_capacity(self.canonical_len() + 1);
        let timestamp = self.timestamp.unwrap_or_else(Timestamp::now);
        let event_id = self.event_id.unwrap_or_else(Uuid::now_v7);
        line::write_line(self, 0, event_id, timestamp, &mut line);
        line.pop();
        String::from_utf8(line).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    /// The bits of [`flags`] that it sets: `GRANTED` and `BYPASSED`.
    pub fn flags(&self) -> u32 {
        flags::decision(self.granted, self.bypassed)
    }

    /// Length in bytes of the canonical JSON, without newline: exact.
    pub fn canonical_len(&self) -> usize {
        let lists = self.attributes.iter().chain(&self.permissions);
        let texts = lists.chain([&self.manager, &self.user_id, &self.user].into_iter().flatten());
        line::line_len(self, texts.map(|text| text::escaped_len(text.as_bytes())).sum())
    }
}

/// A canonical line that is being read.
struct Canonical<'a> {
    reader: Reader<'a>,
}

impl Canonical<'_> {
    fn key(&mut self, key: &'static str) -> Result<(), InvalidEvent> {
        let comes_next =
            self.reader.has_next(b'}', key == "event_id")? && *self.reader.key()? == *key.as_bytes();
        if comes_next { Ok(()) } else { Err(InvalidEvent::MissingKey { key }) }
    }

    fn event_id(&mut self) -> Result<Uuid, InvalidEvent> {
        self.key("event_id")?;
        let id = self.reader.text("event_id")?;
        Uuid::try_parse_ascii(&id).map_err(|_| InvalidEvent::event_id(&id))
    }

    fn timestamp(&mut self) -> Result<Timestamp, InvalidEvent> {
        self.key("timestamp")?;
        Timestamp::parse(&self.reader.text("timestamp")?, MissingOffset::Refuse)
    }

    fn action(&mut self) -> Result<Action, InvalidEvent> {
        self.key("action")?;
        let word = self.reader.text("action")?;
        Action::parse(&text::unescape(&word)).ok_or_else(|| InvalidEvent::unknown_action(&word))
    }

    fn boolean(&mut self, key: &'static str) -> Result<bool, InvalidEvent> {
        self.key(key)?;
        self.reader.boolean(key)
    }

    fn nullable_text(&mut self, key: &'static str) -> Result<Option<String>, InvalidEvent> {
        self.key(key)?;
        Ok(self.reader.nullable_text(key)?.map(|escaped| text::unescape(&escaped).into_owned()))
    }

    fn texts(&mut self, key: &'static str) -> Result<Vec<String>, InvalidEvent> {
        self.key(key)?;
        self.reader.open_list(key)?;
        let mut texts = Vec::new();
        while self.reader.has_next(b']', texts.is_empty())? {
            texts.push(text::unescape(&self.reader.list_text(key)?).into_owned());
        }
        Ok(texts)
    }

    fn metadata(&mut self) -> Result<Option<Metadata>, InvalidEvent> {
        self.key("metadata")?;
        let mut canonical = Vec::new();
        let is_object = self.reader.nullable_object("metadata", &mut canonical)?;
        if is_object { Metadata::from_canonical(canonical).map(Some) } else { Ok(None) }
    }

    fn ignore_later_keys(&mut self) -> Result<(), InvalidEvent> {
        while self.reader.has_next(b'}', false)? {
            self.reader.key()?;
            self.reader.value(&mut Vec::new())?;
        }
        self.reader.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = concat!(
        r#"{"event_id":"019389ab-4c5d-7e6f-8a9b-0c1d2e3f4a5b","timestamp":"2026-11-24T02:42:00.123456+00:00","#,
        r#""action":"update","attributes":["status","owner"],"granted":false,"bypassed":false,"manager":"Project","#,
        r#""user_id":"4217","user":null,"permissions":["isAdmin","isProjectOwner:status"],"#,
        r#""metadata":{"request_id":"0f8fad5b-d9cb-469f-a165-70867728950e","ip":"203.0.113.7","path":"/graphql/"}}"#
    );

    #[test]
    fn the_canonical_line_is_this_to_the_byte() {
        let event = PermissionAuditEvent::from_canonical(LINE.as_bytes()).unwrap();
        assert_eq!((event.to_json().as_str(), event.canonical_len()), (LINE, 383));
    }

    #[test]
    fn an_id_and_a_time_are_made_where_absent() {
        let before = Timestamp::now();
        let json = PermissionAuditEvent::new(Action::Read, true).to_json();
        let event = PermissionAuditEvent::from_canonical(json.as_bytes()).unwrap();
        assert_eq!(event.event_id.map(|id| id.get_version_num()), Some(7));
        assert!(event.timestamp >= Some(before));
    }

    #[test]
    fn keys_behind_metadata_are_ignored() {
        let longer = LINE.replace("\"/graphql/\"}}", "\"/graphql/\"},\"later\":[1,{}],\"action\":2}\n");
        let event = PermissionAuditEvent::from_canonical(longer.as_bytes()).unwrap();
        assert_eq!(event.to_json(), LINE);
    }

    #[test]
    fn a_lone_surrogate_is_replaced_in_text_and_kept_in_metadata() {
        let line = LINE.replace("4217", r"a\ud83d").replace("203.0.113.7", r"\udfff");
        let event = PermissionAuditEvent::from_canonical(line.as_bytes()).unwrap();
        assert_eq!(event.user_id.as_deref(), Some("a\u{fffd}"));
        assert!(event.metadata.unwrap().as_str().contains(r#""ip":"\udfff""#));
    }

    #[test]
    fn what_is_no_canonical_line_is_refused() {
        let refused = [
            (
                LINE.replace("\"update\"", "\"launch\""),
                "unknown action 'launch' (create, read, update, delete, mutation)",
            ),
            (LINE.replace("\"user\":null,", ""), "key 'user' is missing"),
            (
                LINE.replace("\"granted\":false", "\"granted\":0"),
                "'granted' must be true or false, not a number",
            ),
            (LINE.replace("null", "nul"), "not JSON at byte 225: expected a value, found 'n'"),
            (format!("{LINE}{LINE}"), "not JSON at byte 383: expected nothing more, found '{'"),
            (LINE[..382].to_owned(), "not JSON at byte 382: expected ',' or '}', found the end"),
            ("[]".to_owned(), "an event is a JSON object, not a list"),
        ];
        for (line, expected) in refused {
            let error = PermissionAuditEvent::from_canonical(line.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}
