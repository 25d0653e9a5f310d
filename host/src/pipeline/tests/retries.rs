//! What failed is tried again.

use std::time::Duration;

use audit_plugin_api::{AckStatus, SinkError};

use super::desk::*;
use crate::config::{DeliverySettings, SinkSettings};
use crate::pipeline::delivery::{Instance, Step};
use crate::pipeline::piece::Doubt;

fn attempts(max_attempts: u32) -> DeliverySettings {
    DeliverySettings { max_attempts, ..timing() }
}

#[test]
fn the_same_events_are_offered_again_in_order_after_growing_delays() {
    let mut desk = Desk::plain();
    desk.push(30);
    for (attempt, full) in [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 8.0)] {
        let offer = desk.offer_and(retryable());
        assert_eq!((events(&offer), offer.attempt), (Vec::from_iter(0..10), attempt));
        assert_eq!(offer.doubt, Doubt::None);
        let delay = desk.wait().as_secs_f64();
        assert!((full / 2.0..=full).contains(&delay), "{delay}");
    }
    assert_eq!(desk.offer_and(delivered()).attempt, 6);
    assert_eq!(desk.counts(), (10, 50, 0, 0));
    assert_eq!(events(&desk.offer()), Vec::from_iter(10..20));
}

#[test]
fn retry_after_postpones_the_next_attempt_and_never_advances_it() {
    let mut desk = Desk::plain();
    desk.push(10);
    desk.offer_and(Err(SinkError::retryable("busy").retry_after(HOUR)));
    assert_eq!(desk.wait(), HOUR);
    desk.offer_and(Err(SinkError::retryable("busy").retry_after(Duration::ZERO)));
    assert!(desk.wait() >= Duration::from_secs(1));
}

#[test]
fn a_delay_of_zero_does_not_spin() {
    let mut desk = Desk::new(sink(), DeliverySettings { retry_initial: Duration::ZERO, ..timing() });
    desk.push(10);
    desk.offer_and(retryable());
    assert!(desk.wait() >= Duration::from_millis(1));
    desk.delivery.replace(desk.now);
    desk.delivery.open_failed(&SinkError::retryable("busy"), desk.now);
    assert!(desk.wait() >= Duration::from_millis(1));
}

#[test]
fn after_max_attempts_events_are_dead_letters_with_reason_attempts_and_time() {
    let mut desk = Desk::new(sink(), attempts(3));
    desk.push(10);
    for _ in 0..2 {
        desk.offer_and(retryable());
        desk.wait();
    }
    desk.offer_and(retryable());
    let burial = desk.bury();
    assert_eq!(buried(&burial), Vec::from_iter(0..10));
    let piece = &burial.pieces[0];
    assert_eq!((piece.reason.as_str(), piece.attempts), ("busy", 3));
    assert!(piece.first_failed.is_some());
    assert_eq!(desk.counts(), (0, 20, 10, 0));
    desk.assert_sleeps();
}

#[test]
fn without_max_attempts_nothing_is_given_up() {
    let mut desk = Desk::plain();
    desk.push(10);
    for _ in 0..1000 {
        desk.offer_and(retryable());
        desk.wait();
    }
    assert_eq!(desk.counts(), (0, 9990, 0, 0));
}

#[test]
fn backpressure_counts_neither_as_attempt_nor_as_retry() {
    let mut desk = Desk::new(sink(), attempts(2));
    desk.push(10);
    for _ in 0..5 {
        let offer = desk.offer_and(pending(0));
        assert_eq!((events(&offer), offer.attempt), (Vec::from_iter(0..10), 1));
        assert!(desk.wait() > Duration::ZERO);
    }
    desk.offer_and(retryable());
    desk.wait();
    for _ in 0..5 {
        let offer = desk.offer_and(pending(0));
        assert_eq!((events(&offer), offer.attempt), (Vec::from_iter(0..10), 2));
        desk.wait();
    }
    assert_eq!(desk.counts(), (0, 0, 0, 0));
    desk.offer_and(delivered());
    assert_eq!(desk.counts(), (10, 10, 0, 0));
}

#[test]
fn what_was_not_taken_is_offered_again_at_once_before_anything_newer() {
    let mut desk = Desk::new(SinkSettings { max_in_flight: 3, ..sink() }, timing());
    desk.push(13);
    let first = desk.offer_and(pending(4));
    let second = desk.offer_and(pending(10));
    assert_eq!((events(&second), second.attempt), (vec![4, 5, 6, 7, 8, 9, 10, 11, 12], 1));
    desk.acknowledge(first.id, 0, 4, AckStatus::Delivered);
    desk.acknowledge(second.id, 0, 9, AckStatus::Delivered);
    assert_eq!(desk.counts(), (13, 0, 0, 0));
}

