//! The fake sink: an in-memory producer in the place of Kafka, for tests.
//!
//! It makes of each event the message that the Kafka sink would send, keeps it, and shows all of them when asked for
//! `sent_messages`. Nothing leaves the process, and nothing is ever thrown away: memory grows with what is sent. A
//! [`Script`] makes it fail in the ways that a real destination fails in.
//!
//! ```
//! use audit_plugin_api::serde_json::json;
//! use audit_plugin_api::{Action, PermissionAuditEvent, Sink, testing};
//! use audit_sink_fake::FakeProducer;
//!
//! let mut logger = testing::open::<FakeProducer>(json!({"topic": "permissions"})).unwrap();
//! logger.write(&[PermissionAuditEvent::new(Action::Update, true).user_id("4217")]).unwrap();
//!
//! let sent = logger.inspect("sent_messages").unwrap();
//! assert_eq!(sent["sent_messages"][0]["topic"], "permissions");
//! assert_eq!(sent["sent_messages"][0]["key"], "4217");
//! ```
//!
//! [`FakeOptions`] is what `audit.toml` may say, [`FakeProducer`] the sink, `producer` what outlives an instance that a
//! script has cost its life.

mod options;
mod producer;
mod script;
mod sink;

pub use options::FakeOptions;
pub use script::{Script, Step};
pub use sink::FakeProducer;

audit_plugin_api::export_sinks! {
    "fake.FakeProducerAuditLogger" => FakeProducer { durable: false },
}
