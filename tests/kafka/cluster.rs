//! Brokers, real or mock: see the head of `kafka.rs`.

use std::io::{self, Write};
use std::sync::Once;

use crate::mock::Mock;
use crate::real::Real;

/// A message as a consumer got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumed {
    pub partition: i32,
    pub key: Option<String>,
    pub value: String,
    pub headers: Vec<(String, String)>,
}

impl Consumed {
    /// The value of a header.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| &**value).unwrap_or_else(|| panic!("no header {name}: {self:?}"))
    }
}

/// Brokers of a test.
pub enum Cluster {
    /// Apache Kafka.
    Real(Real),
    /// librdkafka's mock.
    Mock(Mock),
}

/// Whether the tests run against Apache Kafka.
pub fn is_real() -> bool {
    std::env::var("AUDIT_KAFKA").is_ok_and(|kind| kind == "real")
}

/// Says something on standard error itself: the test harness keeps what is printed by a test that passes.
pub fn say(text: &str) {
    // Nothing is left to do where nobody reads it.
    let _ = writeln!(io::stderr(), "kafka tests: {text}");
}

impl Cluster {
    /// Starts 1 or 3 brokers.
    pub fn start(brokers: i32) -> Self {
        static SAID: Once = Once::new();
        match is_real() {
            true => {
                let real = Real::start(brokers);
                SAID.call_once(|| say(&format!("Apache Kafka {}", real.named("KAFKA"))));
                Self::Real(real)
            }
            false => {
                SAID.call_once(|| {
                    say("librdkafka's mock brokers (AUDIT_KAFKA=real runs Apache Kafka: see .ci/kafka)")
                });
                Self::Mock(Mock::start(brokers))
            }
        }
    }

    /// Where they can be reached.
    pub fn servers(&self) -> String {
        match self {
            Self::Real(real) => real.named("PLAINTEXT"),
            Self::Mock(mock) => mock.servers(),
        }
    }

    /// Makes the topic, on as many brokers as there are.
    pub fn create_topic(&self, topic: &str, partitions: i32) {
        match self {
            Self::Real(real) => real.create_topic(topic, partitions, &[]),
            Self::Mock(mock) => mock.create_topic(topic, partitions),
        }
    }

    /// Ends a broker at once, as `kill -9` does.
    pub fn kill(&self, broker: i32) {
        match self {
            Self::Real(real) => real.command("kill", broker),
            Self::Mock(mock) => mock.down(broker),
        }
    }

    /// Starts a broker again, and waits until it serves.
    pub fn resume(&self, broker: i32) {
        match self {
            Self::Real(real) => real.command("resume", broker),
            Self::Mock(mock) => mock.up(broker),
        }
    }

    /// The broker that leads partition 0.
    pub fn leader(&self, topic: &str) -> i32 {
        match self {
            Self::Real(real) => real.leader(topic),
            Self::Mock(mock) => mock.leader(),
        }
    }

    /// Everything in the topic, in the order of each partition.
    pub fn consume(&self, topic: &str) -> Vec<Consumed> {
        match self {
            Self::Real(real) => real.consume(topic),
            Self::Mock(mock) => mock.consume(topic),
        }
    }

    /// How many of these events to send where `real` are right for Apache Kafka: the mock keeps 5 MiB of a partition.
    pub fn scale(&self, real: usize) -> usize {
        match self {
            Self::Real(_) => real,
            Self::Mock(_) => real / 10,
        }
    }
}
