//! The file sink with real files.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use audit_plugin_api::testing::{self, TestBatch, TestHost, TestSink};
use audit_plugin_api::{Action, Delivered, PermissionAuditEvent};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::*;

/// A folder, and the options of a sink that writes to `a.ndjson` in it.
struct Folder {
    folder: tempfile::TempDir,
    host: Arc<TestHost>,
}

impl Folder {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), host: Arc::new(TestHost::new()) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self) -> PathBuf {
        self.path("a.ndjson")
    }

    fn open_named(&self, name: &str, options: Value) -> Result<TestSink<FileSink>, SinkError> {
        let mut all = json!({"path": "a.ndjson", "fsync": "never"});
        all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let context = Context {
            config_dir: self.folder.path().to_owned(),
            name: name.to_owned(),
            ..testing::context()
        };
        testing::open_with(all, context, Arc::clone(&self.host))
    }

    fn open_with(&self, options: Value) -> TestSink<FileSink> {
        self.open_named("audit", options).unwrap()
    }

    fn open(&self) -> TestSink<FileSink> {
        self.open_with(json!({}))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// The attribute of each line of a file, which must be whole and canonical.
    fn attributes(&self, name: &str) -> Vec<String> {
        let text = self.read(name);
        assert!(text.is_empty() || text.ends_with('\n'), "{name} ends with a torn line");
        let events = text.lines().map(|line| PermissionAuditEvent::from_canonical(line.as_bytes()).unwrap());
        events.map(|event| event.attributes.concat()).collect()
    }

    fn logs(&self) -> Vec<String> {
        self.host.logs().into_iter().map(|line| line.text).collect()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn event(attribute: &str) -> PermissionAuditEvent {
    PermissionAuditEvent {
        attributes: vec![attribute.to_owned()],
        ..PermissionAuditEvent::new(Action::Update, true)
    }
}

fn events(attributes: &[&str]) -> Vec<PermissionAuditEvent> {
    attributes.iter().map(|attribute| event(attribute)).collect()
}

fn line_len(attribute: &str) -> u64 {
    TestBatch::new(&[event(attribute)]).bytes().len() as u64
}

fn deadline() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

/// Another process that has a sink open on a file until this is dropped, or was refused. It is this same test, which
/// finds the file in its environment: each test that uses it begins with [`is_other_process`].
struct OtherProcess {
    child: Child,
    opened: bool,
}

const FILE_TO_OPEN: &str = "AUDIT_SINK_FILE_TO_OPEN";

impl OtherProcess {
    fn opening(file: &Path, test: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(FILE_TO_OPEN, file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines().map(Result::unwrap);
        let answer = lines.find(|line| line.contains("opened") || line.contains("refused")).unwrap();
        let opened = answer.contains("opened");
        Self { child, opened }
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

/// Whether this is the other process; then it has done its part.
fn is_other_process() -> bool {
    let Some(path) = std::env::var_os(FILE_TO_OPEN) else { return false };
    let sink = testing::open::<FileSink>(json!({"path": path.to_str(), "fsync": "never"}));
    println!("{}", if sink.is_ok() { "opened" } else { "refused" });
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
    true
}

#[test]
fn batches_are_appended_byte_for_byte() {
    let folder = Folder::new();
    fs::write(folder.file(), "").unwrap();
    let mut sink = folder.open();
    let one = TestBatch::new(&events(&["a", "b"])).run(&events(&["c"]));
    let two = TestBatch::new(&events(&["d"]));
    for batch in [&one, &two] {
        assert_eq!(batch.lend(|batch| sink.write_batch(batch)), Ok(Written::Delivered));
    }
    assert_eq!(fs::read(folder.file()).unwrap(), [one.bytes(), two.bytes()].concat());
    assert_eq!(sink.flush(deadline()), Ok(()));
    assert_eq!(sink.close(deadline()), Ok(()));
}

#[test]
fn a_batch_of_many_pieces_and_many_runs_arrives_whole() {
    let folder = Folder::new();
    let mut sink = folder.open();
    let large = "x".repeat(900_000);
    let mut batch = TestBatch::new(&events(&["a", &large, "b"]));
    for _ in 0..2500 {
        batch = batch.run(&events(&["c"]));
    }
    assert_eq!(batch.lend(|batch| sink.write_batch(batch)), Ok(Written::Delivered));
    assert_eq!(fs::read(folder.file()).unwrap(), batch.bytes());
}

#[test]
fn the_folder_is_made_and_the_file_has_its_mode_whatever_the_umask_is() {
    let folder = Folder::new();
    let _sink = folder.open_with(json!({"path": "log/today/a.ndjson", "mode": "0662"}));
    let mode = fs::metadata(folder.path("log/today/a.ndjson")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o662);
}

#[test]
fn an_existing_file_keeps_its_mode_and_content() {
    let folder = Folder::new();
    fs::write(folder.file(), TestBatch::new(&events(&["old"])).bytes()).unwrap();
    fs::set_permissions(folder.file(), fs::Permissions::from_mode(0o640)).unwrap();
    folder.open().write(&events(&["new"])).unwrap();
    assert_eq!(folder.attributes("a.ndjson"), ["old", "new"]);
    assert_eq!(fs::metadata(folder.file()).unwrap().permissions().mode() & 0o7777, 0o640);
}

#[test]
fn what_is_no_file_is_refused_with_the_reason() {
    let folder = Folder::new();
    fs::write(folder.path("target"), "").unwrap();
    symlink(folder.path("target"), folder.path("link")).unwrap();
    symlink(folder.path("nothing"), folder.path("dangling")).unwrap();
    fs::create_dir(folder.path("folder")).unwrap();
    assert!(Command::new("mkfifo").arg(folder.path("pipe")).status().unwrap().success());
    for (path, reason) in [
        ("link", "is a symbolic link to"),
        ("dangling", "is a symbolic link to"),
        ("folder", "is a folder"),
        ("pipe", "is a pipe"),
        ("target/a", "the folder"),
    ] {
        let error = folder.open_named("audit", json!({"path": path})).err().unwrap();
        assert!(error.reason.contains(reason), "{path}: {error}");
        assert_eq!(error.option.as_deref(), Some("path"));
    }
    assert!(!folder.path("nothing").exists());
}

#[test]
fn a_folder_that_is_a_symbolic_link_is_followed() {
    let folder = Folder::new();
    fs::create_dir(folder.path("real")).unwrap();
    symlink(folder.path("real"), folder.path("log")).unwrap();
    folder.open_with(json!({"path": "log/a"})).write(&events(&["a"])).unwrap();
    assert_eq!(folder.attributes("real/a"), ["a"]);
}

#[test]
fn a_second_instance_of_this_process_is_refused_until_the_first_is_gone() {
    let folder = Folder::new();
    let first = folder.open();
    fs::hard_link(folder.file(), folder.path("b.ndjson")).unwrap();
    for path in ["a.ndjson", "b.ndjson"] {
        let error = folder.open_named("second", json!({"path": path})).err().unwrap();
        let pid = std::process::id().to_string();
        assert!(error.reason.contains(&pid) && error.reason.contains("\"audit\""), "{error}");
    }
    drop(first);
    folder.open_named("second", json!({})).unwrap();
}

#[test]
fn an_instance_of_another_process_is_named_by_its_pid() {
    if is_other_process() {
        return;
    }
    let folder = Folder::new();
    let test = "sink::tests::an_instance_of_another_process_is_named_by_its_pid";
    let other = OtherProcess::opening(&folder.file(), test);
    assert!(other.opened);
    let error = folder.open_named("audit", json!({})).err().unwrap();
    assert!(error.reason.contains(&format!("pid {}", other.child.id())), "{error}");
    drop(other);
    folder.open();
}

#[test]
fn the_lock_holds_against_other_processes_also_when_this_process_has_read_the_file() {
    if is_other_process() {
        return;
    }
    let folder = Folder::new();
    let mut sink = folder.open();
    sink.write(&events(&["a"])).unwrap();
    // Closing any descriptor of the file ends the lock; the next batch takes it again.
    folder.read("a.ndjson");
    sink.write(&events(&["b"])).unwrap();
    let test = "sink::tests::the_lock_holds_against_other_processes_also_when_this_process_has_read_the_file";
    assert!(!OtherProcess::opening(&folder.file(), test).opened);
}

#[test]
fn a_file_that_another_process_took_meanwhile_is_left_to_it() {
    if is_other_process() {
        return;
    }
    let folder = Folder::new();
    let mut sink = folder.open();
    sink.write(&events(&["a"])).unwrap();
    folder.read("a.ndjson");
    let test = "sink::tests::a_file_that_another_process_took_meanwhile_is_left_to_it";
    let other = OtherProcess::opening(&folder.file(), test);
    assert!(other.opened);
    let error = sink.write(&events(&["b"])).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Retryable);
    assert!(error.reason.contains(&format!("pid {}", other.child.id())), "{error}");
    assert_eq!(folder.attributes("a.ndjson"), ["a"]);
    drop(other);
    sink.write(&events(&["b"])).unwrap();
    assert_eq!(folder.attributes("a.ndjson"), ["a", "b"]);
}

#[test]
fn an_abandoned_instance_loses_its_file_to_the_next_and_never_writes_again() {
    let folder = Folder::new();
    let mut first = folder.open();
    let owner = Arc::clone(&first.owner);
    let hung = owner.enter(Deadline::after(Duration::ZERO));
    let mut second = folder.open();
    second.write(&events(&["b"])).unwrap();
    drop(hung);
    let error = first.write(&events(&["a"])).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Reopen);
    assert!(first.flush(deadline()).is_err());
    drop(first);
    assert!(folder.open_named("third", json!({})).is_err(), "the second still holds it");
    second.write(&events(&["c"])).unwrap();
    assert_eq!(folder.attributes("a.ndjson"), ["b", "c"]);
}

#[test]
fn a_file_that_was_moved_is_noticed_with_the_next_batch() {
    let folder = Folder::new();
    let mut sink = folder.open();
    sink.write(&events(&["a"])).unwrap();
    fs::rename(folder.file(), folder.path("moved")).unwrap();
    sink.write(&events(&["b"])).unwrap();
    assert_eq!(
        (folder.attributes("moved"), folder.attributes("a.ndjson")),
        (vec!["a".into()], vec!["b".into()])
    );
    assert_eq!(folder.logs(), [format!("{} was moved away; it is opened anew", folder.file().display())]);
}

#[test]
fn a_file_that_was_deleted_with_its_folder_is_made_anew() {
    let folder = Folder::new();
    let mut sink = folder.open_with(json!({"path": "log/a"}));
    sink.write(&events(&["a"])).unwrap();
    fs::remove_dir_all(folder.path("log")).unwrap();
    sink.write(&events(&["b"])).unwrap();
    assert_eq!(folder.attributes("log/a"), ["b"]);
    assert!(folder.logs()[0].contains(&format!("was deleted, with {} bytes in it", line_len("a"))));
}

#[test]
fn a_file_that_was_replaced_is_left_for_the_new_one() {
    let folder = Folder::new();
    let mut sink = folder.open();
    sink.write(&events(&["a"])).unwrap();
    fs::rename(folder.file(), folder.path("a.ndjson.1")).unwrap();
    File::create(folder.file()).unwrap();
    sink.write(&events(&["b"])).unwrap();
    assert_eq!(folder.attributes("a.ndjson"), ["b"]);
    assert!(folder.logs()[0].contains("was replaced by another file"));
}

#[test]
fn a_file_that_was_replaced_by_a_symbolic_link_is_not_written_to() {
    let folder = Folder::new();
    let mut sink = folder.open();
    fs::write(folder.path("victim"), "").unwrap();
    fs::remove_file(folder.file()).unwrap();
    symlink(folder.path("victim"), folder.file()).unwrap();
    let error = sink.write(&events(&["a"])).unwrap_err();
    assert_eq!((error.kind, &error.events), (ErrorKind::Retryable, &Delivered::Prefix(0)));
    assert_eq!(folder.read("victim"), "");
    fs::remove_file(folder.file()).unwrap();
    sink.write(&events(&["a"])).unwrap();
    assert_eq!(folder.attributes("a.ndjson"), ["a"]);
}

#[test]
fn a_file_that_was_truncated_is_written_to_from_its_new_end() {
    let folder = Folder::new();
    let mut sink = folder.open();
    sink.write(&events(&["a"])).unwrap();
    OpenOptions::new().write(true).open(folder.file()).unwrap().set_len(0).unwrap();
    sink.write(&events(&["b"])).unwrap();
    assert_eq!(folder.attributes("a.ndjson"), ["b"]);
    assert!(folder.logs()[0].contains(&format!("was truncated: its last {} bytes are gone", line_len("a"))));
}

#[test]
fn whatever_befell_the_file_is_noticed_by_a_flush_and_said_once() {
    type Befall = fn(&Folder);
    let befalls: [(&str, Befall); 4] = [
        ("was moved away", |folder| fs::rename(folder.file(), folder.path("moved")).unwrap()),
        ("was deleted, with ", |folder| fs::remove_file(folder.file()).unwrap()),
        ("was replaced by another file", |folder| {
            fs::write(folder.path("other"), "").unwrap();
            fs::rename(folder.path("other"), folder.file()).unwrap();
        }),
        ("was truncated: its last ", |folder| {
            OpenOptions::new().write(true).open(folder.file()).unwrap().set_len(0).unwrap();
        }),
    ];
    for (said, befall) in befalls {
        let folder = Folder::new();
        let mut sink = folder.open();
        sink.write(&events(&["a"])).unwrap();
        sink.flush(deadline()).unwrap();
        assert_eq!(folder.logs(), [""; 0]);
        befall(&folder);
        for _ in 0..2 {
            sink.flush(deadline()).unwrap();
            let logs = folder.logs();
            assert!(logs.len() == 1 && logs[0].contains(said), "{said}: {logs:?}");
        }
        sink.write(&events(&["b"])).unwrap();
        assert_eq!(folder.attributes("a.ndjson"), ["b"]);
        assert_eq!(folder.logs().len(), 1);
    }
}

#[test]
fn half_a_line_that_somebody_left_is_moved_away_before_the_next_batch() {
    let folder = Folder::new();
    let mut sink = folder.open();
    for attribute in ["a", "b"] {
        OpenOptions::new().append(true).open(folder.file()).unwrap().write_all(b"half").unwrap();
        sink.write(&events(&[attribute])).unwrap();
    }
    assert_eq!(folder.attributes("a.ndjson"), ["a", "b"]);
    assert_eq!(folder.read("a.ndjson.torn"), "half\nhalf\n");
    assert_eq!(folder.logs().len(), 2);
}

#[test]
fn a_torn_last_line_is_moved_away_when_the_file_is_opened() {
    let folder = Folder::new();
    let whole = TestBatch::new(&events(&["a"])).bytes();
    fs::write(folder.file(), [&whole[..], &whole[..50]].concat()).unwrap();
    let mut sink = folder.open();
    sink.write(&events(&["b"])).unwrap();
    assert_eq!(folder.attributes("a.ndjson"), ["a", "b"]);
    assert_eq!(fs::read(folder.path("a.ndjson.torn")).unwrap(), [&whole[..50], b"\n"].concat());
    assert_eq!(fs::metadata(folder.path("a.ndjson.torn")).unwrap().mode() & 0o777, 0o600);
    assert!(folder.logs()[0].contains("its 50 bytes were moved to"));
}

#[test]
fn reopen_goes_to_the_file_that_the_path_names_now() {
    let folder = Folder::new();
    let mut sink = folder.open();
    sink.write(&events(&["a"])).unwrap();
    fs::rename(folder.file(), folder.path("old")).unwrap();
    let reply = sink.control(&json!({"control": "reopen"}), deadline()).unwrap();
    assert_eq!(reply["control"], "reopen");
    assert!(folder.file().exists());
    sink.write(&events(&["b"])).unwrap();
    assert_eq!(
        (folder.attributes("old"), folder.attributes("a.ndjson")),
        (vec!["a".into()], vec!["b".into()])
    );
    assert!(folder.open_named("second", json!({})).is_err(), "the lock goes along");
}

#[test]
fn requests_that_are_not_known_are_unsupported() {
    let mut sink = Folder::new().open();
    for request in [json!({"control": "dance"}), json!({}), json!(7)] {
        assert_eq!(sink.control(&request, deadline()).unwrap_err().kind, ErrorKind::Unsupported);
    }
    assert_eq!(sink.inspect("nothing").unwrap_err().kind, ErrorKind::Unsupported);
}

#[test]
fn rotation_never_cuts_a_line_and_loses_none() {
    let folder = Folder::new();
    let max_bytes = 2 * line_len("00") + 5;
    let mut sink = folder.open_with(json!({"max_bytes": max_bytes}));
    let all: Vec<String> = (10..31).map(|number| number.to_string()).collect();
    let (one, two) = all.split_at(7);
    for part in [one, two] {
        let part: Vec<_> = part.iter().map(|attribute| event(attribute)).collect();
        assert_eq!(sink.write(&part), Ok(Written::Delivered));
    }
    let mut found = Vec::new();
    for number in (1..=10).rev() {
        let name = format!("a.ndjson.{number}");
        assert!(fs::metadata(folder.path(&name)).unwrap().len() <= max_bytes);
        found.extend(folder.attributes(&name));
    }
    found.extend(folder.attributes("a.ndjson"));
    assert_eq!(found, all);
    assert_eq!(folder.names().len(), 11);
    assert!(folder.open_named("second", json!({})).is_err(), "the lock goes along");
}

#[test]
fn rotation_splits_batches_of_several_runs() {
    let folder = Folder::new();
    let mut sink = folder.open_with(json!({"max_bytes": 2 * line_len("a")}));
    let batch = TestBatch::new(&events(&["a", "b", "c"])).run(&events(&["d", "e"]));
    assert_eq!(batch.lend(|batch| sink.write_batch(batch)), Ok(Written::Delivered));
    assert_eq!(folder.attributes("a.ndjson.2"), ["a", "b"]);
    assert_eq!(folder.attributes("a.ndjson.1"), ["c", "d"]);
    assert_eq!(folder.attributes("a.ndjson"), ["e"]);
}

#[test]
fn a_line_that_is_longer_than_max_bytes_has_a_file_of_its_own() {
    let folder = Folder::new();
    let mut sink = folder.open_with(json!({"max_bytes": line_len("a")}));
    let long = "x".repeat(500);
    sink.write(&events(&["a", &long, "b"])).unwrap();
    assert_eq!(folder.attributes("a.ndjson.2"), ["a"]);
    assert_eq!(folder.attributes("a.ndjson.1"), [long]);
    assert_eq!(folder.attributes("a.ndjson"), ["b"]);
}

#[test]
fn rotated_files_beyond_max_files_are_deleted_and_each_is_logged() {
    let folder = Folder::new();
    let mut sink = folder.open_with(json!({"max_bytes": 1, "max_files": 2}));
    sink.write(&events(&["a", "b", "c", "d", "e"])).unwrap();
    assert_eq!(folder.names(), ["a.ndjson", "a.ndjson.1", "a.ndjson.2"]);
    assert_eq!(folder.attributes("a.ndjson.2"), ["c"]);
    let deleted = format!("{} was deleted: max_files", folder.path("a.ndjson.2").display());
    assert_eq!(folder.logs(), [deleted.clone(), deleted]);
}

#[test]
fn rotate_can_be_asked_for() {
    let folder = Folder::new();
    let mut sink = folder.open();
    let rotate = json!({"control": "rotate"});
    assert_eq!(sink.control(&rotate, deadline()).unwrap()["rotated"], false);
    sink.write(&events(&["a"])).unwrap();
    assert_eq!(sink.control(&rotate, deadline()).unwrap()["rotated"], true);
    sink.write(&events(&["b"])).unwrap();
    assert_eq!(folder.attributes("a.ndjson.1"), ["a"]);
    assert_eq!(folder.attributes("a.ndjson"), ["b"]);
}

#[test]
fn a_file_that_cannot_be_rotated_grows_on_and_loses_nothing() {
    let folder = Folder::new();
    let mut sink = folder.open_with(json!({"max_bytes": line_len("a"), "max_files": 1}));
    // What is to be deleted is a folder that is not empty.
    fs::create_dir_all(folder.path("a.ndjson.1/x")).unwrap();
    sink.write(&events(&["a", "b"])).unwrap();
    sink.write(&events(&["c"])).unwrap();
    assert_eq!(folder.attributes("a.ndjson"), ["a", "b", "c"]);
    assert_eq!(folder.logs().len(), 1);
    assert!(folder.logs()[0].contains("cannot be rotated"));
}

#[test]
fn a_full_device_is_retryable_with_the_reason() {
    let folder = Folder::new();
    let mut sink = folder.open_with(json!({"path": "/dev/full", "fsync": "batch"}));
    let error = sink.write(&events(&["a"])).unwrap_err();
    assert_eq!((error.kind, &error.events), (ErrorKind::Retryable, &Delivered::Prefix(0)));
    assert!(error.reason.contains("appending to /dev/full: No space left on device"), "{error}");
}

#[test]
fn devices_are_shared_and_never_rotated_or_synced() {
    let folder = Folder::new();
    let options = json!({"path": "/dev/null", "fsync": "batch", "max_bytes": 1});
    let mut sinks = [folder.open_with(options.clone()), folder.open_with(options)];
    for sink in &mut sinks {
        assert_eq!(sink.write(&events(&["a", "b"])), Ok(Written::Delivered));
        assert_eq!(sink.flush(deadline()), Ok(()));
    }
    assert!(folder.logs().is_empty());
}

#[test]
fn the_state_can_be_asked_for() {
    let folder = Folder::new();
    let mut sink = folder.open_with(json!({"fsync": "batch"}));
    assert_eq!(sink.inspect("state").unwrap()["last_sync"], Value::Null);
    sink.write(&events(&["a", "b"])).unwrap();
    let state = sink.inspect("state").unwrap();
    assert_eq!(state["path"], folder.file().display().to_string());
    assert_eq!(state["written_events"], 2);
    assert_eq!(state["written_bytes"], fs::metadata(folder.file()).unwrap().len());
    assert_eq!(state["file_bytes"], state["written_bytes"]);
    assert!(state["last_sync"].is_string());
}

#[test]
fn with_an_interval_a_batch_is_synced_in_time_without_another_one() {
    let folder = Folder::new();
    let mut sink = folder.open_with(json!({"fsync": 0.001}));
    sink.write(&events(&["a"])).unwrap();
    let given_up = Deadline::after(Duration::from_secs(60));
    while sink.inspect("state").unwrap()["last_sync"].is_null() {
        assert!(!given_up.has_passed(), "nothing was synced");
        std::thread::yield_now();
    }
}

#[test]
fn a_sync_that_is_due_is_made_up_for_by_flush_and_by_drop() {
    let folder = Folder::new();
    let mut sink = folder.open_with(json!({"fsync": 3600}));
    sink.write(&events(&["a"])).unwrap();
    assert_eq!(sink.inspect("state").unwrap()["sync_due"], true);
    sink.flush(deadline()).unwrap();
    let state = sink.inspect("state").unwrap();
    assert_eq!((state["sync_due"].as_bool(), state["last_sync"].is_string()), (Some(false), true));
    sink.write(&events(&["b"])).unwrap();
    drop(sink);
}

/// Runs `body` in a process of its own, with one thread, where a file that grows too large is an error and no signal;
/// `test` is the path of the calling test.
fn in_process(test: &str, body: impl FnOnce()) {
    const INSIDE: &str = "AUDIT_SINK_FILE_IN_PROCESS";
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--test-threads=1", test])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn limit_file_size(bytes: Option<u64>) {
    setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

#[test]
fn a_write_that_fails_within_a_line_is_cut_back_to_the_last_whole_line() {
    in_process("sink::tests::a_write_that_fails_within_a_line_is_cut_back_to_the_last_whole_line", || {
        let folder = Folder::new();
        let mut sink = folder.open();
        sink.write(&events(&["a"])).unwrap();
        limit_file_size(Some(3 * line_len("a") + 10));
        for whole in [2, 0] {
            let error = sink.write(&events(&["b", "c", "d", "e"][2 - whole..])).unwrap_err();
            assert_eq!((error.kind, &error.events), (ErrorKind::Retryable, &Delivered::Prefix(whole as u32)));
            assert!(error.reason.contains("File too large"), "{error}");
            assert_eq!(folder.attributes("a.ndjson"), ["a", "b", "c"]);
        }
        limit_file_size(None);
        sink.write(&events(&["d", "e"])).unwrap();
        assert_eq!(folder.attributes("a.ndjson"), ["a", "b", "c", "d", "e"]);
        assert_eq!(sink.inspect("state").unwrap()["written_events"], 5);
        assert!(folder.logs().is_empty());
    });
}

#[test]
fn a_failure_after_a_rotation_counts_the_events_before_it() {
    in_process("sink::tests::a_failure_after_a_rotation_counts_the_events_before_it", || {
        let folder = Folder::new();
        let mut sink = folder.open_with(json!({"max_bytes": 2 * line_len("a")}));
        limit_file_size(Some(2 * line_len("a") + 10));
        let long = "x".repeat(300);
        let error = sink.write(&events(&["a", "b", "c", &long])).unwrap_err();
        assert_eq!((error.kind, &error.events), (ErrorKind::Retryable, &Delivered::Prefix(3)));
        limit_file_size(None);
        sink.write(&events(&[&long])).unwrap();
        assert_eq!(folder.attributes("a.ndjson.2"), ["a", "b"]);
        assert_eq!(folder.attributes("a.ndjson.1"), ["c"]);
        assert_eq!(folder.attributes("a.ndjson"), [long]);
    });
}

/// A file that cannot be synced.
fn unsyncable(folder: &Folder) -> Arc<File> {
    let flags = rustix::fs::OFlags::PATH.bits() as i32;
    Arc::new(OpenOptions::new().read(true).custom_flags(flags).open(folder.file()).unwrap())
}

#[test]
fn after_a_failed_sync_in_the_background_the_next_batch_asks_for_a_new_instance() {
    let folder = Folder::new();
    let mut sink = folder.open_with(json!({"fsync": 0.001}));
    sink.syncer.written(&unsyncable(&folder)).unwrap();
    let given_up = Deadline::after(Duration::from_secs(60));
    let error = loop {
        assert!(!given_up.has_passed(), "the failure is not seen");
        match sink.write(&events(&["a"])) {
            Ok(_) => std::thread::yield_now(),
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind, &error.events), (ErrorKind::Reopen, &Delivered::Nothing));
    assert!(error.reason.contains("may not be on the disk"), "{error}");
    assert!(sink.file.is_none(), "the descriptor must not be used again");
}

#[test]
fn a_descriptor_that_failed_to_sync_is_not_synced_again() {
    let folder = Folder::new();
    let mut sink = folder.open_with(json!({"fsync": 3600}));
    sink.write(&events(&["a"])).unwrap();
    assert_eq!(sink.inspect("state").unwrap()["sync_due"], true);
    sink.syncer.sync_in_background(&unsyncable(&folder));
    sink.write(&events(&["b"])).unwrap_err();
    assert_eq!(sink.inspect("state").unwrap()["sync_due"], false);
}

#[test]
fn a_flush_tells_of_a_sync_that_failed_in_the_background() {
    let folder = Folder::new();
    let mut sink = folder.open_with(json!({"fsync": 3600}));
    // The thread ends with a sync of what is due, and so does this call for the thread's turn.
    sink.syncer.sync_in_background(&unsyncable(&folder));
    let error = sink.flush(deadline()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Reopen);
    assert!(sink.file.is_none(), "the descriptor must not be used again");
    assert_eq!(sink.flush(deadline()), Ok(()), "it is told once");
}

/// Writes batches of three events, whose attributes begin with `who`.
fn write_many(sink: &mut TestSink<FileSink>, who: &str) {
    for number in 0..200 {
        let attributes: Vec<String> = (0..3).map(|place| format!("{who}-{number}-{place}")).collect();
        let attributes: Vec<&str> = attributes.iter().map(String::as_str).collect();
        sink.write(&events(&attributes)).unwrap();
    }
}

/// Checks that everything that [`write_many`] wrote is there, whole and once, in all rotated files.
fn assert_written_by(folder: &Folder, writers: &[&str]) {
    let mut found: Vec<String> = folder.names().iter().flat_map(|name| folder.attributes(name)).collect();
    found.sort();
    let mut expected: Vec<String> = writers
        .iter()
        .flat_map(|who| {
            (0..200).flat_map(move |number| (0..3).map(move |place| format!("{who}-{number}-{place}")))
        })
        .collect();
    expected.sort();
    assert_eq!(found, expected);
    assert!(folder.names().len() > 3, "nothing was rotated");
}

#[test]
fn instances_of_one_sink_share_the_file_in_turns() {
    let folder = Folder::new();
    let options = json!({"max_bytes": 100 * line_len("a-100-1")});
    let (mut one, mut two) = (folder.open_with(options.clone()), folder.open_with(options));
    std::thread::scope(|scope| {
        scope.spawn(|| write_many(&mut one, "one"));
        scope.spawn(|| write_many(&mut two, "two"));
    });
    assert_written_by(&folder, &["one", "two"]);
}

#[test]
fn a_forked_child_shares_the_file_with_its_parent_in_turns() {
    in_process("sink::tests::a_forked_child_shares_the_file_with_its_parent_in_turns", || {
        let folder = Folder::new();
        let options = json!({"max_bytes": 100 * line_len("parent-100-1")});
        let mut sink = folder.open_with(options.clone());
        // SAFETY: this process has no other thread that could hold a lock which the child would wait for: libtest runs
        // one test in it, and `fsync = "never"` starts no thread.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                // The host never calls an inherited instance, nor drops it.
                mem::forget(sink);
                write_many(&mut folder.open_with(options), "child");
                // The folder is the parent's to remove.
                mem::forget(folder);
                std::process::exit(0);
            }
            ForkResult::Parent { child } => {
                write_many(&mut sink, "parent");
                assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
                assert_written_by(&folder, &["child", "parent"]);
            }
        }
    });
}

#[test]
fn a_waiting_instance_takes_the_turn_of_one_that_was_abandoned() {
    let folder = Folder::new();
    let mut first = folder.open();
    let owner = Arc::clone(&first.owner);
    let mut second = folder.open();
    first.ready().unwrap();
    let hung = owner.enter(Deadline::after(Duration::from_millis(1)));
    second.write(&events(&["b"])).unwrap();
    drop(hung);
    assert!(owner.is_deposed());
    first.file.as_mut().unwrap().end_turn();
    second.write(&events(&["c"])).unwrap();
    assert_eq!(folder.attributes("a.ndjson"), ["b", "c"]);
}
