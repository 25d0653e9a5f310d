//! What arrives.

use std::collections::BTreeMap;

use audit_host::config::Config;
use audit_host::logger::{AuditLogger, Loading, Logger};
use audit_host::pipeline::FlushOutcome;
use audit_plugin_api::PermissionAuditEvent;
use audit_tests::{Dir, eventually};
use serde_json::{Map, Value, json};

use crate::cluster::Cluster;
use crate::{PATIENCE, PLUGIN, TOPIC, kafka_dir};

const REAL_EVENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/permission-events.ndjson");

/// The canonical lines of the real events, as the file sink writes them.
pub fn canonical_lines() -> Vec<String> {
    // Nobody waits for a disk that is busy with other tests.
    let dir = Dir::with(
        "[audit_logger]\nclass = \"file.FileAuditLogger\"\noptions = { path = \"out.ndjson\", fsync = \"never\" }\n",
    );
    let ran = dir.audit_host(&["run", REAL_EVENTS]).run();
    assert_eq!(ran.status, 0, "{ran:?}");
    dir.lines("out.ndjson")
}

/// The lines of each user, in order. An event without `user_id` has a null key.
fn by_user<'a>(lines: impl IntoIterator<Item = &'a str>) -> BTreeMap<Option<String>, Vec<&'a str>> {
    let mut users: BTreeMap<Option<String>, Vec<&str>> = BTreeMap::new();
    for line in lines {
        let event: Value = serde_json::from_str(line).expect("JSON");
        users.entry(event["user_id"].as_str().map(str::to_owned)).or_default().push(line);
    }
    users
}

#[test]
fn all_real_events_arrive_once_unchanged_in_order_for_each_key_with_their_headers() {
    let cluster = Cluster::start(1);
    cluster.create_topic(TOPIC, 3);
    let dir = kafka_dir(&cluster.servers(), "");
    let ran = dir.audit_host(&["run", REAL_EVENTS]).run();
    assert_eq!(ran.status, 0, "{ran:?}");
    let summary = "accepted=5000 delivered=5000 retried=0 dead_lettered=0 dropped=0 rejected=0 lost=0";
    assert!(ran.stderr.contains(summary), "{ran:?}");
    let consumed = cluster.consume(TOPIC);
    assert_eq!(consumed.len(), 5000);
    for message in &consumed {
        let event: Value = serde_json::from_str(&message.value).expect("JSON");
        assert_eq!(message.key.as_deref(), event["user_id"].as_str(), "{message:?}");
        let id = event["event_id"].as_str().expect("an id").to_owned();
        assert_eq!(message.headers, [("event_id".to_owned(), id), ("schema".to_owned(), "1".to_owned())]);
    }
    let lines = canonical_lines();
    let mut expected = by_user(lines.iter().map(String::as_str));
    let mut arrived = by_user(consumed.iter().map(|message| message.value.as_str()));
    // Messages without a key are spread over the partitions: they have no order.
    for lines in [&mut expected, &mut arrived].into_iter().filter_map(|users| users.get_mut(&None)) {
        lines.sort_unstable();
    }
    assert_eq!(arrived.len(), expected.len());
    for (user, lines) in expected {
        assert!(arrived[&user] == lines, "the events of {user:?} differ");
    }
}

#[test]
fn a_probe_says_that_the_topic_exists_and_may_be_written() {
    let cluster = Cluster::start(1);
    cluster.create_topic(TOPIC, 3);
    let dir = kafka_dir(&cluster.servers(), "");
    let checked = dir.audit_host(&["check", "--probe", "--format", "json"]).run();
    assert_eq!(checked.status, 0, "{checked:?}");
    // Mock brokers do not know the question whether somebody may write.
    let may_write = matches!(cluster, Cluster::Real(_)).then_some(true);
    let answer = json!({"topic": TOPIC, "exists": true, "partitions": 3, "may_write": may_write});
    assert_eq!(checked.json()["sinks"][0]["probe"]["answered"], answer);
    let checked = dir.audit_host(&["check", "--probe"]).run();
    assert!(checked.stdout.contains(&format!("; its probe says {answer}\n")), "{checked:?}");
    assert_eq!(cluster.consume(TOPIC), [], "a probe sends nothing");
}

