//! Life of a process that embeds the library: exit, threads that end, forks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use audit_tests::modes::{DISK, MEMORY, PATIENT, PATIENT_BUFFER, PROCESS, WITH_SPOOL, in_each};
use audit_tests::{Dir, Ran};

/// Runs the embedder with a sink of this configuration; returns what it did and how many lines of each user there are.
fn embed(way: &str, sink: &str, count: u32) -> (Ran, BTreeMap<String, Vec<u32>>) {
    let dir = Dir::with(sink);
    let ran = dir.embedder(way, count).run();
    (ran, lines_by_user(&[dir.path("audit.ndjson")]))
}

const FILE: &str = r#"
[audit_logger]
class = "file.FileAuditLogger"
[audit_logger.options]
path = "audit.ndjson"
flush_interval = 3600
batch_size = 1000000
"#;

/// Sinks of one name: one that takes nothing, and the file.
const HANGING: &str = "[[audit_logger]]\nname = \"out\"\nclass = \"test.Hanging\"\n\
                       options = { in = \"write\", release = \"never\" }\n";
const NAMED: &str = "[[audit_logger]]\nname = \"out\"\nclass = \"file.FileAuditLogger\"\n\
                     options = { path = \"audit.ndjson\" }\n";

pub fn lines_by_user(files: &[PathBuf]) -> BTreeMap<String, Vec<u32>> {
    let mut users: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for line in files.iter().flat_map(|file| read(file)) {
        let event: serde_json::Value = serde_json::from_str(&line).expect("a whole line");
        let user = event["user_id"].as_str().expect("a user").to_owned();
        let number = event["attributes"][0].as_str().expect("a number").parse().expect("a number");
        users.entry(user).or_default().push(number);
    }
    users
}

fn read(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is whole");
    text.lines().map(str::to_owned).collect()
}

fn all(count: u32) -> Vec<u32> {
    (0..count).collect()
}

#[test]
fn returning_from_main_delivers_everything() {
    let (ran, users) = embed("return", FILE, 1000);
    assert!(ran.status == 0, "{ran:?}");
    assert_eq!(users, BTreeMap::from([("main".into(), all(1000))]));
}

#[test]
fn exit_delivers_everything_and_keeps_its_status() {
    for way in ["exit", "exit-of-thread"] {
        let (ran, users) = embed(way, FILE, 1000);
        assert_eq!(ran.status, 3, "{ran:?}");
        assert_eq!(users, BTreeMap::from([("main".into(), all(1000))]));
    }
}

#[test]
fn with_a_spool_exit_delivers_everything_and_leaves_what_a_sink_does_not_take_to_the_next_process() {
    in_each(&WITH_SPOOL, |mode| {
        let buffer = format!("[buffer]\n{mode}{PATIENT_BUFFER}");
        let patient = format!("{buffer}{PATIENT}");
        let impatient = patient.replace("shutdown_timeout = 120", "shutdown_timeout = 0.3");
        for (way, status) in [("return", 0), ("exit", 3), ("exit-of-thread", 3)] {
            let (ran, users) = embed(way, &format!("{FILE}{patient}"), 200);
            assert_eq!(ran.status, status, "{mode}: {ran:?}");
            assert_eq!(users, BTreeMap::from([("main".into(), all(200))]), "{mode}");

            let dir = Dir::with(&format!("{HANGING}{impatient}"));
            assert_eq!(dir.embedder(way, 200).run().status, status, "{mode}");
            assert!(!dir.path("dead-letters.ndjson").exists(), "{mode}");
            dir.write("audit.toml", format!("{NAMED}{patient}"));
            let ran = dir.audit_host(&["run"]).run();
            assert!(ran.status == 0 && ran.summary().ends_with(" lost=0 spooled=0 recovered=200"), "{ran:?}");
            let users = lines_by_user(&[dir.path("audit.ndjson")]);
            assert_eq!(users, BTreeMap::from([("main".into(), all(200))]), "{mode}");
        }
    });
}

#[test]
fn a_logger_of_the_applications_own_is_closed_at_exit_by_the_process_that_configured_it() {
    for way in ["own-logger", "own-logger-forks"] {
        let (ran, users) = embed(way, FILE, 100);
        assert!(ran.status == 0, "its panic changes nothing: {ran:?}");
        assert_eq!(ran.stdout, "closed\n", "{way}");
        assert_eq!(users, BTreeMap::from([("main".into(), all(100))]), "the one before was drained");
    }
}

