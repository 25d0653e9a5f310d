//! Damage in the spool that is found while a sink is being served from it.

use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use audit_plugin_api::serde_json::{self, Value};
use audit_plugin_api::{Delivered, SinkError, Written, flags};
use rustix::io::Errno;
use tempfile::TempDir;

use super::stage::*;
use crate::config::{BufferSettings, Durability, SpoolSettings, WhenFull};
use crate::pipeline::{CloseReport, Counts, FlushOutcome, RecordError};
use crate::spool::memory_disk::{MemoryDisk, Operation};

/// Events that fill some segments of 128 KiB.
const EVENTS: u64 = 2000;
/// Chunks of a segment.
const CHUNKS: u64 = 2;

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

/// Leaves all in the spool, for these sinks.
fn leave_backlog(folder: &Arc<TempDir>, sinks: &[&str]) {
    let refusing = |name: &&str| Actor::new(name).on_write(|_| Err(SinkError::retryable("not now")));
    let stage = setting(folder).open(sinks.iter().map(refusing).collect());
    record(&stage, 0..EVENTS);
    let closed = stage.pipeline.close(Duration::from_millis(100)).expect("not in a callback").totals;
    assert_eq!(closed.spooled, EVENTS);
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

/// The third segment, as soon as nobody has it mapped, and the numbers of the events in it. The oldest ones stay mapped.
fn unmapped_segment(folder: &TempDir) -> (PathBuf, Range<u64>) {
    let path = files(folder, ".segment").remove(2);
    let mapped = path.to_str().expect("UTF-8");
    eventually(|| !std::fs::read_to_string("/proc/self/maps").expect("the maps").contains(mapped));
    let held = numbers_in(&path);
    (path, held)
}

/// Which events a segment holds that one thread has filled.
fn numbers_in(segment: &Path) -> Range<u64> {
    let events = events_in(segment);
    events.first().map_or(0..0, |first| first.0..events[events.len() - 1].0 + 1)
}

/// The events in a segment, and where their frames begin.
fn events_in(segment: &Path) -> Vec<(u64, usize)> {
    numbers_among(&std::fs::read(segment).expect("the segment"))
}

fn numbers_among(bytes: &[u8]) -> Vec<(u64, usize)> {
    let texts = bytes.windows(7).enumerate().filter(|(_, window)| *window == b"number ");
    let number = |at: usize| std::str::from_utf8(&bytes[at + 7..at + 13]).ok()?.parse().ok();
    // Behind the header, what else is of fixed length, and the length of the text.
    texts.filter_map(|(at, _)| Some((number(at)?, at - 48 - 32 - 4))).collect()
}

/// Changes a byte of an event's frame.
fn flip(path: &Path, number: u64, byte: usize) {
    let event = events_in(path).into_iter().find(|event| event.0 == number);
    let at = event.expect("it is there").1 + byte;
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

/// How many events each gap tells of.
fn counts_of(gaps: &Mutex<Vec<Value>>) -> Vec<u64> {
    gaps.lock().unwrap().iter().map(|gap| gap["count"].as_u64().expect("a count")).collect()
}

/// A pipeline of which the one sink waits at a gate, with much behind it, and what it is told of gaps.
fn waiting() -> (Arc<TempDir>, Stage, Gate, Arc<Mutex<Vec<Value>>>) {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let gate = Gate::default();
    let (sink, gaps) = gated("sink", &gate);
    let stage = setting(&folder).open(vec![sink]);
    record_while_waiting(&stage, &[0]);
    (folder, stage, gate, gaps)
}

/// Damages a segment, of which `damage` is told what it holds, while a sink waits; what `damage` returns must be lost then,
/// and told in so many gaps.
#[track_caller]
fn loses(gaps_told: u64, damage: impl FnOnce(&Path, Range<u64>) -> Range<u64>) {
    let (folder, stage, gate, gaps) = waiting();
    let (path, held) = unmapped_segment(&folder);
    let lost = damage(&path, held);
    gate.open();
    record(&stage, EVENTS..EVENTS + 500);
    let totals = close(&stage).totals;

    let count = lost.end - lost.start;
    let accepted = EVENTS + 500 + gaps_told;
    assert_eq!((totals.accepted, totals.lost), (accepted, count), "{totals:?}");
    assert_eq!(totals.delivered, accepted - count);
    assert_eq!(stage.numbers(0), Vec::from_iter((10..lost.start).chain(lost.end..EVENTS + 500)));
    assert_eq!(counts_of(&gaps).len() as u64, gaps_told);
    assert_eq!(counts_of(&gaps).iter().sum::<u64>(), count);
    let reason = gaps.lock().unwrap()[0]["reason"].to_string();
    assert!(reason.contains("0000000003.segment"), "{reason}");
    assert_eq!(files(&folder, ".damaged-1").len(), 1);
    assert_eq!(files(&folder, ".segment").len(), 0);
}

#[test]
fn a_damaged_event_that_a_sink_gets_to_later_is_lost_and_told_and_nothing_else_is() {
    loses(1, |path, held| {
        flip(path, held.start + 50, 100);
        held.start + 50..held.start + 51
    });
}

#[test]
fn damaged_events_that_wait_in_a_mapped_segment_are_lost_and_told_and_nothing_else_is() {
    let (folder, stage, gate, gaps) = waiting();
    let mapped = &files(&folder, ".segment")[0];
    flip(mapped, 50, 100);
    // What kind of frame it is: nothing of its run can be read as it stands, until it has waited.
    flip(mapped, 60, 45);
    gate.open();
    let totals = close(&stage).totals;
    assert_eq!((totals.accepted, totals.delivered, totals.lost), (EVENTS + 2, EVENTS, 2), "{totals:?}");
    assert_eq!(stage.numbers(0), Vec::from_iter((10..EVENTS).filter(|number| ![50, 60].contains(number))));
    assert_eq!(counts_of(&gaps), [1, 1]);
    assert_eq!(files(&folder, ".damaged-1").len(), 1);
    assert_eq!(files(&folder, ".segment").len(), 0);
}

#[test]
fn a_damaged_length_costs_one_event() {
    loses(1, |path, held| {
        flip(path, held.start + 50, 5);
        held.start + 50..held.start + 51
    });
}

#[test]
fn events_that_are_damaged_beside_each_other_are_one_gap() {
    loses(1, |path, held| {
        let damaged = held.start + 40..held.start + 45;
        damaged.clone().for_each(|number| flip(path, number, 60));
        damaged
    });
}

#[test]
fn of_a_segment_that_is_all_noise_everything_is_lost_and_told_and_the_sink_goes_on() {
    loses(CHUNKS, |path, held| {
        let len = std::fs::metadata(path).expect("the segment").len();
        let noise: Vec<u8> = (0..len).map(|at| (at * 131 + at / 7) as u8).collect();
        let file = std::fs::File::options().write(true).open(path).expect("the segment");
        file.write_all_at(&noise, 0).expect("written");
        held
    });
}

#[test]
fn of_a_segment_that_is_cut_to_nothing_everything_is_lost_and_told_and_the_sink_goes_on() {
    loses(CHUNKS, |path, held| {
        let file = std::fs::File::options().write(true).open(path).expect("the segment");
        file.set_len(0).expect("cut");
        held
    });
}

#[test]
fn of_a_segment_that_somebody_deletes_everything_is_lost_and_told_and_the_sink_goes_on() {
    let (folder, stage, gate, gaps) = waiting();
    let (path, held) = unmapped_segment(&folder);
    std::fs::remove_file(&path).expect("deleted");
    gate.open();
    let totals = close(&stage).totals;
    let count = held.end - held.start;
    assert_eq!((totals.accepted, totals.lost, totals.spooled), (EVENTS + CHUNKS, count, 0), "{totals:?}");
    assert!(adds_up(&totals), "{totals:?}");
    assert_eq!(stage.numbers(0), Vec::from_iter((10..held.start).chain(held.end..EVENTS)));
    assert_eq!(counts_of(&gaps).iter().sum::<u64>(), count);
    let reason = gaps.lock().unwrap()[0]["reason"].to_string();
    assert!(reason.contains("0000000003.segment: the file was deleted"), "{reason}");
    assert_eq!(files(&folder, ".segment").len() + files(&folder, ".damaged-1").len(), 0);
}

#[test]
fn while_the_folder_is_gone_nothing_is_taken_for_lost() {
    let (folder, stage, gate, gaps) = waiting();
    let (path, _) = unmapped_segment(&folder);
    let (there, away) = (path.parent().expect("a folder"), folder.path().join("away"));
    std::fs::rename(there, &away).expect("moved");
    gate.open();
    eventually(|| stage.pipeline.sink_counts()[0].1.retried > 0);
    std::fs::rename(&away, there).expect("moved back");
    let totals = close(&stage).totals;
    assert_eq!((totals.accepted, totals.delivered, totals.lost), (EVENTS, EVENTS, 0), "{totals:?}");
    assert_eq!(counts_of(&gaps), [0_u64; 0]);
}

#[test]
fn what_several_sinks_wait_for_is_lost_to_each_of_them_and_told_once() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let gates = [Gate::default(), Gate::default()];
    let (first, told_first) = gated("first", &gates[0]);
    let (second, told_second) = gated("second", &gates[1]);
    let stage = setting(&folder).open(vec![first, second]);
    record_while_waiting(&stage, &[0, 1]);
    let (path, held) = unmapped_segment(&folder);
    let damaged = held.start + 50;
    flip(&path, damaged, 100);
    gates[0].open();
    stage
        .see_until(0, |seen| matches!(seen, Seen::Write { numbers, .. } if numbers.contains(&(damaged + 1))));
    // The other one does not have to find it, too.
    assert_eq!(stage.pipeline.sink_counts().iter().map(|(_, sink)| sink.lost).collect::<Vec<_>>(), [1, 1]);
    gates[1].open();
    let report = close(&stage);
    for counts in report.sinks.iter().map(|sink| sink.counts).chain([report.totals]) {
        assert_eq!((counts.accepted, counts.delivered, counts.lost), (EVENTS + 1, EVENTS, 1));
    }
    assert_eq!((counts_of(&told_first), counts_of(&told_second)), (vec![1], vec![1]));
    assert_eq!(stage.numbers(1), Vec::from_iter((10..damaged).chain(damaged + 1..EVENTS)));
}

#[test]
fn what_one_sink_had_before_it_was_damaged_is_lost_to_the_other_one_alone() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let gate = Gate::default();
    let (behind, told_behind) = gated("behind", &gate);
    let (ahead, told_ahead) = gated("ahead", &open_gate());
    let stage = setting(&folder).open(vec![behind, ahead]);
    record_while_waiting(&stage, &[0, 1]);
    while !stage.see_batch(1).contains(&(EVENTS - 1)) {}
    let (path, held) = unmapped_segment(&folder);
    let damaged = held.start + 50;
    flip(&path, damaged, 100);
    gate.open();
    // One that is closed already gets it from the next process.
    eventually(|| stage.pipeline.counts().accepted == EVENTS + 1);
    let report = close(&stage);
    let [behind, ahead] = [0, 1].map(|sink| report.sinks[sink].counts);
    assert_eq!((behind.accepted, behind.delivered, behind.lost), (EVENTS + 1, EVENTS, 1));
    assert_eq!((ahead.accepted, ahead.delivered, ahead.lost), (EVENTS + 1, EVENTS + 1, 0));
    assert_eq!((report.totals.delivered, report.totals.lost), (EVENTS, 1));
    assert_eq!((counts_of(&told_behind), counts_of(&told_ahead)), (vec![1], vec![1]));
}

