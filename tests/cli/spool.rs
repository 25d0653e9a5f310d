//! The crash-safe buffer, as whoever runs the program sees it.

use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use audit_tests::{Dir, Terminal, eventually, set_mode};
use rustix::fs::{FlockOperation, flock};

use crate::{EVENT, FILE, HANGING, PRINT, PRINT_FIRST};

/// A folder in which `run` writes to a file, with these lines under `[buffer]`.
fn spool_dir(buffer: &str) -> Dir {
    Dir::with(&format!("{FILE}[buffer]\nspool_dir = \"spool\"\n{buffer}"))
}

#[test]
fn a_sink_that_is_not_durable_is_refused_with_durability_disk_only() {
    let spool = "[buffer]\nspool_dir = \"spool\"\n";
    let dir = Dir::with(&format!("{PRINT}{spool}durability = \"disk\"\n"));
    for command in ["run", "check"] {
        let ran = dir.audit_host(&[command]).input(EVENT).run();
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{command}: {ran:?}");
        for text in
            ["audit.toml:3:", "`print.PrintAuditLogger`", "durability = \"process\"", "file.FileAuditLogger"]
        {
            assert!(ran.stderr.contains(text), "{command}: no {text:?} in {}", ran.stderr);
        }
    }
    for buffer in ["durability = \"process\"\n", "disk_for = [\"denied\"]\n"] {
        dir.write("audit.toml", format!("{PRINT}{spool}{buffer}"));
        let ran = dir.audit_host(&["check"]).run();
        assert_eq!(ran.status, 0, "{buffer}: {ran:?}");
    }
    assert_eq!(spool_dir("durability = \"disk\"\n").audit_host(&["check"]).run().status, 0);
}

#[test]
fn a_file_sink_that_never_syncs_is_refused_with_durability_disk_only() {
    let never = FILE.replace("path =", "fsync = \"never\", path =");
    let spool = "[buffer]\nspool_dir = \"spool\"\n";
    let dir = Dir::with(&format!("{never}{spool}durability = \"disk\"\n"));
    for command in ["run", "check"] {
        let ran = dir.audit_host(&[command]).input(EVENT).run();
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{command}: {ran:?}");
        for text in ["audit.toml:4:", "fsync", "`durability = \"disk\"`", "durability = \"process\""] {
            assert!(ran.stderr.contains(text), "{command}: no {text:?} in {}", ran.stderr);
        }
        assert!(!dir.path("out.ndjson").exists(), "{command}");
    }
    dir.write("to.toml", &never);
    let drained = dir.audit_host(&["spool", "drain", "--to", "to.toml"]).run();
    assert!(drained.status == 2 && drained.stderr.contains("to.toml:4:"), "{drained:?}");
    for buffer in ["", spool, &format!("{spool}disk_for = [\"denied\"]\n")] {
        dir.write("audit.toml", format!("{never}{buffer}"));
        let ran = dir.audit_host(&["check"]).run();
        assert_eq!(ran.status, 0, "{buffer}: {ran:?}");
    }
}

#[test]
fn disk_for_beside_durability_disk_is_said_to_have_no_effect() {
    let dir = spool_dir("durability = \"disk\"\ndisk_for = [\"denied\"]\n");
    let ran = dir.audit_host(&["check"]).run();
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stderr.contains("`disk_for` has no effect"), "{ran:?}");
    let ran = spool_dir("disk_for = [\"denied\"]\n").audit_host(&["check"]).run();
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
}

#[test]
fn a_check_says_what_becomes_of_the_spool_and_makes_nothing() {
    let dir = spool_dir("");
    let check = || dir.audit_host(&["check", "--format", "json"]).run().json()["spool"].clone();
    let spool = check();
    assert_eq!(spool["place"], "to_be_made");
    assert!(
        spool["dir"].as_str().is_some_and(|path| path.starts_with('/') && path.ends_with("/spool")),
        "{spool}"
    );
    assert!(!dir.path("spool").exists());
    std::fs::create_dir(dir.path("spool")).expect("a folder");
    set_mode(&dir.path("spool"), 0o700);
    assert_eq!(check()["place"], "usable");
    let ran = dir.audit_host(&["check", "--probe"]).run();
    assert!(ran.stdout.contains("/spool is there, and can be used"), "{ran:?}");
    assert_eq!(std::fs::read_dir(dir.path("spool")).expect("a folder").count(), 0);
}

