//! The Kafka sink with a spool, against librdkafka's mock broker.

use std::collections::BTreeSet;
use std::time::Duration;

use audit_host::config::Config;
use audit_host::logger::{AuditLogger, Loading, Logger};
use audit_plugin_api::{Action, PermissionAuditEvent};
use audit_tests::Dir;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const TOPIC: &str = "permission-events";
const PATIENCE: Duration = Duration::from_secs(60);

fn open(dir: &Dir) -> Logger {
    let config = Config::load(&dir.path("audit.toml")).expect("a good configuration");
    Logger::open(config, &Loading::default()).expect("the sink opens")
}

fn record(logger: &Logger, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let event = PermissionAuditEvent::new(Action::Update, true).user_id(number.to_string());
        logger.record(&event).expect("the event is accepted");
    }
}

/// The keys of all messages.
fn consume(cluster: &MockCluster<'static, DefaultProducerContext>) -> Vec<u32> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "tests")
        .set("enable.partition.eof", "true")
        .create()
        .expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(TOPIC, 0, Offset::Beginning).expect("an offset");
    consumer.assign(&assignment).expect("an assignment");
    let mut keys = Vec::new();
    loop {
        match consumer.poll(PATIENCE).expect("a message, or the end of the partition") {
            Ok(message) => {
                let key = message.key().and_then(|key| std::str::from_utf8(key).ok());
                keys.push(key.and_then(|key| key.parse().ok()).expect("a number"));
            }
            Err(KafkaError::PartitionEOF(_)) => return keys,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn the_spool_keeps_what_kafka_has_not_acknowledged_and_only_that() {
    ["process", "disk"].into_iter().for_each(what_kafka_has_not_acknowledged_is_kept);
}

fn what_kafka_has_not_acknowledged_is_kept(durability: &str) {
    let cluster = MockCluster::new(1).expect("a mock broker");
    cluster.create_topic(TOPIC, 1, 1).expect("a topic");
    let dir = Dir::empty();
    dir.install("libaudit_sink_kafka.so");
    let servers = cluster.bootstrap_servers();
    dir.write(
        "audit.toml",
        format!(
            "[audit_logger]\nclass = \"kafka.KafkaAuditLogger\"\n[audit_logger.options]\ntopic = \"{TOPIC}\"\n\
             bootstrap_servers = \"{servers}\"\n[buffer]\nspool_dir = \"spool\"\n\
             durability = \"{durability}\"\n"
        ),
    );
    let logger = open(&dir);
    record(&logger, 0..500);
    logger.flush(PATIENCE).expect("not in a callback");
    assert_eq!(logger.counts().delivered, 500);
    // The broker gets the next ones, and says nothing.
    cluster.broker_round_trip_time(1, PATIENCE).expect("a broker");
    record(&logger, 500..1000);
    logger.flush(Duration::from_secs(2)).expect("not in a callback");
    let report = logger.close(Duration::from_secs(2)).expect("not in a callback");
    assert_eq!((report.totals.delivered, report.totals.spooled), (500, 500), "{report:?}");
    cluster.broker_round_trip_time(1, Duration::ZERO).expect("a broker");
    let logger = open(&dir);
    record(&logger, 1000..1001);
    let report = logger.close(PATIENCE).expect("not in a callback");
    assert_eq!((report.totals.recovered, report.totals.delivered), (500, 501), "{report:?}");
    let keys = consume(&cluster);
    assert_eq!(BTreeSet::from_iter(keys.iter().copied()), (0..=1000).collect());
    let twice = keys.iter().filter(|key| **key < 500).count() - 500;
    assert_eq!(twice, 0, "what was acknowledged is not sent again");
}
