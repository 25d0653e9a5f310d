//! A logger that nobody uses: what it costs to have one.

use std::thread;
use std::time::{Duration, Instant};

use audit_host::logger::AuditLogger;
use bench_harness::{Case, Outcome, Usage, measured_event};

use super::logger::Loaded;

/// Records one event, and prints what the process uses in the `seconds` (3) after it was delivered.
pub fn run(case: &Case) {
    let Loaded(logger) = Loaded::open(case);
    logger.record(&measured_event()).expect("accepted");
    logger.flush(Duration::from_secs(60)).expect("not in a callback");
    // The worker goes to sleep within a few milliseconds of its last event, which nobody outside can see.
    thread::sleep(Duration::from_millis(200));
    let (before, started) = (Usage::now(), Instant::now());
    // The time in which nothing happens is what is measured.
    thread::sleep(Duration::from_secs_f64(case.get("seconds", 3.0)));
    let (after, seconds) = (Usage::now(), started.elapsed().as_secs_f64());
    let cpu_seconds = after.cpu_seconds - before.cpu_seconds;
    let more = [("resident_kib".to_owned(), after.resident_kib as f64)].into();
    let outcome =
        Outcome { events: 1, seconds, cpu_seconds, peak_kib: after.peak_kib, more, ..Outcome::default() };
    outcome.print();
}
