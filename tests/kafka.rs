//! The Kafka sink, loaded as a `.so`, against brokers.
//!
//! With `AUDIT_KAFKA=real` these are Apache Kafka, made by `tests/kafka/broker.sh`, and what arrives is read by
//! confluent-kafka (`tests/kafka/client.py`, run by `$AUDIT_KAFKA_PYTHON`). Otherwise they are librdkafka's mock brokers in
//! this process, whose events are fewer, and which know neither users nor TLS. Standard error says which it was.

#[path = "kafka/arrived.rs"]
mod arrived;
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
#[path = "kafka/security.rs"]
mod security;
#[path = "kafka/spool.rs"]
mod spool;
#[path = "kafka/try_it.rs"]
mod try_it;
#[path = "kafka/unreachable.rs"]
mod unreachable;

use std::time::Duration;

use audit_tests::Dir;
use serde_json::Value;

/// The topic of all tests.
const TOPIC: &str = "permission-events";
/// The plugin that `cargo test` has built.
const PLUGIN: &str = "libaudit_sink_kafka.so";

/// How long what brokers have to do may take.
const PATIENCE: Duration = Duration::from_secs(180);

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

fn dead_letters(dir: &Dir) -> Vec<Value> {
    let lines = dir.lines("dead-letters.ndjson");
    lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}