#[test]
fn a_flush_says_that_events_were_lost_and_the_next_one_that_all_is_well() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let gate = Gate::default();
    let stage = setting(&folder).open(vec![gated("sink", &gate).0]);
    record_while_waiting(&stage, &[0]);
    let (path, held) = unmapped_segment(&folder);
    let damaged = held.start + 50;
    flip(&path, damaged, 100);
    gate.open();
    let flush = || stage.pipeline.flush(LONG).expect("not in a callback");
    assert_eq!(flush(), FlushOutcome::Failed { given_up: 1, sinks: Vec::new() });
    assert_eq!(flush(), FlushOutcome::Flushed);
    assert_eq!(stage.pipeline.counts().delivered, EVENTS);
}

#[test]
fn damage_of_what_every_sink_has_is_not_told() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    leave_backlog(&folder, &["behind", "ahead"]);
    let gate = Gate::default();
    let (behind, gaps) = gated("behind", &gate);
    let waits = Gate::default();
    let stage = setting(&folder).open(vec![behind, gated("ahead", &waits).0]);
    assert_eq!(stage.see_batch(0), Vec::from_iter(0..10));
    // Only now, so that the lines that `behind` has are the oldest in memory, and go.
    waits.open();
    while !stage.see_batch(1).contains(&(EVENTS - 1)) {}
    flip(&files(&folder, ".segment")[0], 5, 100);
    gate.open();
    let totals = close(&stage).totals;
    assert_eq!((totals.accepted, totals.delivered, totals.lost), (EVENTS, EVENTS, 0));
    assert_eq!(counts_of(&gaps), [0_u64; 0]);
    // It was found all the same.
    assert_eq!(files(&folder, ".damaged-1").len(), 1);
}

