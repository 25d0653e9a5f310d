//! What general_manager's own logger gets wrong, measured on its release 0.87.1, and how it goes here.
//!
//! Further rows of that table: the bounded queue (`pipeline::tests`), the forked child (`process`), a delivery report for
//! each message (the Kafka sink's tests).

use std::time::{Duration, Instant};

use audit_host::config::Config;
use audit_host::logger::{AuditLogger, Loading, Logger};
use audit_host::pipeline::FlushOutcome;
use audit_plugin_api::{Action, PermissionAuditEvent, Timestamp};
use audit_tests::Dir;

const LONG: Duration = Duration::from_secs(60);

fn open(dir: &Dir) -> Logger {
    let config = Config::load(&dir.path("audit.toml")).expect("a good configuration");
    Logger::open(config, &Loading::default()).expect("the sink opens")
}

fn recording(options: &str) -> Dir {
    Dir::with(&format!(
        "[audit_logger]\nclass = \"test.Recording\"\n[audit_logger.options]\npath = \"out.ndjson\"\n{options}\n"
    ))
}

fn event(number: u32) -> PermissionAuditEvent {
    PermissionAuditEvent::new(Action::Read, true).attribute(number.to_string())
}

#[test]
fn the_timestamp_is_the_time_of_record() {
    let dir = recording("flush_interval = 3600\nbatch_size = 1000");
    let logger = open(&dir);
    let before = Timestamp::now();
    logger.record(&event(0)).expect("accepted");
    let after = Timestamp::now();
    logger.close(LONG).expect("not in a callback");
    let written = &dir.lines("out.ndjson")[0];
    let written = PermissionAuditEvent::from_canonical(written.as_bytes()).expect("a canonical line");
    let timestamp = written.timestamp.expect("every line has one");
    assert!(before <= timestamp && timestamp <= after, "{before} {timestamp} {after}");
}

#[test]
fn one_bad_event_costs_no_other() {
    let dir = recording("");
    let good = r#"{"action":"read","granted":true}"#;
    let bad = r#"{"action":"read","granted":true,"metadata":{"x":NaN}}"#;
    let mut input = vec![good; 5];
    input.push(bad);
    input.extend([good; 1000]);
    let ran = dir.audit_host(&["run"]).input(input.join("\n")).run();
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains("NaN"), "{ran:?}");
    let summary = "accepted=1005 delivered=1005 retried=0 dead_lettered=0 dropped=0 rejected=1 lost=0";
    assert_eq!(ran.summary(), format!("audit-host: {summary}"));
    assert_eq!(dir.lines("out.ndjson").len(), 1005);
}

#[test]
fn the_interval_is_the_age_of_the_oldest_event_and_no_idle_gap() {
    // A stream that never pauses: with an idle gap nothing would come out before it ends, and it ends only when something
    // came out.
    let dir = recording("flush_interval = 0.2\nbatch_size = 1000000");
    let logger = open(&dir);
    let give_up = Instant::now() + LONG;
    let mut recorded = 0;
    while dir.read("out.ndjson").is_empty() {
        assert!(Instant::now() < give_up, "nothing came out of {recorded} events");
        logger.record(&event(recorded)).expect("accepted");
        recorded += 1;
    }
    logger.close(LONG).expect("not in a callback");
    assert_eq!(dir.lines("out.ndjson").len() as u32, recorded);
}

#[test]
fn a_sink_that_fails_for_a_while_ends_nothing() {
    let dir = Dir::with(
        "[audit_logger]\nclass = \"test.Failing\"\n[audit_logger.options]\npath = \"out.ndjson\"\n\
         answers = [{ kind = \"retryable\", times = 2 }, { kind = \"reopen\" }]\n[delivery]\nretry_initial = 0.01\n",
    );
    let logger = open(&dir);
    for number in 0..10 {
        logger.record(&event(number)).expect("accepted");
    }
    assert_eq!(logger.flush(LONG).expect("not in a callback"), FlushOutcome::Flushed);
    assert_eq!(dir.lines("out.ndjson").len(), 10);
    assert_eq!(logger.counts().retried, 30);
}

#[test]
fn closing_waits_for_a_slow_sink_and_flushing_leaves_the_logger_open() {
    let dir = recording("batch_size = 10\ndelay_ms = 250");
    let logger = open(&dir);
    for number in 0..100 {
        logger.record(&event(number)).expect("accepted");
    }
    assert_eq!(logger.flush(LONG).expect("not in a callback"), FlushOutcome::Flushed);
    assert_eq!(dir.lines("out.ndjson").len(), 100);
    for number in 0..100 {
        logger.record(&event(number)).expect("accepted after a flush");
    }
    let report = logger.close(LONG).expect("not in a callback");
    assert_eq!((report.totals.accepted, report.totals.delivered), (200, 200));
    assert_eq!(dir.lines("out.ndjson").len(), 200);
}
