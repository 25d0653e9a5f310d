//! `kill -9` at any moment, and what the next process finds in the spool.
//!
//! A round kills the program when it has printed a number of events: so many it had accepted, at least. What it had
//! accepted beyond those nobody knows here. The next process has to deliver a beginning of the input that is at least as
//! long, byte for byte and in order. So many rounds of each of the two kinds:
//! `AUDIT_CRASH_ROUNDS=10000 cargo test -p audit-tests --test cli spool_kill`.

use std::collections::HashSet;
use std::io::Write;

use audit_tests::Dir;
use rustix::process::Signal;

use crate::real_events;

/// Rounds of each kind without `AUDIT_CRASH_ROUNDS`.
const ROUNDS: u64 = 100;

fn rounds() -> u64 {
    let rounds =
        std::env::var("AUDIT_CRASH_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
    assert_ne!(rounds, 0, "no round shows nothing");
    rounds
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

/// Starts a run, and kills it when it has printed so many events; returns them.
fn kill_after(dir: &Dir, input: &str, printed: u64) -> Vec<String> {
    let mut running = dir.audit_host(&["run"]).start();
    let mut stdin = running.stdin.take().expect("standard input is open");
    std::thread::scope(|scope| {
        // It is killed before it has read all of it.
        scope.spawn(move || drop(stdin.write_all(input.as_bytes())));
        let shown = (0..printed).map(|_| running.read_line().strip_suffix('\n').expect("a line").to_owned());
        let shown = shown.collect();
        running.signal(Signal::KILL);
        assert_eq!(running.end().status, 128 + 9);
        shown
    })
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
        let delivered = whole_lines(&dir);
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
        // The last line may be torn: the sink moves it aside.
        let before = out(&dir);
        let before: Vec<String> = before
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .map(|line| line.trim_end().to_owned())
            .collect();
        let ran = dir.audit_host(&["run"]).run();
        assert_eq!(ran.status, 0, "round {round}: {ran:?}");
        let after = whole_lines(&dir);
        assert!(after[..before.len()] == before, "round {round}: what was delivered has changed");
        // What comes again was there before; each comes again once at most.
        let had: HashSet<&String> = before.iter().collect();
        let (repeated, new): (Vec<String>, Vec<String>) =
            after[before.len()..].iter().cloned().partition(|line| had.contains(line));
        let all: Vec<&String> = before.iter().chain(&new).collect();
        assert!(all.len() as u64 >= printed, "round {round}: {} of {printed}", all.len());
        assert!(
            all.iter().copied().eq(&expected[..all.len()]),
            "round {round}: not the first in their order"
        );
        assert!(
            is_subsequence(&repeated, &before),
            "round {round}: what comes again is out of order, or twice"
        );
        assert!(ran.summary().contains(" lost=0 spooled=0 "), "round {round}: {ran:?}");
        let recovered = ran.summary().rsplit("recovered=").next().and_then(|count| count.parse().ok());
        assert!(recovered >= Some(repeated.len() + new.len()), "round {round}: {ran:?}");
        assert_eq!(std::fs::read_dir(dir.path("spool")).expect("the spool").count(), 0, "round {round}");
    }
}

#[test]
fn killed_again_and_again_on_one_spool_it_loses_nothing_that_it_had_shown() {
    const KILLS: u64 = 5;
    let expected = expected();
    let input = std::fs::read_to_string(real_events()).expect("the real events");
    for round in 0..rounds().div_ceil(KILLS) {
        let dir = Dir::with(&config(HANGING));
        let mut shown = HashSet::new();
        for kill in 0..KILLS {
            let begin = kill as usize * 1000;
            let lines: String =
                input.lines().skip(begin).take(1000).map(|line| format!("{line}\n")).collect();
            let printed = 1 + pick(round * KILLS + kill, 900);
            // Among them may be what an earlier process had printed, and not flushed.
            shown.extend(kill_after(&dir, &lines, printed));
        }
        dir.write("audit.toml", config(FILE));
        let ran = dir.audit_host(&["run"]).run();
        assert_eq!(ran.status, 0, "round {round}: {ran:?}");
        let delivered = whole_lines(&dir);
        shown.retain(|line| !delivered.contains(line));
        assert!(shown.is_empty(), "round {round}: shown and lost: {shown:?}");
        // Ids are derived from the line and its place in its input, so only the rest can be compared with one input.
        let rest = |line: &str| line[line.find(r#","timestamp""#).expect("a time")..].to_owned();
        let delivered: Vec<String> = delivered.iter().map(|line| rest(line)).collect();
        let expected: Vec<String> = expected.iter().map(|line| rest(line)).collect();
        assert!(is_subsequence(&delivered, &expected), "round {round}: out of order, twice, or altered");
        assert_eq!(std::fs::read_dir(dir.path("spool")).expect("the spool").count(), 0, "round {round}");
    }
}

fn out(dir: &Dir) -> String {
    std::fs::read_to_string(dir.path("out.ndjson")).unwrap_or_default()
}

/// The lines of the audit file; the last one is whole too.
fn whole_lines(dir: &Dir) -> Vec<String> {
    let text = out(dir);
    assert!(text.is_empty() || text.ends_with('\n'), "a torn line");
    text.lines().map(str::to_owned).collect()
}

/// Whether these are some of the others, in their order.
fn is_subsequence(some: &[String], all: &[String]) -> bool {
    let mut all = all.iter();
    some.iter().all(|one| all.any(|other| one == other))
}
