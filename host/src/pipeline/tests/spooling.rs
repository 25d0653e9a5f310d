//! What the spool keeps when sinks, or this process, do not.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use audit_plugin_api::{SinkError, Timestamp, Written};
use tempfile::TempDir;

use super::stage::{Actor, LONG, Seen, Setting, Stage, event};
use crate::config::{BufferSettings, Durability, SpoolSettings, WhenFull};
use crate::pipeline::{Counts, FlushOutcome, RecordError};
use crate::spool::memory_disk::MemoryDisk;

/// A pipeline with a spool in this folder.
fn spooling(folder: &Arc<TempDir>) -> Setting {
    Setting::with(|setting| {
        setting.folder = folder.clone();
        setting.delivery.dead_letter_path = folder.path().join("dead.ndjson");
        setting.buffer.spool = Some(SpoolSettings::new(folder.path().join("spool")));
    })
}

fn folder() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().expect("a folder"))
}

fn refusing(name: &str) -> Actor {
    Actor::new(name).on_write(|_| Err(SinkError::retryable("not now")))
}

/// What is in the spool: folders, and the names in them.
fn files(folder: &TempDir) -> Vec<String> {
    let folders = std::fs::read_dir(folder.path().join("spool")).expect("the spool");
    let files =
        folders.flat_map(|folder| std::fs::read_dir(folder.expect("a folder").path()).expect("a folder"));
    files.map(|file| file.expect("a file").file_name().into_string().expect("UTF-8")).collect()
}

fn close(stage: &Stage, timeout: Duration) -> crate::pipeline::CloseReport {
    stage.pipeline.close(timeout).expect("not in a callback")
}

#[test]
fn what_is_delivered_leaves_nothing_in_the_spool() {
    let folder = folder();
    let stage = spooling(&folder).open(vec![Actor::new("sink")]);
    stage.record(0..1000);
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    let counts = close(&stage, LONG).totals;
    assert_eq!((counts.accepted, counts.delivered, counts.spooled), (1000, 1000, 0));
    assert_eq!(stage.numbers(0), Vec::from_iter(0..1000));
    assert_eq!(files(&folder), [""; 0]);
}

#[test]
fn what_a_sink_does_not_take_until_the_end_is_the_next_process_s_first() {
    let folder = folder();
    let stage = spooling(&folder).open(vec![refusing("sink")]);
    stage.record(0..1000);
    let counts = close(&stage, Duration::from_millis(100)).totals;
    assert_eq!((counts.accepted, counts.spooled, counts.dead_lettered, counts.lost), (1000, 1000, 0, 0));
    assert_eq!(counts.unsettled(), 0);
    drop(stage);

    let stage = spooling(&folder).open(vec![Actor::new("sink")]);
    assert_eq!(stage.pipeline.counts().recovered, 1000);
    stage.record(1000..1010);
    let counts = close(&stage, LONG).totals;
    assert_eq!((counts.accepted, counts.recovered, counts.delivered), (1010, 1000, 1010));
    assert_eq!(stage.numbers(0), Vec::from_iter(0..1010));
    assert_eq!(files(&folder), [""; 0]);
}

#[test]
fn a_clock_that_steps_back_an_hour_and_forward_a_day_changes_neither_order_nor_ids_nor_delivery() {
    const HOUR: i64 = 3_600_000_000;
    let now = Timestamp::now().as_micros();
    let clock = |number: u64| now + [0, -HOUR, 24 * HOUR][number as usize % 3] + number as i64;
    let folder = folder();
    let stage = spooling(&folder).open(vec![refusing("sink")]);
    for number in 0..300 {
        let event = event(number).timestamp(Timestamp::from_micros(clock(number)));
        stage.pipeline.record(&event).unwrap();
    }
    assert_eq!(close(&stage, Duration::from_millis(100)).totals.spooled, 300);
    drop(stage);

    let seen = Arc::new(Mutex::new(Vec::new()));
    let to = seen.clone();
    let sink = Actor::new("sink").on_write(move |writing| {
        let events = writing.batch.raw_events().iter().map(|raw| (raw.timestamp, raw.event_id));
        to.lock().unwrap().extend(events);
        Ok(Written::Delivered)
    });
    let stage = spooling(&folder).open(vec![sink]);
    let counts = close(&stage, LONG).totals;
    assert_eq!((counts.recovered, counts.delivered, counts.lost), (300, 300, 0));
    assert_eq!(stage.numbers(0), Vec::from_iter(0..300));
    let (times, ids): (Vec<i64>, BTreeSet<_>) = seen.lock().unwrap().iter().copied().unzip();
    assert_eq!(times, Vec::from_iter((0..300).map(clock)));
    assert_eq!(ids.len(), 300);
}

