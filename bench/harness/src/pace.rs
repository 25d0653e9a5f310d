//! How fast a producer records.

use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

/// How fast events come, all producers together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// One after the other.
    Full,
    /// So many a second, each at its own moment; between them the producer yields its core to whoever wants it, and stays
    /// awake, so that what is measured is the call and not how a core wakes up.
    Spin(u64),
    /// So many a second; the producer sleeps, wakes each millisecond and records what is due: for the cost of an event in
    /// a process that is mostly idle.
    Sleep(u64),
}

impl Pace {
    /// Calls `record` so many times at one producer's share of the pace; event `n` of `producer` is due at `n` times the
    /// period, so that a late one is caught up with.
    pub fn run(self, producer: u64, producers: u64, count: u64, mut record: impl FnMut()) {
        let started = Instant::now();
        let (rate, step) = match self {
            Self::Full => return (0..count).for_each(|_| record()),
            Self::Spin(rate) => (rate, None),
            Self::Sleep(rate) => (rate, Some(Duration::from_millis(1))),
        };
        let period = 1e9 * producers as f64 / rate as f64;
        let offset = period * producer as f64 / producers as f64;
        for number in 0..count {
            let due = Duration::from_nanos((offset + period * number as f64) as u64);
            while started.elapsed() < due {
                match step {
                    None => thread::yield_now(),
                    // To sleep between events is this pace.
                    Some(step) => thread::sleep(step),
                }
            }
            record();
        }
    }
}

impl FromStr for Pace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rate = |text: &str| text.parse().map_err(|_| format!("no rate: {text}"));
        match text.split_once(':') {
            None if text == "full" => Ok(Self::Full),
            Some(("spin", text)) => rate(text).map(Self::Spin),
            Some(("sleep", text)) => rate(text).map(Self::Sleep),
            _ => Err(format!("no pace: {text}")),
        }
    }
}
