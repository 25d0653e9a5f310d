//! librdkafka's mock brokers, and its own consumer.

use std::cell::Cell;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::cluster::Consumed;

/// Mock brokers.
pub struct Mock {
    cluster: MockCluster<'static, DefaultProducerContext>,
    brokers: i32,
    /// Partitions of its topic, and who leads them.
    partitions: Cell<i32>,
    leader: Cell<i32>,
}

impl Mock {
    pub fn start(brokers: i32) -> Self {
        let cluster = MockCluster::new(brokers).expect("mock brokers");
        Self { cluster, brokers, partitions: Cell::new(0), leader: Cell::new(1) }
    }

    pub fn servers(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    pub fn create_topic(&self, topic: &str, partitions: i32) {
        self.cluster.create_topic(topic, partitions, self.brokers).expect("a topic");
        self.partitions.set(partitions);
        self.lead(topic, 1);
    }

    pub fn refuse_topic(&self, topic: &str, error: RDKafkaRespErr) {
        self.cluster.topic_error(topic, error).expect("a topic");
    }

    pub fn down(&self, broker: i32) {
        self.cluster.broker_down(broker).expect("a broker");
        if self.brokers > 1 {
            self.lead(crate::TOPIC, broker % self.brokers + 1);
        }
    }

    pub fn up(&self, broker: i32) {
        self.cluster.broker_up(broker).expect("a broker");
    }

    pub fn leader(&self) -> i32 {
        self.leader.get()
    }

    pub fn consume(&self, topic: &str) -> Vec<Consumed> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.servers())
            .set("group.id", "tests")
            .set("enable.partition.eof", "true")
            .create()
            .expect("a consumer");
        let mut assignment = TopicPartitionList::new();
        for partition in 0..self.partitions.get() {
            assignment.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
        }
        consumer.assign(&assignment).expect("an assignment");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let (mut consumed, mut open) = (Vec::new(), self.partitions.get());
        while open > 0 {
            match consumer.poll(Duration::from_secs(60)).expect("a message, or the end of a partition") {
                Ok(message) => {
                    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
                    consumed.push(Consumed {
                        partition: message.partition(),
                        key: message.key().map(text),
                        value: message.payload().map(text).unwrap_or_default(),
                        headers: headers
                            .map(|header| (header.key.to_owned(), header.value.map(text).unwrap_or_default()))
                            .collect(),
                    });
                }
                Err(KafkaError::PartitionEOF(_)) => open -= 1,
                Err(error) => panic!("{error}"),
            }
        }
        consumed
    }

    fn lead(&self, topic: &str, broker: i32) {
        for partition in 0..self.partitions.get() {
            self.cluster.partition_leader(topic, partition, Some(broker)).expect("a leader");
        }
        self.leader.set(broker);
    }
}
