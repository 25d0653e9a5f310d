//! The same failures in each mode: in memory, and in the spool with each durability.

use audit_tests::modes::{ALL, MEMORY, WITH_SPOOL};
use audit_tests::oracle::{Repeats, Summary};
use audit_tests::{Ran, Running, eventually};
use rustix::process::Signal;

use crate::PRINT_FIRST;
use crate::watched::{Watched, canonical, possible_duplicates};

const FILE: &str =
    "class = \"file.FileAuditLogger\"\noptions = { path = \"out.ndjson\", flush_interval = 0.001 }";
const HANGING: &str = "class = \"test.Hanging\"\noptions = { in = \"write\", release = \"never\", batch_size = 100, \
                       flush_interval = 3600 }";

/// One sink `out`, in this mode. Without a word in `delivery` nobody is in a hurry: a busy machine's disk is not what is
/// shown here.
fn config(mode: &str, sink: &str, delivery: &str) -> String {
    let patience = if delivery.contains("shutdown_timeout") { "" } else { "shutdown_timeout = 120\n" };
    format!(
        "[[audit_logger]]\nname = \"out\"\n{sink}\n[buffer]\n{mode}[delivery]\nretry_initial = 0.001\n\
         retry_max = 0.002\nopen_timeout = 120\nwrite_timeout = 120\n{patience}{delivery}\n"
    )
}

/// A sink that answers as these tables say, in turn, and then well.
fn failing(answers: &str) -> String {
    format!(
        "class = \"test.Failing\"\noptions = {{ path = \"out.ndjson\", batch_size = 10, answers = [{answers}] }}"
    )
}

fn watched(mode: &str, sink: &str, delivery: &str) -> Watched {
    Watched::new(mode, &config(mode, sink, delivery), &["out"], Repeats::Never)
}

/// Starts it, so that it can be asked.
fn start_alone(watched: &Watched) -> Running {
    let running = watched.dir.audit_host(&["run", "--summary", "json"]).start();
    running.wait_until_it_handles(Signal::USR1);
    running
}

/// Starts it, and waits until it has accepted all of this input.
fn start(watched: &mut Watched, input: &[String]) -> Running {
    let mut running = start_alone(watched);
    input.iter().for_each(|line| running.send(&format!("{line}\n")));
    wait_until(&mut running, "accepted", input.len() as u64);
    watched.accepted(input);
    running
}

/// Waits until so many events have come so far.
fn wait_until(running: &mut Running, count: &str, events: u64) {
    eventually(|| (said(running).totals.count(count) >= events).then_some(()));
}

fn said(running: &mut Running) -> Summary {
    running.signal(Signal::USR1);
    Summary::of(&running.wait_for("\"accepted\":"))
}

fn count(ran: &Ran, name: &str) -> u64 {
    Summary::at_end_of(ran).totals.count(name)
}

#[test]
fn a_sink_that_fails_for_a_while_gets_everything_once_and_in_order() {
    let input = canonical(300);
    let sink = failing(
        "{ kind = \"retryable\", times = 20 }, { kind = \"ok\" }, { kind = \"retryable\", prefix = 3 }",
    );
    for mode in ALL {
        let mut watched = watched(mode, &sink, "");
        let ran = watched.run(&input);
        assert_eq!(ran.status, 0, "{mode}: {ran:?}");
        assert!(count(&ran, "retried") > 20, "{mode}: {ran:?}");
        watched.assert_all_is_settled();
        assert_eq!(watched.dir.lines("out.ndjson"), input, "{mode}");
    }
}

#[test]
fn after_max_attempts_events_are_dead_letters_and_all_others_are_delivered_in_order() {
    let input = canonical(300);
    let sink = failing("{ kind = \"ok\" }, { kind = \"retryable\", times = 3 }");
    for mode in ALL {
        let mut watched = watched(mode, &sink, "max_attempts = 3");
        let ran = watched.run(&input);
        assert_eq!(ran.status, 1, "{mode}: {ran:?}");
        watched.assert_all_is_settled();
        let letters = count(&ran, "dead_lettered");
        assert!((1..=10).contains(&letters) && count(&ran, "delivered") == 300 - letters, "{mode}: {ran:?}");
    }
}

#[test]
fn while_dead_letters_cannot_be_written_their_events_wait_and_nothing_else_does() {
    let input = canonical(300);
    let refused = "class = \"test.Failing\"\noptions = { path = \"out.ndjson\", batch_size = 10, answers = [{ kind = \"permanent\", \
                   positions = [0] }] }";
    for mode in ALL {
        let mut watched = watched(mode, refused, "");
        std::fs::create_dir(watched.dir.path("dead-letters.ndjson")).expect("a folder");
        let life = watched.begin(&input);
        let mut running = start(&mut watched, &input);
        wait_until(&mut running, "delivered", 299);
        assert_eq!(said(&mut running).totals.count("dead_lettered"), 0, "{mode}");
        std::fs::remove_dir(watched.dir.path("dead-letters.ndjson")).expect("removed");
        running.stdin = None;
        let ran = running.end();
        assert_eq!((ran.status, count(&ran, "dead_lettered")), (1, 1), "{mode}: {ran:?}");
        watched.ended(life, &ran);
        watched.assert_all_is_settled();
    }
}

