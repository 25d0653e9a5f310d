//! Whatever befalls the audit file and its disk while the program runs, in memory and with a spool.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use audit_tests::modes::{DISK_FOR, MEMORY, PROCESS, in_each};
use audit_tests::oracle::{Counters, Repeats, Summary};
use audit_tests::{Dir, Running, eventually};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, prlimit};

use crate::PRINT_EACH_FIRST;
use crate::watched::{Watched, canonical};

/// On a busy machine a disk may take long to answer: that is not what is shown here.
const PATIENT: &str = "open_timeout = 120\nwrite_timeout = 120\nshutdown_timeout = 120\n";

/// In memory, and with a spool; print is not durable.
const MODES: [&str; 3] = [MEMORY, PROCESS, DISK_FOR];

/// A sink that prints what it gets at once, and the file sink, in this mode with a small spool; this as options of the file
/// sink.
fn config(mode: &str, options: &str) -> String {
    let small = if mode == MEMORY { "" } else { "spool_max_bytes = 1048576\n" };
    format!(
        r#"{PRINT_EACH_FIRST}[[audit_logger]]
name = "out"
class = "file.FileAuditLogger"
options = {{ path = "out.ndjson", flush_interval = 0.001, {options} }}
[buffer]
{mode}{small}max_event_bytes = 4096
[delivery]
retry_initial = 0.001
retry_max = 0.002
{PATIENT}"#
    )
}

/// The counters of the file sink so far.
fn out(running: &mut Running) -> Counters {
    running.signal(Signal::USR1);
    Summary::of(&running.wait_for("\"accepted\":")).at("out").clone()
}

/// Sets a soft limit of the program, which any owner of a process may; returns the one before.
fn set_limit(running: &Running, resource: Resource, current: Option<u64>) -> Option<u64> {
    let maximum = getrlimit(resource).maximum;
    let limit = Rlimit { current: current.or(maximum), maximum };
    prlimit(Some(running.pid()), resource, limit).expect("a limit").current
}

/// Sends these lines, and waits until the file has the last of them.
fn send_and_wait(running: &mut Running, dir: &Dir, lines: &[String]) -> String {
    running.send(&(lines.join("\n") + "\n"));
    let printed = lines.iter().map(|_| running.read_line()).collect();
    let last = format!("{}\n", lines.last().expect("a line"));
    eventually(|| dir.read("out.ndjson").ends_with(&last).then_some(()));
    printed
}

#[test]
fn a_file_that_is_deleted_truncated_replaced_or_moved_is_missed_with_the_next_batch_and_said() {
    type Befall = fn(&Dir);
    let befalls: [(&str, Befall); 4] = [
        ("was deleted, with", |dir| fs::remove_file(dir.path("out.ndjson")).expect("deleted")),
        ("was replaced by another file", |dir| {
            fs::write(dir.path("other"), "").expect("written");
            fs::rename(dir.path("other"), dir.path("out.ndjson")).expect("replaced");
        }),
        ("was moved away", |dir| fs::rename(dir.path("out.ndjson"), dir.path("moved")).expect("moved")),
        ("was truncated: its last", |dir| {
            fs::File::options()
                .write(true)
                .open(dir.path("out.ndjson"))
                .expect("there")
                .set_len(0)
                .expect("cut");
        }),
    ];
    let input = canonical(30);
    let (first, second) = input.split_at(15);
    for (mode, (said, befall)) in MODES.into_iter().flat_map(|mode| befalls.map(|befall| (mode, befall))) {
        let mut watched = Watched::new(said, &config(mode, ""), &["print", "out"], Repeats::Never);
        let life = watched.begin(&input);
        let mut running = watched.dir.audit_host(&["run", "--summary", "json"]).start();
        let mut printed = send_and_wait(&mut running, &watched.dir, first);
        // What was in it by then is gone with it, and was delivered.
        watched.oracle.wrote(life, "out", &watched.dir.read("out.ndjson"));
        befall(&watched.dir);
        printed += &send_and_wait(&mut running, &watched.dir, second);
        running.wait_for(said);
        running.stdin = None;
        let mut ran = running.end();
        ran.stdout = printed + &ran.stdout;
        assert_eq!(ran.status, 0, "{said}: {ran:?}");
        watched.accepted(&input);
        watched.ended(life, &ran);
        watched.assert_all_is_settled();
    }
}

