//! How fast lines of input become canonical lines: `cargo bench -p audit-tests --bench input`.
//!
//! The 5,000 events that general_manager wrote, as it spells them, as we do, and with their keys the other way round;
//! splitting the input into lines is part of it. Elements are lines.

use std::hint::black_box;
use std::path::Path;

use audit_host::event::{LineContent, LineParser, LineReader, MissingOffset};
use audit_plugin_api::Timestamp;
use audit_plugin_api::serde_json::{self, Map, Value};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const MAX_LINE_BYTES: usize = 1 << 20;

/// Parses all lines into a reused buffer, giving each canonical line to `take`; returns how many there were.
fn parse_all(input: &[u8], mut take: impl FnMut(&[u8])) -> u64 {
    let mut parser = LineParser::new(MissingOffset::Refuse);
    let mut lines = LineReader::new(input, MAX_LINE_BYTES);
    let mut canonical = Vec::new();
    let mut count = 0;
    while let Some(line) = lines.next_line().expect("reading from memory") {
        let LineContent::Bytes(bytes) = line.content else { panic!("line {} is too long", line.number) };
        canonical.clear();
        parser.parse(bytes, line.offset, Timestamp::now, &mut canonical).expect("a real event");
        take(&canonical);
        count += 1;
    }
    count
}

/// Each line with its keys in reverse.
fn reverse_keys(input: &[u8]) -> Vec<u8> {
    let mut reversed = Vec::new();
    for line in input.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let event: Map<String, Value> = serde_json::from_slice(line).expect("a JSON object");
        let event: Map<String, Value> = event.into_iter().rev().collect();
        serde_json::to_writer(&mut reversed, &event).expect("writing to memory");
        reversed.push(b'\n');
    }
    reversed
}

fn lines(criterion: &mut Criterion) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/permission-events.ndjson");
    let theirs = std::fs::read(path).expect("the example is there");
    let mut ours = Vec::new();
    let count = parse_all(&theirs, |line| ours.extend_from_slice(line));
    let reversed = reverse_keys(&theirs);

    let mut group = criterion.benchmark_group("input");
    group.throughput(Throughput::Elements(count));
    for (name, input) in [("general_manager's", theirs), ("canonical", ours), ("keys reversed", reversed)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                parse_all(black_box(&input), |line| {
                    black_box(line);
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, lines);
criterion_main!(benches);