#[test]
fn a_backlog_that_is_damaged_after_it_was_found_costs_the_damaged_event() {
    backlog_loses_one(Durability::Process);
}

#[test]
fn with_durability_disk_a_damaged_backlog_costs_the_damaged_event_too() {
    backlog_loses_one(Durability::Disk);
}

#[track_caller]
fn backlog_loses_one(durability: Durability) {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    leave_backlog(&folder, &["sink"]);
    let gate = Gate::default();
    let (sink, gaps) = gated("sink", &gate);
    let mut setting_then = setting(&folder);
    setting_then.buffer.spool.as_mut().expect("a spool").durability = durability;
    let stage = setting_then.open(vec![sink]);
    assert_eq!(stage.see_batch(0), Vec::from_iter(0..10));
    let segments = files(&folder, ".segment").into_iter().map(|path| (numbers_in(&path).start, path));
    let (first, segment) = segments.max().expect("a segment");
    flip(&segment, first + 3, 100);
    gate.open();
    let totals = close(&stage).totals;
    assert_eq!((totals.accepted, totals.recovered, totals.lost), (EVENTS + 1, EVENTS, 1));
    assert_eq!(totals.delivered, EVENTS);
    assert_eq!(counts_of(&gaps), [1]);
    assert_eq!(stage.numbers(0), Vec::from_iter((10..first + 3).chain(first + 4..EVENTS)));

    // It was healed: a later process does not tell it again.
    let stage = setting(&folder).open(vec![Actor::new("sink")]);
    assert_eq!(close(&stage).totals.accepted, 0);
}

