//! The Kafka sink, loaded as a `.so`, against brokers.
//!
//! With `AUDIT_KAFKA=real` these are Apache Kafka, made by `tests/kafka/broker.sh`, and what arrives is read by
//! confluent-kafka (`tests/kafka/client.py`, run by `$AUDIT_KAFKA_PYTHON`). Otherwise they are librdkafka's mock brokers in
//! this process, whose events are fewer, and which know neither users nor TLS. Each test says which it used.

#[path = "kafka/cluster.rs"]
mod cluster;
#[path = "kafka/delivery.rs"]
mod delivery;
#[path = "kafka/mock.rs"]
mod mock;
#[path = "kafka/neighbours.rs"]
mod neighbours;
#[path = "kafka/outages.rs"]
mod outages;
#[path = "kafka/real.rs"]
mod real;
#[path = "kafka/refusals.rs"]
mod refusals;

use audit_tests::Dir;

/// The topic of all tests.
const TOPIC: &str = "permission-events";
/// The plugin that `cargo test` has built.
const PLUGIN: &str = "libaudit_sink_kafka.so";

/// A folder whose `audit.toml` has a Kafka sink at these brokers; `more` are further lines of its options, and what
/// follows them.
fn kafka_dir(servers: &str, more: &str) -> Dir {
    let dir = Dir::empty();
    dir.install(PLUGIN);
    dir.write(
        "audit.toml",
        format!(
            "[audit_logger]\nclass = \"kafka.KafkaAuditLogger\"\n[audit_logger.options]\ntopic = \"{TOPIC}\"\n\
             bootstrap_servers = \"{servers}\"\n{more}\n"
        ),
    );
    dir
}
