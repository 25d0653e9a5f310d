//! The bound of the store, and what happens when it is reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use audit_plugin_api::{AckStatus, Held, Timestamp, Uuid, Written};

use super::stage::*;
use crate::config::WhenFull;
use crate::pipeline::{FlushOutcome, Patience, Record, RecordError};

fn small(capacity: usize, when_full: WhenFull, block_timeout: Duration) -> Setting {
    Setting::with(|setting| {
        setting.buffer.capacity_bytes = capacity;
        setting.buffer.max_event_bytes = capacity / 4;
        setting.buffer.when_full = when_full;
        setting.buffer.block_timeout = block_timeout;
    })
}

fn stalled(name: &str, gate: &Gate) -> Actor {
    let gate = gate.clone();
    Actor::new(name).on_write(move |_| {
        gate.pass();
        Ok(Written::Delivered)
    })
}

/// Records until the store is full; returns how many were accepted.
fn fill(stage: &Stage) -> u64 {
    for number in 0.. {
        match stage.pipeline.record(&event(number)) {
            Ok(()) => {}
            Err(RecordError::Full { used, capacity }) => {
                assert!(used <= capacity);
                return number;
            }
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!()
}

/// Fills the store so that nothing makes room any more: the worker is in the call that stalls, and has made its run.
fn fill_for_good(stage: &Stage) {
    fill(stage);
    eventually(|| stage.pipeline.counts().in_flight > 0);
    fill(stage);
}

#[test]
fn full_fails_at_once_where_it_should_and_admits_again_when_there_is_room() {
    let gate = Gate::default();
    let stage = small(16 << 10, WhenFull::Fail, LONG).open(vec![stalled("a", &gate)]);
    let accepted = fill(&stage);
    assert!(accepted > 10, "{accepted}");
    gate.open();
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    stage.record(accepted..accepted + 10);
    let counts = stage.pipeline.close(LONG).unwrap().totals;
    assert_eq!((counts.accepted, counts.delivered), (accepted + 10, accepted + 10));
    assert_eq!(counts.rejected, 1);
}

#[test]
fn a_full_queue_blocks_the_producer_until_there_is_room() {
    let gate = Gate::default();
    let stage = small(16 << 10, WhenFull::Block, LONG).open(vec![stalled("a", &gate)]);
    let pipeline = stage.pipeline.clone();
    let producer = thread::spawn(move || (0..1000).for_each(|n| pipeline.record(&event(n)).unwrap()));
    eventually(|| stage.pipeline.used_bytes() > 15 << 10);
    assert!(!producer.is_finished());
    gate.open();
    producer.join().unwrap();
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    assert_eq!(stage.numbers(0), Vec::from_iter(0..1000));
}

#[test]
fn a_blocked_producer_gets_full_when_nothing_moves_for_block_timeout() {
    let gate = Gate::default();
    let stage = small(16 << 10, WhenFull::Block, Duration::from_millis(20)).open(vec![stalled("a", &gate)]);
    assert!(fill(&stage) > 10);
    // It is not asked to wait once more for the same stall.
    let begun = stage.pipeline.counts().rejected;
    (0..1000).for_each(|number| assert!(stage.pipeline.record(&event(number)).is_err()));
    assert_eq!(stage.pipeline.counts().rejected, begun + 1000);
    gate.open();
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    stage.record(0..10);
}

#[test]
fn a_blocked_producer_waits_on_while_the_sink_makes_progress() {
    let slow = Actor::new("a").with(|settings| settings.batch_size = 1).on_write(|writing| {
        // All together longer than block_timeout, each for itself far from it.
        if writing.numbers[0] < 60 {
            let _ = crossbeam_channel::after(Duration::from_millis(40)).recv();
        }
        Ok(Written::Delivered)
    });
    let stage = small(16 << 10, WhenFull::Block, Duration::from_secs(2)).open(vec![slow]);
    stage.record(0..200);
    assert_eq!(stage.pipeline.close(LONG).unwrap().totals.delivered, 200);
}

#[test]
fn acknowledgements_that_settle_nothing_are_no_progress() {
    let gate = Gate::default();
    let stage = small(16 << 10, WhenFull::Block, Duration::from_millis(50)).open(vec![stalled("a", &gate)]);
    let (host, done) = (stage.host(0), Arc::new(AtomicBool::new(false)));
    let chatter = thread::spawn({
        let done = done.clone();
        move || {
            while !done.load(Ordering::Relaxed) {
                acknowledge(&host, 99, 0, 10, AckStatus::Delivered);
                thread::yield_now();
            }
        }
    });
    fill(&stage);
    done.store(true, Ordering::Relaxed);
    chatter.join().unwrap();
    gate.open();
}

#[test]
fn who_waits_until_stopped_waits_until_stopped() {
    let gate = Gate::default();
    let stage = small(16 << 10, WhenFull::Fail, Duration::ZERO).open(vec![stalled("a", &gate)]);
    fill_for_good(&stage);
    let stop = Arc::new(AtomicBool::new(false));
    let (pipeline, stopped) = (stage.pipeline.clone(), stop.clone());
    let waiter =
        thread::spawn(move || pipeline.accept(Record::Event(&event(0)), Patience::UntilStopped(&stopped)));
    stop.store(true, Ordering::Relaxed);
    assert!(matches!(waiter.join().unwrap(), Err(RecordError::Full { .. })));
    gate.open();
}

#[test]
fn who_waits_for_room_is_told_when_the_logger_is_closed() {
    let gate = Gate::default();
    let stage = small(16 << 10, WhenFull::Fail, Duration::ZERO).open(vec![stalled("a", &gate)]);
    fill_for_good(&stage);
    let pipeline = stage.pipeline.clone();
    let waiter = thread::spawn(move || {
        pipeline.accept(Record::Event(&event(0)), Patience::UntilStopped(&AtomicBool::new(false)))
    });
    let pipeline = stage.pipeline.clone();
    let closer = thread::spawn(move || pipeline.close(LONG).unwrap());
    let told = loop {
        if waiter.is_finished() {
            break waiter.join().unwrap();
        }
        thread::yield_now();
    };
    assert!(matches!(told, Err(RecordError::Closed)), "{told:?}");
    gate.open();
    closer.join().unwrap();
}

#[test]
fn the_bound_holds_in_every_snapshot_while_four_threads_record_into_a_stalled_sink() {
    const CAPACITY: usize = 64 << 10;
    let gate = Gate::default();
    let stage = small(CAPACITY, WhenFull::Block, LONG).open(vec![stalled("a", &gate)]);
    let producers: Vec<_> = (0..4)
        .map(|thread: u64| {
            let pipeline = stage.pipeline.clone();
            thread::spawn(move || {
                for number in thread * 1000..(thread + 1) * 1000 {
                    pipeline.record(&event(number)).unwrap();
                }
            })
        })
        .collect();
    let check = || assert!(stage.pipeline.used_bytes() <= CAPACITY);
    eventually(|| {
        check();
        stage.pipeline.used_bytes() > CAPACITY * 3 / 4
    });
    gate.open();
    while producers.iter().any(|producer| !producer.is_finished()) {
        check();
    }
    producers.into_iter().for_each(|producer| producer.join().unwrap());
    assert_eq!(stage.pipeline.close(LONG).unwrap().totals.delivered, 4000);
    assert_eq!(stage.pipeline.used_bytes(), 0);
}

#[test]
fn four_kibibytes_and_events_of_a_quarter_of_them_are_enough() {
    let stage = small(4 << 10, WhenFull::Block, LONG).open(vec![Actor::new("a")]);
    let of_len = |len: usize| {
        let stamped = event(0).event_id(Uuid::nil()).timestamp(Timestamp::now());
        let overhead = stamped.clone().permission("").canonical_len();
        stamped.permission("x".repeat(len - overhead))
    };
    for _ in 0..50 {
        stage.pipeline.record(&of_len(1024)).unwrap();
    }
    match stage.pipeline.record(&of_len(1025)) {
        Err(RecordError::TooLarge { size: 1025, limit: 1024 }) => {}
        other => panic!("{other:?}"),
    }
    let counts = stage.pipeline.close(LONG).unwrap().totals;
    assert_eq!((counts.delivered, counts.rejected), (50, 1));
}

#[test]
fn a_sink_that_is_not_required_drops_for_itself_and_never_stops_admission() {
    let gate = Gate::default();
    let setting = small(16 << 10, WhenFull::Block, Duration::from_millis(200));
    let stage = setting.open(vec![stalled("hung", &gate).optional(), Actor::new("good")]);
    stage.record(0..2000);
    assert_eq!(stage.pipeline.flush(Duration::from_millis(10)).unwrap_or_else(|e| panic!("{e}")), {
        let hung = &stage.pipeline.sink_counts()[0].1;
        assert!(hung.dropped > 1000, "{hung:?}");
        FlushOutcome::TimedOut { remaining: vec![("hung".into(), hung.unsettled())] }
    });
    gate.open();
    let report = stage.pipeline.close(LONG).unwrap();
    let hung = &report.sinks[0].counts;
    assert_eq!(hung.delivered + hung.dropped, 2000);
    assert_eq!(report.sinks[1].counts.delivered, 2000);
    assert_eq!(report.totals.dropped, hung.dropped);
    assert_eq!(report.totals.delivered, hung.delivered);
    assert_eq!(stage.numbers(1), Vec::from_iter(0..2000));
}

#[test]
fn sinks_that_are_not_required_do_not_stop_admission_even_if_all_of_them_hang() {
    let gate = Gate::default();
    let setting = small(16 << 10, WhenFull::Fail, Duration::ZERO);
    let sinks = vec![stalled("a", &gate).optional(), stalled("b", &gate).optional()];
    let stage = setting.open(sinks);
    let producers: Vec<_> = (0..4)
        .map(|thread: u64| {
            let pipeline = stage.pipeline.clone();
            thread::spawn(move || {
                for number in thread * 500..(thread + 1) * 500 {
                    pipeline.accept(Record::Event(&event(number)), Patience::Progress(LONG)).unwrap();
                }
            })
        })
        .collect();
    producers.into_iter().for_each(|producer| producer.join().unwrap());
    gate.open();
    let report = stage.pipeline.close(LONG).unwrap();
    assert_eq!(report.totals.delivered + report.totals.dropped, 2000);
    assert!(report.totals.dropped > 1000);
}

#[test]
fn a_batch_in_flight_at_a_hung_optional_sink_does_not_stop_admission_either() {
    let gate = Gate::default();
    let setting = small(16 << 10, WhenFull::Fail, Duration::ZERO);
    let hung = stalled("hung", &gate).optional().with(|settings| {
        settings.batch_size = 10_000;
        settings.flush_interval = Duration::ZERO;
    });
    let stage = setting.open(vec![hung]);
    let huge = event(0).permission("x".repeat(3000));
    for _ in 0..100 {
        stage.pipeline.accept(Record::Event(&huge), Patience::Progress(LONG)).unwrap();
    }
    gate.open();
    let totals = stage.pipeline.close(LONG).unwrap().totals;
    assert_eq!(totals.dropped + totals.delivered, 100);
}

#[test]
fn an_optional_sink_drops_nothing_that_a_required_one_still_needs() {
    let gate = Gate::default();
    let setting = small(16 << 10, WhenFull::Fail, Duration::ZERO);
    let stage = setting.open(vec![stalled("required", &gate), stalled("optional", &gate).optional()]);
    let accepted = fill(&stage);
    assert_eq!(stage.pipeline.sink_counts()[1].1.dropped, 0);
    gate.open();
    assert_eq!(stage.pipeline.close(LONG).unwrap().totals.delivered, accepted);
}

#[test]
fn bytes_that_a_sink_holds_count_in_the_bound_until_it_lets_go() {
    let held: Arc<std::sync::Mutex<Vec<Held>>> = Arc::default();
    let holds = held.clone();
    let stage = Stage::open(vec![Actor::new("a").on_write(move |writing| {
        holds.lock().unwrap().push(writing.batch.hold());
        Ok(Written::Delivered)
    })]);
    stage.record(0..10);
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    assert!(stage.pipeline.used_bytes() > 0);
    held.lock().unwrap().clear();
    assert_eq!(stage.pipeline.used_bytes(), 0);
}
