//! Disks that fail under the spool, with the pipeline over it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use audit_plugin_api::serde_json::json;
use audit_plugin_api::{Action, PermissionAuditEvent, SinkError, Written};
use rustix::io::Errno;

use super::stage::*;
use crate::config::{BufferSettings, DiskFor, Durability, SpoolSettings, WhenFull};
use crate::pipeline::RecordError;
use crate::spool::memory_disk::{MemoryDisk, Operation};

/// A pipeline with a small spool on this disk.
fn on(disk: &MemoryDisk) -> Setting {
    Setting::with(|setting| {
        setting.disk = Arc::new(disk.clone());
        setting.buffer.max_event_bytes = 1 << 10;
        setting.buffer.spool = Some(SpoolSettings { max_bytes: 1 << 18, ..SpoolSettings::new("/spool") });
    })
}

/// As [`on`], and who waits for the disk is told after a moment that it does not answer.
fn impatient(disk: &MemoryDisk, durable_first: impl FnOnce(&mut SpoolSettings)) -> Setting {
    let mut setting = on(disk);
    setting.buffer.block_timeout = Duration::from_millis(50);
    durable_first(setting.buffer.spool.as_mut().unwrap());
    setting
}

fn denied() -> DiskFor {
    DiskFor::words().filter(|(word, _)| *word == "denied").map(|(_, set)| set).collect()
}

/// Records events of these numbers while another thread gives the disk space again as soon as it has refused something.
fn record_on_a_disk_that_heals(stage: &Stage, disk: &MemoryDisk, count: u64) {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                if disk.refused() > 0 {
                    disk.heal();
                }
                std::thread::yield_now();
            }
        });
        let _over = Over(&is_over);
        stage.record(0..count);
    });
}

#[test]
fn what_disk_for_names_waits_for_the_disk_and_nothing_else_does() {
    let disk = MemoryDisk::default();
    let setting = impatient(&disk, |spool| spool.disk_for = denied());
    let stage = setting.open(vec![Actor::new("sink")]);
    let record = |granted| {
        let event = PermissionAuditEvent::new(Action::Read, granted).user_id("1");
        stage.pipeline.record(&event)
    };
    // A segment is synced before it is used.
    record(true).unwrap();
    disk.fail(Operation::Sync, Errno::IO);
    record(true).expect("a plain read waits for nothing");
    let denied = record(false);
    assert!(matches!(&denied, Err(RecordError::NotDurable(_))), "{denied:?}");
    disk.heal();
    let mut records = 3;
    eventually(|| {
        records += 1;
        record(false).is_ok()
    });
    // What was not durable was accepted all the same.
    assert_eq!(stage.pipeline.close(LONG).unwrap().totals.delivered, records);
}

#[test]
fn a_disk_that_gives_nothing_keeps_a_caller_for_block_timeout_and_not_for_ever() {
    let disk = MemoryDisk::default();
    disk.fail(Operation::Allocate, Errno::NOSPC);
    let mut setting = on(&disk);
    // The disk is asked several times meanwhile.
    setting.buffer.block_timeout = Duration::from_millis(300);
    let stage = setting.open(vec![Actor::new("sink")]);
    std::thread::scope(|scope| {
        let (sender, told) = crossbeam_channel::bounded(1);
        let pipeline = &stage.pipeline;
        scope.spawn(move || sender.send(pipeline.record(&event(0))).unwrap());
        let recorded = told.recv_timeout(LONG);
        // So that a caller that waits for ever ends, too.
        disk.heal();
        let recorded = recorded.expect("the caller still waits");
        assert!(matches!(&recorded, Err(RecordError::Spool(_))), "{recorded:?}");
    });
    stage.pipeline.close(LONG).unwrap();
}

