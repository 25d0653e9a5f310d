//! Where events are read from.

use audit_tests::{Dir, Ran};

use crate::{EVENT, FILE, PRINT, count, event_ids, file_dir, real_events};

#[test]
fn files_and_standard_input_are_read_in_order() {
    let dir = file_dir();
    dir.write("a.ndjson", "{\"action\":\"create\",\"granted\":true}\n");
    dir.write("b.ndjson", "{\"action\":\"delete\",\"granted\":true}");
    let ran = dir.audit_host(&["run", "a.ndjson", "-", "b.ndjson"]).input(EVENT).run();
    assert_eq!((ran.status, count(ran.summary(), "delivered")), (0, 3), "{ran:?}");
    let actions: Vec<_> = dir
        .lines("out.ndjson")
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["action"].to_string())
        .collect();
    assert_eq!(actions, ["\"create\"", "\"read\"", "\"delete\""]);
}

#[test]
fn a_missing_file_is_status_2_before_any_event_is_taken() {
    let dir = file_dir();
    let ran = dir.audit_host(&["run", &real_events(), "missing.ndjson"]).run();
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("missing.ndjson cannot be opened: No such file"), "{ran:?}");
    assert_eq!(dir.read("out.ndjson"), "");
}

#[test]
fn a_folder_is_no_input() {
    let dir = file_dir();
    let ran = dir.audit_host(&["run", "plugins"]).run();
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("plugins cannot be read: is a directory"), "{ran:?}");
}

#[test]
fn standard_input_is_named_once_at_most() {
    let ran = file_dir().audit_host(&["run", "-", "-"]).run();
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("`-` is given twice"), "{ran:?}");
}

#[test]
fn an_input_that_cannot_be_read_is_status_2_as_long_as_no_event_was_taken() {
    let dir = file_dir();
    let ran = dir.audit_host(&["run", "/proc/self/mem", &real_events()]).run();
    assert_eq!((ran.status, count(ran.summary(), "accepted")), (2, 0), "{ran:?}");
    assert!(ran.stderr.contains("/proc/self/mem cannot be read: Input/output error"), "{ran:?}");
}

#[test]
fn an_input_that_cannot_be_read_later_is_status_1_and_the_next_one_is_read() {
    let dir = file_dir();
    dir.write("a.ndjson", EVENT);
    dir.write("b.ndjson", EVENT);
    let ran = dir.audit_host(&["run", "a.ndjson", "/proc/self/mem", "b.ndjson"]).run();
    assert_eq!((ran.status, count(ran.summary(), "delivered")), (1, 2), "{ran:?}");
    assert!(ran.stderr.contains("/proc/self/mem cannot be read"), "{ran:?}");
}

#[test]
fn an_event_is_delivered_while_standard_input_stays_open() {
    let dir = Dir::with(PRINT);
    let mut running = dir.audit_host(&["run"]).start();
    running.send(EVENT);
    assert!(running.read_line().contains("\"action\":\"read\""));
    running.send(EVENT);
    assert!(running.read_line().contains("\"action\":\"read\""));
    running.stdin = None;
    let ran = running.end();
    assert_eq!((ran.status, count(ran.summary(), "delivered")), (0, 2));
}

#[test]
fn a_pipe_that_nobody_writes_to_yet_is_waited_for() {
    let dir = Dir::with(PRINT);
    let fifo = dir.path("events");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
    dir.write("first.ndjson", EVENT);
    let mut running = dir.audit_host(&["run", "first.ndjson", "events"]).start();
    running.read_line();
    // The program has the pipe open, so this does not wait.
    std::fs::write(&fifo, EVENT).expect("written");
    running.read_line();
    let ran = running.end();
    assert_eq!((ran.status, count(ran.summary(), "delivered")), (0, 2), "{ran:?}");
}

