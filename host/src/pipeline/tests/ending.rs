//! Flush and close of the pipeline as a whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use audit_plugin_api::{AckStatus, SinkError, Written};

use super::stage::*;
use crate::pipeline::{CloseReport, FlushOutcome, Pipeline, RecordError};

#[test]
fn a_flush_delivers_what_was_recorded_and_flushes_the_sink() {
    let stage = Stage::open(vec![Actor::new("a")]);
    stage.record(0..13);
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    let seen = stage.seen(0);
    assert_eq!(seen.iter().filter(|seen| matches!(seen, Seen::Write { .. })).count(), 2);
    assert_eq!(seen.last(), Some(&Seen::Flush(1)));
    stage.record(13..14);
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    assert_eq!(stage.numbers(0), [13]);
}

#[test]
fn a_flush_of_nothing_is_flushed() {
    let stage = Stage::open(vec![Actor::new("a")]);
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
}

#[test]
fn a_flush_fails_when_something_was_given_up_and_says_so_once() {
    let stage = Stage::open(vec![Actor::new("a").on_write(|writing| {
        let bad = writing.numbers.iter().position(|number| *number == 3);
        bad.map_or(Ok(Written::Delivered), |at| Err(SinkError::permanent("three").only([at as u32])))
    })]);
    stage.record(0..10);
    let failed = FlushOutcome::Failed { given_up: 1, sinks: vec![] };
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), failed);
    stage.record(10..20);
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
}

#[test]
fn concurrent_flushes_both_say_what_was_given_up() {
    let gate = Gate::default();
    let waits = gate.clone();
    let stage = Stage::open(vec![Actor::new("a").on_write(move |_| {
        waits.pass();
        Err(SinkError::permanent("no").only(0..10))
    })]);
    stage.record(0..10);
    stage.see_batch(0);
    let flushes: Vec<_> = (0..2)
        .map(|_| {
            let pipeline = stage.pipeline.clone();
            thread::spawn(move || pipeline.flush(LONG).unwrap())
        })
        .collect();
    // Both have asked when the sink is let go.
    eventually(|| stage.pipeline.flush_requests(0) == 2);
    gate.open();
    for flush in flushes {
        assert_eq!(flush.join().unwrap(), FlushOutcome::Failed { given_up: 10, sinks: vec![] });
    }
}

#[test]
fn a_flush_fails_when_the_sinks_own_flush_does_and_the_next_asks_it_anew() {
    let failures = AtomicU64::new(2);
    let stage = Stage::open(vec![
        Actor::new("a"),
        Actor::new("b").on_flush(move |_| {
            match failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
                Ok(_) => Err(SinkError::retryable("disk full")),
                Err(_) => Ok(()),
            }
        }),
    ]);
    stage.record(0..3);
    let failed = FlushOutcome::Failed { given_up: 0, sinks: vec![("b".into(), "disk full".into())] };
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), failed);
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), failed);
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    assert!(stage.pipeline.close(LONG).unwrap().is_clean());
}

#[test]
fn a_flush_that_panics_is_a_failed_flush_and_replaces_the_instance() {
    let stage = Stage::open(vec![Actor::new("a").on_flush(|instance| match instance {
        1 => Err(SinkError::panicked("boom")),
        _ => Ok(()),
    })]);
    stage.record(0..3);
    let failed = FlushOutcome::Failed { given_up: 0, sinks: vec![("a".into(), "boom".into())] };
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), failed);
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    let seen = stage.seen(0);
    assert!(seen.contains(&Seen::Drop(1)) && seen.contains(&Seen::Flush(2)), "{seen:?}");
}

