//! The fake sink.
//!
//! The messages of a batch are sent when its call returns, so a call that panics or is abandoned has sent nothing. An
//! answer can tell of one kind of failure only: where a script demands a second kind within one batch, the events up to
//! there are acknowledged, each as it went, and the others left for the next call.

use std::mem;
use std::thread;

use audit_kafka_message::{Form, Message};
use audit_plugin_api::serde_json::{Value, json};
use audit_plugin_api::{AckStatus, Acknowledgement, Batch, Context, Host, Sink, SinkError, Written};

use crate::producer::{Place, Producer, Sent, place};
use crate::{FakeOptions, Step};

const REASON: &str = "the script says so";

/// Keeps in memory what Kafka would be sent.
pub struct FakeProducer {
    topic: String,
    form: Form,
    host: Host,
    place: Place,
    producer: Producer,
}

impl Sink for FakeProducer {
    type Options = FakeOptions;

    fn open(options: FakeOptions, context: Context, host: Host) -> Result<Self, SinkError> {
        let place = place(&context);
        Ok(Self {
            topic: options.topic,
            form: Form { key: options.key, payload: options.payload, headers: options.headers },
            host,
            producer: Producer::take(&place, options.script),
            place,
        })
    }

    fn write_batch(&mut self, batch: &Batch<'_>) -> Result<Written, SinkError> {
        let mut sent: Vec<Sent> = Vec::with_capacity(batch.len());
        let mut refused: Vec<u32> = Vec::new();
        let mut reason = REASON.to_owned();
        for (event, position) in batch.events().zip(0..) {
            let step = self.producer.script.next();
            if !refused.is_empty() && !matches!(step, Step::Ok | Step::Permanent) {
                self.producer.send(sent);
                self.acknowledge(batch, position, &refused, &reason);
                return Ok(Written::Pending { taken: position });
            }
            self.producer.script.advance();
            match step {
                Step::Ok => {}
                Step::Permanent => {
                    refused.push(position);
                    continue;
                }
                Step::Retryable => {
                    self.producer.send(sent);
                    return Err(SinkError::retryable(REASON).after(position));
                }
                Step::Hang(time) if time >= batch.deadline().remaining() => {
                    self.leave_producer();
                    // To sleep is what the script asks for, here and below.
                    thread::sleep(time);
                    return Err(SinkError::reopen("it was abandoned"));
                }
                Step::Hang(time) => thread::sleep(time),
                Step::Panic => {
                    self.leave_producer();
                    panic!("{REASON}");
                }
            }
            match Message::new(&event, &self.form) {
                Ok(message) => sent.push(message.into()),
                Err(error) => {
                    reason = error.to_string();
                    refused.push(position);
                }
            }
        }
        self.producer.send(sent);
        match refused.is_empty() {
            true => Ok(Written::Delivered),
            false => Err(SinkError::permanent(reason).only(refused)),
        }
    }

    fn inspect(&mut self, request: &str) -> Result<Value, SinkError> {
        match request {
            "sent_messages" => Ok(json!({"sent_messages": self.producer.sent(&self.topic)})),
            _ => Err(SinkError::unsupported(&format!("inspect {request:?}"))),
        }
    }
}

impl FakeProducer {
    /// Acknowledges the first `taken` events, of which some were refused.
    fn acknowledge(&self, batch: &Batch<'_>, taken: u32, refused: &[u32], reason: &str) {
        for position in 0..taken {
            let (status, reason) = match refused.binary_search(&position).is_ok() {
                true => (AckStatus::Permanent, reason),
                false => (AckStatus::Delivered, ""),
            };
            self.host.acknowledge(Acknowledgement {
                batch: batch.id(),
                first: position,
                count: 1,
                status,
                retry_after: None,
                reason: reason.to_owned(),
            });
        }
    }

