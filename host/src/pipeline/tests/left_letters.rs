//! Events that are given up while they are in the spool: dead letters once, or a later process's.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use audit_plugin_api::serde_json::json;
use audit_plugin_api::{SinkError, Written};
use tempfile::TempDir;

use super::stage::*;
use crate::config::SpoolSettings;
use crate::pipeline::FlushOutcome;
use crate::spool::memory_disk::MemoryDisk;

/// A pipeline with a spool on this disk, and its dead letters in this folder.
fn on(disk: &MemoryDisk, folder: &Arc<TempDir>) -> Setting {
    Setting::with(|setting| {
        setting.disk = Arc::new(disk.clone());
        setting.folder = folder.clone();
        setting.delivery.dead_letter_path = folder.path().join("dead.ndjson");
        setting.buffer.max_event_bytes = 1 << 10;
        setting.buffer.spool = Some(SpoolSettings { max_bytes: 1 << 20, ..SpoolSettings::new("/spool") });
    })
}

fn folder() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().expect("a folder"))
}

/// A sink that refuses the fourth event of each batch for good.
fn refuses_the_fourth() -> Actor {
    Actor::new("sink").on_write(|_| Err(SinkError::permanent("bad").only([3])))
}

/// A process cannot write its dead letters: what it leaves in the spool.
fn leave_unburied(folder: &Arc<TempDir>) -> MemoryDisk {
    let disk = MemoryDisk::default();
    let letters = folder.path().join("dead.ndjson");
    fs::create_dir(&letters).expect("in the way");
    let stage = on(&disk, folder).open(vec![refuses_the_fourth()]);
    stage.record(0..10);
    eventually(|| stage.pipeline.counts().delivered == 9);
    let totals = stage.pipeline.close(Duration::from_millis(100)).unwrap().totals;
    assert_eq!((totals.accepted, totals.delivered, totals.spooled), (10, 9, 1), "{totals:?}");
    assert_eq!((totals.dead_lettered, totals.lost, totals.unsettled()), (0, 0, 0), "{totals:?}");
    fs::remove_dir(&letters).expect("removed");
    disk
}

#[test]
fn what_is_in_no_dead_letter_when_closing_ends_stays_in_the_spool_and_the_next_process_buries_it() {
    let folder = folder();
    let disk = leave_unburied(&folder);
    let refusing = Actor::new("sink").on_write(|_| Err(SinkError::permanent("still bad").only([0])));
    let stage = on(&disk, &folder).open(vec![refusing.with(|settings| settings.batch_size = 1)]);
    let recovered = stage.pipeline.counts().recovered;
    let totals = stage.pipeline.close(LONG).unwrap().totals;
    assert_eq!((totals.dead_lettered, totals.lost, totals.spooled), (recovered, 0, 0), "{totals:?}");
    assert!(stage.dead_numbers("sink").contains(&3));
    assert!(disk.segments().is_empty());
}

#[test]
fn what_is_in_no_dead_letter_when_closing_ends_stays_in_the_spool_and_the_next_process_delivers_it() {
    let folder = folder();
    let disk = leave_unburied(&folder);
    let stage = on(&disk, &folder).open(vec![Actor::new("sink")]);
    let totals = stage.pipeline.close(LONG).unwrap().totals;
    assert_eq!((totals.delivered, totals.lost, totals.spooled), (totals.recovered, 0, 0), "{totals:?}");
    assert!(stage.numbers(0).contains(&3));
    assert!(stage.letters().is_empty());
    assert!(disk.segments().is_empty());
}

#[test]
fn after_max_attempts_it_is_a_dead_letter_and_no_later_process_delivers_it() {
    let (disk, folder) = (MemoryDisk::default(), folder());
    let mut setting = on(&disk, &folder);
    setting.delivery.max_attempts = 3;
    let busy = Actor::new("sink").on_write(|writing| {
        let position = writing.numbers.iter().position(|number| *number == 3);
        position.map_or(Ok(Written::Delivered), |at| Err(SinkError::retryable("busy").only([at as u32])))
    });
    let stage = setting.open(vec![busy]);
    stage.record(0..10);
    let outcome = stage.pipeline.flush(LONG).unwrap();
    assert_eq!(outcome, FlushOutcome::Failed { given_up: 1, sinks: Vec::new() });
    assert_eq!(stage.letters()[0]["attempts"], 3);
    // Answered by the worker when it has noted in the spool what was flushed.
    stage.pipeline.control("sink", &json!({}), LONG).unwrap();
    let killed = disk.after_kill();
    let totals = stage.pipeline.close(LONG).unwrap().totals;
    assert_eq!((totals.delivered, totals.dead_lettered, totals.spooled), (9, 1, 0));
    assert!(disk.segments().is_empty());
    drop(stage);

    for left in [&disk, &killed] {
        let stage = on(left, &folder).open(vec![Actor::new("sink")]);
        let totals = stage.pipeline.close(LONG).unwrap().totals;
        assert_eq!((totals.recovered, totals.accepted), (0, 0));
        assert_eq!(stage.numbers(0), [0_u64; 0]);
        assert_eq!(stage.dead_numbers("sink"), [3]);
    }
}
