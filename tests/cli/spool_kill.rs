//! `kill -9` at any moment, and what the next process finds in the spool.
//!
//! A round kills the program after it has printed a number of events, and has then said how many it has accepted: those
//! are accepted for sure, and of the rest of its input nobody knows. So many rounds of each of the kinds:
//! `AUDIT_CRASH_ROUNDS=10000 cargo test -p audit-host -p audit-tests --test binary --test cli spool_kill`.

use std::io::Write;

use audit_tests::Dir;
use audit_tests::oracle::{Follow, Left, Life, Oracle, Outcome, Repeats, Summary, id_of};
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

/// The canonical lines of the real events: fed in again they keep their ids.
fn canonical() -> Vec<String> {
    let dir = Dir::with(&format!("[audit_logger]\n{FILE}\n"));
    let ran = dir.audit_host(&["run", &real_events()]).run();
    assert_eq!(ran.status, 0, "{ran:?}");
    dir.lines("out.ndjson")
}

/// The folder of a round, and what is known of it.
struct Round {
    dir: Dir,
    oracle: Oracle,
    out: Follow,
    what: String,
}

impl Round {
    fn new(number: u64, second: &str) -> Self {
        let dir = Dir::with(&config(second));
        let out = Follow::new(dir.path("out.ndjson"));
        let oracle = Oracle::new(&["print", "second"], Repeats::AfterKill);
        Self { dir, oracle, out, what: format!("round {number}") }
    }

    /// Starts a run with this input, and kills it when it has printed so many events and said how many it has accepted.
    fn run_and_kill(&mut self, input: &[String], printed: u64) {
        let life = self.oracle.begin();
        let producer = format!("the input of {life:?}");
        input.iter().for_each(|line| self.oracle.issue(life, &producer, line));
        let mut running = self.dir.audit_host(&["run"]).start();
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
            assert_eq!(ran.status, 128 + 9, "{}: {ran:?}", self.what);
            (shown + &ran.stdout, said)
        });
        let said = Summary::of(&said).totals;
        let accepted = said.count("accepted") - said.count("recovered");
        for line in &input[..usize::try_from(accepted).expect("a count")] {
            self.oracle.note(id_of(line).expect("a canonical line"), Outcome::Accepted);
        }
        self.wrote(life, &shown);
    }

    /// Runs without any input until everything is delivered.
    fn run_to_the_end(&mut self) -> Summary {
        let ran = self.dir.audit_host(&["run", "--summary", "json"]).run();
        assert_eq!(ran.status, 0, "{}: {ran:?}", self.what);
        let life = self.oracle.begin();
        self.wrote(life, &ran.stdout);
        let summary = Summary::of(ran.summary());
        self.oracle.ended(life, summary.clone());
        self.oracle.left(Left::default());
        self.oracle.assert(&self.what);
        let left = std::fs::read_dir(self.dir.path("spool")).expect("the spool").count();
        assert_eq!(left, 0, "{}", self.what);
        summary
    }

    fn wrote(&mut self, life: Life, printed: &str) {
        self.oracle.wrote(life, "print", printed);
        self.oracle.wrote(life, "second", &self.out.more());
    }
}

/// A number below `most` that differs from round to round, and is the same each time.
fn pick(round: u64, most: u64) -> u64 {
    let mixed = (round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) % most
}

#[test]
fn after_kill_9_the_next_process_delivers_what_a_sink_had_not_taken_in_order_and_once() {
    let input = canonical();
    for number in 0..rounds() {
        let mut round = Round::new(number, HANGING);
        round.run_and_kill(&input, 1 + pick(number, 4000));
        round.dir.write("audit.toml", config(FILE));
        let summary = round.run_to_the_end();
        let second = summary.at("second");
        assert_eq!(second.count("recovered"), second.count("delivered"), "{}", round.what);
    }
}

#[test]
fn after_kill_9_while_events_are_delivered_none_is_missing_and_no_line_is_torn() {
    let input = canonical();
    for number in 0..rounds() {
        let mut round = Round::new(number, FILE);
        round.run_and_kill(&input, 1 + pick(number, 4000));
        round.run_to_the_end();
    }
}

#[test]
fn killed_again_and_again_on_one_spool_it_loses_nothing() {
    const KILLS: usize = 5;
    let input = canonical();
    for number in 0..rounds().div_ceil(KILLS as u64) {
        // What is delivered meanwhile is recovered, offered and given back in part.
        let mut round = Round::new(number, if number % 2 == 0 { HANGING } else { FILE });
        for (kill, lines) in (0..).zip(input.chunks(input.len() / KILLS)) {
            round.run_and_kill(lines, 1 + pick(number * KILLS as u64 + kill, 900));
        }
        round.dir.write("audit.toml", config(FILE));
        round.run_to_the_end();
    }
}