#[test]
fn dead_letters_that_cannot_be_written_until_the_end_stay_in_the_spool_and_are_lost_without_one() {
    let input = canonical(30);
    let refused = failing("{ kind = \"permanent\", positions = [0] }");
    for mode in ALL {
        let mut watched = Watched::new(
            mode,
            &config(mode, &refused, "shutdown_timeout = 0.3"),
            &["out"],
            Repeats::Anywhere,
        );
        std::fs::create_dir(watched.dir.path("dead-letters.ndjson")).expect("a folder");
        let life = watched.begin(&input);
        let ran = watched.dir.audit_host(&["run", "--summary", "json"]).input(input.join("\n")).run();
        assert_eq!((ran.status, count(&ran, "delivered")), (1, 29), "{mode}: {ran:?}");
        assert!(ran.stderr.contains("dead letters cannot be written"), "{mode}: {ran:?}");
        std::fs::remove_dir(watched.dir.path("dead-letters.ndjson")).expect("removed");
        if mode == MEMORY {
            assert_eq!((count(&ran, "lost"), watched.dir.lines("out.ndjson").len()), (1, 29), "{ran:?}");
            continue;
        }
        assert_eq!((count(&ran, "lost"), count(&ran, "spooled")), (0, 1), "{mode}: {ran:?}");
        watched.accepted(&input);
        watched.ended(life, &ran);
        let ran = watched.run(&[]);
        assert_eq!((ran.status, count(&ran, "dead_lettered")), (1, 1), "{mode}: {ran:?}");
        watched.assert_all_is_settled();
    }
}

#[test]
fn times_that_step_back_an_hour_and_forward_a_day_change_neither_order_nor_delivery() {
    let real = canonical(300);
    let timestamp = |line: &String| {
        let at = line.find("\"timestamp\":\"").expect("a timestamp") + 13;
        at..at + 32
    };
    let stepped = |(number, line): (usize, &String)| {
        let time = ["2026-03-01T12", "2026-03-01T11", "2026-03-02T12"][number % 3];
        let mut line = line.clone();
        line.replace_range(timestamp(&line), &format!("{time}:00:00.{number:06}+00:00"));
        line
    };
    let input: Vec<String> = real.iter().enumerate().map(stepped).collect();
    for mode in ALL {
        let mut watched = watched(mode, FILE, "");
        let ran = watched.run(&input);
        assert_eq!(ran.status, 0, "{mode}: {ran:?}");
        watched.assert_all_is_settled();
        assert_eq!(watched.dir.lines("out.ndjson"), input, "{mode}");
    }
}

#[test]
fn while_the_store_is_full_reading_waits_and_then_everything_arrives_once_and_in_order() {
    let input = canonical(5000);
    let waiting =
        "class = \"test.Hanging\"\noptions = { in = \"write\", release = \"go on\", path = \"out.ndjson\" }";
    for mode in ALL {
        let room = if mode == MEMORY { "capacity_bytes = 65536\n" } else { "spool_max_bytes = 1048576\n" };
        let mode = format!("{mode}{room}max_event_bytes = 4096\n");
        let mut watched = watched(&mode, waiting, "");
        let life = watched.begin(&input);
        let text = input.join("\n") + "\n";
        let ran = std::thread::scope(|scope| {
            // In here, so that it ends with this, also where something is not as it should be.
            let mut running = start_alone(&watched);
            let mut stdin = running.stdin.take().expect("standard input is open");
            scope.spawn(move || std::io::Write::write_all(&mut stdin, text.as_bytes()).expect("it reads"));
            // As much as there is room for, and no more as long as the sink takes nothing.
            let mut before = 0;
            let accepted = eventually(|| {
                let accepted = said(&mut running).totals.count("accepted");
                let is_settled = std::mem::replace(&mut before, accepted) == accepted;
                (is_settled && accepted >= 100).then_some(accepted)
            });
            assert!(accepted < 5000, "{mode}: {accepted}");
            watched.dir.write("go on", "");
            running.end()
        });
        assert_eq!(ran.status, 0, "{mode}: {ran:?}");
        watched.accepted(&input);
        watched.ended(life, &ran);
        watched.assert_all_is_settled();
    }
}

/// Runs until a signal with a sink that takes so many events; returns what the run said at its end.
fn stopped(watched: &mut Watched, input: &[String], delivered: u64) -> Ran {
    let life = watched.begin(input);
    let (taken, rest) = input.split_at(delivered as usize);
    let mut running = start(watched, taken);
    wait_until(&mut running, "delivered", delivered);
    let spool = || watched.dir.audit_host(&["spool", "status", "--format", "json"]).run().json();
    // With a spool the sink was flushed then, so that a close which has no time for that changes nothing.
    eventually(|| (!watched.dir.path("spool").exists() || spool()["events"] == 0).then_some(()));
    rest.iter().for_each(|line| running.send(&format!("{line}\n")));
    wait_until(&mut running, "accepted", input.len() as u64);
    watched.accepted(rest);
    running.signal(Signal::TERM);
    let ran = running.end();
    assert_eq!((count(&ran, "accepted"), count(&ran, "lost")), (300, 0), "{ran:?}");
    assert!(ran.summary().contains("\"stopped_by\":\"SIGTERM\""), "{ran:?}");
    watched.ended(life, &ran);
    ran
}

