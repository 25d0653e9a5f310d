//! When a batch goes out.

use std::time::Duration;

use super::desk::*;
use crate::config::SinkSettings;
use crate::pipeline::delivery::{LONGEST_POLL, POLL, Step};
use crate::pipeline::store::Waiting;

#[test]
fn a_full_batch_goes_out_at_once() {
    let mut desk = Desk::plain();
    desk.push(9);
    desk.assert_holds_back();
    desk.push(4);
    assert_eq!(events(&desk.offer()), Vec::from_iter(0..10));
    desk.answer(delivered());
    desk.assert_holds_back();
}

#[test]
fn a_batch_that_becomes_full_in_the_store_is_noticed_at_the_next_look() {
    let mut desk = Desk::plain();
    desk.waiting = Waiting { events: 3, oldest: Some(desk.now) };
    assert!(desk.wait() <= POLL);
    desk.waiting.events = 10;
    assert!(matches!(desk.next(), Step::Collect));
    desk.push(4);
    desk.waiting.events = 5;
    assert!(desk.wait() <= POLL);
    desk.waiting.events = 6;
    assert!(matches!(desk.next(), Step::Collect));
}

#[test]
fn the_fuller_a_batch_the_sooner_the_worker_looks_again() {
    let mut desk = Desk::plain();
    desk.waiting = Waiting { events: 1, oldest: Some(desk.now) };
    assert_eq!(desk.wait(), POLL, "how fast events come is not known yet");
    assert_eq!(desk.wait(), POLL * 9 / 2, "nine more, one each millisecond");
    desk.waiting.events = 5;
    assert_eq!(desk.wait(), POLL * 11 / 4);
    desk.waiting.events = 9;
    assert_eq!(desk.wait(), POLL);
    desk.waiting.events = 1;
    assert_eq!(desk.wait(), LONGEST_POLL);
}

#[test]
fn a_batch_goes_out_when_its_oldest_event_is_flush_interval_old_however_steady_the_stream() {
    let interval = Duration::from_secs(1);
    let mut desk = Desk::new(SinkSettings { flush_interval: interval, ..sink() }, timing());
    let first = desk.now;
    for _ in 0..4 {
        desk.push(1);
        while desk.now < first + interval
            && let Step::Wait(until) = desk.next()
            && until < desk.now + interval.mul_f64(0.3)
        {
            desk.now = until;
            if desk.now >= first + interval.mul_f64(0.3 * desk.behind() as f64) {
                break;
            }
        }
    }
    assert_eq!(desk.now, first + interval);
    assert_eq!(events(&desk.offer()), [0, 1, 2, 3]);
}

#[test]
fn the_age_counts_from_the_oldest_event_also_while_it_is_in_the_store() {
    let mut desk = Desk::new(SinkSettings { flush_interval: 3 * POLL / 2, ..sink() }, timing());
    desk.waiting = Waiting { events: 1, oldest: Some(desk.now) };
    assert_eq!(desk.wait(), POLL);
    assert_eq!(desk.wait(), POLL / 2);
    assert!(matches!(desk.next(), Step::Collect));
}

#[test]
fn a_batch_goes_out_when_the_store_is_half_full() {
    let mut desk = Desk::plain();
    desk.push(3);
    desk.pressed = true;
    assert_eq!(events(&desk.offer()), [0, 1, 2]);
}

#[test]
fn a_partial_batch_goes_out_for_a_flush_and_for_a_close() {
    for close in [false, true] {
        let mut desk = Desk::plain();
        desk.push(3);
        if close {
            desk.delivery.request_close(3);
        } else {
            desk.delivery.request_flush(3);
        }
        assert_eq!(events(&desk.offer()), [0, 1, 2]);
    }
}

#[test]
fn what_comes_after_a_flush_waits_for_its_own_time() {
    let mut desk = Desk::plain();
    desk.push(3);
    let request = desk.delivery.request_flush(3);
    desk.offer_and(delivered());
    assert!(matches!(desk.next(), Step::Flush(_)));
    desk.delivery.flushed(request, &Ok(()));
    desk.push(3);
    desk.assert_holds_back();
}

#[test]
fn a_batch_is_gathered_from_several_runs_and_a_run_is_cut_into_batches() {
    let mut desk = Desk::plain();
    desk.push(4);
    desk.push(21);
    assert_eq!(events(&desk.offer_and(delivered())), Vec::from_iter(0..10));
    assert_eq!(events(&desk.offer_and(delivered())), Vec::from_iter(10..20));
    desk.assert_holds_back();
    assert_eq!(desk.delivery.settled_to(), 20);
}

#[test]
fn nothing_to_do_is_no_reason_to_wake_up() {
    let mut desk = Desk::plain();
    desk.assert_sleeps();
    desk.push(10);
    desk.offer_and(delivered());
    desk.assert_sleeps();
}

#[test]
fn settings_without_bounds_overflow_nothing() {
    let mut desk = Desk::new(
        SinkSettings { flush_interval: Duration::MAX, ..sink() },
        crate::config::DeliverySettings { retry_max: Duration::MAX, ack_timeout: Duration::MAX, ..timing() },
    );
    desk.push(3);
    desk.assert_holds_back();
    desk.delivery.request_flush(3);
    let never = audit_plugin_api::SinkError::retryable("never").retry_after(Duration::MAX);
    desk.offer_and(Err(never.clone()));
    desk.assert_holds_back();
    desk.delivery.replace(desk.now);
    desk.delivery.open_failed(&never, desk.now);
    desk.assert_holds_back();
    desk.push(10);
    desk.delivery.opened();
    desk.assert_holds_back();
}
