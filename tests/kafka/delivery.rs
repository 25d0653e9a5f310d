//! What arrives.

use std::collections::BTreeMap;

use audit_tests::Dir;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::{TOPIC, kafka_dir};

const REAL_EVENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/permission-events.ndjson");

/// The canonical lines of the real events, as the file sink writes them.
fn canonical_lines() -> Vec<String> {
    let dir =
        Dir::with("[audit_logger]\nclass = \"file.FileAuditLogger\"\noptions = { path = \"out.ndjson\" }\n");
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
    let checked = dir.audit_host(&["check", "--probe"]).run();
    assert_eq!(checked.status, 0, "{checked:?}");
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