    fn leave_producer(&mut self) {
        mem::take(&mut self.producer).leave(self.place.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::time::Duration;

    use audit_plugin_api::testing::{self, TestBatch, TestHost, TestSink};
    use audit_plugin_api::{Action, Deadline, Delivered, ErrorKind, PermissionAuditEvent, Uuid};

    use super::*;

    fn open_at(place: &str, options: Value) -> TestSink<FakeProducer> {
        let context = Context { config_dir: place.into(), ..testing::context() };
        testing::open_with(options, context, Arc::new(TestHost::new())).unwrap()
    }

    fn events(users: &[&str]) -> Vec<PermissionAuditEvent> {
        users.iter().map(|user| PermissionAuditEvent::new(Action::Update, true).user_id(*user)).collect()
    }

    fn keys(sink: &mut FakeProducer) -> Vec<String> {
        let sent = sink.inspect("sent_messages").unwrap();
        sent["sent_messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|sent| sent["key"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn messages_are_what_kafka_would_be_sent() {
        let mut sink = testing::open::<FakeProducer>(json!({"topic": "permissions"})).unwrap();
        let id = Uuid::now_v7();
        let event = PermissionAuditEvent {
            event_id: Some(id),
            manager: Some("Project".into()),
            ..PermissionAuditEvent::new(Action::Update, true).user_id("4217")
        };
        let batch = TestBatch::new(&[event, PermissionAuditEvent::new(Action::Read, false)]);
        assert_eq!(batch.lend(|batch| sink.write_batch(batch)), Ok(Written::Delivered));
        let sent = sink.inspect("sent_messages").unwrap();
        let text = String::from_utf8(batch.bytes()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            sent["sent_messages"][0],
            json!({
                "topic": "permissions",
                "key": "4217",
                "payload": lines[0],
                "headers": {"event_id": id.to_string(), "schema": "1"},
            })
        );
        assert_eq!(sent["sent_messages"][1]["key"], Value::Null);
        assert_eq!(sent["sent_messages"][1]["payload"], lines[1]);
    }

    #[test]
    fn key_payload_and_headers_follow_the_options() {
        let options =
            json!({"key": "none", "payload": "compact", "headers": [], "bootstrap_servers": "kafka:9092"});
        let mut sink = testing::open::<FakeProducer>(options).unwrap();
        sink.write(&events(&["7"])).unwrap();
        let sent = sink.inspect("sent_messages").unwrap();
        assert_eq!(
            sent["sent_messages"][0],
            json!({
                "topic": "permission-events",
                "key": null,
                "payload": r#"{"action":"update","granted":true,"attributes":[],"manager":null,"user":7,"permissions":[],"metadata":null}"#,
                "headers": {},
            })
        );
    }

    #[test]
    fn options_that_cannot_be_used_are_named() {
        for (options, option) in [
            (json!({"key": "user"}), "key"),
            (json!({"payload": "half"}), "payload"),
            (json!({"headers": ["event_id", "x"]}), "headers[1]"),
            (json!({"bootstrap_servers": 9092}), "bootstrap_servers"),
            (json!({"script": "ok, hagn 5s"}), "script"),
            (json!({"producer": "p"}), "producer"),
        ] {
            let error = testing::open::<FakeProducer>(options).err().unwrap();
            assert_eq!(error.option.as_deref(), Some(option));
        }
    }

    #[test]
    fn a_retryable_step_stops_the_batch_and_the_event_takes_the_next_step() {
        let mut sink = testing::open::<FakeProducer>(json!({"script": "ok, retryable*2"})).unwrap();
        let error = sink.write(&events(&["a", "b", "c"])).unwrap_err();
        assert_eq!((error.kind, error.events), (ErrorKind::Retryable, Delivered::Prefix(1)));
        let error = sink.write(&events(&["b", "c"])).unwrap_err();
        assert_eq!((error.kind, error.events), (ErrorKind::Retryable, Delivered::Prefix(0)));
        assert_eq!(sink.write(&events(&["b", "c"])), Ok(Written::Delivered));
        assert_eq!(keys(&mut sink), ["a", "b", "c"]);
    }

    #[test]
    fn permanent_steps_name_their_events_and_the_others_are_sent() {
        let mut sink =
            testing::open::<FakeProducer>(json!({"script": "ok, permanent, ok, permanent"})).unwrap();
        let error = sink.write(&events(&["a", "b", "c", "d", "e"])).unwrap_err();
        assert_eq!((error.kind, error.events), (ErrorKind::Permanent, Delivered::AllExcept(vec![1, 3])));
        assert_eq!(keys(&mut sink), ["a", "c", "e"]);
    }

    #[test]
    fn a_second_kind_of_failure_waits_for_the_next_call() {
        let mut sink = testing::open::<FakeProducer>(json!({"script": "ok, permanent, retryable"})).unwrap();
        assert_eq!(sink.write(&events(&["a", "b", "c"])), Ok(Written::Pending { taken: 2 }));
        let answers: Vec<_> = sink
            .host()
            .acknowledgements()
            .iter()
            .map(|ack| (ack.batch, ack.first, ack.count, ack.status))
            .collect();
        assert_eq!(answers, [(1, 0, 1, AckStatus::Delivered), (1, 1, 1, AckStatus::Permanent)]);
        assert_eq!(sink.write(&events(&["c"])).unwrap_err().kind, ErrorKind::Retryable);
        assert_eq!(sink.write(&events(&["c"])), Ok(Written::Delivered));
        assert_eq!(keys(&mut sink), ["a", "c"]);
    }

    #[test]
    fn after_a_panic_the_next_instance_goes_on_with_messages_and_script() {
        let place = "after a panic";
        let options = json!({"script": "ok*2, panic, retryable"});
        let mut sink = open_at(place, options.clone());
        sink.write(&events(&["a"])).unwrap();
        let panicked = catch_unwind(AssertUnwindSafe(|| sink.write(&events(&["b", "c"]))));
        assert_eq!(panicked.unwrap_err().downcast_ref::<String>().unwrap(), REASON);
        drop(sink);
        let mut sink = open_at(place, options);
        assert_eq!(keys(&mut sink), ["a"], "a call that panics has sent nothing");
        assert_eq!(sink.write(&events(&["b", "c"])).unwrap_err().kind, ErrorKind::Retryable);
        assert_eq!(sink.write(&events(&["b", "c"])), Ok(Written::Delivered));
        assert_eq!(keys(&mut sink), ["a", "b", "c"]);
    }

    #[test]
    fn an_instance_that_hangs_past_its_deadline_has_left_its_producer_and_sends_nothing() {
        let place = "past its deadline";
        let options = json!({"script": "ok, hang 1ms"});
        let mut sink = open_at(place, options.clone());
        let batch = TestBatch::new(&events(&["a", "b"])).deadline(Deadline::after(Duration::ZERO));
        assert!(batch.lend(|batch| sink.write_batch(batch)).is_err());
        let mut next = open_at(place, options);
        assert_eq!(next.write(&events(&["a", "b"])), Ok(Written::Delivered));
        assert_eq!(keys(&mut next), ["a", "b"]);
        assert!(keys(&mut sink).is_empty());
    }

    #[test]
    fn a_short_hang_is_only_slow() {
        let mut sink = testing::open::<FakeProducer>(json!({"script": "hang 1ms"})).unwrap();
        assert_eq!(sink.write(&events(&["a"])), Ok(Written::Delivered));
        assert_eq!(keys(&mut sink), ["a"]);
    }

    #[test]
    fn a_new_logger_begins_with_nothing() {
        let mut one = open_at("new", json!({}));
        one.write(&events(&["a"])).unwrap();
        assert!(keys(&mut open_at("new", json!({}))).is_empty());
    }
}
