//! The Kafka sink: one message for each event, delivered when the broker's report says so.
//!
//! [`KafkaOptions`] is what `audit.toml` may say, [`KafkaSink`] the sink. Topic, key, payload and headers are made in
//! `audit-kafka-message`, which the fake sink shares. Underneath:
//!
//! ```text
//! settings   the options as properties of librdkafka, and what weakens the guarantee
//! contact    is the topic there, and may it be written?
//! native     librdkafka's producer: send, poll, ask (the only files with `unsafe`)
//! in_flight  what librdkafka has, and what became of it: reports in, acknowledgements out
//! window     how much may be on its way while a message is sought that brokers refuse
//! verdict    what a code of librdkafka means for an event
//! poller     who hears reports, log lines and errors: the writer, and a thread
//! notices    what librdkafka says, once
//! ```

mod contact;
mod in_flight;
mod native;
mod notices;
mod options;
mod poller;
mod settings;
mod sink;
mod verdict;
mod window;

pub use options::KafkaOptions;
pub use sink::KafkaSink;

audit_plugin_api::export_sinks! {
    "kafka.KafkaAuditLogger" => KafkaSink { durable: true, batch_size: 2000, flush_interval: 0.2, max_in_flight: 8 },
}
