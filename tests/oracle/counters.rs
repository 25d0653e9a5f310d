//! The identity of the counters: each is counted anew from what was found.

use std::collections::HashSet;

use super::check::{Check, told_by};
use super::ledger::{Outcome, id_of};
use super::summary::{Counters, Summary};
use super::{LifeRecord, Repeats};

/// What one process recorded itself: at least, at most.
type Own = (u64, u64);

impl Check<'_> {
    /// What a process that ended has said of itself.
    pub(super) fn counters(&mut self, number: usize, life: &LifeRecord, summary: &Summary) {
        let oracle = self.oracle;
        let own = oracle.ledger.events().iter().filter(|event| event.life == number);
        let own = own.fold((0, 0), |(least, most), event| {
            (least + u64::from(event.is_accepted()), most + u64::from(event.outcome != Outcome::Refused))
        });
        for sink in &oracle.sinks {
            self.counters_of(sink, number, life, summary.at(sink), own);
        }
        self.totals(number, life, summary, own);
    }

    fn counters_of(&mut self, sink: &str, number: usize, life: &LifeRecord, counters: &Counters, own: Own) {
        let name = |what: &str| format!("`{what}` of {sink} in life {number}");
        let output = life.outputs.get(sink);
        let lines = output.map_or(0, |output| output.lines.len() as u64);
        let told: Vec<u64> =
            output.iter().flat_map(|output| &output.lines).filter_map(|line| told_by(line)).collect();
        // What comes twice was delivered once.
        let least = if self.oracle.repeats == Repeats::Anywhere { 0 } else { lines };
        self.expect(name("delivered"), counters.count("delivered"), least, lines);
        let letters = life.letters.get(sink).map_or(0, |letters| letters.len() as u64);
        self.expect(name("dead_lettered"), counters.count("dead_lettered"), letters, letters);
        let is_last = number + 1 == self.oracle.lives.len();
        if let Some(left) = self.oracle.left.as_ref().filter(|_| is_last) {
            // What was delivered, and never flushed, waits too, and counts as delivered.
            let waiting = left.by_sink.get(sink).copied().unwrap_or(0);
            let least = if least == 0 { waiting.saturating_sub(lines) } else { waiting };
            self.expect(name("spooled"), counters.count("spooled"), least, waiting);
        }
        if counters.count("spooled") == 0 {
            // A gap event may have been recorded by an earlier process, which was killed then.
            let sum = told.iter().sum();
            let was_killed = self.oracle.lives[..number].iter().any(|life| life.summary.is_none());
            self.expect(name("lost"), counters.count("lost"), if was_killed { 0 } else { sum }, sum);
        }
        self.adds_up(name("accepted"), counters, own, told.len() as u64);
    }

    /// Each event once: dead-lettered if any sink gave it up, else dropped, spooled or delivered.
    fn totals(&mut self, number: usize, life: &LifeRecord, summary: &Summary, own: Own) {
        let name = |what: &str| format!("`{what}` in life {number}");
        let totals = &summary.totals;
        let dead: HashSet<_> = life.letters.values().flatten().filter_map(|line| id_of(line)).collect();
        let letters = dead.len() as u64;
        self.expect(name("dead_lettered"), totals.count("dead_lettered"), letters, letters);
        let lines = || life.outputs.values().flat_map(|output| &output.lines);
        let written: HashSet<_> =
            lines().filter_map(|line| id_of(line)).filter(|id| !dead.contains(id)).collect();
        let gaps: HashSet<_> = lines().filter(|line| told_by(line).is_some()).collect();
        // What is left or dropped at one sink may be written at another.
        let elsewhere = totals.count("spooled") + totals.count("dropped");
        let written = written.len() as u64;
        self.expect(name("delivered"), totals.count("delivered"), written.saturating_sub(elsewhere), written);
        self.adds_up(name("accepted"), totals, own, gaps.len() as u64);
    }

    fn adds_up(&mut self, what: String, counters: &Counters, own: Own, gaps: u64) {
        let kinds = ["delivered", "dead_lettered", "dropped", "spooled", "lost", "queued", "in_flight"];
        let sum = kinds.iter().map(|name| counters.count(name)).sum();
        self.expect(format!("{what}, as a sum,"), counters.count("accepted"), sum, sum);
        // A gap event is accepted too, and may wait in the spool.
        let gaps = gaps + counters.count("spooled").min(counters.count("lost"));
        let fresh = counters.count("accepted").saturating_sub(counters.count("recovered"));
        self.expect(format!("{what}, less `recovered`,"), fresh, own.0, own.1 + gaps);
    }
}
