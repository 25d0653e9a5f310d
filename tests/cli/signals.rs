//! Signals, and sinks that fail for good.

use std::time::{Duration, Instant};

use audit_tests::{Dir, Running};
use rustix::process::Signal;

use crate::{EVENT, HANGING, PRINT, PRINT_EACH_FIRST, PRINT_FIRST, count, real_events};

/// The program, which has printed an event already.
fn start_with_event(dir: &Dir) -> Running {
    let mut running = dir.audit_host(&["run"]).start();
    running.send(EVENT);
    running.read_line();
    running
}

/// A folder in which `run` prints at once, and takes so long for each event that it writes to `out.ndjson`.
fn slow_dir(delay_ms: u32, shutdown_timeout: f64) -> Dir {
    Dir::with(&format!(
        r#"{PRINT_EACH_FIRST}
        [[audit_logger]]
        name = "slow"
        class = "test.Recording"
        options = {{ path = "out.ndjson", batch_size = 1, delay_ms = {delay_ms} }}
        [delivery]
        shutdown_timeout = {shutdown_timeout}
        "#
    ))
}

#[test]
fn a_signal_stops_reading_and_all_that_was_accepted_is_delivered() {
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        let dir = Dir::with(PRINT);
        let mut running = dir.audit_host(&["run"]).start();
        // The second line is never finished.
        running.send(&format!("{EVENT}{{\"action\":"));
        running.read_line();
        running.signal(signal);
        let ran = running.end();
        assert_eq!(
            ran.summary(),
            format!(
                "audit-host: accepted=1 delivered=1 retried=0 dead_lettered=0 dropped=0 rejected=0 lost=0 stopped by {name}"
            )
        );
        assert_eq!(ran.status, 0);
    }
}

#[test]
fn a_signal_leaves_a_slow_sink_the_time_of_shutdown_timeout() {
    let dir = slow_dir(50, 60.0);
    let mut running = dir.audit_host(&["run"]).start();
    running.send(&EVENT.repeat(20));
    for _ in 0..20 {
        running.read_line();
    }
    running.signal(Signal::TERM);
    let ran = running.end();
    assert_eq!((ran.status, count(ran.summary(), "delivered")), (0, 20), "{ran:?}");
    assert_eq!(dir.lines("out.ndjson").len(), 20);
    assert!(!dir.path("dead-letters.ndjson").exists());
}

#[test]
fn a_signal_ends_the_wait_for_a_full_store_and_nothing_counts_as_rejected() {
    let settings = "[buffer]\ncapacity_bytes = 65536\n[delivery]\nshutdown_timeout = 0.2\n";
    let dir = Dir::with(&format!("{PRINT_FIRST}{HANGING}{settings}"));
    let mut running = dir.audit_host(&["run", "--summary", "json", &real_events()]).start();
    running.read_line();
    running.signal(Signal::TERM);
    let ran = running.end();
    let summary: serde_json::Value = serde_json::from_str(ran.summary()).expect("JSON");
    let accepted = summary["accepted"].as_u64().expect("a number");
    assert!((1..5000).contains(&accepted), "{summary}");
    assert_eq!(summary["dead_lettered"], accepted, "{summary}");
    assert_eq!((&summary["rejected"], &summary["lost"]), (&0.into(), &0.into()));
    assert_eq!((&summary["stopped_by"], ran.status), (&"SIGTERM".into(), 1));
    assert_eq!(dir.lines("dead-letters.ndjson").len() as u64, accepted);
}

#[test]
fn a_signal_is_heard_after_others_that_ended_nothing() {
    let dir = Dir::with(PRINT);
    let mut running = start_with_event(&dir);
    for _ in 0..2 {
        running.signal(Signal::USR1);
        running.wait_for("audit-host: accepted=1 ");
    }
    running.signal(Signal::TERM);
    // Standard input stays open.
    let ran = running.end();
    assert!(ran.summary().ends_with(" stopped by SIGTERM"), "{ran:?}");
    assert_eq!(ran.status, 0);
}

/// `timeout` signals the process and then its process group.
#[test]
fn the_echo_of_a_signal_is_no_second_one() {
    let dir = Dir::with(PRINT);
    let mut echoed = false;
    while !echoed {
        let mut running = start_with_event(&dir);
        let first = Instant::now();
        running.signal(Signal::TERM);
        running.signal(Signal::TERM);
        // On a busy machine the second may come too late for an echo.
        echoed = first.elapsed() < Duration::from_millis(10);
        let ran = running.end();
        if echoed {
            assert!(ran.summary().ends_with(" stopped by SIGTERM"), "{ran:?}");
            assert_eq!(ran.status, 0);
        }
    }
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    for (second, status) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let dir = Dir::with(&format!("{PRINT_FIRST}{HANGING}\n[delivery]\nshutdown_timeout = 600\n"));
        let mut running = start_with_event(&dir);
        running.signal(Signal::TERM);
        running.wait_for("SIGTERM: nothing more is read");
        running.signal(second);
        assert_eq!(running.end().status, status);
    }
}

