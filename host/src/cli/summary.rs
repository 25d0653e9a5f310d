//! What a run came to, on one line.

use audit_host::config::Secrets;
use audit_host::pipeline::Counts;
use serde_json::{Map, Value, json};

use super::args::Format;
use super::json::printable_json;

/// What a run came to so far.
#[derive(Clone, Debug)]
pub struct Summary {
    totals: Counts,
    sinks: Vec<(String, Counts)>,
    stopped_by: Option<&'static str>,
}

impl Summary {
    /// Counts of all sinks, each event once, and those of each sink by name.
    pub fn new(totals: Counts, sinks: impl IntoIterator<Item = (String, Counts)>, secrets: &Secrets) -> Self {
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
        Self { totals, sinks: masked, stopped_by: None }
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
                    named(&self.totals).iter().map(|(name, count)| format!("{name}={count}")).collect();
                let stopped = self.stopped_by.map(|signal| format!(" stopped by {signal}"));
                format!("audit-host: {}{}", counts.join(" "), stopped.unwrap_or_default())
            }
            Format::Json => printable_json(&self.to_json().to_string()).into_owned(),
        }
    }

    fn to_json(&self) -> Value {
        let mut summary = table(&self.totals);
        if let Some(signal) = self.stopped_by {
            summary.insert("stopped_by".into(), json!(signal));
        }
        if self.sinks.len() > 1 {
            let sinks: Map<_, _> =
                self.sinks.iter().map(|(name, counts)| (name.clone(), table(counts).into())).collect();
            summary.insert("sinks".into(), sinks.into());
        }
        summary.into()
    }
}

fn named(counts: &Counts) -> [(&'static str, u64); 7] {
    [
        ("accepted", counts.accepted),
        ("delivered", counts.delivered),
        ("retried", counts.retried),
        ("dead_lettered", counts.dead_lettered),
        ("dropped", counts.dropped),
        ("rejected", counts.rejected),
        ("lost", counts.lost),
    ]
}

fn table(counts: &Counts) -> Map<String, Value> {
    named(counts).into_iter().map(|(name, count)| (name.to_owned(), json!(count))).collect()
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
            ..Counts::default()
        };
        Summary { totals, sinks: vec![("a".into(), totals)], stopped_by: None }
    }

    #[test]
    fn the_line_is_that_of_the_contract() {
        let mut summary = summary();
        let line = "audit-host: accepted=7 delivered=3 retried=2 dead_lettered=1 dropped=1 rejected=4 lost=2";
        assert_eq!(summary.render(Format::Text), line);
        summary.stopped_by = Some("SIGTERM");
        assert_eq!(summary.render(Format::Text), format!("{line} stopped by SIGTERM"));
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
        let summary = Summary::new(Counts::default(), sinks, &secrets);
        let names: Vec<_> = summary.sinks.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["***", "*** (2)", "b"]);
    }
}
