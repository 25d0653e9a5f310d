//! What a sink has taken and not flushed when its instance is replaced: the next one gets it again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use audit_plugin_api::serde_json::json;
use audit_plugin_api::{SinkError, Written};

use super::stage::*;
use crate::config::SpoolSettings;
use crate::pipeline::{Counts, FlushOutcome, Pipeline};
use crate::spool::memory_disk::MemoryDisk;

/// What the first instance takes.
const TAKEN: u64 = 30;

/// A pipeline with a spool on this disk.
fn on(disk: &MemoryDisk) -> Setting {
    Setting::with(|setting| {
        setting.disk = Arc::new(disk.clone());
        setting.buffer.max_event_bytes = 1 << 10;
        setting.buffer.spool = Some(SpoolSettings { max_bytes: 1 << 20, ..SpoolSettings::new("/spool") });
    })
}

fn adds_up(counts: &Counts) -> bool {
    let settled = counts.delivered + counts.dead_lettered + counts.dropped + counts.spooled + counts.lost;
    settled + counts.queued + counts.in_flight == counts.accepted
}

/// Looks at the counters again and again, until it is over.
fn assert_adds_up_until(is_over: &AtomicBool, pipeline: &Pipeline) {
    while !is_over.load(Ordering::SeqCst) {
        let of_sinks = pipeline.sink_counts().into_iter().map(|(_, counts)| counts);
        for counts in of_sinks.chain([pipeline.counts()]) {
            assert!(adds_up(&counts), "{counts:?}");
        }
        std::thread::yield_now();
    }
}

/// Batches that this instance of a sink got: whether they were doubtful, and their numbers.
fn batches_of(seen: Vec<Seen>, of: u64) -> Vec<(bool, Vec<u64>)> {
    let batch = |seen| match seen {
        Seen::Write { instance, doubtful, numbers, .. } if instance == of => Some((doubtful, numbers)),
        _ => None,
    };
    seen.into_iter().filter_map(batch).collect()
}

/// How the first instance of a sink ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    FlushSaysReopen,
    FlushPanics,
    FlushHangs,
    WritePanics,
    WriteHangs,
    ControlPanics,
}

impl End {
    /// Brings it about.
    fn come(self, stage: &Stage) {
        match self {
            End::FlushSaysReopen | End::FlushPanics | End::FlushHangs => {
                // Unless the worker has flushed by itself meanwhile.
                stage.pipeline.flush(LONG).unwrap();
            }
            End::WritePanics | End::WriteHangs => stage.record(TAKEN..TAKEN + 10),
            End::ControlPanics => assert!(stage.pipeline.control("sink", &json!({}), LONG).is_err()),
        }
    }
}

