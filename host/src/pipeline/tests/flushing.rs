//! Flush and close, as the delivery state sees them.

use audit_plugin_api::{AckStatus, SinkError};

use super::desk::*;
use crate::config::SinkSettings;
use crate::pipeline::delivery::Step;

#[track_caller]
fn assert_flushes(desk: &mut Desk) -> u64 {
    match desk.next() {
        Step::Flush(request) => request,
        step => panic!("no flush, but {step:?}"),
    }
}

#[test]
fn the_sink_is_flushed_when_everything_before_the_request_is_settled() {
    let mut desk = Desk::plain();
    desk.push(13);
    let request = desk.delivery.request_flush(13);
    desk.offer_and(delivered());
    desk.offer_and(retryable());
    desk.wait();
    desk.offer_and(delivered());
    assert_eq!(assert_flushes(&mut desk), request);
    desk.delivery.flushed(request, &Ok(()));
    desk.assert_sleeps();
}

#[test]
fn a_flush_collects_what_is_still_in_the_store() {
    let mut desk = Desk::plain();
    desk.delivery.request_flush(3);
    assert!(matches!(desk.next(), Step::Collect));
    desk.push(3);
    desk.offer_and(delivered());
    assert_flushes(&mut desk);
}

#[test]
fn a_flush_of_nothing_still_asks_the_sink_and_each_request_asks_anew() {
    let mut desk = Desk::plain();
    for _ in 0..2 {
        let request = desk.delivery.request_flush(0);
        assert_eq!(assert_flushes(&mut desk), request);
        desk.delivery.flushed(request, &Ok(()));
        desk.assert_sleeps();
    }
}

#[test]
fn a_request_during_a_flush_is_answered_by_the_next() {
    let mut desk = Desk::plain();
    let first = desk.delivery.request_flush(0);
    assert_eq!(assert_flushes(&mut desk), first);
    let second = desk.delivery.request_flush(0);
    desk.delivery.flushed(first, &Ok(()));
    assert_eq!(assert_flushes(&mut desk), second);
}

#[test]
fn dead_letters_are_settled_only_when_they_are_written() {
    let mut desk = Desk::plain();
    desk.push(1);
    desk.delivery.request_flush(1);
    desk.offer_and(permanent());
    let Step::Bury(burial) = desk.next() else { panic!("no burial") };
    desk.assert_holds_back();
    assert_eq!(desk.delivery.settled_to(), 0);
    desk.delivery.buried(burial.id, 1, desk.now);
    assert_flushes(&mut desk);
}

#[test]
fn a_busy_stream_does_not_keep_a_flush_waiting() {
    let mut desk = Desk::plain();
    desk.push(10);
    desk.delivery.request_flush(10);
    desk.offer();
    desk.push(100);
    desk.answer(delivered());
    assert_flushes(&mut desk);
}

#[test]
fn a_sink_that_acknowledges_only_when_flushed_is_flushed_until_it_has() {
    let mut desk = Desk::new(SinkSettings { max_in_flight: 2, ..sink() }, timing());
    desk.push(10);
    let request = desk.delivery.request_flush(10);
    let offer = desk.offer_and(pending(10));
    assert!(matches!(desk.next(), Step::Nudge));
    desk.assert_holds_back();
    desk.acknowledge(offer.id, 0, 5, AckStatus::Retryable);
    desk.acknowledge(offer.id, 5, 5, AckStatus::Delivered);
    desk.wait();
    let again = desk.offer_and(pending(5));
    assert!(matches!(desk.next(), Step::Nudge));
    desk.acknowledge(again.id, 0, 5, AckStatus::Delivered);
    assert_eq!(assert_flushes(&mut desk), request);
}

#[test]
fn a_sink_that_can_hold_no_more_before_it_is_flushed_is_flushed_meanwhile() {
    let mut desk = Desk::plain();
    desk.push(20);
    desk.delivery.request_flush(20);
    desk.offer_and(pending(10));
    while !matches!(desk.next(), Step::Nudge) {
        desk.wait();
    }
}

#[test]
fn without_a_flush_nobody_is_nudged() {
    let mut desk = Desk::plain();
    desk.push(10);
    desk.offer_and(pending(10));
    desk.pass(HOUR / 100);
    desk.assert_holds_back();
}

#[test]
fn closing_delivers_flushes_and_then_closes() {
    let mut desk = Desk::plain();
    desk.push(3);
    let request = desk.delivery.request_close(3);
    desk.offer_and(delivered());
    assert_eq!(assert_flushes(&mut desk), request);
    desk.delivery.flushed(request, &Ok(()));
    assert!(matches!(desk.next(), Step::Close));
}

#[test]
fn closing_opens_a_fresh_instance_to_flush_unless_it_cannot_be_opened() {
    let mut desk = Desk::plain();
    desk.delivery.replace(desk.now);
    let request = desk.delivery.request_close(0);
    assert!(matches!(desk.next(), Step::Open));
    desk.delivery.opened();
    assert_eq!(assert_flushes(&mut desk), request);
    desk.delivery.replace(desk.now);
    desk.delivery.open_failed(&SinkError::retryable("locked"), desk.now);
    assert!(matches!(desk.next(), Step::Close));
}

#[test]
fn closing_waits_for_what_is_in_backoff() {
    let mut desk = Desk::plain();
    desk.push(3);
    desk.delivery.request_close(3);
    desk.offer_and(Err(SinkError::reopen("gone")));
    assert!(matches!(desk.next(), Step::Open));
    desk.delivery.open_failed(&SinkError::retryable("locked"), desk.now);
    desk.wait();
    assert!(matches!(desk.next(), Step::Open));
    desk.delivery.opened();
    desk.wait();
    desk.offer_and(delivered());
    assert_flushes(&mut desk);
}