#[test]
fn each_sink_goes_on_where_it_was() {
    let folder = folder();
    let stage = spooling(&folder).open(vec![Actor::new("good"), refusing("bad")]);
    stage.record(0..500);
    while stage.see_batch(0)[0] < 490 {}
    let report = close(&stage, Duration::from_secs(1));
    assert_eq!((report.totals.spooled, report.totals.delivered), (500, 0));
    assert_eq!((report.sinks[0].counts.delivered, report.sinks[0].counts.spooled), (500, 0));
    assert_eq!((report.sinks[1].counts.delivered, report.sinks[1].counts.spooled), (0, 500));
    drop(stage);

    let stage = spooling(&folder).open(vec![Actor::new("good"), Actor::new("bad")]);
    let report = close(&stage, LONG);
    assert_eq!((report.sinks[0].counts.recovered, report.sinks[1].counts.recovered), (0, 500));
    assert_eq!((report.totals.recovered, report.totals.delivered), (500, 500));
    assert_eq!(stage.numbers(0), [0_u64; 0]);
    assert_eq!(stage.numbers(1), Vec::from_iter(0..500));
}

#[test]
fn what_is_damaged_before_a_start_is_lost_for_the_sinks_that_do_not_have_it() {
    let folder = folder();
    let disk = MemoryDisk::default();
    let open = |actors| {
        let mut setting = spooling(&folder);
        setting.disk = Arc::new(disk.clone());
        setting.open(actors)
    };
    let stage = open(vec![Actor::new("ahead"), refusing("behind")]);
    stage.record(0..500);
    while stage.see_batch(0)[0] < 490 {}
    assert_eq!(close(&stage, Duration::from_secs(1)).totals.spooled, 500);
    let segment = disk.segments().remove(0);
    // Within one of the first events.
    disk.flip(&segment, 3 * 4096, 0x40);
    drop(stage);

    let stage = open(vec![Actor::new("ahead"), Actor::new("behind")]);
    let report = close(&stage, LONG);
    let figures = |counts: Counts| (counts.recovered, counts.accepted, counts.delivered, counts.lost);
    // The gap is an event too.
    assert_eq!(figures(report.sinks[0].counts), (0, 1, 1, 0));
    assert_eq!(figures(report.sinks[1].counts), (500, 501, 500, 1));
    assert_eq!(figures(report.totals), (500, 501, 500, 1));
    assert_eq!((stage.numbers(0).len(), stage.numbers(1).len()), (0, 499));
}

#[test]
fn what_was_delivered_before_the_end_is_not_delivered_again() {
    let folder = folder();
    let stage =
        spooling(&folder).open(vec![Actor::new("sink").on_write(|writing| match writing.numbers[0] {
            0..200 => Ok(Written::Delivered),
            _ => Err(SinkError::retryable("full")),
        })]);
    stage.record(0..200);
    // On a busy machine a close may have no time for that.
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    stage.record(200..1000);
    while stage.see_batch(0)[0] < 200 {}
    let counts = close(&stage, Duration::from_millis(200)).totals;
    assert_eq!((counts.delivered, counts.spooled), (200, 800));
    drop(stage);

    let stage = spooling(&folder).open(vec![Actor::new("sink")]);
    close(&stage, LONG);
    assert_eq!(stage.numbers(0), Vec::from_iter(200..1000));
}

#[test]
fn what_a_sink_took_stays_in_the_spool_until_its_flush_has_said_yes() {
    let folder = folder();
    let unsure = Actor::new("sink").on_flush(|_| Err(SinkError::retryable("the disk says nothing")));
    let stage = spooling(&folder).open(vec![unsure]);
    stage.record(0..100);
    while stage.see_batch(0)[0] < 90 {}
    let counts = close(&stage, Duration::from_millis(200)).totals;
    assert_eq!((counts.delivered, counts.lost), (100, 0));
    drop(stage);

    let stage = spooling(&folder).open(vec![Actor::new("sink")]);
    let counts = close(&stage, LONG).totals;
    assert_eq!((counts.recovered, counts.delivered), (100, 100));
    assert_eq!(stage.numbers(0), Vec::from_iter(0..100));
    assert_eq!(files(&folder), [""; 0]);
}

#[test]
fn what_may_have_been_delivered_says_so_when_it_comes_again() {
    let folder = folder();
    let stage = spooling(&folder).open(vec![refusing("sink")]);
    stage.record(0..10);
    close(&stage, Duration::from_millis(100));
    drop(stage);

    let stage = spooling(&folder).open(vec![Actor::new("sink")]);
    let seen =
        stage.see_until(0, |seen| matches!(seen, Seen::Write { .. }) || matches!(seen, Seen::Close(_)));
    let Seen::Write { numbers, doubtful, .. } = seen else { panic!("{seen:?}") };
    assert_eq!((numbers, doubtful), (Vec::from_iter(0..10), true));
}

