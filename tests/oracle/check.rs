//! Compares what is there with what was issued.

use std::collections::HashSet;

use super::ledger::{Issued, Outcome, id_of};
use super::violation::{Kind, Violation};
use super::{LifeRecord, Oracle, Repeats};

/// Everything that is not as promised.
pub fn check(oracle: &Oracle) -> Vec<Violation> {
    let mut check = Check { oracle, violations: Vec::new() };
    for sink in &oracle.sinks {
        check.sink(sink);
    }
    for (number, life) in oracle.lives.iter().enumerate() {
        check.strangers(life);
        if let Some(summary) = &life.summary {
            check.counters(number, life, summary);
        }
    }
    check.left();
    check.violations
}

/// A comparison that is under way.
pub(super) struct Check<'a> {
    pub(super) oracle: &'a Oracle,
    violations: Vec<Violation>,
}

/// What was found at one sink so far.
struct Found {
    /// For each event that was issued, whether it is there.
    delivered: Vec<bool>,
    /// For each event, whether it may come again, since its life was killed.
    may_repeat: Vec<bool>,
    /// The last event of each producer that came for the first time.
    last: Vec<Option<usize>>,
    /// How many events the gap events account for.
    told: u64,
}

impl<'a> Check<'a> {
    /// What was written to one sink, in all lives.
    fn sink(&mut self, sink: &str) {
        let (events, producers) = (self.oracle.ledger.events().len(), self.oracle.ledger.producers());
        let none = vec![false; events];
        let mut found =
            Found { delivered: none.clone(), may_repeat: none, last: vec![None; producers], told: 0 };
        for life in &self.oracle.lives {
            self.output(sink, life, &mut found);
        }
        let mut settled = found.delivered;
        for line in self.oracle.lives.iter().filter_map(|life| life.letters.get(sink)).flatten() {
            let Some(index) = self.recognize("a dead letter", line) else { continue };
            if settled[index] && self.oracle.repeats != Repeats::Anywhere {
                self.report(Kind::SettledTwice, sink, self.id(index));
            }
            settled[index] = true;
        }
        let left =
            self.oracle.left.iter().filter(|left| left.by_sink.get(sink).is_some_and(|count| *count > 0));
        for id in left.flat_map(|left| &left.lines).filter_map(|line| id_of(line)) {
            if let Some(index) = self.oracle.ledger.find(id) {
                settled[index] = true;
            }
        }
        self.missing(sink, &settled, found.told);
    }

    fn output(&mut self, sink: &str, life: &LifeRecord, found: &mut Found) {
        let Some(output) = life.outputs.get(sink) else { return };
        if let (Some(text), Some(_)) = (&output.torn, &life.summary) {
            self.report(Kind::Torn, sink, text);
        }
        let anywhere = self.oracle.repeats == Repeats::Anywhere;
        let mut in_this_life = HashSet::new();
        let mut latest: Vec<Option<usize>> = vec![None; found.last.len()];
        for line in &output.lines {
            if let Some(count) = told_by(line) {
                found.told += count;
                continue;
            }
            let Some(index) = self.recognize(sink, line) else { continue };
            let event = &self.oracle.ledger.events()[index];
            let is_first = !std::mem::replace(&mut found.delivered[index], true);
            let is_first_here = in_this_life.insert(index);
            if !anywhere && !(is_first_here && (is_first || found.may_repeat[index])) {
                self.report(Kind::Repeated, sink, &event.id);
            }
            let is_behind = |last: Option<usize>| last.is_some_and(|last| last > index);
            let (last, latest) = (&mut found.last[event.producer], &mut latest[event.producer]);
            if (is_first && is_behind(*last)) || (!anywhere && is_behind(*latest)) {
                let producer = self.oracle.ledger.producer(event);
                self.report(Kind::OutOfOrder, sink, &format!("{} of {producer}", event.id));
            }
            *latest = Some(index);
            *last = if is_first { Some(index) } else { *last };
        }
        if life.summary.is_none() && self.oracle.repeats == Repeats::AfterKill {
            in_this_life.into_iter().for_each(|index| found.may_repeat[index] = true);
        }
    }