#[test]
fn with_durability_disk_nothing_is_durable_that_is_not_and_all_is_delivered() {
    let disk = MemoryDisk::default();
    let setting = impatient(&disk, |spool| spool.durability = Durability::Disk);
    let stage = setting.open(vec![Actor::new("sink")]);
    // A segment is synced before it is used.
    stage.record(0..1);
    disk.fail(Operation::Sync, Errno::IO);
    for number in 1..4 {
        let refused = stage.pipeline.record(&event(number));
        assert!(matches!(&refused, Err(RecordError::NotDurable(_))), "{refused:?}");
    }
    disk.heal();
    let mut next = 4;
    eventually(|| {
        next += 1;
        stage.pipeline.record(&event(next - 1)).is_ok()
    });
    let counts = stage.pipeline.close(LONG).unwrap().totals;
    assert_eq!((counts.accepted, counts.delivered, counts.rejected, counts.lost), (next, next, 0, 0));
    assert_eq!(stage.numbers(0), Vec::from_iter(0..next));
}

#[test]
fn a_close_says_that_what_stays_in_the_spool_may_not_be_on_the_disk() {
    let disk = MemoryDisk::default();
    let setting = impatient(&disk, |spool| spool.durability = Durability::Disk);
    let stage = setting.open(vec![Actor::new("sink").on_write(|_| Err(SinkError::retryable("down")))]);
    // A segment is synced before it is used.
    stage.record(0..1);
    disk.fail(Operation::Sync, Errno::IO);
    let refused = stage.pipeline.record(&event(1));
    assert!(matches!(&refused, Err(RecordError::NotDurable(_))), "{refused:?}");
    let report = stage.pipeline.close(Duration::from_millis(50)).unwrap();
    assert_eq!((report.totals.accepted, report.totals.spooled), (2, 2));
    let failure = report.spool_failure.expect("it is said");
    assert!(failure.contains("Input/output error"), "{failure}");
}

#[test]
fn a_close_that_leaves_nothing_in_the_spool_needs_no_disk() {
    let disk = MemoryDisk::default();
    let setting = impatient(&disk, |spool| spool.durability = Durability::Disk);
    let stage = setting.open(vec![Actor::new("sink")]);
    stage.record(0..1);
    disk.fail(Operation::Sync, Errno::IO);
    let report = stage.pipeline.close(LONG).unwrap();
    assert_eq!((report.is_clean(), report.spool_failure), (true, None));
}

/// A pipeline whose spool has made its first segment: what it asks of the disk from now on, recording asks for.
fn open_with_a_spare(disk: &MemoryDisk, sink: Actor) -> Stage {
    let stage = on(disk).open(vec![sink]);
    eventually(|| disk.log().iter().any(|(operation, _)| *operation == Operation::Map));
    stage
}

/// The operations of a run of this many events whose sink answers after the last.
fn operations_of_a_run(count: u64) -> usize {
    let disk = MemoryDisk::default();
    let gate = Gate::default();
    let waits = gate.clone();
    let waiting = Actor::new("sink").on_write(move |_| {
        waits.pass();
        Ok(Written::Delivered)
    });
    let stage = open_with_a_spare(&disk, waiting);
    let before = disk.log().len();
    stage.record(0..count);
    gate.open();
    stage.pipeline.close(LONG).unwrap();
    disk.log().len() - before
}

#[test]
fn a_disk_that_is_full_at_any_operation_of_a_run_and_then_is_not_costs_nothing() {
    const EVENTS: u64 = 1000;
    let operations = operations_of_a_run(EVENTS);
    assert!(operations > 10, "{operations}");
    let mut refused = 0;
    for until_full in 0..=operations {
        let disk = MemoryDisk::default();
        let stage = open_with_a_spare(&disk, Actor::new("sink"));
        disk.fill_up_after(until_full);
        record_on_a_disk_that_heals(&stage, &disk, EVENTS);
        let counts = stage.pipeline.close(LONG).unwrap().totals;
        let expected = (EVENTS, EVENTS, 0, 0, 0);
        let found = (counts.accepted, counts.delivered, counts.rejected, counts.lost, counts.spooled);
        assert_eq!(found, expected, "full after {until_full} operations");
        assert_eq!(stage.numbers(0), Vec::from_iter(0..EVENTS), "full after {until_full} operations");
        assert!(disk.segments().is_empty(), "full after {until_full} operations");
        refused += usize::from(disk.refused() > 0);
    }
    assert!(refused > operations / 3, "{refused} of {operations} were refused anything");
}