/// An instance takes events, no flush of it says yes, and it ends so: the next one gets all of them again, before anything
/// newer, and until its flush has said yes nothing of that leaves the spool.
#[track_caller]
fn comes_again_after(end: End) {
    let (disk, gate) = (MemoryDisk::default(), Gate::default());
    let (is_told, left) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)));
    let (told, copy, to_copy) = (is_told.clone(), left.clone(), disk.clone());
    let (in_write, in_flush) = (gate.clone(), gate.clone());
    let sink = Actor::new("sink")
        .on_write(move |writing| {
            let is_last = writing.instance == 1 && writing.numbers.contains(&TAKEN);
            match end {
                End::WritePanics if is_last => return Err(SinkError::panicked("boom")),
                End::WriteHangs if is_last => in_write.pass(),
                _ => {}
            }
            Ok(Written::Delivered)
        })
        .on_flush(move |instance| match end {
            _ if instance > 1 => {
                copy.lock().unwrap().get_or_insert_with(|| to_copy.after_kill());
                Ok(())
            }
            _ if !told.load(Ordering::SeqCst) => Err(SinkError::retryable("not yet")),
            End::FlushSaysReopen => Err(SinkError::reopen("the disk has failed")),
            End::FlushPanics => Err(SinkError::panicked("boom")),
            End::FlushHangs => {
                in_flush.pass();
                Ok(())
            }
            _ => Err(SinkError::retryable("not yet")),
        })
        .on_control(|_| Err(SinkError::panicked("boom")));
    let mut setting = on(&disk);
    if matches!(end, End::FlushHangs | End::WriteHangs) {
        setting.delivery.write_timeout = Duration::from_millis(200);
        setting.delivery.shutdown_timeout = Duration::from_millis(200);
    }
    let stage = setting.open(vec![Actor::new("good"), sink]);
    let is_over = AtomicBool::new(false);
    let report = std::thread::scope(|scope| {
        scope.spawn(|| assert_adds_up_until(&is_over, &stage.pipeline));
        let _over = Over(&is_over);
        stage.record(0..TAKEN);
        eventually(|| stage.pipeline.sink_counts()[1].1.delivered == TAKEN);
        is_told.store(true, Ordering::SeqCst);
        end.come(&stage);
        eventually(|| left.lock().unwrap().is_some());
        stage.pipeline.close(LONG).unwrap()
    });
    let Counts { accepted, delivered, lost, .. } = report.totals;
    assert_eq!((delivered, lost), (accepted, 0), "{report:?}");
    assert!(report.sinks[1].counts.retried >= TAKEN, "{report:?}");
    assert_eq!(report.sinks[0].counts.retried, 0);
    assert!(disk.segments().is_empty());

    let again = batches_of(stage.seen(1), 2);
    let all = || Vec::from_iter(0..accepted);
    assert!(again.iter().all(|(_, numbers)| numbers.len() <= 10), "{again:?}");
    assert!(again.iter().take(TAKEN as usize / 10).all(|(doubtful, _)| *doubtful), "{again:?}");
    assert_eq!(again.into_iter().flat_map(|(_, numbers)| numbers).collect::<Vec<_>>(), all());
    assert_eq!(stage.numbers(0), all());

    let left = left.lock().unwrap().take().expect("a copy");
    let next = on(&left).open(vec![Actor::new("good"), Actor::new("sink")]);
    assert_eq!(next.pipeline.close(LONG).unwrap().sinks[1].counts.recovered, accepted);
    assert_eq!(next.numbers(1), all());
    gate.open();
}

#[test]
fn after_a_flush_that_says_reopen_the_next_instance_gets_again_what_was_not_flushed() {
    comes_again_after(End::FlushSaysReopen);
}

#[test]
fn after_a_flush_that_panics_the_next_instance_gets_again_what_was_not_flushed() {
    comes_again_after(End::FlushPanics);
}

#[test]
fn after_a_flush_that_is_abandoned_the_next_instance_gets_again_what_was_not_flushed() {
    comes_again_after(End::FlushHangs);
}

#[test]
fn after_a_write_that_panics_the_next_instance_gets_again_what_was_not_flushed() {
    comes_again_after(End::WritePanics);
}

#[test]
fn after_a_write_that_is_abandoned_the_next_instance_gets_again_what_was_not_flushed() {
    comes_again_after(End::WriteHangs);
}

#[test]
fn after_a_control_that_panics_the_next_instance_gets_again_what_was_not_flushed() {
    comes_again_after(End::ControlPanics);
}

/// A sink whose first flushes, so many, say that it has to be opened anew.
fn fails_to_flush(times: u64) -> Actor {
    let left = AtomicU64::new(times);
    let fails =
        move || left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
    Actor::new("sink").on_flush(move |_| match fails() {
        true => Err(SinkError::reopen("the disk has failed")),
        false => Ok(()),
    })
}

#[test]
fn what_was_flushed_does_not_come_again() {
    let disk = MemoryDisk::default();
    let stage = on(&disk).open(vec![Actor::new("sink").on_control(|_| Err(SinkError::panicked("boom")))]);
    stage.record(0..TAKEN);
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    assert!(stage.pipeline.control("sink", &json!({}), LONG).is_err());
    stage.record(TAKEN..TAKEN + 10);
    let totals = stage.pipeline.close(LONG).unwrap().totals;
    assert_eq!((totals.delivered, totals.retried), (TAKEN + 10, 0));
    assert_eq!(stage.numbers(0), Vec::from_iter(0..TAKEN + 10));
}