#[test]
fn a_check_refuses_a_spool_that_others_may_write() {
    let dir = spool_dir("");
    std::fs::create_dir(dir.path("spool")).expect("a folder");
    set_mode(&dir.path("spool"), 0o703);
    let ran = dir.audit_host(&["check"]).run();
    assert_eq!((ran.status, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("(spool_dir)") && ran.stderr.contains("chmod o-w"), "{ran:?}");
}

#[test]
fn the_summary_counts_what_the_spool_keeps_and_kept() {
    let dir = spool_dir("");
    let ran = dir.audit_host(&["run"]).input(EVENT).run();
    assert_eq!(
        ran.summary(),
        "audit-host: accepted=1 delivered=1 retried=0 dead_lettered=0 dropped=0 rejected=0 lost=0 spooled=0 recovered=0"
    );
    let ran = dir.audit_host(&["run", "--summary", "json"]).input(EVENT).run();
    let summary: serde_json::Value = serde_json::from_str(ran.summary()).expect("JSON");
    assert_eq!((&summary["spooled"], &summary["recovered"]), (&0.into(), &0.into()));
}

/// A folder in the spool that belongs to this process as long as the file is open.
fn folder_of_the_living(dir: &Dir) -> File {
    let folder = dir.path("spool/0193f000-0000-7000-8000-000000000001");
    std::fs::create_dir_all(&folder).expect("a folder");
    set_mode(&dir.path("spool"), 0o700);
    std::fs::write(folder.join("lock"), std::process::id().to_string()).expect("written");
    let lock = File::open(folder.join("lock")).expect("there");
    flock(&lock, FlockOperation::LockExclusive).expect("locked");
    lock
}

#[test]
fn a_drain_leaves_a_living_process_alone_and_names_it() {
    let dir = spool_dir("");
    dir.write("to.toml", FILE.replace("out.ndjson", "drained.ndjson"));
    let lock = folder_of_the_living(&dir);
    let drain = || dir.audit_host(&["spool", "drain", "--to", "to.toml"]).run();
    let ran = drain();
    assert_eq!(ran.status, 2, "{ran:?}");
    let owner = format!("process {}, which is alive", std::process::id());
    assert!(ran.stderr.contains(&owner) && ran.stderr.contains("nothing was sent"), "{ran:?}");
    assert!(!dir.path("drained.ndjson").exists());
    std::fs::create_dir(dir.path("spool/0193f000-0000-7000-8000-000000000000")).expect("a folder");
    let ran = drain();
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stderr.contains(&format!("what belongs to {owner}")), "{ran:?}");
    assert!(ran.summary().ends_with(" lost=0 spooled=0 recovered=0"), "{ran:?}");
    drop(lock);
}

#[test]
fn a_drain_needs_a_spool_and_a_sink() {
    let dir = crate::file_dir();
    dir.write("to.toml", "[buffer]\n");
    let drain = || dir.audit_host(&["spool", "drain", "--to", "to.toml"]).run();
    for expected in
        ["audit.toml has no spool: its [buffer] names no `spool_dir`", "to.toml configures no audit logger"]
    {
        let ran = drain();
        assert_eq!(ran.status, 2, "{ran:?}");
        assert!(ran.stderr.contains(expected), "no {expected:?} in {ran:?}");
        dir.write("audit.toml", format!("{FILE}[buffer]\nspool_dir = \"spool\"\n"));
    }
    assert!(!dir.path("spool").exists());
}

