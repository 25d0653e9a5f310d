//! `use_worker = false`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use audit_plugin_api::{AckStatus, SinkError, Written};

use super::stage::*;
use crate::pipeline::{FlushOutcome, RecordError};

const SHORT: Duration = Duration::from_millis(20);

fn direct(name: &str) -> Actor {
    Actor::new(name).with(|settings| settings.use_worker = false)
}

fn impatient() -> Setting {
    Setting::with(|setting| setting.buffer.block_timeout = SHORT)
}

#[track_caller]
fn undelivered(recorded: Result<(), RecordError>) -> String {
    match recorded {
        Err(RecordError::Undelivered(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_event_is_delivered_when_record_returns() {
    let stage = Stage::open(vec![direct("a")]);
    for number in 0..20 {
        stage.record([number]);
        assert_eq!(stage.numbers(0), [number]);
        assert_eq!(stage.pipeline.counts().delivered, number + 1);
    }
    assert!(stage.pipeline.close(LONG).unwrap().is_clean());
}

#[test]
fn after_max_attempts_it_is_undelivered_and_a_dead_letter() {
    let setting = Setting::with(|setting| setting.delivery.max_attempts = 3);
    let stage = setting.open(vec![direct("a").on_write(|writing| match writing.numbers[0] {
        1 => Err(SinkError::retryable("down")),
        _ => Ok(Written::Delivered),
    })]);
    stage.record([0]);
    assert_eq!(undelivered(stage.pipeline.record(&event(1))), "down");
    stage.record([2]);
    assert_eq!(stage.numbers(0), [0, 1, 1, 1, 2]);
    assert_eq!(stage.dead_numbers("a"), [1]);
    assert_eq!(stage.letters()[0]["attempts"], 3);
    let counts = stage.pipeline.counts();
    assert_eq!((counts.accepted, counts.delivered, counts.dead_lettered, counts.rejected), (3, 2, 1, 0));
}

#[test]
fn after_block_timeout_it_is_undelivered_and_a_dead_letter() {
    let stage = impatient().open(vec![direct("a").on_write(|_| Err(SinkError::retryable("down")))]);
    let reason = undelivered(stage.pipeline.record(&event(0)));
    assert!(reason.contains("not delivered within block_timeout = 0.02 s"), "{reason}");
    assert!(reason.contains("down"), "{reason}");
    assert_eq!(stage.dead_numbers("a"), [0]);
}

#[test]
fn a_poisonous_event_is_undelivered_at_once() {
    let stage = Stage::open(vec![direct("a").on_write(|_| Err(SinkError::permanent("too large")))]);
    assert_eq!(undelivered(stage.pipeline.record(&event(0))), "too large");
    assert_eq!(stage.dead_numbers("a"), [0]);
}

#[test]
fn record_waits_for_the_acknowledgement() {
    let stage = Stage::open(vec![direct("a").on_write(|writing| {
        let (host, batch, number) = (writing.host.clone(), writing.batch.id(), writing.numbers[0]);
        let status = if number == 1 { AckStatus::Permanent } else { AckStatus::Delivered };
        thread::spawn(move || acknowledge(&host, batch, 0, 1, status));
        Ok(Written::Pending { taken: 1 })
    })]);
    stage.record([0]);
    assert_eq!(stage.pipeline.counts().delivered, 1);
    assert_eq!(undelivered(stage.pipeline.record(&event(1))), "said so");
    stage.record([2]);
}

#[test]
fn a_hung_sink_does_not_keep_its_caller_for_ever() {
    let gate = Gate::default();
    let hangs = gate.clone();
    let stage = impatient().open(vec![direct("a").on_write(move |_| {
        hangs.pass();
        Ok(Written::Delivered)
    })]);
    undelivered(stage.pipeline.record(&event(0)));
    undelivered(stage.pipeline.record(&event(1)));
    assert_eq!(stage.dead_numbers("a"), [0, 1]);
    let report = stage.pipeline.close(SHORT).unwrap();
    assert_eq!((report.totals.dead_lettered, report.totals.lost), (2, 0));
    gate.open();
}

#[test]
fn a_failed_sink_answers_at_once() {
    let gate = Gate::default();
    let hangs = gate.clone();
    let setting = Setting::with(|setting| {
        setting.delivery.write_timeout = Duration::from_millis(5);
        setting.delivery.shutdown_timeout = Duration::from_millis(5);
    });
    let stage = setting.open(vec![direct("a").on_write(move |_| {
        hangs.pass();
        Ok(Written::Delivered)
    })]);
    undelivered(stage.pipeline.record(&event(0)));
    let reason = undelivered(stage.pipeline.record(&event(1)));
    assert!(reason.contains("the sink is failed"), "{reason}");
    assert_eq!(stage.dead_numbers("a"), [0, 1]);
    gate.open();
}

#[test]
fn sinks_with_and_without_a_worker_live_side_by_side() {
    let stage = Stage::open(vec![direct("direct"), Actor::new("worker")]);
    stage.record(0..15);
    assert_eq!(stage.numbers(0), Vec::from_iter(0..15));
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    assert_eq!(stage.numbers(1), Vec::from_iter(0..15));
}

#[test]
fn threads_record_one_after_the_other_and_each_keeps_its_order() {
    let inside = AtomicU64::new(0);
    let stage = Stage::open(vec![direct("a").on_write(move |writing| {
        assert_eq!((inside.fetch_add(1, Ordering::SeqCst), writing.numbers.len()), (0, 1));
        inside.fetch_sub(1, Ordering::SeqCst);
        match writing.numbers[0] % 5 {
            0 => Err(SinkError::permanent("five")),
            1 if writing.batch.attempt() == 1 => Err(SinkError::retryable("busy")),
            _ => Ok(Written::Delivered),
        }
    })]);
    thread::scope(|scope| {
        for part in 0..4 {
            let stage = &stage;
            scope.spawn(move || {
                for number in part * 1000..part * 1000 + 100 {
                    // Each is told what came of its own event.
                    let recorded = stage.pipeline.record(&event(number));
                    assert_eq!(recorded.is_err(), number % 5 == 0, "{number}: {recorded:?}");
                }
            });
        }
    });
    let mut numbers = stage.numbers(0);
    numbers.dedup();
    for part in 0..4 {
        let own: Vec<u64> = numbers.iter().copied().filter(|number| number / 1000 == part).collect();
        assert_eq!(own, Vec::from_iter(part * 1000..part * 1000 + 100));
    }
}

#[test]
fn a_callback_that_records_does_not_wait_for_itself() {
    let slot: std::sync::Arc<std::sync::Mutex<Option<_>>> = Default::default();
    let inside = slot.clone();
    let stage = Stage::open(vec![direct("a").on_write(move |writing| {
        let pipeline: Option<std::sync::Arc<crate::pipeline::Pipeline>> = inside.lock().unwrap().take();
        if let Some(pipeline) = pipeline {
            pipeline.record(&event(writing.numbers[0] + 100)).unwrap();
        }
        Ok(Written::Delivered)
    })]);
    *slot.lock().unwrap() = Some(stage.pipeline.clone());
    stage.record([0]);
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    assert_eq!(stage.numbers(0), [0, 100]);
}

#[test]
fn while_dead_letters_cannot_be_written_record_says_so_and_the_event_stays() {
    let setting = Setting::with(|setting| {
        setting.buffer.block_timeout = SHORT;
        std::fs::create_dir(&setting.delivery.dead_letter_path).unwrap();
    });
    let stage = setting.open(vec![direct("a").on_write(|_| Err(SinkError::permanent("poison")))]);
    let reason = undelivered(stage.pipeline.record(&event(0)));
    assert!(reason.contains("poison") && reason.contains("cannot be written"), "{reason}");
    assert_eq!(stage.pipeline.counts().unsettled(), 1);
    std::fs::remove_dir(&stage.dead_letters).unwrap();
    assert_eq!(stage.pipeline.close(LONG).unwrap().totals.dead_lettered, 1);
    assert_eq!(stage.dead_numbers("a"), [0]);
}