/// Messages as JSON, sorted: those of several partitions come in any order.
fn sorted(messages: &[Value]) -> Vec<String> {
    let mut texts: Vec<String> = messages.iter().map(Value::to_string).collect();
    texts.sort_unstable();
    texts
}

#[test]
fn the_fake_producer_has_sent_what_kafka_delivers() {
    for form in ["", "key = \"manager\"\npayload = \"compact\"\nheaders = [\"schema\"]"] {
        let cluster = Cluster::start(1);
        cluster.create_topic(TOPIC, 3);
        let dir = Dir::new();
        dir.install(PLUGIN);
        let sink = |class: &str, options: &str| {
            format!(
                "[[audit_logger]]\nclass = \"{class}\"\n[audit_logger.options]\ntopic = \"{TOPIC}\"\n{options}\n{form}\n"
            )
        };
        let servers = format!("bootstrap_servers = \"{}\"", cluster.servers());
        let toml = sink("kafka.KafkaAuditLogger", &servers) + &sink("fake.FakeProducerAuditLogger", "");
        let config = Config::from_str(&toml, &dir.path("")).expect("a good configuration");
        let logger = Logger::open(config, &Loading::default()).expect("the sinks open");
        for line in canonical_lines() {
            let event = PermissionAuditEvent::from_canonical(line.as_bytes()).expect("a canonical line");
            logger.record(&event).expect("the event is accepted");
        }
        assert_eq!(logger.flush(PATIENCE).expect("not in a callback"), FlushOutcome::Flushed);
        // On a busy machine it takes longer over so many than anybody waits.
        let mut shown =
            eventually(|| logger.inspect("fake.FakeProducerAuditLogger", "sent_messages").ok()).reply;
        let Value::Array(shown) = shown["sent_messages"].take() else { panic!("{shown}") };
        let consumed: Vec<Value> = cluster
            .consume(TOPIC)
            .into_iter()
            .map(|message| {
                let headers: Map<String, Value> =
                    message.headers.into_iter().map(|(name, value)| (name, value.into())).collect();
                json!({"topic": TOPIC, "key": message.key, "payload": message.value, "headers": headers})
            })
            .collect();
        assert_eq!((shown.len(), consumed.len()), (5000, 5000));
        assert!(sorted(&shown) == sorted(&consumed), "they differ with {form:?}");
    }
}

#[test]
fn the_compact_payload_of_real_events_is_that_of_the_example() {
    let cluster = Cluster::start(1);
    cluster.create_topic(TOPIC, 1);
    let dir = kafka_dir(&cluster.servers(), "payload = \"compact\"\nkey = \"none\"\nheaders = []");
    let ran = dir.audit_host(&["run", REAL_EVENTS]).run();
    assert_eq!(ran.status, 0, "{ran:?}");
    let consumed = cluster.consume(TOPIC);
    let lines = canonical_lines();
    assert_eq!(consumed.len(), lines.len());
    for (message, line) in consumed.iter().zip(&lines) {
        let compact: Value = serde_json::from_str(&message.value).expect("JSON");
        let event: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!((&message.key, &message.headers), (&None, &Vec::new()));
        let keys: Vec<_> = compact.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["action", "granted", "attributes", "manager", "user", "permissions", "metadata"]);
        for key in ["action", "granted", "attributes", "manager", "permissions", "metadata"] {
            assert_eq!(compact[key], event[key], "{line}");
        }
        let user = event["user_id"].as_str().map_or(Value::Null, |id| match id.parse::<i64>() {
            Ok(number) if number.to_string() == id => number.into(),
            _ => id.into(),
        });
        assert_eq!(compact["user"], user, "{line}");
    }
}