#[test]
fn what_is_found_damaged_while_the_logger_closes_is_told_by_it() {
    let (folder, stage, gate, gaps) = waiting();
    let (path, held) = unmapped_segment(&folder);
    let damaged = held.start + 50;
    flip(&path, damaged, 100);
    let totals = std::thread::scope(|scope| {
        let closing = scope.spawn(|| close(&stage).totals);
        let is_closed = || matches!(stage.pipeline.record(&event(EVENTS)), Err(RecordError::Closed));
        eventually(is_closed);
        gate.open();
        closing.join().expect("closed")
    });
    assert_eq!((totals.lost, totals.spooled, counts_of(&gaps)), (1, 0, vec![1]));
    assert!(adds_up(&totals), "{totals:?}");
}

#[test]
fn a_full_spool_of_which_every_segment_is_damaged_is_told_and_has_room_again() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    leave_backlog(&folder, &["sink"]);
    let segments = files(&folder, ".segment");
    let mut setting = setting(&folder);
    let spool = setting.buffer.spool.as_mut().expect("a spool");
    spool.max_bytes = segments.len() as u64 * (1 << 17);
    setting.buffer.when_full = WhenFull::Fail;
    let (sink, gaps) = gated("sink", &open_gate());
    // The backlog is found by then, but nothing of it read.
    let sink = sink.on_open(move |_| {
        for segment in &segments {
            let file = std::fs::File::options().write(true).open(segment).expect("a segment");
            file.set_len(0).expect("cut");
        }
        Ok(())
    });
    let stage = setting.open(vec![sink]);
    eventually(|| stage.pipeline.record(&event(EVENTS)).is_ok());
    let totals = close(&stage).totals;
    assert_eq!((totals.recovered, totals.lost, totals.spooled), (EVENTS, EVENTS, 0), "{totals:?}");
    assert!(adds_up(&totals), "{totals:?}");
    assert_eq!(counts_of(&gaps).iter().sum::<u64>(), EVENTS);
    assert_eq!(files(&folder, ".segment").len(), 0);
}

