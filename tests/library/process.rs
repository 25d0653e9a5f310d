//! Life of a process that embeds the library: exit, threads that end, forks.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use audit_tests::Dir;
use audit_tests::modes::{DISK, MEMORY, PROCESS, WITH_SPOOL, in_each};

/// Runs the embedder with a sink of this configuration; returns its output and how many lines of each user there are.
fn embed(way: &str, sink: &str, count: u32) -> (Output, BTreeMap<String, Vec<u32>>) {
    let dir = Dir::with(sink);
    let output = embed_in(&dir, way, count);
    (output, lines_by_user(&[dir.path("audit.ndjson")]))
}

fn embed_in(dir: &Dir, way: &str, count: u32) -> Output {
    Command::new(env!("CARGO_BIN_EXE_audit-embedder"))
        .args([way, dir.path("audit.toml").to_str().expect("a path of ours"), &count.to_string()])
        .output()
        .expect("the embedder starts")
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
    let (output, users) = embed("return", FILE, 1000);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(users, BTreeMap::from([("main".into(), all(1000))]));
}

#[test]
fn exit_delivers_everything_and_keeps_its_status() {
    for way in ["exit", "exit-of-thread"] {
        let (output, users) = embed(way, FILE, 1000);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        assert_eq!(users, BTreeMap::from([("main".into(), all(1000))]));
    }
}

#[test]
fn with_a_spool_exit_delivers_everything_and_leaves_what_a_sink_does_not_take_to_the_next_process() {
    in_each(&WITH_SPOOL, |mode| {
        let within = |seconds| format!("[buffer]\n{mode}[delivery]\nshutdown_timeout = {seconds}\n");
        let (impatient, patient) = (within("0.3"), within("60"));
        for (way, status) in [("return", 0), ("exit", 3), ("exit-of-thread", 3)] {
            let (output, users) = embed(way, &format!("{FILE}{patient}"), 200);
            assert_eq!(output.status.code(), Some(status), "{mode}: {output:?}");
            assert_eq!(users, BTreeMap::from([("main".into(), all(200))]), "{mode}");

            let dir = Dir::with(&format!("{HANGING}{impatient}"));
            assert_eq!(embed_in(&dir, way, 200).status.code(), Some(status), "{mode}");
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
        let (output, users) = embed(way, FILE, 100);
        assert!(output.status.success(), "its panic changes nothing: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "closed\n", "{way}");
        assert_eq!(users, BTreeMap::from([("main".into(), all(100))]), "the one before was drained");
    }
}

#[test]
fn what_an_ended_thread_recorded_is_delivered() {
    let (output, users) = embed("ended-thread", FILE, 1000);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(users, BTreeMap::from([("main".into(), all(1000)), ("thread".into(), all(1000))]));
}

#[test]
fn a_forked_child_has_a_worker_and_writes_nothing_of_its_parent() {
    let (output, users) = embed("fork", FILE, 500);
    assert!(output.status.success(), "{output:?}");
    let expected = ["child", "main", "parent-after"].map(|user| (user.to_owned(), all(500)));
    assert_eq!(users, BTreeMap::from(expected));
}

#[test]
fn the_child_of_a_child_has_a_worker_too() {
    let (output, users) = embed("fork-twice", FILE, 200);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(users["main"], all(200));
    assert_eq!(users["child"], all(200));
    assert_eq!(users["grandchild"], all(200));
    // The child goes on after its own child, and then the parent.
    assert_eq!(users["parent-after"], [all(200), all(200)].concat());
}

#[test]
fn a_forked_child_has_a_spool_of_its_own_and_leaves_its_parents_alone() {
    for mode in WITH_SPOOL {
        let (output, users) = embed("fork-twice", &format!("{FILE}[buffer]\n{mode}"), 200);
        assert!(output.status.success(), "{mode}: {output:?}");
        for user in ["main", "child", "grandchild"] {
            assert_eq!(users[user], all(200), "{mode}: {user}");
        }
    }
}

#[test]
fn what_a_killed_parent_left_is_taken_over_though_its_child_lives() {
    for mode in WITH_SPOOL {
        killed_parent(&format!("[buffer]\n{mode}"));
    }
}

#[track_caller]
fn killed_parent(spool: &str) {
    let dir = Dir::new();
    dir.write("audit.toml", format!("{HANGING}{spool}"));
    let mut parent = Command::new(env!("CARGO_BIN_EXE_audit-embedder"))
        .args(["fork-outlives", dir.path("audit.toml").to_str().expect("a path of ours"), "500"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the embedder starts");
    // The child lives until this is dropped.
    let input = parent.stdin.take();
    let mut said = String::new();
    BufReader::new(parent.stdout.take().expect("piped")).read_line(&mut said).expect("text");
    assert_eq!(said, "forked\n");
    parent.kill().expect("it is there");
    parent.wait().expect("it is dead");

    dir.write("audit.toml", format!("{NAMED}{spool}"));
    let ran = dir.audit_host(&["run"]).run();
    assert!(ran.summary().ends_with(" lost=0 spooled=0 recovered=500"), "{ran:?}");
    assert_eq!(lines_by_user(&[dir.path("audit.ndjson")]), BTreeMap::from([("main".into(), all(500))]));
    drop(input);
}

#[test]
fn a_forked_child_that_records_nothing_exits_at_once() {
    let (output, users) = embed("fork-silent", FILE, 500);
    assert!(output.status.success(), "{output:?}");
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
        let (output, users) = embed("fork-full", &format!("{slow}{mode}{small}"), count);
        assert!(output.status.success(), "{mode}: {output:?}");
        let expected = ["child", "main", "parent-after"].map(|user| (user.to_owned(), all(count)));
        assert_eq!(users, BTreeMap::from(expected), "{mode}");
    }
}
