//! Events that have to be on the disk before `record` returns: loss of power leaves them, and a sink that fails gets them
//! like others.

use std::sync::Arc;
use std::time::Duration;

use audit_plugin_api::{Action, PermissionAuditEvent, SinkError, Written};
use rustix::io::Errno;

use super::stage::*;
use crate::config::{DiskFor, Durability, SpoolSettings};
use crate::spool::memory_disk::{MemoryDisk, Operation};

const THREADS: u64 = 4;
/// Of each thread.
const EVENTS: u64 = 40;

/// A pipeline with a spool on this disk.
fn on(disk: &MemoryDisk, durable_first: impl Fn(&mut SpoolSettings)) -> Setting {
    Setting::with(|setting| {
        setting.disk = Arc::new(disk.clone());
        setting.buffer.max_event_bytes = 1 << 10;
        let mut spool = SpoolSettings { max_bytes: 1 << 20, ..SpoolSettings::new("/spool") };
        durable_first(&mut spool);
        setting.buffer.spool = Some(spool);
    })
}

fn all_of_them(spool: &mut SpoolSettings) {
    spool.durability = Durability::Disk;
}

fn disk_for(words: &[&str]) -> DiskFor {
    DiskFor::words().filter(|(word, _)| words.contains(word)).map(|(_, set)| set).collect()
}

/// One of four kinds, by its number.
fn of_a_kind(number: u64) -> PermissionAuditEvent {
    let event = match number % 4 {
        0 => PermissionAuditEvent::new(Action::Read, true),
        1 => PermissionAuditEvent::new(Action::Read, false),
        2 => PermissionAuditEvent::new(Action::Update, true).bypassed(true),
        _ => PermissionAuditEvent::new(Action::Mutation, true),
    };
    event.user_id(number.to_string())
}

/// Several threads record, and the power goes: what is `covered` is there all the same, in the order of its thread.
/// `kept` says which sectors reach the disk without a sync.
#[track_caller]
fn loss_of_power_leaves(
    covered: impl Fn(u64) -> bool,
    durable_first: impl Fn(&mut SpoolSettings),
    kept: impl FnMut() -> bool,
    before: impl Fn(&MemoryDisk),
) {
    let disk = MemoryDisk::default();
    let stage = on(&disk, &durable_first)
        .open(vec![Actor::new("sink").on_write(|_| Err(SinkError::retryable("down")))]);
    stage.record([THREADS * EVENTS]);
    before(&disk);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let pipeline = &stage.pipeline;
            scope.spawn(move || {
                for number in thread * EVENTS..(thread + 1) * EVENTS {
                    pipeline
                        .record(&of_a_kind(number))
                        .expect("accepted, and on the disk where it has to be");
                }
            });
        }
    });
    let left = disk.after_power_loss(kept);
    stage.pipeline.close(Duration::ZERO).unwrap();

    let next = on(&left, &durable_first).open(vec![Actor::new("sink")]);
    next.pipeline.close(LONG).unwrap();
    let found = next.numbers(0);
    for thread in 0..THREADS {
        let own = thread * EVENTS..(thread + 1) * EVENTS;
        let there: Vec<u64> =
            found.iter().copied().filter(|number| own.contains(number) && covered(*number)).collect();
        assert_eq!(there, own.filter(|number| covered(*number)).collect::<Vec<_>>(), "thread {thread}");
    }
}

#[test]
fn loss_of_power_leaves_all_that_was_accepted_with_durability_disk() {
    loss_of_power_leaves(|_| true, all_of_them, || false, |_| {});
}

#[test]
fn loss_of_power_leaves_what_a_sync_that_failed_at_first_brought_to_the_disk_later() {
    loss_of_power_leaves(|_| true, all_of_them, || false, |disk| disk.fail_once(Operation::Sync, Errno::IO));
}

#[test]
fn loss_of_power_leaves_all_that_was_accepted_also_beside_what_came_to_the_disk_by_itself() {
    let mut sector = 0;
    let every_third = move || {
        sector += 1;
        sector % 3 == 0
    };
    loss_of_power_leaves(|_| true, all_of_them, every_third, |_| {});
}

