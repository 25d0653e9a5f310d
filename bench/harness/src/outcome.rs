//! What one process measured: one line of JSON.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// What one case came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// Events recorded.
    pub events: u64,
    /// From before the first call until the contender has ended, everything written.
    pub seconds: f64,
    /// CPU time of the whole process in that time.
    pub cpu_seconds: f64,
    /// The most memory the process had, in KiB.
    pub peak_kib: u64,
    /// How many events the contender says it delivered, where it says so.
    pub delivered: Option<u64>,
    /// How often the disk under `Places::disk` has flushed its cache in that time, where the system says so.
    pub flushes: Option<u64>,
    /// Durations of the calls, where each was timed.
    pub latency: Option<Latency>,
    /// What only some contenders measure.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub more: BTreeMap<String, f64>,
}

/// Durations of calls in nanoseconds, the timer included.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    #[allow(missing_docs)]
    pub p50: u64,
    #[allow(missing_docs)]
    pub p99: u64,
    #[allow(missing_docs)]
    pub p999: u64,
    #[allow(missing_docs)]
    pub max: u64,
    /// Mean of those up to p99: where a counter moves in large steps, p50 is one of them, and this lies between.
    #[serde(default)]
    pub mean_to_p99: f64,
}

impl Latency {
    /// Of all durations.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        let mean_to_p99 = mean_to(histogram, at(0.99));
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: histogram.max(), mean_to_p99 }
    }
}

fn mean_to(histogram: &Histogram<u64>, most: u64) -> f64 {
    let counted = histogram.iter_recorded().take_while(|value| value.value_iterated_to() <= most);
    let (sum, count) = counted.fold((0.0, 0), |(sum, count), value| {
        let here = value.count_since_last_iteration();
        (sum + histogram.median_equivalent(value.value_iterated_to()) as f64 * here as f64, count + here)
    });
    if count == 0 { 0.0 } else { sum / count as f64 }
}

impl Outcome {
    /// Prints it, as the last line of a case.
    pub fn print(&self) {
        println!("{}", serde_json::to_string(self).expect("writing to memory"));
    }

    /// Events a second, end to end.
    pub fn rate(&self) -> f64 {
        self.events as f64 / self.seconds
    }

    /// CPU microseconds an event.
    pub fn cpu_micros(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.events as f64
    }
}