#[test]
fn a_spool_of_durability_disk_is_not_drained_into_a_sink_that_is_not_durable() {
    let dir = spool_dir("durability = \"disk\"\n");
    dir.write("to.toml", PRINT);
    let ran = dir.audit_host(&["spool", "drain", "--to", "to.toml"]).run();
    assert_eq!((ran.status, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("to.toml:3:") && ran.stderr.contains("print.PrintAuditLogger"), "{ran:?}");
}

/// A folder whose spool holds the 5,000 real events for a sink named `out`, left by a run whose sink hung.
fn with_backlog() -> Dir {
    with_backlog_of("")
}

/// The same of a process with these lines under `[buffer]`.
fn with_backlog_of(buffer: &str) -> Dir {
    let dir = Dir::with(&named_out(
        "class = \"test.Hanging\"\noptions = { in = \"write\", release = \"never\" }",
        &format!("{buffer}[delivery]\nshutdown_timeout = 0.2\n"),
    ));
    let ran = dir.audit_host(&["run", &crate::real_events()]).run();
    assert!(ran.summary().ends_with(" spooled=5000 recovered=0"), "{ran:?}");
    dir.write(
        "audit.toml",
        named_out("class = \"file.FileAuditLogger\"\noptions = { path = \"out.ndjson\" }", buffer),
    );
    dir
}

fn named_out(sink: &str, more: &str) -> String {
    format!("[[audit_logger]]\nname = \"out\"\n{sink}\n[buffer]\nspool_dir = \"spool\"\n{more}")
}

#[test]
fn status_says_what_waits_for_whom_and_verify_that_it_is_sound() {
    let dir = with_backlog();
    let status = dir.audit_host(&["spool", "status", "--format", "json"]).run();
    assert_eq!(status.status, 0, "{status:?}");
    let status = status.json();
    assert_eq!((&status["events"], &status["sinks"][0]["events"]), (&5000.into(), &5000.into()), "{status}");
    assert_eq!(
        (&status["sinks"][0]["sink"], &status["processes"][0]["alive"]),
        (&"out".into(), &false.into())
    );
    let text = dir.audit_host(&["spool", "status"]).run();
    assert!(text.stdout.contains("5000 events wait"), "{text:?}");
    let verified = dir.audit_host(&["spool", "verify"]).run();
    assert_eq!(verified.status, 0, "{verified:?}");
    assert!(verified.stdout.contains(": sound; "), "{verified:?}");
    assert_eq!(dir.audit_host(&["run"]).run().status, 0);
    let status = dir.audit_host(&["spool", "status"]).run();
    assert!(status.stdout.starts_with("nothing is in the spool"), "{status:?}");
}

#[test]
fn a_damaged_frame_costs_one_event_which_is_counted_logged_and_told_to_the_sinks_once() {
    for buffer in ["", "disk_for = [\"granted\", \"denied\"]\n", "durability = \"disk\"\n"] {
        damaged_frame(&with_backlog_of(buffer));
    }
}

#[track_caller]
fn damaged_frame(dir: &Dir) {
    let segment = first_segment(dir);
    let mut bytes = std::fs::read(&segment).expect("a segment");
    // Within the texts of an event in the middle of the first chunk.
    let at = 30_000 + bytes[30_000..].windows(8).position(|text| text == b"isAuthen").expect("a permission");
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).expect("written");

    let verified = dir.audit_host(&["spool", "verify"]).run();
    assert_eq!(verified.status, 2, "{verified:?}");
    assert!(
        verified.stdout.contains("0000000001.segment") && verified.stdout.contains("1 event is lost"),
        "{verified:?}"
    );
    let ran = dir.audit_host(&["run"]).run();
    assert!(
        ran.summary().contains("accepted=5001 delivered=5000 ")
            && ran.summary().contains(" lost=1 spooled=0 recovered=5000"),
        "{ran:?}"
    );
    assert_eq!(ran.status, 1);
    let lines = dir.lines("out.ndjson");
    let gap: serde_json::Value = serde_json::from_str(lines.last().expect("a line")).expect("JSON");
    assert_eq!((&gap["action"], &gap["manager"]), (&"mutation".into(), &"audit_host".into()), "{gap}");
    let gap = &gap["metadata"]["audit_host"];
    assert_eq!((&gap["kind"], &gap["count"]), (&"gap".into(), &1.into()), "{gap}");
    assert!(gap["first_sequence"] == gap["last_sequence"] && gap["first_sequence"].is_u64(), "{gap}");
    assert_eq!(lines.len(), 5000);

    let again = dir.audit_host(&["run"]).run();
    assert!(again.summary().contains("accepted=0 ") && again.status == 0, "{again:?}");
}

