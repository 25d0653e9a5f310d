//! Sinks that are not required, with a spool: they drop for themselves, count it, and never stop admission.

use std::sync::Arc;

use audit_plugin_api::serde_json::json;
use audit_plugin_api::{SinkError, Written};

use super::stage::*;
use crate::config::SpoolSettings;
use crate::pipeline::CloseReport;
use crate::spool::memory_disk::MemoryDisk;

/// More than the spool has room for.
const EVENTS: u64 = 6000;

/// A pipeline with a small spool on this disk, a sink that takes everything, and one that is not required.
fn beside_a_good_one(disk: &MemoryDisk, optional: Actor) -> Stage {
    let setting = Setting::with(|setting| {
        setting.disk = Arc::new(disk.clone());
        setting.buffer.max_event_bytes = 1 << 10;
        setting.buffer.spool = Some(SpoolSettings { max_bytes: 1 << 18, ..SpoolSettings::new("/spool") });
    });
    setting.open(vec![Actor::new("good"), optional.optional()])
}

/// Each event came to one end, the good sink got all of them, and nothing is left in the spool. Returns how many the other
/// one dropped.
#[track_caller]
fn assert_ended(stage: &Stage, disk: &MemoryDisk) -> u64 {
    let CloseReport { totals, sinks, .. } = stage.pipeline.close(LONG).unwrap();
    let [good, optional] = [sinks[0].counts, sinks[1].counts];
    assert_eq!((good.accepted, good.delivered), (EVENTS, EVENTS));
    assert_eq!((optional.delivered + optional.dropped, optional.lost), (EVENTS, 0), "{optional:?}");
    assert_eq!((totals.delivered, totals.dropped, totals.lost), (optional.delivered, optional.dropped, 0));
    assert_eq!(stage.numbers(0), Vec::from_iter(0..EVENTS));
    assert!(disk.segments().is_empty());
    optional.dropped
}

#[test]
fn one_that_hangs_in_a_write_drops_for_itself_and_never_stops_admission() {
    let (disk, gate) = (MemoryDisk::default(), Gate::default());
    let hangs = gate.clone();
    let stage = beside_a_good_one(
        &disk,
        Actor::new("hung").on_write(move |_| {
            hangs.pass();
            Ok(Written::Delivered)
        }),
    );
    stage.record(0..EVENTS);
    gate.open();
    assert!(assert_ended(&stage, &disk) > 0);
}

#[test]
fn one_that_hangs_in_a_flush_drops_for_itself_and_never_stops_admission() {
    let (disk, gate) = (MemoryDisk::default(), Gate::default());
    let hangs = gate.clone();
    let stage = beside_a_good_one(
        &disk,
        Actor::new("hung").on_flush(move |_| {
            hangs.pass();
            Ok(())
        }),
    );
    stage.record(0..EVENTS);
    gate.open();
    assert!(assert_ended(&stage, &disk) > 0);
}

#[test]
fn what_one_took_and_never_flushed_makes_room_and_counts_as_dropped_when_its_instance_is_gone() {
    let disk = MemoryDisk::default();
    let unsound = Actor::new("unsound")
        .on_flush(|instance| match instance {
            1 => Err(SinkError::retryable("the disk says nothing")),
            _ => Ok(()),
        })
        .on_control(|_| Err(SinkError::panicked("boom")));
    let stage = beside_a_good_one(&disk, unsound);
    stage.record(0..EVENTS);
    eventually(|| stage.pipeline.sink_counts()[1].1.unsettled() < 10);
    assert!(stage.pipeline.control("unsound", &json!({}), LONG).is_err());
    let dropped = assert_ended(&stage, &disk);
    assert!(dropped > 0);
    let again = stage.seen(1).into_iter().filter_map(|seen| match seen {
        Seen::Write { instance: 2, numbers, .. } => Some(numbers),
        _ => None,
    });
    let again: Vec<u64> = again.flatten().collect();
    assert_eq!(again.len() as u64, EVENTS - dropped);
    assert!(again.is_sorted_by(|before, after| before < after));
}

#[test]
fn what_one_that_cannot_be_flushed_took_counts_as_dropped_as_soon_as_its_place_is_wanted() {
    let disk = MemoryDisk::default();
    let unsound = Actor::new("unsound").on_flush(|_| Err(SinkError::retryable("the disk says nothing")));
    let stage = beside_a_good_one(&disk, unsound);
    stage.record(0..EVENTS);
    // The last ones are no full batch.
    eventually(|| stage.pipeline.sink_counts()[1].1.unsettled() < 10);
    // Nothing is kept of what the spool has no more: that would grow for as long as the logger lives.
    let counts = stage.pipeline.sink_counts()[1].1;
    assert!(counts.dropped > 0 && counts.delivered < EVENTS / 2, "{counts:?}");
    let report = stage.pipeline.close(LONG).unwrap();
    let [good, unsound] = [report.sinks[0].counts, report.sinks[1].counts];
    assert_eq!((good.delivered, unsound.delivered + unsound.dropped), (EVENTS, EVENTS));
    assert_eq!(stage.numbers(0), Vec::from_iter(0..EVENTS));
}
