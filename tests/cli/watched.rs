//! A folder in which the program runs, again and again, while an oracle watches.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use audit_tests::oracle::{Follow, Left, Life, Oracle, Outcome, Repeats, Summary, id_of};
use audit_tests::{Dir, Ran};

use crate::{FILE, real_events};

/// A folder in which the program runs with sinks that write to `NAME.ndjson`, or `print` to standard output.
pub struct Watched {
    pub dir: Dir,
    pub oracle: Oracle,
    outputs: Vec<(String, Follow)>,
    letters: Follow,
    what: String,
}

impl Watched {
    /// With this `audit.toml`, and sinks of these names.
    pub fn new(what: impl Into<String>, audit_toml: &str, sinks: &[&str], repeats: Repeats) -> Self {
        let dir = Dir::with(audit_toml);
        let files = sinks.iter().filter(|sink| **sink != "print");
        let outputs =
            files.map(|sink| (sink.to_string(), Follow::new(dir.path(format!("{sink}.ndjson"))))).collect();
        let letters = Follow::new(dir.path("dead-letters.ndjson"));
        Self { oracle: Oracle::new(sinks, repeats), dir, outputs, letters, what: what.into() }
    }

    /// A process is about to read these canonical lines.
    pub fn begin(&mut self, input: &[String]) -> Life {
        let life = self.oracle.begin();
        let producer = format!("the input of {life:?}");
        input.iter().for_each(|line| self.oracle.issue(life, &producer, line));
        life
    }

    /// These lines are known to be accepted.
    pub fn accepted(&mut self, lines: &[String]) {
        for line in lines {
            self.oracle.note(id_of(line).expect("a canonical line"), Outcome::Accepted);
        }
    }

    /// Runs with this input to the end; all of it must be accepted.
    pub fn run(&mut self, input: &[String]) -> Ran {
        let life = self.begin(input);
        let text: String = input.iter().flat_map(|line| [line, "\n"]).collect();
        let ran = self.dir.audit_host(&["run", "--summary", "json"]).input(text).run();
        self.accepted(input);
        self.ended(life, &ran);
        ran
    }

    /// Takes in what a process has left that ended in order.
    pub fn ended(&mut self, life: Life, ran: &Ran) {
        self.killed(life, &ran.stdout);
        self.oracle.ended(life, Summary::at_end_of(ran));
    }

    /// Takes in what a process has left that was killed after it had printed this.
    pub fn killed(&mut self, life: Life, printed: &str) {
        self.oracle.wrote(life, "print", printed);
        for (sink, file) in &mut self.outputs {
            self.oracle.wrote(life, sink, &file.more());
        }
        self.oracle.dead_lettered(life, &self.letters.more());
    }

    /// Looks into the spool, and asks the oracle.
    #[track_caller]
    pub fn assert(&mut self) {
        self.oracle.left(Left::read(&self.dir));
        self.oracle.assert(&self.what);
    }

    /// Asks the oracle; nothing may be left in the spool, where there is one.
    #[track_caller]
    pub fn assert_all_is_settled(&mut self) {
        self.oracle.left(Left::default());
        self.oracle.assert(&self.what);
        if !self.dir.read("audit.toml").contains("spool_dir") {
            return;
        }
        let left = std::fs::read_dir(self.dir.path("spool")).expect("the spool");
        let left: Vec<_> = left.map(|entry| contents(&entry.expect("an entry").path())).collect();
        assert!(left.is_empty(), "{}: {left:?}", self.what);
    }
}

/// A folder, and the names in it.
fn contents(folder: &Path) -> (PathBuf, Vec<OsString>) {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    (folder.to_owned(), entries.flatten().map(|entry| entry.file_name()).collect())
}

/// The canonical lines of the first of the real events, at most 5,000: fed in again they keep their ids.
pub fn canonical(count: usize) -> Vec<String> {
    // Nobody waits for a disk that is busy with other tests.
    let dir = Dir::with(&FILE.replace("path =", "fsync = \"never\", path ="));
    let ran = dir.audit_host(&["run", &real_events()]).run();
    assert_eq!(ran.status, 0, "{ran:?}");
    let mut lines = dir.lines("out.ndjson");
    lines.truncate(count);
    lines
}

/// How many of the events that it found in the spool a run has said may come twice.
pub fn possible_duplicates(ran: &Ran) -> u64 {
    let said = ran.stderr.split_once("possible_duplicates=").map(|(_, said)| said);
    let digits = said.and_then(|said| said.split(|sign: char| !sign.is_ascii_digit()).next());
    digits.map_or(0, |digits| digits.parse().expect("a number"))
}
