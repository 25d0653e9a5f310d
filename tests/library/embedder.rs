//! A program that embeds the library, for the tests of process life: `embedder WAY CONFIG COUNT`.

use std::io::Read;
use std::path::Path;
use std::process::exit;
use std::time::Duration;

use audit_host::logger::{
    AuditLogger, Source, audit_logging_enabled, configure_audit_logger, configure_audit_logger_from_file,
    emit_permission_audit_event, get_audit_logger,
};
use audit_host::pipeline::{CloseReport, FlushOutcome, FromCallback, RecordError};
use audit_plugin_api::{Action, PermissionAuditEvent, Timestamp, Uuid};
use audit_tests::oracle::{Journal, Outcome};
use rustix::process::Signal;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [way, config, count] = arguments.as_slice() else { exit(64) };
    let count: u32 = count.parse().expect("COUNT is a number");
    configure_audit_logger_from_file(config).expect("the configuration is good");
    assert!(audit_logging_enabled());
    if way == "journal" {
        return keep_journals(Path::new(config), count);
    }
    record("main", count);
    match way.as_str() {
        "return" => {}
        "exit" => exit(3),
        "exit-of-thread" => {
            let _ = std::thread::spawn(|| exit(3)).join();
        }
        "ended-thread" => {
            std::thread::spawn(move || record("thread", count)).join().expect("the thread records");
        }
        "own-logger" => configure_audit_logger(Source::logger(Own)).expect("it is there"),
        "own-logger-forks" => {
            configure_audit_logger(Source::logger(Own)).expect("it is there");
            fork(0, &|| {});
        }
        "fork" => fork(count, &|| record("child", count)),
        "fork-twice" => fork(count, &|| {
            record("child", count);
            fork(count, &|| record("grandchild", count));
        }),
        "fork-silent" => fork(count, &|| {}),
        "fork-outlives" => {
            fork_and_wait_for_the_end_of_input();
        }
        "fork-full" => {
            // The parent's queue is full of events that its slow sink has not taken: none of them is the child's.
            fork(count, &|| {
                let logger = get_audit_logger().expect("a logger is configured");
                record("child", count);
                logger.flush(Duration::from_secs(60)).expect("not in a callback");
            });
        }
        _ => exit(64),
    }
}

/// A logger of the application's own: it says when it is closed, and then panics.
struct Own;

impl AuditLogger for Own {
    fn record(&self, _: &PermissionAuditEvent) -> Result<(), RecordError> {
        Ok(())
    }

    fn flush(&self, _: Duration) -> Result<FlushOutcome, FromCallback> {
        Ok(FlushOutcome::Flushed)
    }

    fn close(&self, _: Duration) -> Result<CloseReport, FromCallback> {
        println!("closed");
        panic!("a logger of the application's own panics when it is closed")
    }
}

fn record(user: &str, count: u32) {
    for number in 0..count {
        let event = PermissionAuditEvent::new(Action::Read, true).user_id(user).attribute(number.to_string());
        emit_permission_audit_event(&event).expect("the event is accepted");
    }
}

/// Records in two threads, each with a journal in the folder `journal-PID` beside the configuration; says `+` when an
/// event was accepted.
fn keep_journals(config: &Path, count: u32) {
    let pid = std::process::id();
    let folder = config.with_file_name(format!("journal-{pid}"));
    std::thread::scope(|scope| {
        for (thread, name) in ["a", "b"].into_iter().enumerate() {
            let producer = format!("{pid}-{name}");
            let mut journal = Journal::create(&folder, &producer).expect("a journal");
            scope.spawn(move || {
                for number in 0..count {
                    let id = Uuid::from_u64_pair(
                        u64::from(pid) << 16 | 0x7000,
                        2 << 62 | (thread as u64) << 32 | u64::from(number),
                    );
                    // Some on the disk first, where the configuration says so of what is denied.
                    let event = PermissionAuditEvent::new(Action::Read, number % 2 == 0)
                        .event_id(id)
                        .timestamp(Timestamp::now())
                        .user_id(&producer)
                        .attribute(number.to_string());
                    let line = event.to_json();
                    journal.issue(&line).expect("written");
                    emit_permission_audit_event(&event).expect("the event is accepted");
                    journal.note(&line, Outcome::Accepted).expect("written");
                    println!("+");
                }
            });
        }
    });
}

/// Forks, says so, and does nothing in either process until its standard input ends.
fn fork_and_wait_for_the_end_of_input() {
    // SAFETY: the child only reads and exits.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid > 0 {
        println!("forked");
    }
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    exit(0);
}

/// Runs `child` in a forked child, waits for it, and goes on as the parent.
fn fork(count: u32, child: &dyn Fn()) {
    // SAFETY: the child runs only code of this program, which is written to work in a forked child: that is what is
    // tested. The allocator of glibc is usable there.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid == 0 {
        // A test that waits in vain for a child kills its parent.
        let ends_with_parent = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        ends_with_parent.expect("the child ends with its parent");
        child();
        exit(0);
    }
    let mut status = 0;
    // SAFETY: `status` lives through the call, `pid` is the child that was just started.
    let waited = unsafe { libc::waitpid(pid, &mut status, 0) };
    assert_eq!((waited, status), (pid, 0), "the child ends well");
    record("parent-after", count);
}
