//! A program that embeds the library, for the tests of process life: `embedder WAY CONFIG COUNT`.

use std::process::exit;
use std::time::Duration;

use audit_host::logger::{
    AuditLogger, Source, audit_logging_enabled, configure_audit_logger, configure_audit_logger_from_file,
    emit_permission_audit_event, get_audit_logger,
};
use audit_host::pipeline::{CloseReport, FlushOutcome, FromCallback, RecordError};
use audit_plugin_api::{Action, PermissionAuditEvent};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [way, config, count] = arguments.as_slice() else { exit(64) };
    let count: u32 = count.parse().expect("COUNT is a number");
    configure_audit_logger_from_file(config).expect("the configuration is good");
    assert!(audit_logging_enabled());
    if way == "tell" {
        return tell(count);
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

/// Records in two threads, and says of each event that it was accepted, once it was: in a line, which outlives this
/// process in the pipe.
fn tell(count: u32) {
    let pid = std::process::id();
    std::thread::scope(|scope| {
        for thread in ["a", "b"] {
            scope.spawn(move || {
                let user = format!("{pid}-{thread}");
                for number in 0..count {
                    let event = PermissionAuditEvent::new(Action::Read, number % 2 == 0)
                        .user_id(&user)
                        .attribute(number.to_string());
                    emit_permission_audit_event(&event).expect("the event is accepted");
                    println!("{user} {number}");
                }
            });
        }
    });
}

/// Runs `child` in a forked child, waits for it, and goes on as the parent.
fn fork(count: u32, child: &dyn Fn()) {
    // SAFETY: the child runs only code of this program, which is written to work in a forked child: that is what is
    // tested. The allocator of glibc is usable there.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid == 0 {
        child();
        exit(0);
    }
    let mut status = 0;
    // SAFETY: `status` lives through the call, `pid` is the child that was just started.
    let waited = unsafe { libc::waitpid(pid, &mut status, 0) };
    assert_eq!((waited, status), (pid, 0), "the child ends well");
    record("parent-after", count);
}