#[test]
fn a_flush_times_out_with_what_remains_and_the_logger_goes_on() {
    let gate = Gate::default();
    let waits = gate.clone();
    let stage = Stage::open(vec![
        Actor::new("good"),
        Actor::new("slow").on_write(move |_| {
            waits.pass();
            Ok(Written::Delivered)
        }),
    ]);
    stage.record(0..13);
    let outcome = stage.pipeline.flush(Duration::from_millis(5)).unwrap();
    match outcome {
        FlushOutcome::TimedOut { remaining } => assert!(remaining.contains(&("slow".into(), 13))),
        outcome => panic!("{outcome:?}"),
    }
    gate.open();
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
}

#[test]
fn a_flush_waits_for_a_sink_in_backoff() {
    let works = Arc::new(AtomicBool::new(false));
    let (asks, stage_works) = (works.clone(), works);
    let stage = Stage::open(vec![Actor::new("a").on_write(move |_| {
        if asks.load(Ordering::SeqCst) { Ok(Written::Delivered) } else { Err(SinkError::retryable("down")) }
    })]);
    stage.record(0..3);
    let pipeline = stage.pipeline.clone();
    let flush = thread::spawn(move || pipeline.flush(LONG).unwrap());
    (0..5).for_each(|_| drop(stage.see_batch(0)));
    assert!(!flush.is_finished());
    stage_works.store(true, Ordering::SeqCst);
    assert_eq!(flush.join().unwrap(), FlushOutcome::Flushed);
}

#[test]
fn a_sink_that_acknowledges_only_when_it_is_flushed_can_be_flushed() {
    for max_in_flight in [1, 4] {
        let pending: Arc<std::sync::Mutex<Vec<(audit_plugin_api::Host, u64, u32)>>> = Arc::default();
        let (takes, settles) = (pending.clone(), pending);
        let stage = Stage::open(vec![
            Actor::new("a")
                .with(|settings| settings.max_in_flight = max_in_flight)
                .on_write(move |writing| {
                    let len = writing.batch.len() as u32;
                    takes.lock().unwrap().push((writing.host.clone(), writing.batch.id(), len));
                    Ok(Written::Pending { taken: len })
                })
                .on_flush(move |_| {
                    for (host, batch, len) in settles.lock().unwrap().drain(..) {
                        acknowledge(&host, batch, 0, len, AckStatus::Delivered);
                    }
                    Ok(())
                }),
        ]);
        stage.record(0..25);
        assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
        stage.record(25..30);
        assert!(stage.pipeline.close(LONG).unwrap().is_clean());
    }
}

#[test]
fn a_sinks_flush_is_told_how_long_anybody_waits_for_it() {
    let (sender, deadlines) = crossbeam_channel::unbounded();
    let stage = Stage::open(vec![Actor::new("a").on_flush_until(move |deadline| {
        sender.send(deadline.instant()).unwrap();
        Ok(())
    })]);
    let before = std::time::Instant::now();
    stage.pipeline.flush(Duration::from_secs(10)).unwrap();
    assert!(deadlines.recv().unwrap() <= before + Duration::from_secs(20));
    stage.pipeline.close(Duration::from_secs(15)).unwrap();
    assert!(deadlines.recv().unwrap() <= before + Duration::from_secs(35));
}

#[test]
fn close_delivers_flushes_closes_and_drops_in_this_order() {
    let stage = Stage::open(vec![Actor::new("a")]);
    stage.record(0..3);
    let report = stage.pipeline.close(LONG).unwrap();
    assert!(report.is_clean());
    let seen = stage.seen(0);
    assert!(matches!(seen[1], Seen::Write { .. }));
    assert_eq!(seen[2..], [Seen::Flush(1), Seen::Close(1), Seen::Drop(1)]);
}

#[test]
fn close_is_idempotent_and_what_is_recorded_after_it_is_refused() {
    let stage = Stage::open(vec![Actor::new("a")]);
    stage.record(0..3);
    let report = stage.pipeline.close(LONG).unwrap();
    assert_eq!(stage.pipeline.close(Duration::ZERO).unwrap(), report);
    assert!(matches!(stage.pipeline.record(&event(3)), Err(RecordError::Closed)));
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    assert_eq!(stage.seen(0).iter().filter(|seen| matches!(seen, Seen::Close(_))).count(), 1);
}