#[test]
fn a_segment_that_is_deleted_while_no_process_runs_is_not_noticed() {
    for buffer in ["", "durability = \"disk\"\n"] {
        let dir = with_backlog_of(buffer);
        std::fs::remove_file(first_segment(&dir)).expect("deleted");
        let ran = dir.audit_host(&["run"]).input(EVENT).run();
        let summary = ran.summary();
        assert!(ran.status == 0 && summary.contains("accepted=1 delivered=1 "), "{ran:?}");
        assert!(summary.ends_with(" lost=0 spooled=0 recovered=0"), "{ran:?}");
    }
}

#[test]
fn drain_delivers_what_waits_to_the_sinks_of_another_configuration() {
    let dir = with_backlog();
    dir.write(
        "other.toml",
        "[audit_logger]\nclass = \"file.FileAuditLogger\"\noptions = { path = \"other.ndjson\" }\n",
    );
    let drained = dir.audit_host(&["spool", "drain", "--to", "other.toml"]).run();
    assert_eq!(drained.status, 0, "{drained:?}");
    assert!(drained.summary().ends_with(" lost=0 spooled=0 recovered=5000"), "{drained:?}");
    assert_eq!(dir.audit_host(&["run", &crate::real_events()]).run().status, 0);
    assert!(dir.lines("other.ndjson") == dir.lines("out.ndjson"));
    assert_eq!(std::fs::read_dir(dir.path("spool")).expect("the spool").count(), 0);
}

#[test]
fn status_and_verify_look_at_a_living_process_and_change_nothing() {
    let dir = Dir::with(&format!("{PRINT_FIRST}{HANGING}[buffer]\nspool_dir = \"spool\"\n"));
    let mut running = dir.audit_host(&["run"]).start();
    running.send(&EVENT.repeat(3));
    for _ in 0..3 {
        running.read_line();
    }
    // The process itself goes on until it has a spare segment.
    let before = eventually(|| {
        let lengths = lengths(&dir);
        let is_segment = |path: &Path| path.extension().is_some_and(|extension| extension == "segment");
        let segments: Vec<_> = lengths.iter().filter(|(path, _)| is_segment(path)).collect();
        (segments.len() == 2 && segments[0].1 == segments[1].1).then_some(lengths)
    });
    let status = dir.audit_host(&["spool", "status", "--format", "json"]).run().json();
    let process = &status["processes"][0];
    assert_eq!((&process["alive"], &process["events"]), (&true.into(), &3.into()), "{status}");
    assert!(process["pid"].is_u64(), "{status}");
    let verified = dir.audit_host(&["spool", "verify"]).run();
    assert_eq!(verified.status, 0, "{verified:?}");
    // What is in them, the living process changes.
    assert_eq!(lengths(&dir), before);
    running.signal(rustix::process::Signal::KILL);
    running.end();
    let before = contents(&dir);
    let status = dir.audit_host(&["spool", "status", "--format", "json"]).run().json();
    assert_eq!(status["processes"][0]["alive"], false, "{status}");
    assert_eq!(dir.audit_host(&["spool", "verify"]).run().status, 0);
    assert!(contents(&dir) == before);
}

/// Files and folders in the spool.
fn entries(dir: &Dir) -> Vec<(PathBuf, Metadata)> {
    let (mut entries, mut paths) = (Vec::new(), vec![dir.path("spool")]);
    while let Some(path) = paths.pop() {
        let metadata = path.metadata().expect("it is there");
        if metadata.is_dir() {
            paths
                .extend(std::fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("read").path()));
        }
        entries.push((path, metadata));
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries
}

fn lengths(dir: &Dir) -> Vec<(PathBuf, u64)> {
    entries(dir).into_iter().map(|(path, metadata)| (path, metadata.len())).collect()
}

/// Files and folders in the spool, with when they were changed, and what is in the files.
fn contents(dir: &Dir) -> Vec<(PathBuf, SystemTime, Option<Vec<u8>>)> {
    let with_bytes = |(path, metadata): (PathBuf, Metadata)| {
        let bytes = metadata.is_file().then(|| std::fs::read(&path).expect("its bytes"));
        (path, metadata.modified().expect("a time"), bytes)
    };
    entries(dir).into_iter().map(with_bytes).collect()
}