#[test]
fn what_was_not_taken_does_not_wait_to_become_a_full_batch() {
    let mut desk = Desk::new(SinkSettings { max_in_flight: 3, ..sink() }, timing());
    desk.push(10);
    desk.offer_and(pending(4));
    assert_eq!(events(&desk.offer()), Vec::from_iter(4..10));
}

#[test]
fn an_acknowledgement_ends_the_wait_of_a_sink_that_took_nothing() {
    let mut desk = Desk::new(SinkSettings { max_in_flight: 2, ..sink() }, timing());
    desk.push(20);
    let first = desk.offer_and(pending(10));
    desk.offer_and(pending(0));
    desk.assert_holds_back();
    desk.acknowledge(first.id, 0, 1, AckStatus::Delivered);
    assert_eq!(events(&desk.offer()), Vec::from_iter(10..20));
}

#[test]
fn a_delivered_prefix_is_not_offered_again() {
    for error in [SinkError::retryable("full"), SinkError::reopen("gone")] {
        let mut desk = Desk::plain();
        desk.push(10);
        desk.offer_and(Err(error.after(7)));
        assert_eq!(desk.counts(), (7, 0, 0, 0));
        desk.delivery.opened();
        desk.wait();
        assert_eq!(events(&desk.offer_and(delivered())), [7, 8, 9]);
        assert_eq!(desk.counts(), (10, 3, 0, 0));
    }
}

#[test]
fn a_prefix_that_is_everything_leaves_nothing_to_retry() {
    for count in [10, 11, u32::MAX] {
        let mut desk = Desk::plain();
        desk.push(10);
        desk.offer_and(Err(SinkError::permanent("late").after(count)));
        assert_eq!(desk.counts(), (10, 0, 0, 0));
        desk.assert_sleeps();
    }
}

#[test]
fn of_all_except_only_the_excepted_are_offered_again_together() {
    let mut desk = Desk::plain();
    desk.push(20);
    desk.offer_and(Err(SinkError::retryable("some").only([8, 2, 2, 99])));
    assert_eq!(desk.counts(), (8, 0, 0, 0));
    desk.wait();
    assert_eq!(events(&desk.offer_and(delivered())), [2, 8]);
    assert_eq!(desk.counts(), (10, 2, 0, 0));
    assert_eq!(events(&desk.offer()), Vec::from_iter(10..20));
}

#[test]
fn positions_that_name_no_event_mean_that_none_was_delivered() {
    for positions in [vec![], vec![10, 11]] {
        let mut desk = Desk::plain();
        desk.push(10);
        desk.offer_and(Err(SinkError::retryable("some").only(positions)));
        desk.wait();
        assert_eq!(events(&desk.offer()), Vec::from_iter(0..10));
    }
}

#[test]
fn permanent_positions_are_dead_letters_and_the_rest_is_delivered() {
    let mut desk = Desk::plain();
    desk.push(10);
    desk.offer_and(Err(SinkError::permanent("too large").only([0, 9, 4])));
    let burial = desk.bury();
    assert_eq!(buried(&burial), [0, 4, 9]);
    assert!(burial.pieces.iter().all(|piece| piece.reason == "too large" && piece.attempts == 1));
    assert_eq!(desk.counts(), (7, 0, 3, 0));
    desk.assert_sleeps();
}

#[test]
fn reopen_replaces_the_instance_and_offers_the_events_to_the_fresh_one() {
    let mut desk = Desk::plain();
    desk.push(10);
    desk.offer();
    assert_eq!(desk.answer(Err(SinkError::reopen("stale"))), Instance::Replace);
    assert!(matches!(desk.next(), Step::Open));
    desk.delivery.opened();
    desk.wait();
    assert_eq!(events(&desk.offer()), Vec::from_iter(0..10));
}

#[test]
fn an_instance_that_cannot_be_opened_is_tried_again_after_growing_delays() {
    let mut desk = Desk::plain();
    desk.delivery.replace(desk.now);
    for full in [1.0, 2.0, 4.0, 8.0, 8.0] {
        assert!(matches!(desk.next(), Step::Open));
        desk.delivery.open_failed(&SinkError::retryable("locked"), desk.now);
        let delay = desk.wait().as_secs_f64();
        assert!((full / 2.0..=full).contains(&delay), "{delay}");
    }
    assert!(matches!(desk.next(), Step::Open));
    desk.delivery.opened();
    desk.assert_sleeps();
}

#[test]
fn an_open_that_fails_is_an_attempt_at_what_waits_first() {
    let mut desk = Desk::new(sink(), attempts(3));
    desk.push(20);
    desk.offer_and(Err(SinkError::reopen("stale")));
    assert!(matches!(desk.next(), Step::Open));
    desk.delivery.open_failed(&SinkError::retryable("locked"), desk.now);
    desk.wait();
    assert!(matches!(desk.next(), Step::Open));
    desk.delivery.open_failed(&SinkError::retryable("locked"), desk.now);
    let burial = desk.bury();
    assert_eq!(buried(&burial), Vec::from_iter(0..10));
    assert_eq!((burial.pieces[0].reason.as_str(), burial.pieces[0].attempts), ("locked", 3));
}