#[test]
fn loss_of_power_leaves_what_disk_for_names() {
    for (word, kind) in [("denied", 1), ("bypassed", 2), ("mutation", 3)] {
        let named = |spool: &mut SpoolSettings| spool.disk_for = disk_for(&[word]);
        loss_of_power_leaves(|number| number % 4 == kind, named, || false, |_| {});
    }
    let all_three =
        |spool: &mut SpoolSettings| spool.disk_for = disk_for(&["denied", "bypassed", "mutation"]);
    loss_of_power_leaves(|number| number % 4 != 0, all_three, || false, |_| {});
}

/// What is wrong with a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    FailsForAWhile,
    RefusesOne,
    PanicsOnce,
    HangsOnce,
    FlushFailsOnce,
}

/// The event over which it goes wrong.
const BAD: u64 = 17;

fn faulty(fault: Fault, gate: &Gate) -> Actor {
    let gate = gate.clone();
    let actor = Actor::new("sink").on_write(move |writing| {
        let position = writing.numbers.iter().position(|number| *number == BAD);
        let is_first = writing.instance == 1;
        match (fault, position) {
            (Fault::FailsForAWhile, Some(_)) if writing.batch.attempt() < 5 => {
                Err(SinkError::retryable("busy"))
            }
            (Fault::RefusesOne, Some(at)) => Err(SinkError::permanent("bad").only([at as u32])),
            (Fault::PanicsOnce, Some(_)) if is_first => Err(SinkError::panicked("boom")),
            (Fault::HangsOnce, Some(_)) if is_first => {
                gate.pass();
                Ok(Written::Delivered)
            }
            _ => Ok(Written::Delivered),
        }
    });
    actor.on_flush(move |instance| match fault {
        Fault::FlushFailsOnce if instance == 1 => Err(SinkError::reopen("the disk has failed")),
        _ => Ok(()),
    })
}

#[test]
fn with_durability_disk_a_sink_that_fails_gets_everything_once_it_works_and_loss_of_power_costs_nothing() {
    for fault in
        [Fault::FailsForAWhile, Fault::RefusesOne, Fault::PanicsOnce, Fault::HangsOnce, Fault::FlushFailsOnce]
    {
        let (disk, gate) = (MemoryDisk::default(), Gate::default());
        let mut setting = on(&disk, all_of_them);
        if fault == Fault::HangsOnce {
            setting.delivery.write_timeout = Duration::from_millis(200);
            setting.delivery.shutdown_timeout = Duration::from_millis(200);
        }
        let stage = setting.open(vec![faulty(fault, &gate)]);
        stage.record(0..EVENTS);
        // Whatever the sink has had by now.
        let left = disk.after_power_loss(|| false);
        let dead = u64::from(fault == Fault::RefusesOne);
        let totals = stage.pipeline.close(LONG).unwrap().totals;
        let found = (totals.accepted, totals.delivered, totals.dead_lettered, totals.lost);
        assert_eq!(found, (EVENTS, EVENTS - dead, dead, 0), "{fault:?}");
        assert!(disk.segments().is_empty(), "{fault:?}");
        assert_eq!(
            stage.dead_numbers("sink"),
            Vec::from_iter((BAD..BAD + 1).filter(|_| dead > 0)),
            "{fault:?}"
        );
        let had = stage.numbers(0);
        assert!((0..EVENTS).all(|number| had.contains(&number)), "{fault:?}: {had:?}");

        let next = on(&left, all_of_them).open(vec![Actor::new("sink")]);
        let totals = next.pipeline.close(LONG).unwrap().totals;
        assert_eq!((totals.delivered, totals.lost), (totals.recovered, 0), "{fault:?}");
        let again = next.numbers(0);
        let first = again.first().copied().unwrap_or(EVENTS);
        assert_eq!(again, Vec::from_iter(first..EVENTS), "{fault:?}");
        gate.open();
    }
}
