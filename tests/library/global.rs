//! The one logger of a process: what configuring it anew, and exiting, does to the one before.
//!
//! There is one in a process, so these tests take turns.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use audit_host::logger::{
    AuditLogger, Logger, Source, audit_logging_enabled, configure_audit_logger,
    configure_audit_logger_from_file, emit_permission_audit_event, get_audit_logger,
};
use audit_host::pipeline::{CloseReport, FlushOutcome, FromCallback, RecordError};
use audit_plugin_api::{Action, ErrorKind, PermissionAuditEvent, Timestamp};
use audit_tests::Dir;
use audit_tests::modes::{PATIENT, PATIENT_BUFFER};
use serde_json::json;

static TURN: Mutex<()> = Mutex::new(());

fn take_turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

const LONG: Duration = Duration::from_secs(60);

fn event(number: u64) -> PermissionAuditEvent {
    PermissionAuditEvent::new(Action::Read, true).attribute(number.to_string())
}

fn file_in(dir: &Dir) -> PathBuf {
    dir.write(
        "audit.toml",
        format!(
            "[audit_logger]\nclass = \"file.FileAuditLogger\"\noptions = {{ path = \"audit.ndjson\" }}\n\
             [buffer]\n{PATIENT_BUFFER}{PATIENT}"
        ),
    )
}

/// A logger of an application's own, which counts.
#[derive(Default)]
struct Counting {
    recorded: Mutex<u64>,
    closed: AtomicBool,
}

impl AuditLogger for Counting {
    fn record(&self, _: &PermissionAuditEvent) -> Result<(), RecordError> {
        let mut recorded = self.recorded.lock().expect("nobody panics");
        if self.closed.load(Ordering::Relaxed) {
            return Err(RecordError::Closed);
        }
        *recorded += 1;
        Ok(())
    }

    fn flush(&self, _: Duration) -> Result<FlushOutcome, FromCallback> {
        Ok(FlushOutcome::Flushed)
    }

    fn close(&self, _: Duration) -> Result<CloseReport, FromCallback> {
        let _recorded = self.recorded.lock().expect("nobody panics");
        self.closed.store(true, Ordering::Relaxed);
        Ok(CloseReport::default())
    }
}

/// Says that it is over, also when a test fails: whoever goes on until then would keep it from failing.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn loggers_that_are_swapped_under_load_lose_and_double_nothing() {
    let _turn = take_turn();
    let dir = Dir::new();
    let config = file_in(&dir);
    configure_audit_logger_from_file(&config).expect("a good configuration");
    let (stop, next) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut own = Vec::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    emit_permission_audit_event(&event(number)).expect("one of the loggers accepts it");
                }
            });
        }
        let _over = Over(&stop);
        for _ in 0..5 {
            let counting = Arc::new(Counting::default());
            own.push(counting.clone());
            configure_audit_logger(Source::Logger(counting)).expect("it is there");
            configure_audit_logger(Source::factory(|| Err::<Logger, _>("not today"))).expect_err("it failed");
            assert!(audit_logging_enabled(), "the old one stays");
            configure_audit_logger_from_file(&config).expect("a good configuration");
            configure_audit_logger_from_file(&config).expect("the same file, while it is open");
        }
    });
    configure_audit_logger(Source::None).expect("none is always there");
    let counted: u64 = own.iter().map(|own| *own.recorded.lock().expect("nobody panics")).sum();
    let mut numbers: Vec<u64> = dir
        .lines("audit.ndjson")
        .iter()
        .map(|line| {
            let event = PermissionAuditEvent::from_canonical(line.as_bytes()).expect("a canonical line");
            event.attributes[0].parse().expect("a number")
        })
        .collect();
    numbers.sort_unstable();
    let lines = numbers.len();
    numbers.dedup();
    assert_eq!(numbers.len(), lines, "nothing twice");
    assert_eq!(counted + lines as u64, next.load(Ordering::Relaxed), "nothing lost");
    assert!(own.iter().all(|own| own.closed.load(Ordering::Relaxed)), "each was closed");
}

#[test]
fn configuring_the_logger_that_is_configured_already_leaves_it_open() {
    let _turn = take_turn();
    configure_audit_logger(Source::logger(Counting::default())).expect("it is there");
    let current = get_audit_logger().expect("it was configured");
    configure_audit_logger(current.into()).expect("it is there");
    emit_permission_audit_event(&event(0)).expect("it is open");
    configure_audit_logger(Source::None).expect("none is always there");
}

#[test]
fn the_logger_of_the_process_is_asked_about_its_sinks() {
    let _turn = take_turn();
    let dir = Dir::with(
        "[audit_logger]\nclass = \"fake.FakeProducerAuditLogger\"\noptions = { topic = \"permissions\" }\n",
    );
    configure_audit_logger_from_file(dir.path("audit.toml")).expect("a good configuration");
    let id = "0193f000-0000-7000-8000-000000000001";
    let sent = event(0).user_id("4217").event_id(id.parse().expect("an id")).timestamp(Timestamp::now());
    emit_permission_audit_event(&sent).expect("accepted");
    let logger = get_audit_logger().expect("it was configured");
    assert_eq!(logger.flush(LONG).expect("not in a callback"), FlushOutcome::Flushed);
    let shown = logger.inspect("fake.FakeProducerAuditLogger", "sent_messages").expect("it answers").reply;
    let message = json!({
        "topic": "permissions",
        "key": "4217",
        "payload": sent.to_json(),
        "headers": {"event_id": id, "schema": "1"},
    });
    assert_eq!(shown, json!({ "sent_messages": [message] }));
    configure_audit_logger(Source::logger(Counting::default())).expect("it is there");
    let own = get_audit_logger().expect("it was configured");
    let error = own.inspect("fake.FakeProducerAuditLogger", "sent_messages").expect_err("it has no sinks");
    assert_eq!(error.kind, ErrorKind::Unsupported);
    configure_audit_logger(Source::None).expect("none is always there");
}