/// A sink that is stuck from the start, and one that takes 50 events and no more.
fn stuck() -> [(String, u64); 2] {
    let full = failing("{ kind = \"ok\", times = 5 }, { kind = \"retryable\", times = 1000000 }");
    [(HANGING.into(), 0), (full, 50)]
}

#[test]
fn what_a_sink_has_not_taken_when_a_signal_ends_the_run_stays_in_the_spool_for_the_next_one() {
    let input = canonical(400);
    let (input, more) = input.split_at(300);
    std::thread::scope(|scope| {
        for (mode, (sink, delivered)) in
            WITH_SPOOL.into_iter().flat_map(|mode| stuck().map(|sink| (mode, sink)))
        {
            scope.spawn(move || {
                let mut watched = watched(mode, &sink, "shutdown_timeout = 0.3");
                let ran = stopped(&mut watched, input, delivered);
                let found = (ran.status, count(&ran, "delivered"), count(&ran, "spooled"));
                assert_eq!(found, (0, delivered, 300 - delivered), "{mode}: {ran:?}");
                watched.assert();
                watched.dir.write("audit.toml", config(mode, FILE, ""));
                let ran = watched.run(more);
                assert_eq!((ran.status, count(&ran, "recovered")), (0, 300 - delivered), "{mode}: {ran:?}");
                // At least the batch that it had when the run ended.
                let (in_flight, said) = (if delivered == 0 { 100 } else { 10 }, possible_duplicates(&ran));
                assert!((in_flight..=300 - delivered).contains(&said), "{mode}: {ran:?}");
                watched.assert_all_is_settled();
                assert_eq!(watched.dir.lines("out.ndjson"), [input, more].concat(), "{mode}");
            });
        }
    });
}

#[test]
fn what_a_sink_has_not_taken_when_a_signal_ends_the_run_is_a_dead_letter_where_there_is_no_spool() {
    let input = canonical(300);
    for (sink, delivered) in stuck() {
        let mut watched = watched(MEMORY, &sink, "shutdown_timeout = 0.3");
        let ran = stopped(&mut watched, &input, delivered);
        let found = (ran.status, count(&ran, "delivered"), count(&ran, "dead_lettered"));
        assert_eq!(found, (1, delivered, 300 - delivered), "{ran:?}");
        watched.assert_all_is_settled();
    }
}

#[test]
fn kill_9_without_a_spool_costs_what_a_sink_did_not_have_and_nothing_else() {
    let input = canonical(5000);
    let (input, more) = input.split_at(4900);
    for printed in [1, 700, 2500] {
        let sinks = format!("{PRINT_FIRST}{}", config(MEMORY, FILE, ""));
        let mut watched = Watched::new("killed", &sinks, &["print", "out"], Repeats::Never);
        // What was accepted may be missing, so that nothing is said of it.
        let life = watched.begin(input);
        let mut running = start_alone(&watched);
        let mut stdin = running.stdin.take().expect("standard input is open");
        let text = input.join("\n") + "\n";
        let (shown, delivered) = std::thread::scope(|scope| {
            // It is killed before it has read all of it.
            scope.spawn(move || drop(std::io::Write::write_all(&mut stdin, text.as_bytes())));
            let shown: String = (0..printed).map(|_| running.read_line()).collect();
            let delivered = said(&mut running).at("out").count("delivered");
            running.signal(Signal::KILL);
            let ran = running.end();
            assert_eq!(ran.status, 128 + 9, "{ran:?}");
            (shown + &ran.stdout, delivered)
        });
        watched.killed(life, &shown);
        let whole = watched.dir.read("out.ndjson").matches('\n').count();
        assert!(whole as u64 >= delivered, "{whole} lines of {delivered} that were delivered");
        let ran = watched.run(more);
        assert_eq!((ran.status, count(&ran, "accepted")), (0, 100), "{ran:?}");
        watched.assert_all_is_settled();
        assert_eq!(watched.dir.lines("out.ndjson"), [&input[..whole], more].concat());
    }

    // A sink that had nothing gets nothing of it.
    let mut watched = watched(MEMORY, HANGING, "");
    watched.begin(input);
    let mut running = start_alone(&watched);
    running.send(&(input[..10].join("\n") + "\n"));
    wait_until(&mut running, "accepted", 10);
    running.signal(Signal::KILL);
    running.end();
    watched.dir.write("audit.toml", config(MEMORY, FILE, ""));
    let ran = watched.run(&[]);
    assert_eq!((ran.status, count(&ran, "accepted")), (0, 0), "{ran:?}");
    assert_eq!(watched.dir.read("out.ndjson"), "");
}
