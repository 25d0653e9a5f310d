//! Threads that share a slot, since each of them waits for the disk anyway.

use std::sync::Arc;
use std::time::Duration;

use audit_plugin_api::SinkError;

use super::stage::*;
use crate::config::{DiskFor, Durability, SpoolSettings};
use crate::pipeline::RecordError;
use crate::spool::memory_disk::MemoryDisk;

/// A pipeline whose events are all on this disk before `record` returns.
pub fn sharing(disk: &MemoryDisk) -> Setting {
    spooling(disk, |spool| spool.durability = Durability::Disk)
}

fn spooling(disk: &MemoryDisk, change: impl FnOnce(&mut SpoolSettings)) -> Setting {
    Setting::with(|setting| {
        setting.disk = Arc::new(disk.clone());
        setting.buffer.max_event_bytes = 1 << 12;
        let spool = setting
            .buffer
            .spool
            .insert(SpoolSettings { max_bytes: 64 << 20, ..SpoolSettings::new("/spool") });
        change(spool);
    })
}

fn refusing() -> Actor {
    Actor::new("sink").on_write(|_| Err(SinkError::retryable("not now")))
}

/// Records 10 events from each of 4 threads at once, when another thread has recorded 10 and ended.
fn record_from_five_threads(stage: &Stage) {
    std::thread::scope(|scope| scope.spawn(|| stage.record(0..10)).join()).expect("it ends");
    // The worker has looked at the slot by then.
    assert_eq!(stage.see_batch(0), Vec::from_iter(0..10));
    std::thread::scope(|scope| {
        for part in 1..5 {
            scope.spawn(move || stage.record(part * 10..part * 10 + 10));
        }
    });
}

/// How many chunks were begun on this disk.
fn chunks(disk: &MemoryDisk) -> usize {
    let segments = disk.segments();
    let headers = segments.iter().map(|path| {
        let bytes = disk.bytes(path);
        bytes.chunks(4096).filter(|page| page.starts_with(b"CHNK")).count()
    });
    headers.sum()
}

#[test]
fn threads_that_wait_for_the_disk_write_behind_each_other_into_one_chunk() {
    let disk = MemoryDisk::default();
    let stage = sharing(&disk).open(vec![refusing()]);
    record_from_five_threads(&stage);
    assert_eq!(chunks(&disk), 1);
    assert_eq!(stage.pipeline.close(Duration::ZERO).unwrap().totals.spooled, 50);
    let refused = stage.pipeline.record(&event(50));
    assert!(matches!(refused, Err(RecordError::Closed)), "{refused:?}");

    let stage = sharing(&disk.after_kill()).open(vec![Actor::new("sink")]);
    let counts = stage.pipeline.close(LONG).unwrap().totals;
    assert_eq!((counts.recovered, counts.delivered, counts.lost), (50, 50, 0));
    let mut numbers = stage.numbers(0);
    numbers.sort_unstable();
    assert_eq!(numbers, Vec::from_iter(0..50));
}

#[test]
fn threads_of_which_only_some_wait_for_the_disk_have_a_chunk_each() {
    let disk = MemoryDisk::default();
    let all: DiskFor = DiskFor::words().map(|(_, set)| set).collect();
    let stage = spooling(&disk, |spool| spool.disk_for = all).open(vec![refusing()]);
    record_from_five_threads(&stage);
    assert_eq!(chunks(&disk), 5);
    stage.pipeline.close(Duration::ZERO).unwrap();
}
