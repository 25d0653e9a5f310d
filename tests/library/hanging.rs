//! Sinks that hang, as `.so` files behind the real logger.

use std::time::{Duration, Instant};

use audit_host::config::Config;
use audit_host::logger::{AuditLogger, Loading, Logger};
use audit_host::pipeline::FlushOutcome;
use audit_plugin_api::{Action, PermissionAuditEvent};
use audit_tests::Dir;

/// A sink that hangs in this callback until the test ends, the first `times` times (0: always).
fn hanging(place: &str, times: u32, more: &str) -> (Dir, Logger) {
    let dir = Dir::with(&format!(
        "[audit_logger]\nclass = \"test.Hanging\"\n[audit_logger.options]\nin = \"{place}\"\ntimes = {times}\n\
         release = \"release\"\npath = \"out.ndjson\"\n[delivery]\nretry_initial = 0.01\n{more}\n"
    ));
    let config = Config::load(&dir.path("audit.toml")).expect("a good configuration");
    let logger = Logger::open(config, &Loading::default()).expect("the sink opens");
    (dir, logger)
}

fn record(logger: &Logger, count: u64) {
    for number in 0..count {
        let event = PermissionAuditEvent::new(Action::Read, true).attribute(number.to_string());
        logger.record(&event).expect("accepted");
    }
}

/// A minute: nothing here waits that long unless it is broken.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_hung_write_is_abandoned_and_a_fresh_instance_gets_the_same_events() {
    let (dir, logger) = hanging("write", 2, "write_timeout = 0.2");
    record(&logger, 100);
    assert_eq!(logger.flush(LONG).expect("not in a callback"), FlushOutcome::Flushed);
    let report = logger.close(LONG).expect("not in a callback");
    assert_eq!((report.totals.delivered, report.totals.retried, report.totals.lost), (100, 200, 0));
    assert_eq!(dir.lines("out.ndjson").len(), 100);
    dir.write("release", "");
}

#[test]
fn flush_and_close_of_a_hung_sink_end_at_their_deadlines_and_the_events_are_dead_letters() {
    let (dir, logger) = hanging("write", 0, "");
    record(&logger, 100);
    let started = Instant::now();
    let FlushOutcome::TimedOut { remaining } =
        logger.flush(Duration::from_millis(100)).expect("not in a callback")
    else {
        panic!("the sink hangs")
    };
    assert_eq!(remaining, [("test.Hanging".to_owned(), 100)]);
    let report = logger.close(Duration::from_millis(100)).expect("not in a callback");
    assert!(started.elapsed() < LONG, "the deadlines of flush and close, not write_timeout and more");
    assert_eq!((report.totals.accepted, report.totals.dead_lettered, report.totals.lost), (100, 100, 0));
    assert_eq!(dir.lines("dead-letters.ndjson").len(), 100);
    dir.write("release", "");
}

#[test]
fn a_hung_flush_or_close_of_a_sink_is_told_and_loses_nothing() {
    for place in ["flush", "close"] {
        let (dir, logger) = hanging(place, 0, "");
        record(&logger, 100);
        let report = logger.close(Duration::from_millis(500)).expect("not in a callback");
        assert_eq!((report.totals.accepted, report.totals.delivered, report.totals.lost), (100, 100, 0));
        assert!(!report.is_clean(), "{report:?}");
        assert_eq!(dir.lines("out.ndjson").len(), 100);
        dir.write("release", "");
    }
}

#[test]
fn a_sink_that_hangs_in_open_fails_the_start_in_time() {
    let dir = Dir::with(
        "[audit_logger]\nclass = \"test.Hanging\"\n[audit_logger.options]\nin = \"open\"\nrelease = \"release\"\n\
         [delivery]\nopen_timeout = 0.2\n",
    );
    let ran = dir.audit_host(&["run"]).input("{\"action\":\"read\",\"granted\":true}\n").run();
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(ran.stderr.contains("audit.toml:2:") && ran.stderr.contains("open_timeout"), "{ran:?}");
    dir.write("release", "");
}