#[test]
fn nothing_newer_is_handed_out_from_a_retryable_report_until_it_is_settled() {
    let mut desk = Desk::new(SinkSettings { max_in_flight: 4, ..sink() }, timing());
    desk.push(60);
    let offers: Vec<_> = (0..3).map(|_| desk.offer_and(pending(10))).collect();
    desk.acknowledge(offers[1].id, 0, 10, AckStatus::Retryable);
    desk.assert_holds_back();
    desk.wait();
    let again = desk.offer_and(pending(10));
    assert_eq!((events(&again), again.attempt), (Vec::from_iter(10..20), 2));
    desk.assert_holds_back();
    desk.acknowledge(offers[0].id, 0, 10, AckStatus::Delivered);
    desk.acknowledge(offers[2].id, 0, 10, AckStatus::Delivered);
    desk.assert_holds_back();
    desk.acknowledge(again.id, 0, 9, AckStatus::Delivered);
    desk.assert_holds_back();
    desk.acknowledge(again.id, 9, 1, AckStatus::Delivered);
    assert_eq!(events(&desk.offer()), Vec::from_iter(30..40));
}

#[test]
fn of_two_that_failed_the_newer_waits_for_the_older() {
    let mut desk = Desk::new(SinkSettings { max_in_flight: 4, ..sink() }, timing());
    desk.push(20);
    let (a, b) = (desk.offer_and(pending(10)), desk.offer_and(pending(10)));
    desk.acknowledge(b.id, 0, 10, AckStatus::Retryable);
    desk.acknowledge(a.id, 0, 10, AckStatus::Retryable);
    desk.pass(HOUR / 100);
    let again = desk.offer_and(pending(10));
    assert_eq!(events(&again), Vec::from_iter(0..10));
    desk.assert_holds_back();
    desk.acknowledge(again.id, 0, 10, AckStatus::Delivered);
    assert_eq!(events(&desk.offer()), Vec::from_iter(10..20));
}

#[test]
fn events_that_failed_one_by_one_go_together_again() {
    let mut desk = Desk::new(SinkSettings { max_in_flight: 3, ..sink() }, timing());
    desk.push(20);
    let offers = [desk.offer_and(pending(10)), desk.offer_and(pending(10))];
    for index in [3, 0, 7, 1, 2] {
        for offer in &offers {
            desk.acknowledge(offer.id, index, 1, AckStatus::Retryable);
            desk.pass(Duration::from_millis(10));
        }
    }
    for offer in &offers {
        desk.acknowledge(offer.id, 0, 10, AckStatus::Delivered);
    }
    assert_eq!(desk.counts(), (10, 0, 0, 0));
    let mut offered = Vec::new();
    while desk.counts().0 < 20 {
        match desk.next() {
            Step::Wait(until) => desk.now = until,
            Step::Write(offer) => {
                offered.push(events(&offer));
                desk.answer(delivered());
            }
            step => panic!("{step:?}"),
        }
    }
    assert_eq!(offered, [vec![0, 1, 2, 3, 7, 10, 11, 12, 13, 17]]);
}

#[test]
fn events_of_one_batch_are_offered_in_order_again_however_differently_they_failed() {
    let mut desk = Desk::plain();
    desk.push(10);
    let offer = desk.offer_and(pending(10));
    for index in [9, 3, 6] {
        desk.acknowledge(offer.id, index, 1, AckStatus::Retryable);
    }
    desk.acknowledge(offer.id, 0, 2, AckStatus::Delivered);
    let mut offered = Vec::new();
    while desk.counts().0 < 10 {
        match desk.next() {
            Step::Wait(until) => desk.now = until,
            Step::Write(offer) => {
                offered.extend(events(&offer));
                desk.answer(delivered());
            }
            step => panic!("{step:?}"),
        }
    }
    assert_eq!(offered, Vec::from_iter(2..10));
}

#[test]
fn an_unknown_kind_of_error_means_retryable() {
    let mut desk = Desk::plain();
    desk.push(10);
    desk.offer_and(Err(SinkError::unsupported("write_batch")));
    desk.wait();
    assert_eq!(events(&desk.offer()), Vec::from_iter(0..10));
}

#[test]
fn an_attempt_that_settles_nothing_is_no_progress() {
    let mut desk = Desk::plain();
    desk.push(10);
    for _ in 0..3 {
        desk.offer_and(retryable());
        assert_eq!(desk.delivery.progress(), 0);
        desk.wait();
    }
    assert_eq!(desk.counts(), (0, 20, 0, 0));
    desk.offer_and(delivered());
    assert_eq!(desk.delivery.progress(), 10);
}