/// The first segment of the only folder in the spool.
fn first_segment(dir: &Dir) -> PathBuf {
    let mut folders = std::fs::read_dir(dir.path("spool")).expect("the spool");
    folders.next().expect("a folder").expect("read").path().join("0000000001.segment")
}

#[test]
fn status_and_verify_of_a_damaged_spool_change_nothing() {
    let dir = with_backlog();
    let segment = first_segment(&dir);
    let mut bytes = std::fs::read(&segment).expect("a segment");
    bytes[4096..4200].fill(0);
    std::fs::write(&segment, bytes).expect("written");
    let before = contents(&dir);
    let status = dir.audit_host(&["spool", "status"]).run();
    assert_eq!((status.status, status.stderr.as_str()), (0, ""), "{status:?}");
    assert!(status.stdout.contains("5000 events wait") && status.stdout.contains("damaged: "), "{status:?}");
    let verified = dir.audit_host(&["spool", "verify"]).run();
    assert_eq!((verified.status, verified.stderr.as_str()), (2, ""), "{verified:?}");
    assert!(contents(&dir) == before);
}

#[test]
fn what_this_version_cannot_read_is_named_beside_the_rest_and_status_says_so_with_2() {
    let dir = with_backlog();
    let segment = first_segment(&dir);
    let later = segment.with_file_name("0000000009.segment");
    let mut bytes = std::fs::read(&segment).expect("a segment");
    bytes.truncate(8192);
    bytes[8] = 2;
    // The checksum of a header covers it without its state.
    let table_end = 48 + usize::from(bytes[44]);
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&bytes[..32]), &bytes[44..table_end]);
    bytes[40..44].copy_from_slice(&checksum.to_le_bytes());
    std::fs::write(&later, &bytes).expect("written");
    let status = dir.audit_host(&["spool", "status"]).run();
    assert_eq!(status.status, 2, "{status:?}");
    for text in ["5000 events wait", "0000000009.segment: has format 2, which a later version"] {
        assert!(status.stdout.contains(text), "no {text:?} in {status:?}");
    }
    // Alone, it is not nothing either.
    std::fs::remove_file(&segment).expect("removed");
    let status = dir.audit_host(&["spool", "status"]).run();
    assert!(status.status == 2 && status.stdout.contains("has format 2"), "{status:?}");
}

#[test]
fn a_lock_that_cannot_be_opened_hides_its_owner_and_nothing_else() {
    let dir = with_backlog();
    let lock = first_segment(&dir).with_file_name("lock");
    std::fs::remove_file(&lock).expect("removed");
    std::os::unix::fs::symlink("elsewhere", &lock).expect("a link");
    let status = dir.audit_host(&["spool", "status", "--format", "json"]).run();
    assert_eq!(status.status, 2, "{status:?}");
    let status = status.json();
    assert_eq!((&status["events"], &status["processes"][0]["alive"]), (&5000.into(), &().into()), "{status}");
    let reason = status["damage"][0]["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("its lock cannot be opened: "), "{status}");
    let drained = dir.audit_host(&["spool", "drain", "--to", "audit.toml"]).run();
    assert_eq!(drained.status, 2, "{drained:?}");
    assert!(
        drained.stderr.contains("its lock cannot be opened") && drained.stderr.contains("nothing was sent"),
        "{drained:?}"
    );
}

#[test]
fn reading_a_spool_shows_its_progress_on_a_terminal_and_nowhere_else() {
    let dir = with_backlog();
    for command in ["status", "verify"] {
        let on_terminal = |arguments: &[&str]| {
            let mut terminal = Terminal::new();
            let shell = ["sh", "-c", &format!("exec \"$@\" 2>{}", terminal.path()), "sh"];
            let ran = dir.audit_host(arguments).started_by(&shell).env("TERM", "xterm").run();
            assert_eq!(ran.status, 0, "{ran:?}");
            terminal.shown()
        };
        let shown = on_terminal(&["spool", command]);
        assert!(shown.contains("MiB/"), "{command}: {shown:?}");
        assert_eq!(on_terminal(&["--log-format", "json", "spool", command]), "", "{command}");
        assert_eq!(dir.audit_host(&["spool", command]).run().stderr, "", "{command}");
    }
}
