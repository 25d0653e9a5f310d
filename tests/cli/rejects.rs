//! Lines that are no events.

use std::os::unix::fs::PermissionsExt;

use audit_tests::Dir;
use serde_json::{Value, json};

use crate::{EVENT, FILE, count, file_dir, real_events};

fn entries(dir: &Dir) -> Vec<Value> {
    dir.lines("rejected.ndjson").iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_rejected_line_is_said_kept_and_passed_over() {
    let dir = file_dir();
    dir.write("in.ndjson", format!("{EVENT}\n{{\"granted\":true}}\r\n{EVENT}"));
    let ran = dir.audit_host(&["run", "in.ndjson"]).run();
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("in.ndjson:3: rejected: key 'action' is missing"), "{ran:?}");
    assert_eq!((count(ran.summary(), "delivered"), count(ran.summary(), "rejected")), (2, 1));
    let reason = "key 'action' is missing";
    let expected = json!({"input": "in.ndjson", "line": 3, "reason": reason, "text": "{\"granted\":true}"});
    assert_eq!(entries(&dir), [expected]);
    let mode = dir.path("rejected.ndjson").metadata().expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn the_first_twenty_are_said_and_then_a_count_and_all_are_kept() {
    let dir = file_dir();
    let ran = dir.audit_host(&["run"]).input("x\n".repeat(50)).run();
    assert_eq!(ran.stderr.matches(": rejected: ").count(), 20);
    assert!(ran.stderr.contains("<stdin>:20: rejected: "), "{ran:?}");
    assert!(ran.stderr.contains("50 lines were rejected, 30 more than are shown here"), "{ran:?}");
    assert_eq!((ran.status, count(ran.summary(), "rejected"), entries(&dir).len()), (1, 50, 50));
    assert_eq!(entries(&dir)[49]["line"], 50);
}

#[test]
fn strict_stops_at_the_first() {
    let dir = file_dir();
    let ran = dir.audit_host(&["run", "--strict"]).input(format!("{EVENT}x\ny\n{EVENT}")).run();
    assert_eq!(ran.status, 1);
    assert_eq!((count(ran.summary(), "delivered"), count(ran.summary(), "rejected")), (1, 1), "{ran:?}");
    assert_eq!(entries(&dir).len(), 1);
}

#[test]
fn control_characters_of_a_rejected_line_do_not_reach_the_terminal() {
    let dir = file_dir();
    let ran = dir.audit_host(&["run"]).input("{\"\\u001b[2J\u{9b}31m\":1}\n").run();
    assert!(ran.stderr.contains("unknown key"), "{ran:?}");
    assert!(!ran.stderr.chars().any(|c| c.is_control() && c != '\n'), "{:?}", ran.stderr);
    assert_eq!(entries(&dir)[0]["text"], "{\"\\u001b[2J\u{9b}31m\":1}");
}

#[test]
fn bytes_that_are_no_text_are_kept_exactly() {
    let dir = file_dir();
    let ran = dir.audit_host(&["run"]).input(b"\xff\"\n").run();
    assert!(ran.stderr.contains("<stdin>:1: rejected: not UTF-8 at byte 0"), "{ran:?}");
    assert_eq!(entries(&dir)[0]["hex"], "ff22");
}

#[test]
fn an_event_over_the_limit_is_rejected_with_size_and_limit() {
    let dir = Dir::with(&format!("{FILE}\n[buffer]\nmax_event_bytes = 1000\n"));
    let event =
        |len| format!("{{\"action\":\"read\",\"granted\":true,\"manager\":\"{}\"}}\n", "m".repeat(len));
    let ran = dir.audit_host(&["run"]).input([event(10), event(2000), event(100_000)].concat()).run();
    assert!(ran.stderr.contains("<stdin>:2: rejected: the event takes 2"), "{ran:?}");
    assert!(ran.stderr.contains("max_event_bytes = 1000"), "{ran:?}");
    assert!(ran.stderr.contains("<stdin>:3: rejected: the line takes 100045 bytes"), "{ran:?}");
    assert_eq!((count(ran.summary(), "delivered"), count(ran.summary(), "rejected")), (1, 2), "{ran:?}");
    let entries = entries(&dir);
    assert_eq!(entries[0]["text"], event(2000).trim_end());
    assert_eq!(entries[1]["text"], Value::Null);
}

#[test]
fn a_full_store_rejects_lines_only_where_it_is_told_to_fail() {
    let dir = Dir::with(
        r#"
        audit_logger.class = "test.Hanging"
        audit_logger.options = { in = "write", release = "never" }
        buffer = { capacity_bytes = 65536, when_full = "fail" }
        delivery.shutdown_timeout = 0.2
        "#,
    );
    let ran = dir.audit_host(&["run", &real_events()]).run();
    let (accepted, rejected) = (count(ran.summary(), "accepted"), count(ran.summary(), "rejected"));
    assert_eq!(accepted + rejected, 5000, "{ran:?}");
    assert!(rejected > 4000 && accepted > 50, "{ran:?}");
    assert_eq!(entries(&dir).len() as u64, rejected);
    assert!(ran.stderr.contains("the store is full"), "{ran:?}");
    assert_eq!(ran.status, 1);
}

#[test]
fn a_file_that_cannot_be_written_is_said_once_and_the_run_goes_on() {
    let dir = Dir::with(&format!("{FILE}\n[delivery]\nrejected_path = \"plugins\"\n"));
    let ran = dir.audit_host(&["run"]).input(format!("x\ny\n{EVENT}")).run();
    assert_eq!(ran.stderr.matches("rejected lines cannot be kept").count(), 1, "{ran:?}");
    assert_eq!((count(ran.summary(), "rejected"), count(ran.summary(), "delivered")), (2, 1));
}