#[test]
fn whatever_a_disk_answers_recording_goes_on_when_it_answers_well() {
    let operations =
        [Operation::Create, Operation::Allocate, Operation::Write, Operation::ShortWrite, Operation::Map];
    for operation in operations {
        for errno in [Errno::NOSPC, Errno::IO, Errno::ROFS, Errno::DQUOT, Errno::MFILE] {
            let disk = MemoryDisk::default();
            let setting = on(&disk);
            let buffer = BufferSettings { when_full: WhenFull::Fail, ..setting.buffer.clone() };
            let setting = Setting { buffer, ..setting };
            let stage =
                setting.open(vec![Actor::new("sink").on_write(|_| Err(SinkError::retryable("down")))]);
            disk.fail(operation, errno);
            // What is there already is used up first.
            let mut accepted = 0;
            let refused = loop {
                match stage.pipeline.record(&event(accepted)) {
                    Ok(()) => accepted += 1,
                    Err(error) => break error,
                }
            };
            assert!(matches!(refused, RecordError::Spool(_)), "{operation:?}, {errno}: {refused:?}");
            disk.heal();
            eventually(|| stage.pipeline.record(&event(accepted)).is_ok());
            let counts = stage.pipeline.close(Duration::from_millis(50)).unwrap().totals;
            assert_eq!(
                (counts.accepted, counts.spooled),
                (accepted + 1, accepted + 1),
                "{operation:?}, {errno}"
            );
            assert!(counts.rejected > 0);
            drop(stage);

            let stage = on(&disk).open(vec![Actor::new("sink")]);
            let counts = stage.pipeline.close(LONG).unwrap().totals;
            assert_eq!((counts.recovered, counts.lost), (accepted + 1, 0), "{operation:?}, {errno}");
            assert_eq!(stage.numbers(0), Vec::from_iter(0..=accepted), "{operation:?}, {errno}");
        }
    }
}

#[test]
fn a_process_that_dies_at_any_operation_of_a_run_leaves_all_it_accepted() {
    const EVENTS: u64 = 1000;
    for operations in 0..=operations_of_a_run(EVENTS) {
        let disk = MemoryDisk::default();
        let setting = on(&disk);
        let buffer = BufferSettings { when_full: WhenFull::Fail, ..setting.buffer.clone() };
        let is_dead = Arc::new(AtomicBool::new(false));
        let answer = |is_dead: &AtomicBool| match is_dead.load(Ordering::SeqCst) {
            false => Ok(()),
            true => Err(SinkError::retryable("its process is dead")),
        };
        let (to_write, to_flush) = (is_dead.clone(), is_dead.clone());
        let sink = Actor::new("sink")
            .on_write(move |_| answer(&to_write).map(|()| Written::Delivered))
            .on_flush(move |_| answer(&to_flush));
        let stage = Setting { buffer, ..setting }.open(vec![sink]);
        disk.die_after(operations);
        let accepted = (0..EVENTS).take_while(|number| stage.pipeline.record(&event(*number)).is_ok());
        let accepted = accepted.count() as u64;
        is_dead.store(true, Ordering::SeqCst);
        // Answered by the worker when it is done with all that came before.
        stage.pipeline.control("sink", &json!({}), LONG).unwrap();
        let left = disk.after_kill();
        let delivered = stage.numbers(0).len() as u64;
        let _ = stage.pipeline.close(Duration::ZERO);

        let next = on(&left).open(vec![Actor::new("sink")]);
        let counts = next.pipeline.close(LONG).unwrap().totals;
        let again = next.numbers(0);
        let first = again.first().copied().unwrap_or(accepted);
        assert!(again == Vec::from_iter(first..accepted), "dead after {operations} operations: {again:?}");
        assert!(first <= delivered, "dead after {operations} operations: {first} of {delivered}");
        assert_eq!(
            (counts.recovered, counts.delivered, counts.lost),
            (accepted - first, accepted - first, 0)
        );
    }
}
