//! One path, so many times, for `valgrind --tool=callgrind`: twice, and the difference is what the events cost.
//!
//! `audit-instructions PATH COUNT`, where PATH is `record` (id and frame, as `record` makes them), `worker` (the
//! canonical lines of frames) or `loader` (the file sink beside this program checked against its pin, copied and loaded).
//! `bench/instructions` compares them with its baseline.

use std::hint::black_box;

use audit_host::event::frame::{self, Stamp};
use audit_host::event::{IdGenerator, Timestamp};
use audit_host::loader::{Sha256, check_file};
use audit_tests::measured_event;

/// Frames in a chunk of 64 KiB.
const CHUNK: usize = 64 << 10;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_default();
    let count: usize = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(0);
    match path.as_str() {
        "record" => record(count),
        "worker" => worker(count),
        "loader" => loader(count),
        _ => {
            eprintln!("usage: audit-instructions record|worker|loader COUNT");
            std::process::exit(2);
        }
    }
}

fn record(count: usize) {
    let (event, mut ids, mut chunk) = (measured_event(), IdGenerator::new(), vec![0; CHUNK]);
    let mut used = 0;
    for sequence in 0..count {
        // A thousand to a millisecond, as at full speed.
        let timestamp = Timestamp::from_micros(1_795_000_000_123_456 + sequence as i64);
        let event_id = ids.next(timestamp);
        let stamp = Stamp { sequence: sequence as u64, timestamp, event_id, flags: 0 };
        used = match frame::write_event(black_box(&event), stamp, &mut chunk[used..]) {
            Some(written) => used + written.frame_len,
            None => 0,
        };
        black_box(&mut chunk);
    }
}

fn worker(count: usize) {
    let (event, mut frames) = (measured_event(), Vec::new());
    let timestamp = Timestamp::from_micros(1_795_000_000_123_456);
    let mut ids = IdGenerator::new();
    const FRAMES: usize = 200;
    for sequence in 0..FRAMES as u64 {
        frame::push_event(
            &event,
            Stamp { sequence, timestamp, event_id: ids.next(timestamp), flags: 0 },
            &mut frames,
        );
    }
    let (mut lines, mut entries) = (Vec::with_capacity(2 * CHUNK), Vec::with_capacity(FRAMES));
    for _ in 0..count / FRAMES {
        lines.clear();
        entries.clear();
        assert_eq!(frame::write_lines(black_box(&frames), &mut lines, &mut entries), FRAMES);
        black_box((&lines, &entries));
    }
}

fn loader(count: usize) {
    let here = std::env::current_exe().expect("a program knows its own path");
    let plugin = here.with_file_name("libaudit_sink_file.so");
    let pin = Sha256::of(std::fs::File::open(&plugin).expect("cargo has built it")).expect("it can be read");
    for _ in 0..count {
        let checked = check_file(&plugin, Some(&pin)).expect("it is pinned");
        black_box(checked.load().expect("it is a plugin"));
    }
}
