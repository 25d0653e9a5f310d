//! Sinks that fail while everything is in the spool: nothing is lost, and the next process goes on.

use audit_tests::modes::{ALL, DISK_FOR, PATIENT, PROCESS, WITH_SPOOL, in_each};
use audit_tests::oracle::Repeats;

use crate::PRINT_EACH_FIRST;
use crate::watched::{Watched, canonical};

/// One sink `out`, in this mode.
fn config(mode: &str, sink: &str) -> String {
    format!(
        "[[audit_logger]]\nname = \"out\"\n{sink}\n[buffer]\n{mode}\
         [delivery]\nopen_timeout = 120\nretry_initial = 0.001\nretry_max = 0.002\n"
    )
}

/// The same for a sink that fails so often (0: always), for which nobody waits long. A flush may take as long as a shutdown.
fn impatient(mode: &str, sink: &str, times: u32) -> String {
    let shutdown_timeout = if times == 0 { 0.3 } else { 3.0 };
    config(mode, sink) + &format!("write_timeout = 0.1\nshutdown_timeout = {shutdown_timeout}\n")
}

const FILE: &str = "class = \"file.FileAuditLogger\"\noptions = { path = \"out.ndjson\" }";

fn hanging(mode: &str, place: &str, times: u32) -> String {
    let sink = format!(
        "class = \"test.Hanging\"\noptions = {{ in = \"{place}\", release = \"never\", times = {times}, path = \"out.ndjson\" }}"
    );
    impatient(mode, &sink, times)
}

fn panicking(mode: &str, place: &str, times: u32) -> String {
    let sink = format!(
        "class = \"test.Panicking\"\noptions = {{ in = \"{place}\", times = {times}, path = \"out.ndjson\" }}"
    );
    impatient(mode, &sink, times)
}

#[test]
fn a_sink_that_hangs_or_panics_wherever_it_likes_costs_nothing_and_the_next_process_goes_on() {
    let input = canonical(1000);
    in_each(&WITH_SPOOL, |mode| {
        let hanging = ["write", "flush", "close"].map(|place| hanging(mode, place, 0));
        let panicking = ["write", "flush", "close", "drop"].map(|place| panicking(mode, place, 0));
        for faulty in hanging.into_iter().chain(panicking) {
            let mut watched = Watched::new(&*faulty, &faulty, &["out"], Repeats::Anywhere);
            let ran = watched.run(&input);
            assert_ne!(ran.status, 101, "{faulty}: {ran:?}");
            watched.assert();
            watched.dir.write("audit.toml", config(mode, FILE) + "shutdown_timeout = 120\n");
            let ran = watched.run(&[]);
            assert_eq!(ran.status, 0, "{faulty}: {ran:?}");
            watched.assert_all_is_settled();
        }
    });
}

#[test]
fn a_sink_that_hangs_or_panics_once_is_opened_anew_and_gets_everything() {
    let input = canonical(1000);
    in_each(&WITH_SPOOL, |mode| {
        let hanging = ["write", "flush"].map(|place| hanging(mode, place, 1));
        let panicking = [("write", 2), ("flush", 1)].map(|(place, times)| panicking(mode, place, times));
        for faulty in hanging.into_iter().chain(panicking) {
            let mut watched = Watched::new(&*faulty, &faulty, &["out"], Repeats::Anywhere);
            let ran = watched.run(&input);
            let summary = audit_tests::oracle::Summary::at_end_of(&ran).totals;
            assert_eq!((summary.count("delivered"), summary.count("lost")), (1000, 0), "{faulty}: {ran:?}");
            watched.assert();
        }
    });
}

#[test]
fn a_poisonous_event_in_any_position_of_a_batch_is_dead_lettered_alone() {
    let input = canonical(10);
    for (mode, poison_as) in ALL.into_iter().flat_map(|mode| [(mode, "permanent"), (mode, "panic")]) {
        for poisonous in &input {
            let id = audit_tests::oracle::id_of(poisonous).expect("a canonical line");
            let sink = format!(
                "class = \"test.Failing\"\noptions = {{ poison = \"{id}\", poison_as = \"{poison_as}\", \
                 path = \"out.ndjson\", batch_size = 10, flush_interval = 3600 }}"
            );
            let mut watched = Watched::new(poison_as, &config(mode, &sink), &["out"], Repeats::Never);
            let ran = watched.run(&input);
            assert_eq!(ran.status, 1, "{mode}: {ran:?}");
            watched.assert_all_is_settled();
            let letters = watched.dir.lines("dead-letters.ndjson");
            assert!(letters.len() == 1 && letters[0].contains(poisonous), "{mode}: {letters:?}");
        }
    }
}

#[test]
fn a_sink_that_aborts_its_process_costs_nothing_that_was_accepted() {
    // Print is not durable.
    for mode in [PROCESS, DISK_FOR] {
        aborts(mode);
    }
}

#[track_caller]
fn aborts(mode: &str) {
    let input = canonical(5000);
    let aborting = format!(
        r#"{PRINT_EACH_FIRST}[[audit_logger]]
name = "out"
class = "test.Panicking"
options = {{ in = "write", payload = "abort", path = "out.ndjson", batch_size = 5000, flush_interval = 3600 }}
[buffer]
{mode}{PATIENT}"#
    );
    let mut watched = Watched::new("abort", &aborting, &["print", "out"], Repeats::AfterKill);
    let life = watched.begin(&input);
    let mut running = watched.dir.audit_host(&["run"]).start();
    let (last, others) = input.split_last().expect("many");
    running.send(&(others.join("\n") + "\n"));
    let printed: String = others.iter().map(|_| running.read_line()).collect();
    watched.accepted(others);
    // The batch is full with this one.
    running.send(&format!("{last}\n"));
    let ran = running.end();
    assert_eq!(ran.status, 128 + 6, "{ran:?}");
    watched.killed(life, &(printed + &ran.stdout));
    watched.assert();
    watched.dir.write(
        "audit.toml",
        aborting.replace(
            "class = \"test.Panicking\"\noptions = { in = \"write\", payload = \"abort\",",
            "class = \"file.FileAuditLogger\"\noptions = {",
        ),
    );
    let ran = watched.run(&[]);
    assert_eq!(ran.status, 0, "{ran:?}");
    watched.assert_all_is_settled();
}
