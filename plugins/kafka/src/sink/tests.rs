//! The sink against librdkafka's own mock cluster, in this process.

use std::collections::BTreeMap;
use std::sync::Arc;

use audit_plugin_api::testing::{self, TestBatch, TestHost, TestSink};
use audit_plugin_api::{AckStatus, Acknowledgement, Action, ErrorKind, PermissionAuditEvent};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::*;

mod fatal;
mod waiting;

const TOPIC: &str = "permission-events";
const PATIENCE: Duration = Duration::from_secs(60);

type Mock = MockCluster<'static, DefaultProducerContext>;

fn mock(partitions: i32) -> Mock {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, partitions, 1).unwrap();
    cluster
}

fn options(servers: &str, more: Value) -> Value {
    let mut options = json!({"topic": TOPIC, "bootstrap_servers": servers});
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    options
}

fn open(cluster: &Mock, more: Value) -> TestSink<KafkaSink> {
    testing::open(options(&cluster.bootstrap_servers(), more)).unwrap()
}

fn open_error(servers: &str, more: Value) -> SinkError {
    testing::open::<KafkaSink>(options(servers, more)).err().unwrap()
}

fn events(count: usize) -> Vec<PermissionAuditEvent> {
    (0..count)
        .map(|number| PermissionAuditEvent::new(Action::Update, true).user_id(format!("{}", number % 7)))
        .collect()
}

fn settled(sink: &TestSink<KafkaSink>, count: u32) -> Vec<Acknowledgement> {
    let acknowledgements = sink.host().wait_for_acknowledgements(count, PATIENCE);
    assert!(acknowledgements.iter().map(|ack| ack.count).sum::<u32>() >= count, "{acknowledgements:?}");
    acknowledgements
}

fn count_of(acknowledgements: &[Acknowledgement], status: AckStatus) -> u32 {
    acknowledgements.iter().filter(|ack| ack.status == status).map(|ack| ack.count).sum()
}

/// Key, payload and headers of every message, by partition.
type Consumed = BTreeMap<i32, Vec<(Option<String>, String, Vec<(String, String)>)>>;

fn consume(cluster: &Mock, partitions: i32) -> Consumed {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "tests")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(TOPIC, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let (mut consumed, mut open) = (Consumed::new(), partitions);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    while open > 0 {
        match consumer.poll(PATIENCE).expect("a message or the end of a partition") {
            Ok(message) => {
                let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
                let headers = headers.map(|header| (header.key.to_owned(), text(header.value.unwrap())));
                consumed.entry(message.partition()).or_default().push((
                    message.key().map(text),
                    text(message.payload().unwrap()),
                    headers.collect(),
                ));
            }
            Err(KafkaError::PartitionEOF(_)) => open -= 1,
            Err(error) => panic!("{error}"),
        }
    }
    consumed
}

use rdkafka::error::KafkaError;

#[test]
fn messages_are_the_canonical_lines_with_key_and_headers_in_order_for_each_key() {
    let cluster = mock(3);
    let mut sink = open(&cluster, json!({}));
    let batch = TestBatch::new(&events(500)).id(7);
    assert_eq!(batch.lend(|batch| sink.write_batch(batch)), Ok(Written::Pending { taken: 500 }));
    let acknowledgements = settled(&sink, 500);
    assert_eq!(count_of(&acknowledgements, AckStatus::Delivered), 500);
    assert!(acknowledgements.iter().all(|ack| ack.batch == 7), "{acknowledgements:?}");
    sink.flush(Deadline::after(PATIENCE)).unwrap();
    let consumed = consume(&cluster, 3);
    let text = String::from_utf8(batch.bytes()).unwrap();
    let mut expected: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (line, number) in text.lines().zip(0..) {
        expected.entry(format!("{}", number % 7)).or_default().push(line);
    }
    let mut found: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (key, payload, headers) in consumed.values().flatten() {
        found.entry(key.clone().unwrap()).or_default().push(payload);
        let id = payload.split('"').nth(3).unwrap();
        assert_eq!(*headers, [("event_id".into(), id.to_owned()), ("schema".into(), "1".into())]);
    }
    assert_eq!(found, expected);
}