#[test]
fn a_disk_that_is_full_at_every_write_and_then_has_space_again_tears_nothing_and_costs_nothing() {
    let input = canonical(1250);
    // Plugins are copied, and segments of the spool made, before files may grow no more: the file is larger than those by then.
    let (before, full) = input.split_at(250);
    in_each(&MODES, |mode| {
        let config = config(mode, "batch_size = 1");
        let mut watched = Watched::new(mode, &config, &["print", "out"], Repeats::Never);
        let life = watched.begin(&input);
        let mut running = watched.dir.audit_host(&["run", "--summary", "json"]).start();
        let mut printed = send_and_wait(&mut running, &watched.dir, before);
        let mut end = watched.dir.read("out.ndjson").len() as u64;
        assert!(end > 64 << 10, "{end}");
        let within = |line: &String, end| Some(end + line.len() as u64 / 2);
        set_limit(&running, Resource::Fsize, within(&full[0], end));
        running.send(&(full.join("\n") + "\n"));
        printed.extend(full.iter().map(|_| running.read_line()));
        for (delivered, line) in (before.len() as u64..).zip(full) {
            set_limit(&running, Resource::Fsize, within(line, end));
            // What fails once all before it is delivered is the write of this line.
            while out(&mut running).count("delivered") < delivered {}
            let retried = out(&mut running).count("retried");
            while out(&mut running).count("retried") == retried {}
            assert_eq!(out(&mut running).count("delivered"), delivered, "{mode}");
            end += line.len() as u64 + 1;
        }
        set_limit(&running, Resource::Fsize, None);
        running.stdin = None;
        let mut ran = running.end();
        ran.stdout = printed + &ran.stdout;
        assert_eq!(ran.status, 0, "{mode}: {ran:?}");
        watched.accepted(&input);
        watched.ended(life, &ran);
        watched.assert_all_is_settled();
    });
}

