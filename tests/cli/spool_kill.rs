//! `kill -9` at any moment, and what the next process finds in the spool.
//!
//! A round kills the program after it has printed a number of events, and has then said how many it has accepted: those
//! are accepted for sure, and of the rest of its input nobody knows. So many rounds of each of the kinds:
//! `AUDIT_CRASH_ROUNDS=10000 cargo test -p audit-host -p audit-tests --test binary --test cli spool_kill`.

use std::collections::HashSet;
use std::io::Write;

use audit_tests::modes::PATIENT;
use audit_tests::oracle::{Repeats, Summary};
use rustix::process::Signal;

use crate::PRINT_FIRST;
use crate::watched::{Watched, canonical, possible_duplicates};

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
        r#"{PRINT_FIRST}[[audit_logger]]
name = "second"
{second}
[buffer]
spool_dir = "spool"
{PATIENT}"#
    )
}

const FILE: &str =
    "class = \"file.FileAuditLogger\"\noptions = { path = \"second.ndjson\", flush_interval = 0.001 }";
const HANGING: &str = "class = \"test.Hanging\"\noptions = { in = \"write\", release = \"never\" }";

fn round(number: u64, second: &str) -> Watched {
    Watched::new(format!("round {number}"), &config(second), &["print", "second"], Repeats::AfterKill)
}

/// Starts a run with this input, and kills it when it has printed so many events and said how many it has accepted.
fn run_and_kill(round: &mut Watched, input: &[String], printed: u64) {
    let life = round.begin(input);
    let mut running = round.dir.audit_host(&["run"]).start();
    let mut stdin = running.stdin.take().expect("standard input is open");
    let text = input.join("\n") + "\n";
    let (shown, said) = std::thread::scope(|scope| {
        // It is killed before it has read all of it.
        scope.spawn(move || drop(stdin.write_all(text.as_bytes())));
        let shown: String = (0..printed).map(|_| running.read_line()).collect();
        running.signal(Signal::USR1);
        let said = running.wait_for("audit-host: accepted=");
        running.signal(Signal::KILL);
        let ran = running.end();
        assert_eq!(ran.status, 128 + 9, "{ran:?}");
        (shown + &ran.stdout, said)
    });
    let said = Summary::of(&said).totals;
    let accepted = said.count("accepted") - said.count("recovered");
    round.accepted(&input[..usize::try_from(accepted).expect("a count")]);
    round.killed(life, &shown);
}

/// A number below `most` that differs from round to round, and is the same each time.
fn pick(round: u64, most: u64) -> u64 {
    let mixed = (round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) % most
}

#[test]
fn after_kill_9_the_next_process_delivers_what_a_sink_had_not_taken_in_order_and_once() {
    let input = canonical(5000);
    for number in 0..rounds() {
        let mut round = round(number, HANGING);
        run_and_kill(&mut round, &input, 1 + pick(number, 4000));
        round.dir.write("audit.toml", config(FILE));
        let ran = round.run(&[]);
        assert_eq!(ran.status, 0, "{ran:?}");
        round.assert_all_is_settled();
    }
}

#[test]
fn after_kill_9_while_events_are_delivered_none_is_missing_and_no_line_is_torn() {
    let input = canonical(5000);
    for number in 0..rounds() {
        let mut round = round(number, FILE);
        run_and_kill(&mut round, &input, 1 + pick(number, 4000));
        let ran = round.run(&[]);
        assert_eq!(ran.status, 0, "{ran:?}");
        round.assert_all_is_settled();
        let lines = round.dir.lines("second.ndjson");
        let twice = lines.len() - lines.iter().collect::<HashSet<_>>().len();
        let said = possible_duplicates(&ran);
        assert!(twice as u64 <= said, "round {number}: {twice} came twice, {said} might have: {ran:?}");
    }
}

#[test]
fn killed_again_and_again_on_one_spool_it_loses_nothing() {
    const KILLS: usize = 5;
    let input = canonical(5000);
    for number in 0..rounds().div_ceil(KILLS as u64) {
        // Where both sinks deliver, what is recovered is given back in part before the next kill.
        let mut round = round(number, if number % 2 == 0 { HANGING } else { FILE });
        for (kill, lines) in (0..).zip(input.chunks(input.len() / KILLS)) {
            run_and_kill(&mut round, lines, 1 + pick(number * KILLS as u64 + kill, 900));
        }
        round.assert();
        round.dir.write("audit.toml", config(FILE));
        let ran = round.run(&[]);
        assert_eq!(ran.status, 0, "{ran:?}");
        round.assert_all_is_settled();
    }
}