#[test]
fn without_headers_and_with_compact_payloads_messages_are_what_the_options_say() {
    let cluster = mock(1);
    let event = PermissionAuditEvent::new(Action::Read, false).user_id("42");
    let line = "{\"action\":\"read\",\"granted\":false,\"attributes\":[],\"manager\":null,\"user\":42,\"permissions\":[],\"metadata\":null}";
    let mut sink = open(&cluster, json!({"headers": [], "key": "none"}));
    sink.write(std::slice::from_ref(&event)).unwrap();
    settled(&sink, 1);
    let mut sink = open(&cluster, json!({"headers": ["schema"], "key": "manager", "payload": "compact"}));
    sink.write(&[event]).unwrap();
    settled(&sink, 1);
    let consumed = &consume(&cluster, 1)[&0];
    let (key, payload, headers) = &consumed[0];
    assert!(payload.starts_with("{\"event_id\":\"") && headers.is_empty() && key.is_none(), "{consumed:?}");
    assert_eq!(consumed[1], (None, line.to_owned(), vec![("schema".into(), "1".into())]));
}

#[test]
fn bytes_of_a_batch_are_kept_until_its_reports_and_no_longer() {
    let cluster = mock(1);
    let mut sink = open(&cluster, json!({}));
    cluster.broker_round_trip_time(1, Duration::from_millis(300)).unwrap();
    let batch = TestBatch::new(&events(10));
    batch.lend(|batch| sink.write_batch(batch)).unwrap();
    assert_eq!(batch.holds(), 1);
    settled(&sink, 10);
    assert_eq!(batch.holds(), 0, "while the sink lives");
    drop(sink);
}

#[test]
fn a_full_queue_is_backpressure() {
    let cluster = mock(1);
    let mut sink = open(&cluster, json!({"librdkafka": {"queue.buffering.max.messages": 10}}));
    cluster.broker_round_trip_time(1, Duration::from_millis(300)).unwrap();
    assert_eq!(sink.write(&events(25)), Ok(Written::Pending { taken: 10 }));
    assert_eq!(sink.write(&events(15)), Ok(Written::Pending { taken: 0 }));
    settled(&sink, 10);
    assert_eq!(sink.write(&events(5)), Ok(Written::Pending { taken: 5 }));
    settled(&sink, 15);
}

#[test]
fn what_the_local_limit_refuses_is_given_up_alone() {
    let cluster = mock(1);
    let mut sink = open(&cluster, json!({"librdkafka": {"message.max.bytes": 2000}}));
    let mut events = events(3);
    events[1] = events[1].clone().manager("x".repeat(3000));
    assert_eq!(sink.write(&events), Ok(Written::Pending { taken: 3 }));
    let acknowledgements = settled(&sink, 3);
    let refused: Vec<_> = acknowledgements.iter().filter(|ack| ack.status == AckStatus::Permanent).collect();
    assert_eq!((refused.len(), refused[0].first, refused[0].count), (1, 1, 1));
    assert!(refused[0].reason.contains("Message size too large"), "{refused:?}");
    assert_eq!(count_of(&acknowledgements, AckStatus::Delivered), 2);
}

