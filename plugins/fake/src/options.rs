//! What `audit.toml` may say to the fake sink: what it may say to the Kafka sink, and a script.

use audit_kafka_message::{Header, Key, Payload, Servers};
use audit_plugin_api::serde_json::{Map, Value};
use audit_plugin_api::{Seconds, SinkOptions};

use crate::Script;

/// The options of `fake.FakeProducerAuditLogger`.
#[derive(Clone, Debug, SinkOptions)]
pub struct FakeOptions {
    /// The topic of all messages.
    #[option(default = "permission-events")]
    pub topic: String,
    /// Checked, and not used.
    pub bootstrap_servers: Option<Servers>,
    /// What the key of a message is.
    #[option(default = "user_id")]
    pub key: Key,
    /// "full" is the canonical line, "compact" seven of its keys.
    #[option(default = "full")]
    pub payload: Payload,
    /// The headers of a message.
    #[option(default = ["event_id", "schema"])]
    pub headers: Vec<Header>,
    /// Checked, and not used.
    #[option(default = 60.0)]
    pub delivery_timeout: Seconds,
    /// Accepted, and not used.
    pub librdkafka: Option<Map<String, Value>>,
    /// What becomes of the events, one step each, then ok: "ok*100, retryable*3, permanent, hang 5s, panic".
    #[option(default = "")]
    pub script: Script,
}
