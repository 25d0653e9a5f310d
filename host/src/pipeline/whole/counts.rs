//! How the pipeline stands.

use super::Pipeline;
use crate::pipeline::counters::Counts;
use crate::pipeline::sink_state::{Phase, SinkState};

impl Pipeline {
    /// The counters, each event once.
    pub fn counts(&self) -> Counts {
        let mut counts = self.tally.counts();
        for sink in &self.sinks {
            let state = sink.lock();
            counts.in_flight = counts.in_flight.max(state.delivery.in_flight());
            counts.retried += state.delivery.settled().1;
        }
        // Last: what has come to anything was accepted before.
        counts.recovered = self.recovered.total;
        counts.accepted = self.store.accepted() + counts.recovered;
        let settled = counts.delivered + counts.dead_lettered + counts.dropped + counts.spooled + counts.lost;
        counts.in_flight = counts.in_flight.min(counts.accepted.saturating_sub(settled));
        counts.with_queued()
    }

    /// The counters of each sink, by name.
    pub fn sink_counts(&self) -> Vec<(String, Counts)> {
        self.sinks.iter().map(|sink| (sink.settings.name.clone(), self.counts_of(sink))).collect()
    }

    pub(super) fn counts_of(&self, sink: &SinkState) -> Counts {
        let state = sink.lock();
        let (delivered, retried, dead_lettered, dropped) = state.delivery.settled();
        let spooled = state.delivery.spooled();
        let in_flight = state.delivery.in_flight();
        // Under the lock: nothing is lost between the two.
        let lost = self.tally.lost_at(sink.index);
        drop(state);
        let rejected = self.tally.rejected();
        let recovered = self.recovered.by_sink[sink.index];
        let counts = Counts {
            accepted: self.store.accepted() + recovered,
            recovered,
            spooled,
            delivered,
            retried,
            dead_lettered,
            dropped,
            rejected,
            in_flight,
            lost,
            ..Counts::default()
        };
        counts.with_queued()
    }

    /// The first required sink that reported `{"state": "failed"}` or is failed, with the reason.
    pub fn failed_sink(&self) -> Option<(String, String)> {
        self.sinks.iter().filter(|sink| sink.settings.required).find_map(|sink| {
            let state = sink.lock();
            let reported = state.report.as_ref().filter(|report| report["state"] == "failed");
            let reason = match reported {
                Some(report) => report["reason"].as_str().unwrap_or("it gave no reason").to_owned(),
                None if state.phase == Phase::Failed => "too many of its calls were abandoned".to_owned(),
                None => return None,
            };
            Some((sink.settings.name.clone(), reason))
        })
    }
}