/// How a program is started that may mount over what it sees and nobody else does; root needs no user namespace for that.
fn unshare() -> &'static str {
    let options = ["-m", "-Urm"];
    let is_possible = |option: &&&str| {
        let tried = Command::new("unshare").args([option, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    options.iter().find(is_possible).copied().unwrap_or_default()
}

/// How to [`unshare`], and the arguments of `mount` that put a new disk of this size over the folder `small`, which is made;
/// `None` where the system lets nobody do that, who has no privileges.
fn small_disk(dir: &Dir, size: &str) -> Option<(&'static str, String)> {
    fs::create_dir(dir.path("small")).expect("a folder");
    let disk = format!("-t tmpfs -o mode=0700,size={size} tmpfs {}", dir.path("small").display());
    let unshare = unshare();
    if unshare.is_empty() {
        assert!(std::env::var_os("CI").is_none(), "nothing can be mounted here: user namespaces are needed");
        // Said also where the output of tests is captured.
        let said = writeln!(std::io::stderr(), "not shown here: mounting needs user namespaces, or root");
        said.expect("standard error is open");
        return None;
    }
    Some((unshare, disk))
}

/// The folder `small` as the program sees it.
fn small_seen_by(running: &Running, dir: &Dir) -> PathBuf {
    format!("/proc/{}/root{}", running.pid(), dir.path("small").display()).into()
}

/// Takes all the space there is.
fn fill_up(filler: &mut fs::File) {
    for bytes in [4096, 1] {
        while filler.write_all(&vec![0; bytes]).is_ok() {}
    }
}

#[test]
fn a_real_disk_of_spool_and_file_that_is_full_now_and_then_costs_nothing() {
    const ROUNDS: usize = 5;
    let input = canonical(2000);
    let config = config(PROCESS, "")
        .replace("\"out.ndjson\"", "\"small/out.ndjson\"")
        .replace("\"spool\"", "\"small/spool\"");
    let mut watched = Watched::new("a small disk", &config, &["print", "out"], Repeats::Never);
    let Some((unshare, disk)) = small_disk(&watched.dir, "2560k") else { return };
    let mount = format!("mount {disk} && exec \"$@\"");
    let life = watched.begin(&input);
    let program = watched.dir.audit_host(&["run", "--summary", "json"]);
    let mut running = program.started_by(&["unshare", unshare, "sh", "-c", &mount, "sh"]).start();
    let mut printed = String::new();
    let small = small_seen_by(&running, &watched.dir);
    let (mut end, mut times_full) = (0, 0);
    for lines in input.chunks(input.len() / ROUNDS) {
        let (first, others) = lines.split_first().expect("several");
        // The disk is there once this is printed.
        running.send(&format!("{first}\n"));
        printed += &running.read_line();
        wait_for_lines(&small.join("out.ndjson"), end + 1);
        out(&mut running);
        let said_before = running.said().len();
        let mut filler = fs::File::create(small.join("filler")).expect("an empty file takes no space");
        fill_up(&mut filler);
        end += lines.len();
        let text = others.join("\n") + "\n";
        let mut stdin = running.stdin.take().expect("standard input is open");
        std::thread::scope(|scope| {
            let sent = scope.spawn(move || stdin.write_all(text.as_bytes()).map(|()| stdin));
            // The spool may give segments back meanwhile, so that there is space for all of it.
            let was_full = eventually(|| {
                let was_full =
                    running.said()[said_before..].contains("No space left on device (os error 28)");
                let is_over = was_full || out(&mut running).count("delivered") == end as u64;
                fill_up(&mut filler);
                is_over.then_some(was_full)
            });
            times_full += usize::from(was_full);
            fs::remove_file(small.join("filler")).expect("the filler is there");
            drop(filler);
            printed.extend(others.iter().map(|_| running.read_line()));
            running.stdin = Some(sent.join().expect("no panic").expect("the program reads"));
        });
    }
    assert!(times_full > 0, "it was never full");
    let out = wait_for_lines(&small.join("out.ndjson"), input.len());
    running.stdin = None;
    let mut ran = running.end();
    ran.stdout = printed + &ran.stdout;
    assert_eq!(ran.status, 0, "{ran:?}");
    watched.accepted(&input);
    watched.oracle.wrote(life, "out", &out);
    watched.ended(life, &ran);
    watched.oracle.assert("a small disk");
}

/// Waits until a file has so many lines; returns them.
fn wait_for_lines(path: &Path, count: usize) -> String {
    eventually(|| {
        let text = fs::read_to_string(path).unwrap_or_default();
        (text.lines().count() == count && text.ends_with('\n')).then_some(text)
    })
}

#[test]
fn a_disk_that_is_mounted_over_the_file_is_noticed_with_the_next_batch_and_said() {
    let input = canonical(30);
    let config = config(PROCESS, "").replace("\"out.ndjson\"", "\"small/out.ndjson\"");
    let mut watched = Watched::new("mounted over", &config, &["print", "out"], Repeats::Never);
    let Some((unshare, disk)) = small_disk(&watched.dir, "1m") else { return };
    let life = watched.begin(&input);
    let program = watched.dir.audit_host(&["run", "--summary", "json"]);
    let mut running = program.started_by(&["unshare", unshare]).start();
    let (first, second) = input.split_at(15);
    running.send(&(first.join("\n") + "\n"));
    let before = wait_for_lines(&watched.dir.path("small/out.ndjson"), first.len());
    let user = if unshare == "-Urm" { "-U --preserve-credentials" } else { "" };
    let inside = format!("nsenter -t {} {user} -m mount {disk}", running.pid());
    let mounted = Command::new("sh").args(["-c", &inside]).output().expect("a shell");
    assert!(mounted.status.success(), "{mounted:?}");
    running.send(&(second.join("\n") + "\n"));
    running.wait_for("it is opened anew");
    let after = wait_for_lines(&small_seen_by(&running, &watched.dir).join("out.ndjson"), second.len());
    running.stdin = None;
    let ran = running.end();
    assert_eq!(ran.status, 0, "{ran:?}");
    watched.accepted(&input);
    watched.oracle.wrote(life, "out", &(before + &after));
    watched.ended(life, &ran);
    watched.assert_all_is_settled();
}

#[test]
fn without_a_descriptor_left_for_file_and_spool_it_waits_and_then_goes_on() {
    let input = canonical(1000);
    let mut watched = Watched::new("descriptors", &config(PROCESS, ""), &["print", "out"], Repeats::Never);
    let life = watched.begin(&input);
    let mut running = watched.dir.audit_host(&["run", "--summary", "json"]).start();
    let (first, others) = input.split_at(10);
    let mut printed = send_and_wait(&mut running, &watched.dir, first);
    watched.oracle.wrote(life, "out", &watched.dir.read("out.ndjson"));
    let before = set_limit(&running, Resource::Nofile, Some(3));
    // It has to be opened anew, which it cannot.
    fs::remove_file(watched.dir.path("out.ndjson")).expect("deleted");
    running.send(&(others[..10].join("\n") + "\n"));
    let said = running.wait_for("os error 24");
    assert!(said.contains("Too many open files"), "{said}");
    set_limit(&running, Resource::Nofile, before);
    running.send(&(others[10..].join("\n") + "\n"));
    running.stdin = None;
    let mut ran = running.end();
    printed += &ran.stdout;
    ran.stdout = printed;
    assert_eq!(ran.status, 0, "{ran:?}");
    watched.accepted(&input);
    watched.ended(life, &ran);
    watched.assert_all_is_settled();
}
