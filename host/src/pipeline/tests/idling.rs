//! What costs nothing when nothing happens.

use std::time::Duration;

use super::stage::*;
use crate::pipeline::FlushOutcome;

#[test]
fn an_idle_worker_does_not_wake_up() {
    let stage = Stage::open(vec![Actor::new("a"), Actor::new("b")]);
    stage.record(0..25);
    assert_eq!(stage.pipeline.flush(LONG).unwrap(), FlushOutcome::Flushed);
    let mut turns = 0;
    eventually(|| {
        let now = stage.pipeline.turns();
        let same = now == turns && stage.pipeline.is_asleep();
        turns = now;
        same
    });
    // Long enough for a hundred polls.
    let _ = crossbeam_channel::after(Duration::from_millis(100)).recv();
    assert_eq!(stage.pipeline.turns(), turns);
    stage.record(25..35);
    stage.see_until(0, |seen| matches!(seen, Seen::Write { numbers, .. } if numbers.contains(&34)));
}

#[test]
fn recording_does_not_wake_a_worker_that_knows_of_events() {
    let stage = Stage::open(vec![Actor::new("a").with(|settings| settings.batch_size = 1_000_000)]);
    eventually(|| stage.pipeline.is_asleep());
    let before = stage.pipeline.wakes();
    stage.record(0..1);
    assert_eq!(stage.pipeline.wakes(), before + 1);
    stage.record(1..10_000);
    assert_eq!(stage.pipeline.wakes(), before + 1);
}

#[test]
fn each_event_wakes_the_worker_where_a_batch_is_one() {
    let stage = Stage::open(vec![Actor::new("a").with(|settings| settings.batch_size = 1)]);
    for number in 0..100 {
        stage.record([number]);
        assert_eq!(stage.see_batch(0), [number]);
    }
}

#[test]
fn events_that_follow_do_not_make_the_first_one_younger() {
    let stage = Stage::open(vec![Actor::new("a").with(|settings| settings.batch_size = 1000)]);
    stage.record([0]);
    let oldest = stage.pipeline.oldest_waiting();
    assert!(oldest.is_some());
    stage.record(1..100);
    assert_eq!(stage.pipeline.oldest_waiting(), oldest);
}

#[test]
fn a_partial_batch_goes_out_by_age_without_any_further_event() {
    let young = Duration::from_millis(5);
    let stage = Stage::open(vec![Actor::new("a").with(|settings| settings.flush_interval = young)]);
    stage.record(0..3);
    assert_eq!(stage.see_batch(0), [0, 1, 2]);
}

#[test]
fn a_store_that_is_half_full_is_not_left_to_age() {
    let setting = Setting::with(|setting| {
        setting.buffer.capacity_bytes = 64 << 10;
        setting.buffer.max_event_bytes = 16 << 10;
    });
    let stage = setting.open(vec![Actor::new("a").with(|settings| settings.batch_size = 1_000_000)]);
    let large = event(0).permission("x".repeat(3000));
    for _ in 0..15 {
        stage.pipeline.record(&large).unwrap();
    }
    assert!(!stage.see_batch(0).is_empty());
}
