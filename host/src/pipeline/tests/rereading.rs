//! Damage in the spool that is found while a sink is being served from it.

use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use audit_plugin_api::serde_json::{self, Value};
use audit_plugin_api::{SinkError, Written, flags};
use tempfile::TempDir;

use super::stage::*;
use crate::config::{BufferSettings, SpoolSettings};
use crate::pipeline::{CloseReport, Counts};

/// Events that fill some segments of 64 KiB.
const EVENTS: u64 = 2000;

/// A pipeline with small segments in this folder, and little memory for what is in them.
fn setting(folder: &Arc<TempDir>) -> Setting {
    Setting::with(|setting| {
        setting.folder = folder.clone();
        setting.delivery.dead_letter_path = folder.path().join("dead.ndjson");
        let spool = SpoolSettings { max_bytes: 1 << 21, ..SpoolSettings::new(folder.path().join("spool")) };
        setting.buffer = BufferSettings {
            capacity_bytes: 1 << 16,
            max_event_bytes: 1 << 12,
            spool: Some(spool),
            ..setting.buffer.clone()
        };
    })
}

fn text(number: u64) -> String {
    format!("number {number:06} {}", "x".repeat(400))
}

fn record(stage: &Stage, numbers: Range<u64>) {
    for number in numbers {
        stage.pipeline.record(&event(number).attribute(text(number))).expect("room");
    }
}

/// Records all, when these sinks wait at their gates with a batch: nobody carries away what comes after that.
fn record_while_waiting(stage: &Stage, sinks: &[usize]) {
    record(stage, 0..10);
    sinks.iter().for_each(|sink| assert_eq!(stage.see_batch(*sink), Vec::from_iter(0..10)));
    record(stage, 10..EVENTS);
}

/// A sink that waits at a gate in each call, and what is told to it of gaps.
fn gated(name: &str, gate: &Gate) -> (Actor, Arc<Mutex<Vec<Value>>>) {
    let gaps = Arc::new(Mutex::new(Vec::new()));
    let (told, gate) = (gaps.clone(), gate.clone());
    let actor = Actor::new(name).on_write(move |writing| {
        gate.pass();
        for (event, raw) in writing.batch.events().zip(writing.batch.raw_events()) {
            if raw.flags & flags::GAP != 0 {
                let event: Value = serde_json::from_slice(event.json()).expect("JSON");
                told.lock().unwrap().push(event["metadata"]["audit_host"].clone());
            }
        }
        Ok(Written::Delivered)
    });
    (actor, gaps)
}

fn open_gate() -> Gate {
    let gate = Gate::default();
    gate.open();
    gate
}

/// Files in the spool whose names end like this, in order.
fn files(folder: &TempDir, end: &str) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(folder.path().join("spool")).expect("the spool");
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.expect("read").path()).expect("a folder"));
    let mut files: Vec<_> = files.map(|file| file.expect("read").path()).collect();
    files.retain(|file| file.to_string_lossy().ends_with(end));
    files.sort();
    files
}

/// The first segment, as soon as nobody has it mapped, and the numbers of the events in it.
fn unmapped_segment(folder: &TempDir) -> (PathBuf, Range<u64>) {
    let path = files(folder, ".segment").remove(0);
    let mapped = path.to_str().expect("UTF-8");
    eventually(|| !std::fs::read_to_string("/proc/self/maps").expect("the maps").contains(mapped));
    let bytes = std::fs::read(&path).expect("the segment");
    let first = (0..EVENTS).find(|number| place_of(&bytes, *number).is_some()).expect("an event");
    let end = (first..EVENTS).find(|number| place_of(&bytes, *number).is_none()).expect("another segment");
    (path, first..end)
}

/// Where the frame of an event begins.
fn place_of(segment: &[u8], number: u64) -> Option<usize> {
    let text = text(number).into_bytes();
    let at = segment.windows(text.len()).position(|window| window == text)?;
    // Behind the header, what else is of fixed length, and the length of the text.
    Some(at - 48 - 32 - 4)
}

/// Changes a byte of an event's frame.
fn flip(path: &Path, number: u64, byte: usize) {
    let at = place_of(&std::fs::read(path).expect("the segment"), number).expect("the event") + byte;
    let file = std::fs::File::options().read(true).write(true).open(path).expect("the segment");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64).expect("read");
    file.write_all_at(&[byte[0] ^ 0x10], at as u64).expect("written");
}

fn close(stage: &Stage) -> CloseReport {
    stage.pipeline.close(LONG).expect("not in a callback")
}

fn adds_up(counts: &Counts) -> bool {
    let Counts { delivered, dead_lettered, dropped, spooled, lost, .. } = *counts;
    counts.accepted == delivered + dead_lettered + dropped + spooled + lost
}

/// What is told of so many events that were lost one after the other.
fn counts_of(gaps: &Mutex<Vec<Value>>) -> Vec<u64> {
    gaps.lock().unwrap().iter().map(|gap| gap["count"].as_u64().expect("a count")).collect()
}

/// Damages a segment while a sink waits, with what it holds and how that is damaged; what then must be lost.
#[track_caller]
fn loses(damage: impl FnOnce(&Path, Range<u64>) -> Range<u64>) {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let gate = Gate::default();
    let (sink, gaps) = gated("sink", &gate);
    let stage = setting(&folder).open(vec![sink]);
    record_while_waiting(&stage, &[0]);
    let (path, held) = unmapped_segment(&folder);
    let lost = damage(&path, held);
    gate.open();
    record(&stage, EVENTS..EVENTS + 500);
    let totals = close(&stage).totals;

    let count = lost.end - lost.start;
    assert_eq!((totals.accepted, totals.lost), (EVENTS + 501, count), "{totals:?}");
    assert_eq!(totals.delivered, EVENTS + 501 - count);
    assert!(adds_up(&totals), "{totals:?}");
    assert_eq!(stage.numbers(0), Vec::from_iter((10..lost.start).chain(lost.end..EVENTS + 500)));
    assert_eq!(counts_of(&gaps), [count]);
    let reason = gaps.lock().unwrap()[0]["reason"].to_string();
    assert!(reason.contains("0000000001.segment"), "{reason}");
    assert_eq!(files(&folder, ".damaged-1").len(), 1);
    assert_eq!(files(&folder, ".segment").len(), 0);
}

#[test]
fn a_damaged_event_that_a_sink_gets_to_later_is_lost_and_told_and_nothing_else_is() {
    loses(|path, held| {
        flip(path, held.start + 50, 100);
        held.start + 50..held.start + 51
    });
}

#[test]
fn a_damaged_length_costs_one_event() {
    loses(|path, held| {
        flip(path, held.start + 50, 5);
        held.start + 50..held.start + 51
    });
}
