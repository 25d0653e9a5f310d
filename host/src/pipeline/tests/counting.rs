//! The counters, in every snapshot.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use audit_plugin_api::{AckStatus, SinkError, Written};

use super::stage::*;
use crate::config::WhenFull;
use crate::pipeline::{Counts, FlushOutcome};

#[track_caller]
fn assert_adds_up(counts: &Counts) {
    let sum = counts.delivered
        + counts.dead_lettered
        + counts.dropped
        + counts.spooled
        + counts.queued
        + counts.in_flight
        + counts.lost;
    assert_eq!(counts.accepted, sum, "{counts:?}");
}

#[test]
fn counters_add_up_in_every_snapshot_for_each_sink_and_in_all() {
    let setting = Setting::with(|setting| {
        setting.buffer.capacity_bytes = 64 << 10;
        setting.buffer.max_event_bytes = 16 << 10;
        setting.buffer.when_full = WhenFull::Block;
    });
    let picky = Actor::new("picky").on_write(|writing| {
        let bad: Vec<u32> =
            (0..).zip(writing.numbers).filter(|(_, n)| *n % 7 == 0).map(|(at, _)| at).collect();
        match writing.numbers[0] % 3 {
            0 if !bad.is_empty() => Err(SinkError::permanent("seven").only(bad)),
            1 if writing.batch.attempt() == 1 => Err(SinkError::retryable("busy").after(2)),
            _ => Ok(Written::Delivered),
        }
    });
    let late =
        Actor::new("late").optional().with(|settings| settings.max_in_flight = 4).on_write(|writing| {
            let (host, batch, len) = (writing.host.clone(), writing.batch.id(), writing.batch.len() as u32);
            thread::spawn(move || acknowledge(&host, batch, 0, len, AckStatus::Delivered));
            Ok(Written::Pending { taken: len })
        });
    let stage = setting.open(vec![picky, late, Actor::new("plain")]);
    let done = Arc::new(AtomicBool::new(false));
    let sampler = {
        let (pipeline, done) = (stage.pipeline.clone(), done.clone());
        thread::spawn(move || {
            let mut before = Counts::default();
            while !done.load(Ordering::Relaxed) {
                let totals = pipeline.counts();
                assert_adds_up(&totals);
                assert!(totals.accepted >= before.accepted && totals.dead_lettered >= before.dead_lettered);
                for (_, counts) in pipeline.sink_counts() {
                    assert_adds_up(&counts);
                }
                before = totals;
            }
        })
    };
    thread::scope(|scope| {
        for part in 0..3_u64 {
            let stage = &stage;
            scope.spawn(move || stage.record(part * 1000..(part + 1) * 1000));
        }
    });
    let outcome = stage.pipeline.flush(LONG).unwrap();
    assert!(matches!(outcome, FlushOutcome::Failed { .. }), "{outcome:?}");
    let report = stage.pipeline.close(LONG).unwrap();
    done.store(true, Ordering::Relaxed);
    sampler.join().unwrap();
    for sink in &report.sinks {
        assert_adds_up(&sink.counts);
        assert_eq!(sink.counts.unsettled() + sink.counts.lost, 0);
    }
    let dead = report.sinks[0].counts.dead_lettered;
    assert!(dead > 0);
    assert_eq!(stage.dead_numbers("picky").len() as u64, dead);
    assert_eq!(report.totals.dead_lettered, dead);
    assert_eq!(report.totals.accepted, 3000);
    assert_eq!(report.totals.unsettled() + report.totals.lost, 0);
}

#[test]
fn an_event_that_one_sink_gave_up_counts_as_given_up_at_once() {
    let gate = Gate::default();
    let hangs = gate.clone();
    let slow = Actor::new("slow").on_write(move |_| {
        hangs.pass();
        Ok(Written::Delivered)
    });
    let refuses = Actor::new("refuses").on_write(|_| Err(SinkError::permanent("no").only(0..10)));
    let stage = Stage::open(vec![slow, refuses]);
    stage.record(0..10);
    eventually(|| stage.pipeline.sink_counts()[1].1.dead_lettered == 10);
    let counts = stage.pipeline.counts();
    assert_eq!((counts.dead_lettered, counts.in_flight, counts.queued), (10, 0, 0));
    gate.open();
    let totals = stage.pipeline.close(LONG).unwrap().totals;
    assert_eq!((totals.delivered, totals.dead_lettered), (0, 10));
}

#[test]
fn what_was_refused_is_counted_as_rejected() {
    let stage = Setting::with(|setting| setting.buffer.max_event_bytes = 400).open(vec![Actor::new("a")]);
    assert!(stage.pipeline.record(&event(0).permission("x".repeat(400))).is_err());
    stage.pipeline.reject();
    stage.record(0..1);
    stage.pipeline.close(LONG).unwrap();
    assert!(stage.pipeline.record(&event(1)).is_err());
    let counts = stage.pipeline.counts();
    assert_eq!((counts.accepted, counts.rejected), (1, 3));
}

#[test]
fn retries_are_counted_for_each_event_and_each_attempt_after_the_first() {
    let stage = Stage::open(vec![Actor::new("a").on_write(|writing| match writing.batch.attempt() {
        1..=3 => Err(SinkError::retryable("busy")),
        _ => Ok(Written::Delivered),
    })]);
    stage.record(0..10);
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    assert_eq!(stage.pipeline.counts().retried, 30);
}
