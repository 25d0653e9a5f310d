//! The events that are recorded.

use std::str::FromStr;

use audit_host::event::{IdGenerator, LineParser, MissingOffset};
use audit_plugin_api::{Action, Metadata, PermissionAuditEvent, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::Places;

/// Which events a case records.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Input {
    /// One event, again and again: 384 bytes as a canonical line with its newline.
    Measured,
    /// The 5,000 events that general_manager wrote.
    Real,
}

impl Input {
    /// The events.
    pub fn events(self) -> Vec<Event> {
        match self {
            Self::Measured => vec![Event::new(measured_event())],
            Self::Real => real_events().into_iter().map(Event::new).collect(),
        }
    }
}

impl FromStr for Input {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "measured" => Ok(Self::Measured),
            "real" => Ok(Self::Real),
            _ => Err(format!("no input: {text}")),
        }
    }
}

/// One event, without id and time: those are made when it is recorded.
pub struct Event {
    /// As audit-host takes it.
    pub audit: PermissionAuditEvent,
    /// For the peers: already JSON, so that they do not pay for making it.
    metadata: Option<Box<RawValue>>,
}

impl Event {
    fn new(audit: PermissionAuditEvent) -> Self {
        let raw =
            |metadata: &Metadata| RawValue::from_string(metadata.to_string()).expect("metadata is JSON");
        Self { metadata: audit.metadata.as_ref().map(raw), audit }
    }
}

/// The event that is measured.
pub fn measured_event() -> PermissionAuditEvent {
    let metadata =
        r#"{"request_id":"0f8fad5b-d9cb-469f-a165-70867728950e","ip":"203.0.113.7","path":"/graphql/"}"#;
    PermissionAuditEvent::new(Action::Update, false)
        .attribute("status")
        .attribute("owner")
        .manager("Project")
        .user_id("4217")
        .permission("isAdmin")
        .permission("isProjectOwner:status")
        .metadata(Metadata::from_json(metadata).expect("an object"))
}

/// The 5,000 events that general_manager wrote.
pub fn real_events() -> Vec<PermissionAuditEvent> {
    let text = std::fs::read(Places::new().real_events()).expect("the examples are in the repository");
    let mut parser = LineParser::new(MissingOffset::Refuse);
    let mut canonical = Vec::new();
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| {
            canonical.clear();
            parser.parse(line, 0, Timestamp::now, &mut canonical).expect("a real event");
            let event = PermissionAuditEvent::from_canonical(&canonical).expect("a canonical line");
            PermissionAuditEvent { event_id: None, timestamp: None, ..event }
        })
        .collect()
}

/// An event with its id and time, as serde writes it: what a peer is given to log. Its JSON is the canonical line. Id and
/// time are made as audit-host makes them, which is cheaper than what a peer's user would take.
#[derive(Serialize)]
#[allow(missing_docs)]
pub struct Stamped<'a> {
    pub event_id: &'a str,
    pub timestamp: &'a str,
    pub action: &'static str,
    pub attributes: &'a [String],
    pub granted: bool,
    pub bypassed: bool,
    pub manager: Option<&'a str>,
    pub user_id: Option<&'a str>,
    pub user: Option<&'a str>,
    pub permissions: &'a [String],
    pub metadata: Option<&'a RawValue>,
}

/// Gives events their ids and times, for one thread.
pub struct Stamper {
    ids: IdGenerator,
    event_id: [u8; 36],
    timestamp: [u8; Timestamp::TEXT_LEN],
}

impl Default for Stamper {
    fn default() -> Self {
        Self { ids: IdGenerator::new(), event_id: [0; 36], timestamp: [0; Timestamp::TEXT_LEN] }
    }
}

impl Stamper {
    /// The event as it is now.
    pub fn stamp<'a>(&'a mut self, event: &'a Event) -> Stamped<'a> {
        let now = Timestamp::now();
        now.write_text(&mut self.timestamp);
        self.ids.next(now).hyphenated().encode_lower(&mut self.event_id);
        let audit = &event.audit;
        Stamped {
            event_id: str::from_utf8(&self.event_id).expect("digits"),
            timestamp: str::from_utf8(&self.timestamp).expect("digits"),
            action: audit.action.as_str(),
            attributes: &audit.attributes,
            granted: audit.granted,
            bypassed: audit.bypassed,
            manager: audit.manager.as_deref(),
            user_id: audit.user_id.as_deref(),
            user: audit.user.as_deref(),
            permissions: &audit.permissions,
            metadata: event.metadata.as_deref(),
        }
    }

    /// The event's canonical line as it is now, without newline, made by serde_json.
    pub fn json(&mut self, event: &Event) -> String {
        serde_json::to_string(&self.stamp(event)).expect("writing to memory")
    }
}