    /// What is accepted has to be there, or to be told as lost.
    fn missing(&mut self, sink: &str, settled: &[bool], told: u64) {
        let events = self.oracle.ledger.events().iter().zip(settled);
        let missing: Vec<&Issued> =
            events.filter(|(_, settled)| !**settled).map(|(event, _)| event).collect();
        let of = |is_so: fn(&Issued) -> bool| missing.iter().filter(|event| is_so(event)).count() as u64;
        let (known, unknown) = (of(Issued::is_accepted), of(|event| event.outcome == Outcome::Unknown));
        let summaries = self.oracle.lives.iter().filter_map(|life| life.summary.as_ref());
        let dropped = summaries.map(|summary| summary.at(sink).count("dropped")).sum();
        if told == 0 && known > dropped {
            for event in missing.into_iter().filter(|event| event.is_accepted()) {
                let producer = self.oracle.ledger.producer(event);
                self.report(Kind::Missing, sink, &format!("{} of {producer}", event.id));
            }
        } else {
            let least = known.saturating_sub(dropped);
            self.expect(format!("{sink}: what gap events tell as lost"), told, least, known + unknown);
        }
    }

    fn left(&mut self) {
        let Some(left) = &self.oracle.left else { return };
        let mut seen = HashSet::new();
        for line in left.lines.iter().filter(|line| told_by(line).is_none()) {
            let Some(index) = self.recognize("the spool", line) else { continue };
            if !seen.insert(index) {
                self.report(Kind::Repeated, "the spool", self.id(index));
            }
        }
        let lines = left.lines.len() as u64;
        self.expect("what waits in the spool".to_owned(), left.events, lines, lines);
    }

    /// Lines at places that are no sink of the test, and dead letters that are none.
    fn strangers(&mut self, life: &LifeRecord) {
        let outputs = life.outputs.iter().filter(|(sink, _)| !self.oracle.sinks.contains(sink));
        let lines =
            outputs.flat_map(|(sink, output)| output.lines.iter().map(move |line| (sink.as_str(), line)));
        for (place, line) in lines.chain(life.unreadable.iter().map(|line| ("the dead letters", line))) {
            self.report(Kind::NeverIssued, place, line);
        }
    }

    /// Which event this line is; reports what is wrong with it.
    fn recognize(&mut self, place: &str, line: &str) -> Option<usize> {
        let ledger = &self.oracle.ledger;
        let Some(index) = id_of(line).and_then(|id| ledger.find(id)) else {
            self.report(Kind::NeverIssued, place, line);
            return None;
        };
        let event = &ledger.events()[index];
        if event.line != line {
            self.report(Kind::Altered, place, line);
        }
        if event.outcome == Outcome::Refused {
            self.report(Kind::RefusedYetThere, place, &event.id);
        }
        Some(index)
    }

    /// A figure that somebody gave, and between what it has to be.
    pub(super) fn expect(&mut self, what: String, said: u64, least: u64, most: u64) {
        if !(least..=most).contains(&said) {
            let most = if least == most { String::new() } else { format!(" to {most}") };
            self.report(
                Kind::Miscounted,
                "the counters",
                &format!("{what} is said to be {said}, and is {least}{most}"),
            );
        }
    }

    fn report(&mut self, kind: Kind, place: &str, what: &str) {
        self.violations.push(Violation { kind, place: place.to_owned(), what: what.to_owned() });
    }

    fn id(&self, index: usize) -> &'a str {
        &self.oracle.ledger.events()[index].id
    }
}

/// How many events a gap event tells as lost; `None` for other lines.
pub(super) fn told_by(line: &str) -> Option<u64> {
    if !line.contains(r#""audit_host":{"kind":"gap""#) {
        return None;
    }
    let event: serde_json::Value = serde_json::from_str(line).ok()?;
    let gap = &event["metadata"]["audit_host"];
    let is_gap = event["manager"] == "audit_host" && event["action"] == "mutation" && gap["kind"] == "gap";
    gap["count"].as_u64().filter(|_| is_gap)
}