#[test]
fn a_gap_for_which_the_disk_has_no_room_is_told_later() {
    let disk = MemoryDisk::default();
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let on_disk = || {
        let mut setting = setting(&folder);
        setting.disk = Arc::new(disk.clone());
        setting
    };
    let refusing = Actor::new("sink").on_write(|_| Err(SinkError::retryable("not now")));
    let stage = on_disk().open(vec![refusing]);
    record(&stage, 0..EVENTS);
    assert_eq!(stage.pipeline.close(Duration::from_millis(100)).unwrap().totals.spooled, EVENTS);

    let gate = Gate::default();
    let (sink, gaps) = gated("sink", &gate);
    disk.fail(Operation::Allocate, Errno::NOSPC);
    let stage = on_disk().open(vec![sink]);
    assert_eq!(stage.see_batch(0), Vec::from_iter(0..10));
    let segments = disk.segments();
    let last = segments.iter().rfind(|path| !numbers_among(&disk.bytes(path)).is_empty()).expect("one");
    let mut bytes = disk.bytes(last);
    let at = numbers_among(&bytes)[0].1;
    bytes[at + 100] ^= 1;
    disk.put(last, &bytes);
    gate.open();
    eventually(|| stage.pipeline.counts().lost == 1);
    let mut accepted = EVENTS;
    assert_eq!(stage.pipeline.counts().accepted, accepted);
    disk.heal();
    eventually(|| {
        accepted += u64::from(stage.pipeline.record(&event(0)).is_ok());
        !gaps.lock().unwrap().is_empty()
    });
    let totals = close(&stage).totals;
    assert_eq!((totals.accepted, totals.delivered, totals.lost), (accepted + 1, accepted, 1), "{totals:?}");
    assert_eq!(counts_of(&gaps), [1]);
}

#[test]
fn no_dead_letter_is_made_up_for_an_event_that_is_damaged() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let setting = setting(&folder);
    let letters = setting.delivery.dead_letter_path.clone();
    // In the way, so that dead letters wait.
    std::fs::create_dir(&letters).expect("a folder");
    let stage = setting.open(vec![Actor::new("sink").on_write(|writing| match writing.numbers {
        [] => Ok(Written::Delivered),
        _ => Err(SinkError {
            events: Delivered::AllExcept((0..writing.numbers.len() as u32).collect()),
            ..SinkError::permanent("no")
        }),
    })]);
    record(&stage, 0..EVENTS);
    while !stage.see_batch(0).contains(&(EVENTS - 1)) {}
    let (path, held) = unmapped_segment(&folder);
    let damaged = held.start + 50;
    flip(&path, damaged, 100);
    std::fs::remove_dir(&letters).expect("removed");
    let totals = close(&stage).totals;
    assert_eq!(
        (totals.accepted, totals.dead_lettered, totals.lost),
        (EVENTS + 1, EVENTS - 1, 1),
        "{totals:?}"
    );
    assert_eq!(stage.dead_numbers("sink"), Vec::from_iter((0..damaged).chain(damaged + 1..EVENTS)));
}

#[test]
fn a_read_that_fails_is_tried_again_and_is_no_damage() {
    let disk = MemoryDisk::default();
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let gate = Gate::default();
    let mut setting = setting(&folder);
    setting.disk = Arc::new(disk.clone());
    let (sink, gaps) = gated("sink", &gate);
    let stage = setting.open(vec![sink]);
    record_while_waiting(&stage, &[0]);
    disk.fail(Operation::Read, Errno::IO);
    gate.open();
    eventually(|| disk.refused() > 2);
    disk.heal();
    let totals = close(&stage).totals;
    assert_eq!((totals.accepted, totals.delivered, totals.lost), (EVENTS, EVENTS, 0));
    assert_eq!(counts_of(&gaps), [0_u64; 0]);
}