#[test]
fn a_signal_bounds_the_drain_at_the_end_of_the_input() {
    let dir = slow_dir(100, 0.5);
    let mut running = dir.audit_host(&["run"]).start();
    running.send(&EVENT.repeat(600));
    running.stdin = None;
    for _ in 0..600 {
        running.read_line();
    }
    running.signal(Signal::TERM);
    let ran = running.end();
    assert_eq!((ran.status, count(ran.summary(), "accepted")), (1, 600), "{ran:?}");
    assert!(count(ran.summary(), "dead_lettered") > 0, "{ran:?}");
    assert!(ran.summary().ends_with(" lost=0 stopped by SIGTERM"), "{ran:?}");
}

#[test]
fn sighup_makes_sinks_reopen_and_the_run_goes_on() {
    let dir = Dir::with(&format!(
        r#"{PRINT_EACH_FIRST}
        [[audit_logger]]
        name = "file"
        class = "file.FileAuditLogger"
        options = {{ path = "out.ndjson", batch_size = 1 }}
        "#
    ));
    let mut running = start_with_event(&dir);
    running.signal(Signal::HUP);
    let line = running.wait_for("has reopened its files");
    assert!(line.contains("file"), "{line}");
    running.send(EVENT);
    running.read_line();
    running.stdin = None;
    let ran = running.end();
    assert_eq!((ran.status, count(ran.summary(), "delivered")), (0, 2), "{ran:?}");
    assert!(!ran.stderr.contains("could not reopen"), "the print sink has nothing to reopen: {ran:?}");
    assert_eq!(dir.lines("out.ndjson").len(), 2);
}

#[test]
fn sigusr1_prints_the_summary_now() {
    let dir = Dir::with(PRINT);
    let mut running = start_with_event(&dir);
    running.signal(Signal::USR1);
    let line = running.wait_for("audit-host: accepted=1 ");
    assert!(line.ends_with(" lost=0\n"), "{line}");
    running.send(EVENT);
    running.read_line();
    running.signal(Signal::USR1);
    running.wait_for("audit-host: accepted=2 ");
    running.stdin = None;
    let ran = running.end();
    assert_eq!((ran.status, count(ran.summary(), "delivered")), (0, 2));
}

#[test]
fn a_closed_standard_output_ends_the_run() {
    let dir = Dir::with(PRINT);
    let mut running = start_with_event(&dir);
    running.stdout = None;
    // Standard input stays open: the run ends by itself.
    running.send(EVENT);
    let ran = running.end();
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("has failed, which ends the run: standard output is closed"), "{ran:?}");
    let summary = ran.summary();
    assert_eq!((count(summary, "accepted"), count(summary, "dead_lettered")), (2, 1), "{ran:?}");
}

#[test]
fn a_closed_standard_output_ends_the_reading_of_a_large_file() {
    let dir = Dir::with(&format!("{PRINT}\n[buffer]\ncapacity_bytes = 65536\n"));
    let many = dir.path("many.ndjson");
    let events = std::fs::read(real_events()).expect("the real events");
    std::fs::write(&many, events.repeat(40)).expect("written");
    let mut running = dir.audit_host(&["run", "many.ndjson"]).start();
    running.read_line();
    running.stdout = None;
    let ran = running.end();
    assert_eq!(ran.status, 1);
    assert_eq!(count(ran.summary(), "lost"), 0);
    let given_up = count(ran.summary(), "accepted") - count(ran.summary(), "delivered");
    assert_eq!(given_up, count(ran.summary(), "dead_lettered"), "{}", ran.summary());
}

#[test]
fn a_standard_output_that_was_never_open_is_closed_and_not_a_silent_nowhere() {
    let dir = Dir::with(PRINT);
    let ran = dir.audit_host(&["run"]).input(EVENT).run_with(">&-");
    assert_eq!((ran.status, count(ran.summary(), "delivered")), (1, 0), "{ran:?}");
    let ran = dir.audit_host(&["run"]).input(EVENT).run_with(">/dev/null");
    assert_eq!((ran.status, count(ran.summary(), "delivered")), (0, 1), "{ran:?}");
    let stderr = dir.audit_host(&["run", "--log-level", "trace"]).input(EVENT).run_with("2>&-");
    assert_eq!((stderr.status, stderr.stdout.lines().count()), (0, 1), "{stderr:?}");
}

#[test]
fn a_failed_sink_that_is_not_required_does_not_end_the_run() {
    let file = r#"
        [[audit_logger]]
        name = "file"
        class = "file.FileAuditLogger"
        options = { path = "out.ndjson", flush_interval = 0.001 }
    "#;
    let print = PRINT.replace("[audit_logger]", "[[audit_logger]]\nrequired = false");
    let dir = Dir::with(&format!("{print}{file}"));
    let mut running = dir.audit_host(&["run"]).start();
    running.stdout = None;
    running.send(EVENT);
    running.wait_for("standard output is closed");
    // Between two answers everything is looked at that is looked at in turn.
    for _ in 0..2 {
        running.signal(Signal::USR1);
        running.wait_for("audit-host: accepted=1 ");
    }
    running.send(EVENT);
    running.stdin = None;
    let ran = running.end();
    assert_eq!((ran.status, count(ran.summary(), "accepted")), (1, 2), "{ran:?}");
    assert_eq!(dir.lines("out.ndjson").len(), 2);
}
