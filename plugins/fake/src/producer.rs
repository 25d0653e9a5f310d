//! The in-memory producer: what was sent, and where the script stands.
//!
//! It outlives an instance of the sink, as a broker would: before a step that costs the instance its life, the producer
//! is [left](Producer::leave) for the instance that the host opens in its place, which [takes](Producer::take) it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use audit_kafka_message::Message;
use audit_plugin_api::Context;
use audit_plugin_api::serde_json::{Map, Value, json};

use crate::Script;

/// Whose producer it is: the same sink of the same `audit.toml`.
pub type Place = (PathBuf, String);

/// Producers that wait for the next instance.
static LEFT: Mutex<Option<HashMap<Place, Producer>>> = Mutex::new(None);

/// The in-memory producer.
#[derive(Debug, Default)]
pub struct Producer {
    /// What comes next.
    pub script: Script,
    sent: Vec<Sent>,
}

/// A message that was sent.
#[derive(Debug)]
pub struct Sent {
    key: Option<String>,
    payload: String,
    headers: Vec<(&'static str, String)>,
}

impl Producer {
    /// The producer that waits at this place, or a new one with this script.
    pub fn take(place: &Place, script: Script) -> Self {
        let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = left.as_mut().and_then(|left| left.remove(place));
        waiting.unwrap_or(Self { script, sent: Vec::new() })
    }

    /// Leaves the producer at this place.
    pub fn leave(self, place: Place) {
        LEFT.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().insert(place, self);
    }

    /// Keeps these messages.
    pub fn send(&mut self, messages: Vec<Sent>) {
        self.sent.extend(messages);
    }

    /// All messages as JSON, as they would be sent to `topic`.
    pub fn sent(&self, topic: &str) -> Vec<Value> {
        self.sent
            .iter()
            .map(|Sent { key, payload, headers }| {
                let headers: Map<_, _> =
                    headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect();
                json!({"topic": topic, "key": key, "payload": payload, "headers": headers})
            })
            .collect()
    }
}

/// The place of an instance.
pub fn place(context: &Context) -> Place {
    (context.config_dir.clone(), context.name.clone())
}

impl From<Message<'_>> for Sent {
    fn from(message: Message<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            key: message.key.as_deref().map(text),
            payload: text(&message.payload),
            headers: message.headers.iter().map(|(name, value)| (*name, text(value))).collect(),
        }
    }
}
