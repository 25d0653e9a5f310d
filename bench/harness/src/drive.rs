//! Runs a contender as a case says.

use std::thread;
use std::time::Instant;

use hdrhistogram::Histogram;
use quanta::Clock;

use crate::{Case, Event, Latency, Outcome, Places, Usage, disk_flushes};

/// Something that takes events.
pub trait Contender: Sync {
    /// What one thread calls for each event.
    fn producer(&self) -> impl FnMut(&Event);

    /// Waits until everything is written, and ends; how many events were delivered, if it knows.
    fn finish(self) -> Option<u64>;
}

/// Opens the contender, runs the case, prints the outcome.
pub fn drive<C: Contender>(case: &Case, open: impl FnOnce(&Case) -> C) {
    let events = case.input().events();
    let clock = Clock::new();
    let contender = open(case);
    let disk = Places::new().disk();
    let (before, flushed) = (Usage::now(), disk_flushes(&disk));
    let started = Instant::now();
    let durations = thread::scope(|scope| {
        let producers: Vec<_> = (0..case.producers())
            .map(|number| {
                let (contender, events, clock) = (&contender, &events, &clock);
                scope.spawn(move || produce(case, number, contender, events, clock))
            })
            .collect();
        let mut all = new_histogram();
        for producer in producers {
            all.add(producer.join().expect("a producer does not panic")).expect("the same bounds");
        }
        all
    });
    let delivered = contender.finish();
    let seconds = started.elapsed().as_secs_f64();
    let after = Usage::now();
    let flushes = disk_flushes(&disk).zip(flushed).map(|(after, before)| after - before);
    let outcome = Outcome {
        events: case.events(),
        seconds,
        cpu_seconds: after.cpu_seconds - before.cpu_seconds,
        peak_kib: after.peak_kib,
        delivered,
        flushes,
        latency: case.is_timed().then(|| Latency::of(&durations)),
        ..Outcome::default()
    };
    outcome.print();
}

fn produce<C: Contender>(
    case: &Case,
    number: u64,
    contender: &C,
    events: &[Event],
    clock: &Clock,
) -> Histogram<u64> {
    let mut histogram = new_histogram();
    let mut record = contender.producer();
    let mut events = events.iter().cycle();
    let mut next = || events.next().expect("there is an event");
    let (producers, count) = (case.producers(), case.events() / case.producers());
    if case.is_timed() {
        case.pace().run(number, producers, count, || {
            let event = next();
            let begin = clock.raw();
            record(event);
            let end = clock.raw();
            histogram.saturating_record(clock.delta_as_nanos(begin, end));
        });
    } else {
        case.pace().run(number, producers, count, || record(next()));
    }
    histogram
}

/// Durations up to a minute, to three digits.
fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_max(60_000_000_000, 3).expect("good bounds")
}
