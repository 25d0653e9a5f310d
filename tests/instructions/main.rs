//! One path, so many times, for `valgrind --tool=callgrind`: twice, and the difference is what the events cost.
//!
//! `audit-instructions PATH COUNT`, where PATH is `record` (id and frame, as `record` makes them) or `worker` (the
//! canonical lines of frames).

use std::hint::black_box;

use audit_host::event::frame::{self, Stamp};
use audit_host::event::{Action, IdGenerator, Metadata, PermissionAuditEvent, Timestamp};

/// Frames in a chunk of 64 KiB.
const CHUNK: usize = 64 << 10;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_default();
    let count: usize = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(0);
    match path.as_str() {
        "record" => record(count),
        "worker" => worker(count),
        _ => {
            eprintln!("usage: audit-instructions record|worker COUNT");
            std::process::exit(2);
        }
    }
}

/// The 384-byte event of the contract.
fn event() -> PermissionAuditEvent {
    let metadata =
        r#"{"request_id":"0f8fad5b-d9cb-469f-a165-70867728950e","ip":"203.0.113.7","path":"/graphql/"}"#;
    PermissionAuditEvent::new(Action::Update, false)
        .attribute("status")
        .attribute("owner")
        .manager("Project")
        .user_id("4217")
        .permission("isAdmin")
        .permission("isProjectOwner:status")
        .metadata(Metadata::from_json(metadata).expect("an object"))
}

fn record(count: usize) {
    let (event, mut ids, mut chunk) = (event(), IdGenerator::new(), vec![0; CHUNK]);
    let mut used = 0;
    for sequence in 0..count {
        // Of one millisecond each thousand, as it is at full speed.
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
    let (event, mut frames) = (event(), Vec::new());
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