#[test]
fn an_input_read_twice_gives_the_same_ids() {
    let dir = file_dir();
    for _ in 0..2 {
        assert_eq!(dir.audit_host(&["run", &real_events()]).run().status, 0);
    }
    let ids = event_ids(&dir.lines("out.ndjson"));
    assert_eq!(ids[..5000], ids[5000..]);
}

#[test]
fn a_time_without_offset_needs_assume_utc() {
    let line = "{\"timestamp\":\"2026-11-24T02:42:00\",\"action\":\"read\",\"granted\":true}";
    let dir = file_dir();
    let ran = dir.audit_host(&["run"]).input(line).run();
    assert_eq!((ran.status, count(ran.summary(), "rejected")), (1, 1));
    assert!(ran.stderr.contains("--assume-utc"), "{ran:?}");
    let ran = dir.audit_host(&["run", "--assume-utc"]).input(line).run();
    assert_eq!((ran.status, count(ran.summary(), "delivered")), (0, 1));
    assert!(dir.read("out.ndjson").contains("2026-11-24T02:42:00.000000+00:00"));
}

#[test]
fn sinks_without_a_worker_take_the_same_lines() {
    let dir = Dir::with(
        r#"
        audit_logger.class = "test.Failing"
        audit_logger.options = { path = "out.ndjson", poison = "delete", use_worker = false }
        "#,
    );
    let ran =
        dir.audit_host(&["run"]).input(format!("{EVENT}{}{EVENT}", EVENT.replace("read", "delete"))).run();
    let summary = ran.summary();
    assert_eq!((ran.status, count(summary, "accepted"), count(summary, "delivered")), (1, 3, 2), "{ran:?}");
    assert_eq!((count(summary, "dead_lettered"), count(summary, "rejected")), (1, 0), "{ran:?}");
    assert_eq!(dir.lines("out.ndjson").len(), 2);
}

/// `run` with these arguments reads what it writes, and is refused with this text before it takes an event.
fn assert_feedback(dir: &Dir, ran: &Ran, expected: &str) {
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(ran.stderr.contains(expected), "no {expected:?} in {ran:?}");
    assert_eq!(dir.read("in.ndjson"), EVENT);
}

#[test]
fn an_input_that_a_sink_appends_to_is_refused_by_whatever_name() {
    let dir = Dir::with(&FILE.replace("out.ndjson", "in.ndjson"));
    dir.write("in.ndjson", EVENT);
    std::fs::hard_link(dir.path("in.ndjson"), dir.path("link.ndjson")).expect("a link");
    let expected =
        "/in.ndjson, which sink `file.FileAuditLogger` writes: the run would read its own output for ever";
    for name in ["in.ndjson", "./plugins/../in.ndjson", "link.ndjson"] {
        let ran = dir.audit_host(&["run", name]).run();
        assert_feedback(&dir, &ran, expected);
        assert!(ran.stderr.contains(&format!("{name} is /")), "{ran:?}");
    }
    assert_feedback(&dir, &dir.audit_host(&["run"]).run_with("< in.ndjson"), expected);
    dir.write("other.ndjson", EVENT);
    let ran = dir.audit_host(&["run", "other.ndjson"]).run();
    assert_eq!((ran.status, count(ran.summary(), "delivered")), (0, 1), "{ran:?}");
}

#[test]
fn an_input_that_is_standard_output_is_refused_where_a_sink_prints() {
    let dir = Dir::with(PRINT);
    dir.write("in.ndjson", EVENT);
    let ran = dir.audit_host(&["run", "in.ndjson"]).run_with(">> in.ndjson");
    assert_feedback(&dir, &ran, "in.ndjson is standard output, which sink `print.PrintAuditLogger` writes");
}

#[test]
fn the_file_of_rejected_lines_is_no_input() {
    let dir = Dir::with(&format!("{FILE}[delivery]\nrejected_path = \"in.ndjson\"\n"));
    dir.write("in.ndjson", EVENT);
    let ran = dir.audit_host(&["run", "in.ndjson"]).run();
    assert_feedback(&dir, &ran, "where rejected lines are kept (rejected_path)");
}