#[test]
fn concurrent_closes_answer_the_same_and_none_waits_longer_than_its_own_time() {
    let gate = Gate::default();
    let waits = gate.clone();
    let stage = Stage::open(vec![Actor::new("a").on_close(move |_| {
        waits.pass();
        Ok(())
    })]);
    stage.record(0..3);
    let close = |timeout: Duration| {
        let pipeline = stage.pipeline.clone();
        thread::spawn(move || pipeline.close(timeout).unwrap())
    };
    let closes = [close(LONG), close(LONG)];
    stage.see_until(0, |seen| *seen == Seen::Close(1));
    assert_eq!(stage.pipeline.close(Duration::from_millis(1)).unwrap().totals.delivered, 3);
    gate.open();
    let reports: Vec<CloseReport> = closes.into_iter().map(|close| close.join().unwrap()).collect();
    assert_eq!(reports[0], reports[1]);
    assert!(reports[0].is_clean());
}

#[test]
fn what_is_accepted_while_closing_is_delivered_exactly() {
    for _ in 0..20 {
        let setting = Setting::with(|setting| {
            setting.buffer.capacity_bytes = 64 << 10;
            setting.buffer.max_event_bytes = 16 << 10;
        });
        let stage = setting.open(vec![Actor::new("a")]);
        let accepted = AtomicU64::new(0);
        let report = thread::scope(|scope| {
            for part in 0..4_u64 {
                let (stage, accepted) = (&stage, &accepted);
                scope.spawn(move || {
                    // More than there is time for, and not without end.
                    for number in part * 100_000..(part + 1) * 100_000 {
                        match stage.pipeline.record(&event(number)) {
                            Ok(()) => drop(accepted.fetch_add(1, Ordering::SeqCst)),
                            Err(RecordError::Closed) => return,
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
            stage.see_batch(0);
            stage.pipeline.close(LONG).unwrap()
        });
        let accepted = accepted.load(Ordering::SeqCst);
        assert_eq!((report.totals.accepted, report.totals.delivered), (accepted, accepted));
        assert_eq!(stage.numbers(0).len() as u64 + 10, accepted);
    }
}

#[test]
fn dropping_the_pipeline_closes_it() {
    let stage = Stage::open(vec![Actor::new("a")]);
    stage.record(0..3);
    let Stage { pipeline, seen, .. } = stage;
    drop(pipeline);
    let seen: Vec<Seen> = seen[0].try_iter().collect();
    assert_eq!(seen[2..], [Seen::Flush(1), Seen::Close(1), Seen::Drop(1)]);
}

#[test]
fn a_pipeline_that_is_dropped_has_the_time_of_a_close() {
    // So often that a close which gives no time would have given up.
    let refusals = AtomicU64::new(300);
    let refuses =
        move || refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
    let stage = Stage::open(vec![Actor::new("a").on_write(move |_| match refuses() {
        true => Err(SinkError::retryable("not yet")),
        false => Ok(Written::Delivered),
    })]);
    stage.record(0..3);
    let Stage { pipeline, seen, dead_letters, .. } = &stage;
    assert_eq!(Arc::strong_count(pipeline), 1);
    let (seen, dead_letters) = (seen[0].clone(), dead_letters.clone());
    drop(stage);
    let seen: Vec<Seen> = seen.try_iter().collect();
    assert!(
        matches!(&seen[seen.len() - 4], Seen::Write { numbers, attempt: 301, .. } if numbers.len() == 3),
        "{seen:?}"
    );
    assert!(!dead_letters.exists());
}

#[test]
fn what_is_not_delivered_when_closing_ends_is_dead_lettered_and_a_sink_that_does_not_hang_is_closed() {
    let stage = Stage::open(vec![Actor::new("a").on_write(|_| Err(SinkError::retryable("down")))]);
    stage.record(0..13);
    let report = stage.pipeline.close(Duration::from_millis(80)).unwrap();
    assert_eq!((report.totals.dead_lettered, report.totals.queued), (13, 0));
    assert_eq!(stage.dead_numbers("a"), Vec::from_iter(0..13));
    let reason = stage.letters()[0]["reason"].to_string();
    assert!(reason.contains("not delivered within 0.08 s of closing"), "{reason}");
    assert!(reason.contains("last error: down"), "{reason}");
    let seen = stage.seen(0);
    assert_eq!(seen[seen.len() - 3..], [Seen::Flush(1), Seen::Close(1), Seen::Drop(1)]);
}

#[test]
fn a_failing_close_is_reported() {
    let stage = Stage::open(vec![
        Actor::new("a").on_close(|_| Err(SinkError::permanent("half written"))),
        Actor::new("b").on_flush(|_| Err(SinkError::retryable("disk full"))),
    ]);
    let report = stage.pipeline.close(LONG).unwrap();
    assert_eq!(report.sinks[0].failures, ["close: half written"]);
    assert_eq!(report.sinks[1].failures, ["flush: disk full"]);
    assert!(!report.is_clean());
}

#[test]
fn callbacks_that_use_the_logger_do_not_deadlock() {
    let slot: Arc<std::sync::Mutex<Option<Arc<Pipeline>>>> = Arc::default();
    let (sender, answers) = crossbeam_channel::unbounded();
    let inside = slot.clone();
    let stage = Stage::open(vec![Actor::new("a").on_write(move |writing| {
        if let (Some(pipeline), 0) = (&*inside.lock().unwrap(), writing.numbers[0]) {
            sender.send(pipeline.flush(LONG).is_err()).unwrap();
            sender.send(pipeline.close(LONG).is_err()).unwrap();
            sender.send(pipeline.inspect("a", "state").is_err()).unwrap();
            sender.send(pipeline.record(&event(100)).is_ok()).unwrap();
            sender.send(pipeline.counts().in_flight == 10).unwrap();
        }
        Ok(Written::Delivered)
    })]);
    *slot.lock().unwrap() = Some(stage.pipeline.clone());
    stage.record(0..10);
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    assert_eq!(answers.try_iter().collect::<Vec<_>>(), [true; 5]);
    // That was recorded after the flush had begun.
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    assert_eq!(stage.pipeline.counts().delivered, 11);
    slot.lock().unwrap().take();
}

#[test]
fn another_logger_can_be_used_from_a_callback() {
    let other = Stage::open(vec![Actor::new("other")]);
    let inner = other.pipeline.clone();
    let stage = Stage::open(vec![Actor::new("a").on_write(move |_| {
        inner.record(&event(7)).unwrap();
        assert_eq!(inner.flush(LONG).unwrap(), FlushOutcome::Flushed);
        Ok(Written::Delivered)
    })]);
    stage.record(0..10);
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    assert_eq!(other.numbers(0), [7]);
}

#[test]
fn a_pipeline_that_is_dropped_in_a_callback_still_delivers_and_closes() {
    let slot: Arc<std::sync::Mutex<Option<Arc<Pipeline>>>> = Arc::default();
    let inside = slot.clone();
    let stage = Stage::open(vec![Actor::new("a").on_write(move |_| {
        drop(inside.lock().unwrap().take());
        Ok(Written::Delivered)
    })]);
    stage.record(0..9);
    let Stage { pipeline, seen, .. } = stage;
    let mut inside = slot.lock().unwrap();
    pipeline.record(&event(9)).unwrap();
    *inside = Some(pipeline);
    drop(inside);
    let last = std::iter::from_fn(|| seen[0].recv_timeout(LONG).ok()).find(|seen| *seen == Seen::Drop(1));
    assert!(last.is_some());
}
