//! `kill -9` at any moment, and what the next process finds in the spool.
//!
//! A round kills the program after a number of events that it has printed: so many it had accepted, at least. The next
//! process has to deliver a beginning of the input that is at least as long, byte for byte and in order. More rounds:
//! `AUDIT_CRASH_ROUNDS=10000 cargo test -p audit-tests --test cli kill_9`.

use std::collections::HashSet;
use std::io::Write;

use audit_tests::Dir;
use rustix::process::Signal;

use crate::real_events;

/// Rounds of each kind without `AUDIT_CRASH_ROUNDS`.
const ROUNDS: u64 = 100;

fn rounds() -> u64 {
    std::env::var("AUDIT_CRASH_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().expect("a number"))
}

/// Prints what comes, and gives it to a second sink; everything is in the spool first.
fn config(second: &str) -> String {
    format!(
        r#"
[[audit_logger]]
name = "print"
class = "print.PrintAuditLogger"
options = {{ format = "json", flush_interval = 0.001 }}
[[audit_logger]]
name = "second"
{second}
[buffer]
spool_dir = "spool"
"#
    )
}

const FILE: &str =
    "class = \"file.FileAuditLogger\"\noptions = { path = \"out.ndjson\", flush_interval = 0.001 }";
const HANGING: &str = "class = \"test.Hanging\"\noptions = { in = \"write\", release = \"never\" }";

/// The canonical lines of the real events.
fn expected() -> Vec<String> {
    let dir = Dir::with(&format!("[audit_logger]\n{FILE}\n"));
    let ran = dir.audit_host(&["run", &real_events()]).run();
    assert_eq!(ran.status, 0, "{ran:?}");
    dir.lines("out.ndjson")
}

/// Starts a run, and kills it when it has printed so many events.
fn kill_after(dir: &Dir, input: &str, printed: u64) {
    let mut running = dir.audit_host(&["run"]).start();
    let mut stdin = running.stdin.take().expect("standard input is open");
    std::thread::scope(|scope| {
        // It is killed before it has read all of it.
        scope.spawn(move || drop(stdin.write_all(input.as_bytes())));
        for _ in 0..printed {
            assert!(running.read_line().ends_with('\n'));
        }
        running.signal(Signal::KILL);
        assert_eq!(running.end().status, 128 + 9);
    });
}

/// A number below `most` that differs from round to round, and is the same each time.
fn pick(round: u64, most: u64) -> u64 {
    let mixed = (round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) % most
}

#[test]
fn after_kill_9_the_next_process_delivers_what_a_sink_had_not_taken_in_order_and_once() {
    let expected = expected();
    let input = std::fs::read_to_string(real_events()).expect("the real events");
    for round in 0..rounds() {
        let dir = Dir::with(&config(HANGING));
        let printed = 1 + pick(round, 4000);
        kill_after(&dir, &input, printed);
        dir.write("audit.toml", config(FILE));
        let ran = dir.audit_host(&["run"]).run();
        let delivered = dir.lines("out.ndjson");
        assert!(delivered.len() as u64 >= printed, "round {round}: {} of {printed}", delivered.len());
        assert!(
            delivered == expected[..delivered.len()],
            "round {round}: not the first events in their order"
        );
        let recovered = format!(" lost=0 spooled=0 recovered={}", delivered.len());
        assert!(ran.summary().ends_with(&recovered), "round {round}: {ran:?}");
        assert_eq!(ran.status, 0, "round {round}: {ran:?}");
        assert_eq!(std::fs::read_dir(dir.path("spool")).expect("the spool").count(), 0, "round {round}");
    }
}

#[test]
fn after_kill_9_while_events_are_delivered_none_is_missing_and_no_line_is_torn() {
    let expected = expected();
    let input = std::fs::read_to_string(real_events()).expect("the real events");
    for round in 0..rounds() {
        let dir = Dir::with(&config(FILE));
        let printed = 1 + pick(round, 4000);
        kill_after(&dir, &input, printed);
        let ran = dir.audit_host(&["run"]).run();
        assert_eq!(ran.status, 0, "round {round}: {ran:?}");
        let mut seen = HashSet::new();
        // Duplicates are what the file had before: then the rest follows in order.
        let firsts: Vec<String> =
            dir.lines("out.ndjson").into_iter().filter(|line| seen.insert(line.clone())).collect();
        assert!(firsts.len() as u64 >= printed, "round {round}: {} of {printed}", firsts.len());
        assert!(firsts == expected[..firsts.len()], "round {round}: not the first events in their order");
        assert!(ran.summary().contains(" lost=0 spooled=0 "), "round {round}: {ran:?}");
    }
}
