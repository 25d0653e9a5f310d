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

use std::path::PathBuf;

use audit_tests::{Dir, set_mode};

/// The topic of all tests.
const TOPIC: &str = "permission-events";

/// A folder whose `audit.toml` has a Kafka sink at these brokers; `more` are further lines of its options, and what
/// follows them.
fn kafka_dir(servers: &str, more: &str) -> Dir {
    let dir = Dir::new(&format!(
        "[audit_logger]\nclass = \"kafka.KafkaAuditLogger\"\n[audit_logger.options]\ntopic = \"{TOPIC}\"\n\
         bootstrap_servers = \"{servers}\"\n{more}\n"
    ));
    let plugin = dir.path("plugins/libaudit_sink_kafka.so");
    std::fs::copy(plugin_file(), &plugin).expect("the plugin is copied");
    set_mode(&plugin, 0o644);
    dir
}

/// The plugin that `cargo test` has built.
fn plugin_file() -> PathBuf {
    let test = std::env::current_exe().expect("this test's own path");
    test.with_file_name("libaudit_sink_kafka.so")
}