#[test]
fn an_entry_that_is_not_in_its_run_is_given_up_and_never_sent_as_an_empty_message() {
    let cluster = mock(1);
    for more in [json!({}), json!({"headers": []}), json!({"payload": "compact"})] {
        let mut sink = open(&cluster, more);
        let lines = TestBatch::new(&events(5));
        let written = lines.lend(|batch| {
            let mut entries: Vec<_> = batch.events().map(|event| *event.raw()).collect();
            entries[1].run = 9;
            entries[2].offset = u32::MAX;
            entries[3].len = 0;
            let deadline = Deadline::after(PATIENCE);
            sink.write_batch(&Batch::new(1, 1, deadline, batch.runs(), &entries, &lines))
        });
        assert_eq!(written, Ok(Written::Pending { taken: 5 }));
        let acknowledgements = settled(&sink, 5);
        assert_eq!(count_of(&acknowledgements, AckStatus::Delivered), 2, "{acknowledgements:?}");
        let given_up: Vec<_> =
            acknowledgements.iter().filter(|ack| ack.status == AckStatus::Permanent).collect();
        assert_eq!((given_up[0].first, given_up[0].count), (1, 3), "{acknowledgements:?}");
        assert_eq!(given_up[0].reason, "the event is not a canonical line");
    }
    let consumed = consume(&cluster, 1).remove(&0).unwrap();
    assert_eq!(consumed.len(), 6);
    assert!(consumed.iter().all(|(_, payload, _)| !payload.is_empty()), "{consumed:?}");
}

#[test]
fn a_batch_that_a_broker_finds_too_large_is_sent_again_in_smaller_ones_until_one_is_alone() {
    let cluster = mock(1);
    let mut sink = open(&cluster, json!({}));
    let too_large = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    cluster.request_errors(RDKafkaApiKey::Produce, &[too_large, too_large]);
    assert_eq!(sink.write(&events(8)), Ok(Written::Pending { taken: 8 }));
    let acknowledgements = settled(&sink, 8);
    assert_eq!(count_of(&acknowledgements, AckStatus::Retryable), 8, "{acknowledgements:?}");
    assert_eq!(sink.write(&events(8)), Ok(Written::Pending { taken: 1 }));
    let alone = settled(&sink, 9).pop().unwrap();
    assert_eq!((alone.status, alone.count), (AckStatus::Permanent, 1), "{alone:?}");
    let mut rest = 7;
    for limit in [1, 2, 4] {
        assert_eq!(sink.write(&events(rest)), Ok(Written::Pending { taken: limit }));
        rest -= limit as usize;
        settled(&sink, 16 - rest as u32);
    }
    assert_eq!(count_of(&settled(&sink, 16), AckStatus::Delivered), 7);
}

#[test]
fn of_a_batch_in_which_a_broker_finds_an_invalid_event_and_does_not_say_which_only_that_one_is_given_up() {
    let cluster = mock(1);
    // All that one call hands over is to be one batch.
    let mut sink = open(&cluster, json!({"librdkafka": {"linger.ms": 100}}));
    let invalid = RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD;
    cluster.request_errors(RDKafkaApiKey::Produce, &[invalid]);
    let mut left = events(50);
    assert_eq!(sink.write(&left), Ok(Written::Pending { taken: 50 }));
    let mut told = 50;
    let acknowledgements = settled(&sink, told);
    assert_eq!(count_of(&acknowledgements, AckStatus::Retryable), 50, "{acknowledgements:?}");
    // The broker goes on to refuse whatever the first of them is in.
    cluster.request_errors(RDKafkaApiKey::Produce, &[invalid, invalid]);
    while !left.is_empty() {
        let Ok(Written::Pending { taken }) = sink.write(&left) else { panic!("the events are taken") };
        told += taken;
        let acknowledgements = settled(&sink, told);
        let last = acknowledgements.iter().filter(|ack| ack.batch == acknowledgements.last().unwrap().batch);
        let mut gone: Vec<_> = last
            .filter(|ack| ack.status != AckStatus::Retryable)
            .flat_map(|ack| ack.first as usize..(ack.first + ack.count) as usize)
            .collect();
        gone.sort_unstable_by(|one, other| other.cmp(one));
        gone.into_iter().for_each(|position| drop(left.remove(position)));
    }
    let acknowledgements = settled(&sink, told);
    let permanent: Vec<_> =
        acknowledgements.iter().filter(|ack| ack.status == AckStatus::Permanent).collect();
    assert_eq!((permanent.len(), permanent[0].count), (1, 1), "{acknowledgements:?}");
    assert_eq!(count_of(&acknowledgements, AckStatus::Delivered), 49);
}

