//! A message.

use std::borrow::Cow;

use audit_plugin_api::{Event, Uuid};

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

/// The event's id as it stands in the line.
fn event_id<'a>(event: &Event<'a>) -> Cow<'a, [u8]> {
    const START: &[u8] = b"{\"event_id\":\"";
    let text = event.json().strip_prefix(START).and_then(|rest| rest.get(..36));
    match text {
        Some(text) if Uuid::try_parse_ascii(text).is_ok_and(|id| id == event.event_id()) => {
            Cow::Borrowed(text)
        }
        _ => Cow::Owned(event.event_id().to_string().into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use audit_plugin_api::{Batch, Deadline, Hold, RawEvent};

    use super::*;

    const ID: &str = "019a0000-0000-7000-8000-000000000000";

    struct Nothing;

    impl Hold for Nothing {
        fn hold(&self) -> Arc<dyn Send + Sync> {
            Arc::new(())
        }
    }

    fn with_event(manager: &str, user_id: &str, check: impl FnOnce(&Event<'_>)) {
        let line = format!(
            r#"{{"event_id":"{ID}","timestamp":"2026-11-24T02:42:00.123456+00:00","action":"update","attributes":[],"granted":false,"bypassed":false,"manager":{manager},"user_id":{user_id},"user":null,"permissions":[],"metadata":null}}"#
        );
        let text = |key: &str, value: &str| match value.strip_prefix('"') {
            Some(text) => ((line.find(key).unwrap() + key.len() + 1) as u32, text.len() as u32 - 1),
            None => (0, 0),
        };
        let (manager_offset, manager_len) = text("\"manager\":", manager);
        let (user_id_offset, user_id_len) = text("\"user_id\":", user_id);
        let raw = RawEvent {
            len: line.len() as u32,
            event_id: Uuid::parse_str(ID).unwrap().into_bytes(),
            manager_offset,
            manager_len,
            user_id_offset,
            user_id_len,
            ..RawEvent::default()
        };
        let run = format!("{line}\n");
        let (runs, events) = ([run.as_bytes()], [raw]);
        let batch = Batch::new(1, 1, Deadline::after(Duration::from_secs(60)), &runs, &events, &Nothing);
        check(&batch.event(0).unwrap());
    }

    fn form() -> Form {
        Form { key: Key::UserId, payload: Payload::Full, headers: vec![Header::EventId, Header::Schema] }
    }

    #[test]
    fn a_full_message_is_borrowed_from_the_batch() {
        with_event(r#""Project""#, r#""4217""#, |event| {
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
        with_event(r#""Pro\"ject\n""#, r#""é\ud800""#, |event| {
            let key = |key| Message::key(event, key).map(|key| String::from_utf8(key.into_owned()).unwrap());
            assert_eq!(key(Key::None), None);
            assert_eq!(key(Key::Manager).as_deref(), Some("Pro\"ject\n"));
            assert_eq!(key(Key::UserId).as_deref(), Some("é\\ud800"));
            assert_eq!(key(Key::EventId).as_deref(), Some(ID));
        });
    }

    #[test]
    fn the_key_of_a_null_field_is_null_and_of_empty_text_is_empty() {
        with_event("null", r#""""#, |event| {
            assert_eq!(Message::key(event, Key::Manager), None);
            assert_eq!(Message::key(event, Key::UserId).as_deref(), Some(&b""[..]));
        });
    }

    #[test]
    fn headers_come_in_the_order_of_the_options() {
        with_event("null", "null", |event| {
            let form = Form { headers: vec![Header::Schema, Header::EventId], ..form() };
            let names: Vec<_> =
                Message::new(event, &form).unwrap().headers.iter().map(|header| header.0).collect();
            assert_eq!(names, ["schema", "event_id"]);
        });
    }
}
