//! What a run says at its end.

use audit_tests::Dir;
use serde_json::{Value, json};

use crate::{EVENT, FILE, count, file_dir, real_events};

#[test]
fn the_main_job_ends_with_exactly_this_line() {
    let dir = file_dir();
    let ran = dir.audit_host(&["run", &real_events()]).run();
    assert_eq!(
        ran.summary(),
        "audit-host: accepted=5000 delivered=5000 retried=0 dead_lettered=0 dropped=0 rejected=0 lost=0"
    );
    assert_eq!((ran.status, ran.stdout.as_str()), (0, ""));
    assert_eq!(dir.lines("out.ndjson").len(), 5000);
    assert!(!dir.path("rejected.ndjson").exists() && !dir.path("dead-letters.ndjson").exists());
}

#[test]
fn json_summary_says_the_same_in_one_object() {
    let ran = file_dir().audit_host(&["run", "--summary", "json"]).input(EVENT).run();
    let summary: Value = serde_json::from_str(ran.summary()).expect("JSON");
    let expected = json!({
        "accepted": 1, "delivered": 1, "retried": 0, "dead_lettered": 0, "dropped": 0, "rejected": 0, "lost": 0
    });
    assert_eq!((ran.status, summary), (0, expected));
}

#[test]
fn json_summary_of_several_sinks_has_a_table_by_name() {
    let dir = Dir::with(
        r#"
        [[audit_logger]]
        name = "good"
        class = "test.Recording"
        options = { path = "out.ndjson" }
        [[audit_logger]]
        name = "bad"
        class = "test.Failing"
        options = { poison = "read" }
        "#,
    );
    let ran = dir.audit_host(&["run", "--summary", "json"]).input(EVENT).run();
    let summary: Value = serde_json::from_str(ran.summary()).expect("JSON");
    assert_eq!(ran.status, 1);
    assert_eq!((&summary["delivered"], &summary["dead_lettered"]), (&json!(0), &json!(1)));
    assert_eq!(summary["sinks"]["good"]["delivered"], 1);
    assert_eq!(summary["sinks"]["bad"]["dead_lettered"], 1);
}

#[test]
fn retries_and_dead_letters_are_counted_and_dead_letters_are_status_1() {
    let dir = Dir::with(
        r#"
        audit_logger.class = "test.Failing"
        audit_logger.options = { path = "out.ndjson", answers = [{ kind = "retryable", times = 2 }], poison = "delete" }
        delivery.retry_initial = 0.001
        "#,
    );
    let input = "{\"action\":\"read\",\"granted\":true}\n{\"action\":\"delete\",\"granted\":true}\n";
    let ran = dir.audit_host(&["run"]).input(input).run();
    let summary = ran.summary();
    assert_eq!((count(summary, "accepted"), count(summary, "delivered")), (2, 1), "{ran:?}");
    assert_eq!(count(summary, "dead_lettered"), 1);
    assert!(count(summary, "retried") >= 2, "{summary}");
    assert_eq!(ran.status, 1);
    assert_eq!(dir.lines("dead-letters.ndjson").len(), 1);
}

#[test]
fn a_slow_sink_is_waited_for_beyond_shutdown_timeout_as_long_as_it_delivers() {
    let dir = Dir::with(
        r#"
        audit_logger.class = "test.Recording"
        audit_logger.options = { path = "out.ndjson", delay_ms = 60, batch_size = 1 }
        delivery.shutdown_timeout = 1.5
        "#,
    );
    let ran = dir.audit_host(&["run"]).input(EVENT.repeat(40)).run();
    assert_eq!((ran.status, count(ran.summary(), "delivered")), (0, 40), "{ran:?}");
}

#[test]
fn a_sink_that_delivers_nothing_is_given_up_on_after_shutdown_timeout() {
    let dir = Dir::with(
        r#"
        audit_logger.class = "test.Hanging"
        audit_logger.options = { in = "write", release = "never" }
        delivery.shutdown_timeout = 0.2
        "#,
    );
    let ran = dir.audit_host(&["run"]).input(EVENT).run();
    assert_eq!((ran.status, count(ran.summary(), "dead_lettered")), (1, 1), "{ran:?}");
    assert_eq!(dir.lines("dead-letters.ndjson").len(), 1);
}

#[test]
fn a_sink_whose_flush_fails_is_status_1() {
    let dir = Dir::with("audit_logger.class = \"test.Panicking\"\naudit_logger.options.in = \"flush\"");
    let ran = dir.audit_host(&["run"]).input(EVENT).run();
    assert_eq!((ran.status, count(ran.summary(), "delivered")), (1, 1), "{ran:?}");
}

#[test]
fn what_a_sink_that_is_not_required_drops_is_status_1() {
    let dir = Dir::with(
        r#"
        [[audit_logger]]
        name = "good"
        class = "test.Recording"
        options = { path = "out.ndjson" }
        [[audit_logger]]
        name = "optional"
        class = "test.Hanging"
        required = false
        options = { in = "write", release = "never" }
        [buffer]
        capacity_bytes = 65536
        [delivery]
        shutdown_timeout = 0.2
        "#,
    );
    let ran = dir.audit_host(&["run", &real_events()]).run();
    let summary = ran.summary();
    assert_eq!((ran.status, count(summary, "accepted")), (1, 5000), "{ran:?}");
    assert!(count(summary, "dropped") > 0, "{summary}");
    assert_eq!(count(summary, "lost"), 0);
    assert_eq!(dir.lines("out.ndjson").len(), 5000);
}

#[test]
fn a_log_in_json_makes_every_line_of_standard_error_json() {
    let dir = Dir::with(FILE);
    let arguments = ["run", "--log-format", "json", "--log-level", "trace", "--summary", "json"];
    let ran = dir.audit_host(&arguments).input("{\u{1b}[2J\u{9b}}\n").run();
    assert!(ran.stderr.contains("rejected"), "{ran:?}");
    for line in ran.stderr.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}
