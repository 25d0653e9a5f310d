//! What was issued, in the order of each producer.

use std::collections::HashMap;

/// What the caller of `record` knows of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: it was killed within the call.
    Unknown,
    /// It was refused, and must not be anywhere.
    Refused,
    /// It was accepted.
    Accepted,
    /// It was accepted, and on the disk when `record` returned.
    Durable,
}

/// An event that was issued.
pub struct Issued {
    /// Its id.
    pub id: String,
    /// Its canonical line.
    pub line: String,
    /// Which producer issued it; within one, events are in their order.
    pub producer: usize,
    /// In which process.
    pub life: usize,
    /// What is known of it.
    pub outcome: Outcome,
}

impl Issued {
    /// Whether it must be somewhere.
    pub fn is_accepted(&self) -> bool {
        matches!(self.outcome, Outcome::Accepted | Outcome::Durable)
    }
}

/// What was issued, in the order of each producer.
#[derive(Default)]
pub struct Ledger {
    events: Vec<Issued>,
    by_id: HashMap<String, usize>,
    producers: Vec<String>,
}

impl Ledger {
    /// An event is about to be recorded.
    pub fn issue(&mut self, life: usize, producer: &str, line: &str) {
        let id = id_of(line).unwrap_or_else(|| panic!("no canonical line: {line}")).to_owned();
        let producer = match self.producers.iter().rposition(|known| known == producer) {
            Some(index) => index,
            None => {
                self.producers.push(producer.to_owned());
                self.producers.len() - 1
            }
        };
        let before = self.by_id.insert(id.clone(), self.events.len());
        assert_eq!(before, None, "{id} is issued twice");
        self.events.push(Issued { id, line: line.to_owned(), producer, life, outcome: Outcome::Unknown });
    }

    /// What became of it.
    pub fn note(&mut self, id: &str, outcome: Outcome) {
        let index = self.by_id.get(id).unwrap_or_else(|| panic!("{id} was never issued"));
        self.events[*index].outcome = outcome;
    }

    /// All that was issued.
    pub fn events(&self) -> &[Issued] {
        &self.events
    }

    /// Where an event is among them.
    pub fn find(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// The name of a producer.
    pub fn producer(&self, event: &Issued) -> &str {
        &self.producers[event.producer]
    }

    /// How many producers there are.
    pub fn producers(&self) -> usize {
        self.producers.len()
    }
}

/// The id at the beginning of a canonical line.
pub fn id_of(line: &str) -> Option<&str> {
    line.strip_prefix("{\"event_id\":\"")?.split('"').next()
}
