//! The oracle that suites share: what was issued, what became of it, and whether that is as promised.
//!
//! A test tells it of every event before it is recorded, and what `record` said; then of everything that is there
//! afterwards: what each sink wrote, the dead letters, the spool, the summaries. [`Oracle::check`] compares:
//!
//! - no accepted event is missing at any sink, unless a gap event at that sink accounts for it;
//! - nothing is there that was never issued, or was refused;
//! - the bytes are those that were issued, and no line is torn;
//! - what a producer issued is in its order;
//! - nothing is there twice but where that is allowed;
//! - the counters of each process that ended add up, and are what was found: `lost` is what is missing, and no remainder.
//!
//! A *life* is one process. Of one that was killed nothing is known but what it left.

mod check;
mod counters;
mod follow;
mod journal;
mod ledger;
mod left;
mod summary;
mod violation;

use std::collections::BTreeMap;
use std::path::Path;

pub use follow::Follow;
pub use journal::Journal;
pub use ledger::{Outcome, id_of};
pub use left::Left;
pub use summary::{Counters, Summary};
pub use violation::{Kind, Violation};

use ledger::Ledger;

/// Where events may be twice at one sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    /// Nowhere.
    Never,
    /// What a life that was killed had written may come again in a later one, once in each.
    AfterKill,
    /// Wherever a call may have been abandoned, or panicked.
    Anywhere,
}

/// What was issued, and what is known to have become of it.
pub struct Oracle {
    sinks: Vec<String>,
    repeats: Repeats,
    ledger: Ledger,
    lives: Vec<LifeRecord>,
    left: Option<Left>,
}

/// One process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life(usize);

#[derive(Default)]
struct LifeRecord {
    outputs: BTreeMap<String, Output>,
    /// Of each sink, the events in its dead letters.
    letters: BTreeMap<String, Vec<String>>,
    /// Lines among the dead letters that are none.
    unreadable: Vec<String>,
    /// Of one that was not killed.
    summary: Option<Summary>,
}

#[derive(Default)]
struct Output {
    lines: Vec<String>,
    torn: Option<String>,
}

impl Oracle {
    /// Nothing was issued so far; each event is for all of these sinks.
    pub fn new(sinks: &[&str], repeats: Repeats) -> Self {
        let sinks = sinks.iter().map(|sink| sink.to_string()).collect();
        Self { sinks, repeats, ledger: Ledger::default(), lives: Vec::new(), left: None }
    }

    /// A process begins.
    pub fn begin(&mut self) -> Life {
        self.lives.push(LifeRecord::default());
        Life(self.lives.len() - 1)
    }

    /// An event is about to be recorded by one of the producers of a process: its canonical line, without newline.
    pub fn issue(&mut self, life: Life, producer: &str, line: &str) {
        self.ledger.issue(life.0, producer, line);
    }

    /// What its caller knows of an event that was issued, by its id.
    pub fn note(&mut self, id: &str, outcome: Outcome) {
        self.ledger.note(id, outcome);
    }

    /// Takes in the journals that the producers of a process have kept in this folder.
    pub fn read_journals(&mut self, life: Life, folder: &Path) {
        journal::read(folder, &mut |producer, entry| match entry {
            journal::Entry::Issued(line) => self.ledger.issue(life.0, producer, line),
            journal::Entry::Noted(id, outcome) => self.ledger.note(id, outcome),
        });
    }

    /// What a sink wrote in this life. The last line of a life that was killed may be torn.
    pub fn wrote(&mut self, life: Life, sink: &str, text: &str) {
        let output = self.lives[life.0].outputs.entry(sink.to_owned()).or_default();
        for line in text.split_inclusive('\n') {
            match line.strip_suffix('\n') {
                Some(line) => output.lines.push(line.to_owned()),
                None => output.torn = Some(line.to_owned()),
            }
        }
    }

    /// What came to the file of dead letters in this life.
    pub fn dead_lettered(&mut self, life: Life, text: &str) {
        let life = &mut self.lives[life.0];
        for line in text.lines() {
            match left::read_letter(line) {
                Some((sink, event)) => life.letters.entry(sink).or_default().push(event),
                None => life.unreadable.push(line.to_owned()),
            }
        }
    }

    /// This life has ended in order, and said this of itself.
    pub fn ended(&mut self, life: Life, summary: Summary) {
        self.lives[life.0].summary = Some(summary);
    }

    /// What is in the spool after the last life.
    pub fn left(&mut self, left: Left) {
        self.left = Some(left);
    }

    /// How many events are known to be accepted.
    pub fn accepted(&self) -> usize {
        self.ledger.events().iter().filter(|event| event.is_accepted()).count()
    }

    /// Everything that is not as promised.
    pub fn check(&self) -> Vec<Violation> {
        check::check(self)
    }

    /// Panics with the first violations, if there are any.
    #[track_caller]
    pub fn assert(&self, what: &str) {
        let violations = self.check();
        let shown: Vec<_> = violations.iter().take(10).map(|violation| format!("\n- {violation}")).collect();
        assert!(violations.is_empty(), "{what}: {} violations:{}", violations.len(), shown.concat());
    }
}
