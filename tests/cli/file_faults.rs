//! Whatever befalls the audit file and its disk while the program runs with a spool.

use std::fs;

use audit_tests::oracle::{Repeats, Summary};
use audit_tests::{Dir, Running};
use rustix::process::{Resource, Rlimit, Signal, prlimit};

use crate::watched::{Watched, canonical};

/// A sink that prints what it gets at once, and the file sink, with a small spool; this as options of the file sink.
fn config(options: &str) -> String {
    format!(
        r#"
[[audit_logger]]
name = "print"
class = "print.PrintAuditLogger"
options = {{ format = "json", batch_size = 1 }}
[[audit_logger]]
name = "out"
class = "file.FileAuditLogger"
options = {{ path = "out.ndjson", flush_interval = 0.001, {options} }}
[buffer]
spool_dir = "spool"
spool_max_bytes = 1048576
max_event_bytes = 4096
[delivery]
retry_initial = 0.001
retry_max = 0.002
"#
    )
}

/// How many attempts the program has made anew so far.
fn retried(running: &mut Running) -> u64 {
    running.signal(Signal::USR1);
    Summary::of(&running.wait_for("\"accepted\":")).totals.count("retried")
}

/// Sends these lines, and waits until the file has the last of them.
fn send_and_wait(running: &mut Running, dir: &Dir, lines: &[String]) -> String {
    running.send(&(lines.join("\n") + "\n"));
    let printed = lines.iter().map(|_| running.read_line()).collect();
    while !dir.read("out.ndjson").ends_with(&format!("{}\n", lines.last().expect("a line"))) {
        std::thread::yield_now();
    }
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
    for (said, befall) in befalls {
        let mut watched = Watched::new(said, &config(""), &["print", "out"], Repeats::Never);
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
    // Files may grow to a limit, which is raised each time that the sink has met it: in most cases within a line.
    const STEP: u64 = 1237;
    let input = canonical(1000);
    let total: u64 = input.iter().map(|line| line.len() as u64 + 1).sum();
    let mut watched = Watched::new("full", &config("batch_size = 5"), &["print", "out"], Repeats::Never);
    let life = watched.begin(&input);
    let program = watched.dir.audit_host(&["run", "--summary", "json"]);
    // The system would end it by a signal otherwise.
    let mut running = program.started_after("trap '' XFSZ").start();
    // The segments of the spool have this size.
    let mut limit = 64 << 10;
    let set_limit = |pid, limit| {
        prlimit(Some(pid), Resource::Fsize, Rlimit { current: limit, maximum: None }).expect("a limit");
    };
    // Plugins are copied before the first event.
    let mut printed = send_and_wait(&mut running, &watched.dir, &input[..1]);
    set_limit(running.pid(), Some(limit));
    running.send(&(input[1..].join("\n") + "\n"));
    printed.extend(input[1..].iter().map(|_| running.read_line()));
    let (mut times_full, mut before) = (0, 0);
    while limit < total {
        let now = retried(&mut running);
        if now > before {
            // It has failed at this limit.
            (times_full, limit) = (times_full + 1, limit + STEP);
            set_limit(running.pid(), Some(limit));
            before = retried(&mut running);
        }
    }
    set_limit(running.pid(), None);
    running.stdin = None;
    let mut ran = running.end();
    ran.stdout = printed + &ran.stdout;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(times_full > 50, "{times_full}");
    watched.accepted(&input);
    watched.ended(life, &ran);
    watched.assert_all_is_settled();
}
