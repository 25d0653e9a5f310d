//! The counters with which a process ends.

use std::collections::BTreeMap;

use crate::Ran;

/// Counters by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<String, u64>);

impl Counters {
    /// The counter of this name; 0 where there is none.
    pub fn count(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// The same with another value of one counter.
    pub fn with(mut self, name: &str, count: u64) -> Self {
        self.0.insert(name.to_owned(), count);
        self
    }
}

/// The counters with which a process ends.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Each event once.
    pub totals: Counters,
    /// Those of each sink, where there are several.
    pub sinks: BTreeMap<String, Counters>,
}

impl Summary {
    /// Reads a summary line, as text or as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub fn of(line: &str) -> Self {
        Self::read(line).unwrap_or_else(|error| panic!("no summary: {error}: {line}"))
    }

    /// Reads the summary at the end of what a program has said.
    ///
    /// # Panics
    /// If there is none.
    pub fn at_end_of(ran: &Ran) -> Self {
        Self::read(ran.summary()).unwrap_or_else(|error| panic!("no summary: {error}: {ran:?}"))
    }

    fn read(line: &str) -> Result<Self, serde_json::Error> {
        if let Some(text) = line.trim_end().strip_prefix("audit-host: ") {
            let fields = text.split(' ').filter_map(|field| field.split_once('='));
            let totals = fields.map(|(name, count)| (name.to_owned(), count.parse().expect("a count")));
            return Ok(Self { totals: Counters(totals.collect()), sinks: BTreeMap::new() });
        }
        let value: serde_json::Value = serde_json::from_str(line)?;
        let table = value.as_object().into_iter();
        let sinks = value["sinks"].as_object().into_iter().flatten();
        Ok(Self {
            totals: counters(table.flatten()),
            sinks: sinks
                .map(|(name, counts)| (name.clone(), counters(counts.as_object().into_iter().flatten())))
                .collect(),
        })
    }

    /// The counters of this sink, which may be the only one.
    pub fn at(&self, sink: &str) -> &Counters {
        self.sinks.get(sink).unwrap_or(&self.totals)
    }
}

fn counters<'a>(fields: impl Iterator<Item = (&'a String, &'a serde_json::Value)>) -> Counters {
    Counters(fields.filter_map(|(name, value)| Some((name.clone(), value.as_u64()?))).collect())
}