#[test]
fn errors_of_brokers_reach_the_host_in_librdkafkas_words() {
    use RDKafkaRespErr as Error;
    for (error, status, words) in [
        (Error::RD_KAFKA_RESP_ERR_INVALID_RECORD, AckStatus::Permanent, "Broker failed to validate record"),
        (
            Error::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
            AckStatus::Retryable,
            "Topic authorization failed",
        ),
    ] {
        let cluster = mock(1);
        let mut sink = open(&cluster, json!({}));
        cluster.request_errors(RDKafkaApiKey::Produce, &[error]);
        sink.write(&events(1)).unwrap();
        let ack = settled(&sink, 1).pop().unwrap();
        assert_eq!(ack.status, status, "{ack:?}");
        assert!(ack.reason.contains(words), "{ack:?}");
        assert!(sink.host().logs().iter().any(|line| line.text.contains(words)), "{:?}", sink.host().logs());
    }
}

#[test]
fn errors_that_pass_are_retried_by_librdkafka_and_nothing_is_duplicated() {
    use RDKafkaRespErr as Error;
    let cluster = mock(1);
    let mut sink = open(&cluster, json!({}));
    cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[
            Error::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            Error::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            Error::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
            Error::RD_KAFKA_RESP_ERR__TRANSPORT,
        ],
    );
    sink.write(&events(50)).unwrap();
    assert_eq!(count_of(&settled(&sink, 50), AckStatus::Delivered), 50);
    assert_eq!(consume(&cluster, 1)[&0].len(), 50);
}

#[test]
fn a_broker_that_stays_down_gives_events_back_and_takes_them_when_it_is_up() {
    let cluster = mock(1);
    let mut sink = open(&cluster, json!({"delivery_timeout": 0.5}));
    cluster.broker_down(1).unwrap();
    sink.write(&events(20)).unwrap();
    let acknowledgements = settled(&sink, 20);
    assert_eq!(count_of(&acknowledgements, AckStatus::Retryable), 20);
    assert!(acknowledgements[0].reason.contains("Message timed out"), "{acknowledgements:?}");
    let report = sink.host().reports().pop().unwrap();
    assert_eq!((&report["state"], &report["ack_timeout"]), (&json!("failing"), &json!(5.5)));
    cluster.broker_up(1).unwrap();
    // Each round that fails takes as long as the delivery timeout.
    let mut told = 20;
    loop {
        sink.write(&events(20)).unwrap();
        told += 20;
        let delivered = count_of(&settled(&sink, told), AckStatus::Delivered);
        if delivered > 0 {
            break;
        }
        assert!(told < 2000, "the broker is up, and nothing is delivered");
    }
    let status = sink.inspect("status").unwrap();
    assert_eq!((&status["state"], &status["in_flight"]), (&json!("running"), &json!(0)));
}

#[test]
fn slow_round_trips_do_not_keep_later_batches_from_the_wire() {
    let cluster = mock(1);
    let mut sink = open(&cluster, json!({}));
    cluster.broker_round_trip_time(1, Duration::from_millis(500)).unwrap();
    let started = Instant::now();
    for _ in 0..8 {
        assert_eq!(sink.write(&events(100)), Ok(Written::Pending { taken: 100 }));
    }
    assert_eq!(count_of(&settled(&sink, 800), AckStatus::Delivered), 800);
    // One after the other they would need eight round trips; this is no matter of speed.
    assert!(started.elapsed() < Duration::from_millis(8 * 500), "{:?}", started.elapsed());
}

