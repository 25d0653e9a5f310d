//! What `audit.toml` may say to the Kafka sink.

use audit_kafka_message::{Header, Key, Payload, Servers};
use audit_plugin_api::serde_json::{Map, Value};
use audit_plugin_api::{Seconds, SinkOptions};

/// The options of `kafka.KafkaAuditLogger`.
#[derive(Clone, Debug, SinkOptions)]
pub struct KafkaOptions {
    /// The topic of all messages; it must exist, unless the brokers make topics by themselves.
    pub topic: String,
    /// The brokers that are asked first, as a list of "host:port" or one text with commas between.
    pub bootstrap_servers: Servers,
    /// What the key of a message is; messages of one key stay in order.
    #[option(default = "user_id")]
    pub key: Key,
    /// "full" is the canonical line, "compact" seven of its keys.
    #[option(default = "full")]
    pub payload: Payload,
    /// The headers of a message.
    #[option(default = ["event_id", "schema"])]
    pub headers: Vec<Header>,
    /// Seconds that librdkafka tries to deliver a message, before the event is offered again.
    #[option(default = 60.0)]
    pub delivery_timeout: Seconds,
    /// Any further property of librdkafka, e.g. `"security.protocol" = "sasl_ssl"`; librdkafka itself checks it.
    pub librdkafka: Option<Map<String, Value>>,
}