#[test]
fn what_stands_before_an_event_that_the_sink_panics_over_is_flushed_and_comes_once() {
    let disk = MemoryDisk::default();
    let stage =
        on(&disk).open(vec![Actor::new("sink").on_write(|writing| match writing.numbers.contains(&7) {
            true => Err(SinkError::panicked("boom")),
            false => Ok(Written::Delivered),
        })]);
    stage.record(0..10);
    let totals = stage.pipeline.close(LONG).unwrap().totals;
    assert_eq!((totals.delivered, totals.dead_lettered), (9, 1));
    let taken = stage.seen(0).into_iter().filter_map(|seen| match seen {
        Seen::Write { numbers, .. } if !numbers.contains(&7) => Some(numbers),
        _ => None,
    });
    assert_eq!(taken.collect::<Vec<_>>(), [vec![0, 1, 2, 3, 4], vec![5, 6], vec![8, 9]]);
}

#[test]
fn without_a_spool_nothing_that_is_delivered_comes_again() {
    let stage = Stage::open(vec![fails_to_flush(1)]);
    stage.record(0..TAKEN);
    assert!(matches!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Failed { .. }));
    let totals = stage.pipeline.close(LONG).unwrap().totals;
    assert_eq!((totals.delivered, totals.retried), (TAKEN, 0));
    assert_eq!(stage.numbers(0), Vec::from_iter(0..TAKEN));
}

#[test]
fn what_the_last_flush_of_closing_fails_for_is_delivered_and_flushed_by_the_next_instance() {
    let disk = MemoryDisk::default();
    let stage = on(&disk).open(vec![fails_to_flush(3).with(|settings| settings.batch_size = 100)]);
    stage.record(0..TAKEN);
    let report = stage.pipeline.close(LONG).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert!(stage.seen(0).contains(&Seen::Flush(4)));
    assert!(disk.segments().is_empty());
}

#[test]
fn a_flush_that_says_reopen_is_a_failed_flush_though_its_events_wait_again() {
    let stage = on(&MemoryDisk::default()).open(vec![fails_to_flush(u64::MAX)]);
    stage.record(0..TAKEN);
    let failed =
        FlushOutcome::Failed { given_up: 0, sinks: vec![("sink".into(), "the disk has failed".into())] };
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), failed);
    stage.pipeline.close(Duration::ZERO).unwrap();
}

#[test]
fn what_is_delivered_again_since_it_cannot_be_flushed_is_no_progress() {
    let disk = MemoryDisk::default();
    let stage = on(&disk).open(vec![fails_to_flush(u64::MAX)]);
    stage.record(0..TAKEN);
    // However many were taken by then: nothing newer goes out.
    let retried = || stage.pipeline.counts().retried;
    eventually(|| retried() > 0);
    let (before, progress) = (retried(), stage.pipeline.progress(0));
    eventually(|| retried() > before + 3 * TAKEN);
    assert_eq!(stage.pipeline.progress(0), progress);
    stage.pipeline.close(Duration::ZERO).unwrap();
}

#[test]
fn what_no_flush_says_yes_to_until_the_end_is_the_next_process_s() {
    let disk = MemoryDisk::default();
    let stage = on(&disk).open(vec![fails_to_flush(u64::MAX)]);
    stage.record(0..TAKEN);
    let report = stage.pipeline.close(Duration::from_millis(100)).unwrap();
    assert!(adds_up(&report.totals) && report.totals.queued == 0, "{report:?}");
    assert_eq!((report.totals.accepted, report.totals.lost), (TAKEN, 0));
    assert!(!report.is_clean());
    drop(stage);

    let stage = on(&disk).open(vec![Actor::new("sink")]);
    let totals = stage.pipeline.close(LONG).unwrap().totals;
    assert_eq!((totals.recovered, totals.delivered), (TAKEN, TAKEN));
    assert_eq!(stage.numbers(0), Vec::from_iter(0..TAKEN));
    assert!(disk.segments().is_empty());
}