#[test]
fn close_waits_for_reports_and_tells_of_the_rest() {
    let cluster = mock(1);
    let mut sink = open(&cluster, json!({}));
    sink.write(&events(5)).unwrap();
    assert_eq!(sink.close(Deadline::after(PATIENCE)), Ok(()));
    assert_eq!(count_of(&sink.host().acknowledgements(), AckStatus::Delivered), 5);
    let mut sink = open(&cluster, json!({}));
    cluster.broker_down(1).unwrap();
    sink.write(&events(5)).unwrap();
    let error = sink.close(Deadline::after(Duration::from_millis(1500))).unwrap_err();
    assert!(error.reason.starts_with("5 messages were not delivered before the sink was closed"), "{error}");
    let host = sink.host().acknowledgements();
    drop(sink);
    assert!(host.is_empty(), "what is dropped is never acknowledged: {host:?}");
}

#[test]
fn brokers_that_cannot_be_reached_are_named_within_seconds_and_events_wait() {
    let started = Instant::now();
    let mut sink =
        testing::open::<KafkaSink>(options("127.0.0.1:9", json!({"delivery_timeout": 1}))).unwrap();
    let said = |text: &str| sink.host().logs().iter().any(|line| line.text.contains(text));
    assert!(
        said("no broker could be reached within 3 s") && said("Connection refused"),
        "{:?}",
        sink.host().logs()
    );
    assert!(started.elapsed() < Duration::from_secs(10));
    let error =
        sink.control(&json!({"control": "probe"}), Deadline::after(Duration::from_secs(2))).unwrap_err();
    assert!(error.reason.contains("127.0.0.1:9") && error.reason.contains("Connection refused"), "{error}");
    sink.write(&events(3)).unwrap();
    let ack = settled(&sink, 3).pop().unwrap();
    assert_eq!(ack.status, AckStatus::Retryable);
}

#[test]
fn a_topic_that_is_not_there_or_may_not_be_used_fails_the_opening_and_is_named() {
    use RDKafkaRespErr as Error;
    let cluster = mock(1);
    for (code, words) in [
        (Error::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, "the brokers have no topic `permission-events`"),
        (Error::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, "Topic authorization failed"),
    ] {
        cluster.topic_error(TOPIC, code).unwrap();
        let error = open_error(&cluster.bootstrap_servers(), json!({}));
        assert_eq!((error.kind, error.option.as_deref()), (ErrorKind::Permanent, Some("topic")));
        assert!(error.reason.contains(words), "{error}");
    }
}

#[test]
fn a_probe_tells_of_the_topic_and_other_requests_are_unsupported() {
    let cluster = mock(3);
    let mut sink = open(&cluster, json!({}));
    let deadline = Deadline::after(PATIENCE);
    let answer = sink.control(&json!({"control": "probe"}), deadline).unwrap();
    assert_eq!(
        (&answer["topic"], &answer["exists"], &answer["partitions"]),
        (&json!(TOPIC), &json!(true), &json!(3))
    );
    let error = sink.control(&json!({"control": "rotate"}), deadline).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert_eq!(sink.inspect("sent_messages").unwrap_err().kind, ErrorKind::Unsupported);
}

#[test]
fn what_weakens_the_guarantee_is_allowed_and_said_once() {
    let cluster = mock(1);
    let mut sink = open(&cluster, json!({"librdkafka": {"acks": 1}}));
    sink.write(&events(1)).unwrap();
    settled(&sink, 1);
    let logs = sink.host().logs();
    let said: Vec<_> = logs.iter().filter(|line| line.text.starts_with("acks=1: ")).collect();
    assert_eq!((said.len(), said[0].level), (1, Level::Warn), "{logs:?}");
    let host = Arc::new(TestHost::new());
    let strict = options(&cluster.bootstrap_servers(), json!({}));
    testing::open_with::<KafkaSink>(strict, testing::context(), host.clone()).unwrap();
    assert!(host.logs().iter().all(|line| line.level > Level::Warn), "{:?}", host.logs());
}
