//! What a run came to, on one line.

use audit_host::config::{BufferSettings, Secrets};
use audit_host::pipeline::Counts;
use serde_json::{Map, Value, json};

use super::args::Format;
use super::json::printable_json;

/// Where accepted events wait, which decides what there is to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// In memory.
    Memory,
    /// In the spool: some may be found there at the start, and some may stay at the end.
    Spool,
}

impl Store {
    /// That of a run with these settings.
    pub fn of(buffer: &BufferSettings) -> Self {
        if buffer.spool.is_some() { Self::Spool } else { Self::Memory }
    }
}

/// What a run came to so far.
#[derive(Clone, Debug)]
pub struct Summary {
    totals: Counts,
    sinks: Vec<(String, Counts)>,
    store: Store,
    stopped_by: Option<&'static str>,
}

impl Summary {
    /// Counts of all sinks, each event once, and those of each sink by name.
    pub fn new(
        totals: Counts,
        sinks: impl IntoIterator<Item = (String, Counts)>,
        store: Store,
        secrets: &Secrets,
    ) -> Self {
        let mut masked: Vec<(String, Counts)> = Vec::new();
        for (name, counts) in sinks {
            let name = secrets.mask(&name);
            // Names that differ in what is masked only are told apart by the order in `audit.toml`.
            let name = match masked.iter().any(|(other, _)| *other == name) {
                true => format!("{name} ({})", masked.len() + 1),
                false => name.into_owned(),
            };
            masked.push((name, counts));
        }
        Self { totals, sinks: masked, store, stopped_by: None }
    }

    /// The same, of a run that this signal ended.
    pub fn stopped_by(self, signal: Option<&'static str>) -> Self {
        Self { stopped_by: signal, ..self }
    }

    /// The line, without a newline.
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Text => {
                let counts: Vec<_> =
                    self.named(&self.totals).map(|(name, count)| format!("{name}={count}")).collect();
                let stopped = self.stopped_by.map(|signal| format!(" stopped by {signal}"));
                format!("audit-host: {}{}", counts.join(" "), stopped.unwrap_or_default())
            }
            Format::Json => printable_json(&self.to_json().to_string()).into_owned(),
        }
    }

    fn to_json(&self) -> Value {
        let mut summary = self.table(&self.totals);
        if let Some(signal) = self.stopped_by {
            summary.insert("stopped_by".into(), json!(signal));
        }
        if self.sinks.len() > 1 {
            let sinks: Map<_, _> =
                self.sinks.iter().map(|(name, counts)| (name.clone(), self.table(counts).into())).collect();
            summary.insert("sinks".into(), sinks.into());
        }
        summary.into()
    }

    fn table(&self, counts: &Counts) -> Map<String, Value> {
        self.named(counts).map(|(name, count)| (name.to_owned(), json!(count))).collect()
    }

    fn named(&self, counts: &Counts) -> impl Iterator<Item = (&'static str, u64)> {
        let always = [
            ("accepted", counts.accepted),
            ("delivered", counts.delivered),
            ("retried", counts.retried),
            ("dead_lettered", counts.dead_lettered),
            ("dropped", counts.dropped),
            ("rejected", counts.rejected),
            ("lost", counts.lost),
        ];
        let of_spool = [("spooled", counts.spooled), ("recovered", counts.recovered)];
        let of_spool = of_spool.into_iter().filter(|_| self.store == Store::Spool);
        always.into_iter().chain(of_spool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        let totals = Counts {
            accepted: 7,
            delivered: 3,
            retried: 2,
            dead_lettered: 1,
            dropped: 1,
            rejected: 4,
            lost: 2,
            spooled: 5,
            recovered: 6,
            ..Counts::default()
        };
        Summary { totals, sinks: vec![("a".into(), totals)], store: Store::Memory, stopped_by: None }
    }

    #[test]
    fn the_line_is_that_of_the_contract() {
        let mut summary = summary();
        let line = "audit-host: accepted=7 delivered=3 retried=2 dead_lettered=1 dropped=1 rejected=4 lost=2";
        assert_eq!(summary.render(Format::Text), line);
        summary.stopped_by = Some("SIGTERM");
        assert_eq!(summary.render(Format::Text), format!("{line} stopped by SIGTERM"));
        summary.store = Store::Spool;
        assert_eq!(summary.render(Format::Text), format!("{line} spooled=5 recovered=6 stopped by SIGTERM"));
    }

    #[test]
    fn json_has_the_counters_of_the_spool_only_where_there_is_one() {
        let mut summary = summary();
        summary.sinks.push(("b".into(), Counts::default()));
        for (store, expected) in [(Store::Memory, None), (Store::Spool, Some((json!(5), json!(6))))] {
            summary.store = store;
            let value: Value = serde_json::from_str(&summary.render(Format::Json)).expect("JSON");
            for counts in [&value, &value["sinks"]["a"]] {
                let found = counts.get("spooled").cloned().zip(counts.get("recovered").cloned());
                assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn json_has_a_table_of_sinks_where_there_are_several() {
        let mut summary = summary();
        let parse = |summary: &Summary| -> Value {
            serde_json::from_str(&summary.render(Format::Json)).expect("JSON")
        };
        let totals = json!({
            "accepted": 7, "delivered": 3, "retried": 2, "dead_lettered": 1, "dropped": 1, "rejected": 4, "lost": 2
        });
        assert_eq!(parse(&summary), totals);
        summary.sinks.push(("b".into(), Counts::default()));
        summary.stopped_by = Some("SIGINT");
        let value = parse(&summary);
        assert_eq!((&value["sinks"]["a"], &value["sinks"]["b"]["accepted"]), (&totals, &json!(0)));
        assert_eq!(value["stopped_by"], "SIGINT");
    }

    #[test]
    fn names_that_differ_in_what_is_masked_stay_several() {
        let secrets = ["one".to_owned(), "two".to_owned()].into_iter().collect();
        let sinks = ["one", "two", "b"].map(|name| (name.to_owned(), Counts::default()));
        let summary = Summary::new(Counts::default(), sinks, Store::Memory, &secrets);
        let names: Vec<_> = summary.sinks.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["***", "*** (2)", "b"]);
    }
}
