//! What an append costs: `cargo test --release -p audit-host spool::tests::speed -- --ignored --nocapture`.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::stage::*;
use crate::spool::format::{seal_frame, seed};
use crate::spool::{RealDisk, Spool, SpoolOptions};

const FRAME: usize = 280;
const ROUNDS: usize = 200;
const APPENDS: usize = 10_000;

fn median(mut nanoseconds: Vec<f64>) -> f64 {
    nanoseconds.sort_by(f64::total_cmp);
    nanoseconds[nanoseconds.len() / 2]
}

#[test]
#[ignore = "measures; run alone, in release"]
fn an_append_costs() {
    let mut checksum = frame_of(1, FRAME - 48);
    let times = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        for index in 0..APPENDS {
            seal_frame(std::hint::black_box(&mut checksum), index as u16, seed(1));
        }
        start.elapsed().as_nanos() as f64 / APPENDS as f64
    });
    println!("checksum of {FRAME} bytes: {:.1} ns", median(times.collect()));

    for (shadow, name) in [(false, "process"), (true, "disk")] {
        let folder = tempfile::tempdir().unwrap();
        let options = SpoolOptions { shadow, ..options_in(folder.path()) };
        let (spool, _) = Spool::open(Arc::new(RealDisk), options, unbounded()).unwrap();
        let frame = frame_of(1, FRAME - 48);
        let (mut times, mut leases) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (mut spent, mut count) = (0, 0);
            while count < APPENDS {
                let start = Instant::now();
                let mut writer = spool.lease(FRAME).unwrap();
                leases.push(start.elapsed().as_nanos() as f64);
                let start = Instant::now();
                while writer.room().len() >= FRAME && count < APPENDS {
                    writer.append(std::hint::black_box(&frame));
                    count += 1;
                }
                spent += start.elapsed().as_nanos();
                writer.chunk().set_done(0, writer.written());
            }
            times.push(spent as f64 / count as f64);
        }
        leases.sort_by(f64::total_cmp);
        let (p50, p99) = (leases[leases.len() / 2], leases[leases.len() * 99 / 100]);
        println!(
            "{name}: append of {FRAME} bytes {:.1} ns; lease p50 {p50:.0}, p99 {p99:.0} ns",
            median(times)
        );
    }
}

/// As the defaults of a configuration are.
fn options_in(folder: &Path) -> SpoolOptions {
    SpoolOptions {
        dir: folder.to_owned(),
        max_bytes: 1 << 30,
        max_event_bytes: 1 << 20,
        chunk_bytes: 64 << 10,
        mapped_bytes: 0,
        ..Stage::new(&["a"]).options
    }
}

#[test]
#[ignore = "measures; run alone, in release"]
fn opening_with_a_million_events_takes() {
    let folder = tempfile::tempdir().unwrap();
    let options = options_in(folder.path());
    let open = || Spool::open(Arc::new(RealDisk), options.clone(), unbounded()).unwrap();
    let (spool, _) = open();
    let frame = frame_of(1, FRAME - 48);
    let mut count = 0;
    while count < 1_000_000 {
        let mut writer = spool.lease(FRAME).unwrap();
        while writer.room().len() >= FRAME && count < 1_000_000 {
            writer.append(&frame);
            count += 1;
        }
    }
    spool.close();
    let start = Instant::now();
    let (spool, backlog) = open();
    let found: u64 = backlog.parts.iter().map(|part| u64::from(part.events)).sum();
    println!("{found} events of {FRAME} bytes: {:.2} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    settle(&backlog);
    spool.close();
    println!("settled: {:.2} s", start.elapsed().as_secs_f64());
}