#[test]
fn a_sink_that_is_behind_costs_disk_and_not_memory() {
    const CAPACITY: usize = 1 << 20;
    let folder = folder();
    let is_open = Arc::new(AtomicBool::new(false));
    let waits = is_open.clone();
    let setting = spooling(&folder);
    let setting = Setting {
        buffer: BufferSettings {
            capacity_bytes: CAPACITY,
            max_event_bytes: 1 << 16,
            ..setting.buffer.clone()
        },
        ..setting
    };
    let stage = setting.open(vec![
        Actor::new("good"),
        Actor::new("behind").on_write(move |_| {
            if waits.load(Ordering::SeqCst) {
                Ok(Written::Delivered)
            } else {
                Err(SinkError::retryable("not yet"))
            }
        }),
    ]);
    let mut most = 0;
    for number in 0..20_000 {
        stage.record([number]);
        most = most.max(stage.pipeline.used_bytes());
    }
    is_open.store(true, Ordering::SeqCst);
    assert_eq!(close(&stage, LONG).totals.delivered, 20_000);
    assert_eq!(stage.numbers(0), Vec::from_iter(0..20_000));
    assert!(most <= CAPACITY, "{most} bytes");
}

#[test]
fn a_batch_of_large_events_takes_no_more_memory_than_there_is() {
    const CAPACITY: usize = 4 << 20;
    let folder = folder();
    let setting = spooling(&folder);
    let buffer = BufferSettings { capacity_bytes: CAPACITY, ..setting.buffer.clone() };
    let stage = Setting { buffer, ..setting }.open(vec![refusing("sink")]);
    let large = "x".repeat(500_000);
    for number in 0..40 {
        stage.pipeline.record(&event(number).attribute(&large)).unwrap();
    }
    close(&stage, Duration::from_millis(100));
    drop(stage);

    let setting = spooling(&folder);
    let buffer = BufferSettings { capacity_bytes: CAPACITY, ..setting.buffer.clone() };
    let batches = Arc::new(Mutex::new(Vec::new()));
    let seen = batches.clone();
    let sink = Actor::new("sink").with(|settings| settings.batch_size = 1000).on_write(move |writing| {
        let bytes = writing.batch.events().map(|event| event.json().len()).sum::<usize>();
        seen.lock().unwrap().push(bytes);
        Ok(Written::Delivered)
    });
    let stage = Setting { buffer, ..setting }.open(vec![sink]);
    assert_eq!(close(&stage, LONG).totals.delivered, 40);
    assert_eq!(stage.numbers(0), Vec::from_iter(0..40));
    let most = batches.lock().unwrap().iter().copied().max();
    assert!(most <= Some(CAPACITY / 2), "{most:?} bytes in one batch");
}

#[test]
fn a_full_spool_stops_admission_until_a_sink_has_flushed() {
    let folder = folder();
    let setting = Setting::with(|setting| {
        setting.folder = folder.clone();
        let spool = SpoolSettings { max_bytes: 1 << 20, ..SpoolSettings::new(folder.path().join("spool")) };
        setting.buffer.spool = Some(spool);
        setting.buffer.max_event_bytes = 1 << 12;
    });
    let stage = setting.open(vec![Actor::new("sink")]);
    stage.record(0..50_000);
    assert_eq!(close(&stage, LONG).totals.delivered, 50_000);
    assert_eq!(stage.numbers(0), Vec::from_iter(0..50_000));
}

#[test]
fn a_spool_that_is_full_says_so_also_beside_segments_of_another_size() {
    let folder = folder();
    let setting = |max_bytes| {
        Setting::with(|setting| {
            setting.folder = folder.clone();
            let spool = SpoolSettings { max_bytes, ..SpoolSettings::new(folder.path().join("spool")) };
            setting.buffer = BufferSettings {
                spool: Some(spool),
                max_event_bytes: 1 << 12,
                when_full: WhenFull::Fail,
                ..setting.buffer.clone()
            };
        })
    };
    let stage = setting(1 << 20).open(vec![refusing("sink")]);
    stage.record(0..1000);
    close(&stage, Duration::from_millis(100));
    drop(stage);

    let stage = setting(3 << 19).open(vec![refusing("sink")]);
    let (sender, refused) = crossbeam_channel::bounded(1);
    let pipeline = stage.pipeline.clone();
    std::thread::spawn(move || {
        let error = (0..).find_map(|number| pipeline.record(&event(number)).err());
        let _ = sender.send(error);
    });
    let refused = refused.recv_timeout(LONG).expect("an answer");
    assert!(matches!(refused, Some(RecordError::Full { .. })), "{refused:?}");
    close(&stage, Duration::from_millis(100));
}

#[test]
fn with_durability_disk_events_of_several_threads_are_all_there() {
    let folder = folder();
    let setting = Setting::with(|setting| {
        setting.folder = folder.clone();
        let spool = SpoolSettings::new(folder.path().join("spool"));
        setting.buffer.spool = Some(SpoolSettings { durability: Durability::Disk, ..spool });
    });
    let stage = setting.open(vec![Actor::new("sink")]);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let stage = &stage;
            scope.spawn(move || stage.record(thread * 100..thread * 100 + 100));
        }
    });
    assert_eq!(close(&stage, LONG).totals.delivered, 400);
    let mut numbers = stage.numbers(0);
    numbers.sort_unstable();
    assert_eq!(numbers, Vec::from_iter(0..400));
    assert_eq!(files(&folder), [""; 0]);
}