#[test]
fn what_an_ended_thread_recorded_is_delivered() {
    let (ran, users) = embed("ended-thread", FILE, 1000);
    assert!(ran.status == 0, "{ran:?}");
    assert_eq!(users, BTreeMap::from([("main".into(), all(1000)), ("thread".into(), all(1000))]));
}

#[test]
fn a_forked_child_has_a_worker_and_writes_nothing_of_its_parent() {
    let (ran, users) = embed("fork", FILE, 500);
    assert!(ran.status == 0, "{ran:?}");
    let expected = ["child", "main", "parent-after"].map(|user| (user.to_owned(), all(500)));
    assert_eq!(users, BTreeMap::from(expected));
}

#[test]
fn the_child_of_a_child_has_a_worker_too() {
    let (ran, users) = embed("fork-twice", FILE, 200);
    assert!(ran.status == 0, "{ran:?}");
    assert_eq!(users["main"], all(200));
    assert_eq!(users["child"], all(200));
    assert_eq!(users["grandchild"], all(200));
    // The child goes on after its own child, and then the parent.
    assert_eq!(users["parent-after"], [all(200), all(200)].concat());
}

#[test]
fn a_forked_child_has_a_spool_of_its_own_and_leaves_its_parents_alone() {
    for mode in WITH_SPOOL {
        let (ran, users) = embed("fork-twice", &format!("{FILE}[buffer]\n{mode}"), 200);
        assert!(ran.status == 0, "{mode}: {ran:?}");
        for user in ["main", "child", "grandchild"] {
            assert_eq!(users[user], all(200), "{mode}: {user}");
        }
    }
}

#[test]
fn what_a_killed_parent_left_is_taken_over_though_its_child_lives() {
    for mode in WITH_SPOOL {
        killed_parent(&format!("[buffer]\n{mode}{PATIENT_BUFFER}{PATIENT}"));
    }
}

#[track_caller]
fn killed_parent(spool: &str) {
    let dir = Dir::new();
    dir.write("audit.toml", format!("{HANGING}{spool}"));
    let mut parent = dir.embedder("fork-outlives", 500).start();
    // The child lives until this is dropped.
    let input = parent.stdin.take();
    assert_eq!(parent.read_line(), "forked\n");
    drop(parent);

    dir.write("audit.toml", format!("{NAMED}{spool}"));
    let ran = dir.audit_host(&["run"]).run();
    assert!(ran.summary().ends_with(" lost=0 spooled=0 recovered=500"), "{ran:?}");
    assert_eq!(lines_by_user(&[dir.path("audit.ndjson")]), BTreeMap::from([("main".into(), all(500))]));
    drop(input);
}

#[test]
fn a_forked_child_that_records_nothing_exits_at_once() {
    let (ran, users) = embed("fork-silent", FILE, 500);
    assert!(ran.status == 0, "{ran:?}");
    assert_eq!(users["main"], all(500));
    assert_eq!(users["parent-after"], all(500));
}

#[test]
fn a_child_forked_with_a_full_queue_delivers_only_its_own() {
    let slow = r#"
        [audit_logger]
        class = "test.Recording"
        [audit_logger.options]
        path = "audit.ndjson"
        batch_size = 500
        delay_ms = 20
        [buffer]
        capacity_bytes = 1048576
    "#;
    // In memory, and in a spool of its own; who waits for the disk for each event records fewer.
    let small = "spool_max_bytes = 2097152\nmax_event_bytes = 4096\n";
    for (mode, count) in [(MEMORY, 5000), (PROCESS, 5000), (DISK, 1000)] {
        let small = if mode == MEMORY { "" } else { small };
        let (ran, users) =
            embed("fork-full", &format!("{slow}{mode}{small}{PATIENT_BUFFER}{PATIENT}"), count);
        assert!(ran.status == 0, "{mode}: {ran:?}");
        let expected = ["child", "main", "parent-after"].map(|user| (user.to_owned(), all(count)));
        assert_eq!(users, BTreeMap::from(expected), "{mode}");
    }
}
