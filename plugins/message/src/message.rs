//! A message.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use audit_plugin_api::Event;

use crate::compact::compact;
use crate::json::unescape;
use crate::{Form, Header, Key, Payload, SCHEMA};

/// A message: what of an event is sent. Borrowed from the batch wherever it stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The key; `None` is Kafka's null.
    pub key: Option<Cow<'a, [u8]>>,
    /// The payload.
    pub payload: Cow<'a, [u8]>,
    /// Name and value of each header.
    pub headers: Vec<(&'static str, Cow<'a, [u8]>)>,
}

/// The event's line is not canonical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotCanonical;

impl Error for NotCanonical {}

impl fmt::Display for NotCanonical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the event is not a canonical line")
    }
}

impl<'a> Message<'a> {
    /// Makes the message of an event.
    pub fn new(event: &Event<'a>, form: &Form) -> Result<Self, NotCanonical> {
        Ok(Self {
            key: Self::key(event, form.key),
            payload: Self::payload(event, form.payload)?,
            headers: form.headers.iter().map(|&header| Self::header(event, header)).collect(),
        })
    }

    /// The key of an event's message.
    pub fn key(event: &Event<'a>, key: Key) -> Option<Cow<'a, [u8]>> {
        match key {
            Key::None => None,
            Key::UserId => event.user_id_escaped().map(unescape),
            Key::Manager => event.manager_escaped().map(unescape),
            Key::EventId => Some(event_id(event)),
        }
    }

    /// The payload of an event's message.
    pub fn payload(event: &Event<'a>, payload: Payload) -> Result<Cow<'a, [u8]>, NotCanonical> {
        match payload {
            Payload::Full => Ok(Cow::Borrowed(event.json())),
            Payload::Compact => compact(event.json()).map(Cow::Owned).ok_or(NotCanonical),
        }
    }

    /// Name and value of a header of an event's message.
    pub fn header(event: &Event<'a>, header: Header) -> (&'static str, Cow<'a, [u8]>) {
        match header {
            Header::EventId => ("event_id", event_id(event)),
            Header::Schema => ("schema", Cow::Borrowed(SCHEMA.as_bytes())),
        }
    }
}

/// The event's id as it stands in the line, where it starts as canonical lines do.
fn event_id<'a>(event: &Event<'a>) -> Cow<'a, [u8]> {
    const START: &[u8] = b"{\"event_id\":\"";
    match event.json().strip_prefix(START).and_then(|rest| rest.split_at_checked(36)) {
        Some((text, [b'"', ..])) => Cow::Borrowed(text),
        _ => Cow::Owned(event.event_id().to_string().into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use audit_plugin_api::testing::TestBatch;
    use audit_plugin_api::{Action, PermissionAuditEvent, Uuid};

    use super::*;

    const ID: &str = "019a0000-0000-7000-8000-000000000000";

    fn with_event(manager: Option<&str>, user_id: Option<&str>, check: impl FnOnce(&Event<'_>)) {
        let event = PermissionAuditEvent {
            event_id: Uuid::parse_str(ID).ok(),
            manager: manager.map(str::to_owned),
            user_id: user_id.map(str::to_owned),
            ..PermissionAuditEvent::new(Action::Update, false)
        };
        TestBatch::new(&[event]).lend(|batch| check(&batch.event(0).unwrap()));
    }

    fn form() -> Form {
        Form { key: Key::UserId, payload: Payload::Full, headers: vec![Header::EventId, Header::Schema] }
    }

    #[test]
    fn a_full_message_is_borrowed_from_the_batch() {
        with_event(Some("Project"), Some("4217"), |event| {
            let message = Message::new(event, &form()).unwrap();
            assert!(matches!(&message.key, Some(Cow::Borrowed(b"4217"))));
            assert!(matches!(&message.payload, Cow::Borrowed(payload) if *payload == event.json()));
            let [(_, id), (_, schema)] = message.headers.as_slice() else { panic!("{message:?}") };
            assert!(matches!(id, Cow::Borrowed(id) if *id == ID.as_bytes()));
            assert!(matches!(schema, Cow::Borrowed(b"1")));
        });
    }

    #[test]
    fn each_kind_of_key_is_its_fields_text() {
        with_event(Some("Pro\"ject\n"), Some("é"), |event| {
            let key = |key| Message::key(event, key).map(|key| String::from_utf8(key.into_owned()).unwrap());
            assert_eq!(key(Key::None), None);
            assert_eq!(key(Key::Manager).as_deref(), Some("Pro\"ject\n"));
            assert_eq!(key(Key::UserId).as_deref(), Some("é"));
            assert_eq!(key(Key::EventId).as_deref(), Some(ID));
        });
    }

    #[test]
    fn the_key_of_a_null_field_is_null_and_of_empty_text_is_empty() {
        with_event(None, Some(""), |event| {
            assert_eq!(Message::key(event, Key::Manager), None);
            assert_eq!(Message::key(event, Key::UserId).as_deref(), Some(&b""[..]));
        });
    }

    #[test]
    fn headers_come_in_the_order_of_the_options() {
        with_event(None, None, |event| {
            let form = Form { headers: vec![Header::Schema, Header::EventId], ..form() };
            let names: Vec<_> =
                Message::new(event, &form).unwrap().headers.iter().map(|header| header.0).collect();
            assert_eq!(names, ["schema", "event_id"]);
        });
    }
}
