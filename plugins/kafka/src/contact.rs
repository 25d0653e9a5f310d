//! Asks the brokers whether the topic is there, and whether this client may write to it.

use std::time::{Duration, Instant};

use audit_plugin_api::serde_json::{Value, json};
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::native::Producer;
use crate::notices::Notices;

/// How long one question may take, before it is asked anew.
const QUESTION: Duration = Duration::from_millis(500);
/// How long brokers may take to say what this client may do. Not all brokers know that question.
const PERMISSION: Duration = Duration::from_secs(1);
/// How long to wait before it is asked anew.
const PAUSE: Duration = Duration::from_millis(100);
/// How long brokers may take to make a topic by themselves.
const CREATION: Duration = Duration::from_secs(2);

/// The topic is there, and nothing says that it may not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    partitions: usize,
    may_write: Option<bool>,
}

/// Why there is no contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoContact {
    /// No broker could be reached in time: that may pass.
    Unreachable(String),
    /// The brokers refuse this client, or the other way round: somebody has to repair that.
    Refused(String),
    /// The topic is not there, or may not be written.
    Topic(String),
}

impl Contact {
    /// Asks, for at most `patience`.
    pub fn make(
        producer: &Producer,
        notices: &Notices,
        topic: &str,
        patience: Duration,
    ) -> Result<Self, NoContact> {
        let deadline = Instant::now() + patience;
        let mut missing_since = None;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let trouble = match producer.partitions(left.min(QUESTION)) {
                Ok(partitions) => {
                    let may_write = producer.may_write(PERMISSION).unwrap_or_default();
                    if may_write == Some(false) {
                        return Err(NoContact::Topic(format!(
                            "the brokers say that this client may not write to the topic `{topic}`; give it the \
                             permission WRITE"
                        )));
                    }
                    return Ok(Self { partitions, may_write });
                }
                Err((
                    Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::LeaderNotAvailable,
                    words,
                )) => {
                    let missing: &Instant = missing_since.get_or_insert_with(Instant::now);
                    if missing.elapsed() >= CREATION || left.is_zero() {
                        return Err(NoContact::Topic(format!(
                            "the brokers have no topic `{topic}` ({words}); make it, or correct its name"
                        )));
                    }
                    words
                }
                Err((Code::TopicAuthorizationFailed | Code::InvalidTopic, words)) => {
                    return Err(NoContact::Topic(format!("the brokers refuse the topic `{topic}`: {words}")));
                }
                Err((_, words)) => match notices.trouble() {
                    Some(trouble) if trouble.is_lasting() => {
                        return Err(NoContact::Refused(trouble.words));
                    }
                    Some(trouble) => trouble.words,
                    None => words,
                },
            };
            if left.is_zero() {
                return Err(NoContact::Unreachable(format!(
                    "no broker could be reached within {} s: {trouble}",
                    patience.as_secs_f64()
                )));
            }
            notices.wait(left.min(PAUSE));
        }
    }

    /// As the answer to a probe.
    pub fn describe(self, topic: &str) -> Value {
        json!({
            "topic": topic,
            "exists": true,
            "partitions": self.partitions,
            "may_write": self.may_write,
        })
    }
}

impl NoContact {
    /// What is wrong.
    pub fn reason(self) -> String {
        match self {
            Self::Unreachable(reason) | Self::Refused(reason) | Self::Topic(reason) => reason,
        }
    }
}
