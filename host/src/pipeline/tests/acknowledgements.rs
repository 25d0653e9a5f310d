//! Acknowledgements of what a sink has taken.

use std::time::Duration;

use audit_plugin_api::{AckStatus, SinkError};

use super::desk::*;
use crate::config::{DeliverySettings, SinkSettings};
use crate::pipeline::delivery::Step;
use crate::pipeline::piece::Doubt;

fn in_flight(max_in_flight: usize) -> Desk {
    Desk::new(SinkSettings { max_in_flight, ..sink() }, timing())
}

#[test]
fn events_are_in_flight_until_they_are_acknowledged() {
    let mut desk = in_flight(1);
    desk.push(10);
    let offer = desk.offer();
    assert_eq!(desk.delivery.in_flight(), 10);
    desk.answer(pending(10));
    assert_eq!((desk.delivery.in_flight(), desk.counts().0), (10, 0));
    desk.acknowledge(offer.id, 0, 4, AckStatus::Delivered);
    assert_eq!((desk.delivery.in_flight(), desk.counts().0), (6, 4));
    desk.acknowledge(offer.id, 4, 6, AckStatus::Delivered);
    assert_eq!((desk.delivery.in_flight(), desk.counts().0), (0, 10));
    desk.assert_sleeps();
}

#[test]
fn acknowledgements_before_write_batch_returns_count() {
    for answer in [pending(10), delivered(), retryable()] {
        let mut desk = in_flight(1);
        desk.push(10);
        let offer = desk.offer();
        desk.acknowledge(offer.id, 5, 5, AckStatus::Delivered);
        desk.acknowledge(offer.id, 0, 5, AckStatus::Delivered);
        desk.answer(answer);
        assert_eq!(desk.counts(), (10, 0, 0, 0));
        desk.assert_sleeps();
    }
}

#[test]
fn an_answer_concerns_what_was_not_acknowledged_before() {
    let mut desk = in_flight(1);
    desk.push(10);
    let offer = desk.offer();
    desk.acknowledge(offer.id, 0, 2, AckStatus::Permanent);
    desk.acknowledge(offer.id, 5, 1, AckStatus::Delivered);
    desk.answer(Err(SinkError::retryable("busy").only([1, 3, 5, 9])));
    assert_eq!(buried(&desk.bury()), [0, 1]);
    assert_eq!(desk.counts(), (6, 0, 2, 0));
    desk.wait();
    assert_eq!(events(&desk.offer()), [3, 9]);

    let mut desk = in_flight(1);
    desk.push(10);
    let offer = desk.offer();
    desk.acknowledge(offer.id, 3, 1, AckStatus::Retryable);
    desk.answer(Err(SinkError::retryable("busy").after(6)));
    assert_eq!(desk.counts(), (5, 0, 0, 0));
    desk.wait();
    assert_eq!(events(&desk.offer()), [3, 6, 7, 8, 9]);
}

#[test]
fn acknowledgements_may_come_in_any_order_across_batches() {
    let mut desk = in_flight(3);
    desk.push(30);
    let offers: Vec<_> = (0..3).map(|_| desk.offer_and(pending(10))).collect();
    for index in [7, 3, 0, 9, 1, 2, 8, 5, 6, 4] {
        for offer in offers.iter().rev() {
            desk.acknowledge(offer.id, index, 1, AckStatus::Delivered);
        }
    }
    assert_eq!(desk.counts(), (30, 0, 0, 0));
    assert_eq!(desk.delivery.settled_to(), 30);
}

#[test]
fn the_first_acknowledgement_of_an_event_counts() {
    for (first, second, expected) in [
        (AckStatus::Delivered, AckStatus::Permanent, (10, 0, 0, 0)),
        (AckStatus::Permanent, AckStatus::Delivered, (6, 0, 4, 0)),
        (AckStatus::Delivered, AckStatus::Delivered, (10, 0, 0, 0)),
        (AckStatus::Delivered, AckStatus::Retryable, (10, 0, 0, 0)),
    ] {
        for early in [true, false] {
            let mut desk = in_flight(1);
            desk.push(10);
            let offer = desk.offer();
            if !early {
                desk.answer(pending(10));
            }
            desk.acknowledge(offer.id, 2, 4, first);
            desk.acknowledge(offer.id, 0, 10, AckStatus::Delivered);
            desk.acknowledge(offer.id, 2, 4, second);
            if early {
                desk.answer(pending(10));
            }
            if first == AckStatus::Permanent {
                assert_eq!(buried(&desk.bury()), [2, 3, 4, 5]);
            }
            assert_eq!(desk.counts(), expected);
            desk.assert_sleeps();
        }
    }
}

#[test]
fn acknowledgements_of_what_is_not_in_flight_are_ignored() {
    let mut desk = in_flight(1);
    desk.push(20);
    let offer = desk.offer_and(pending(10));
    desk.acknowledge(0, 0, 10, AckStatus::Delivered);
    desk.acknowledge(offer.id + 1, 0, 10, AckStatus::Delivered);
    desk.acknowledge(offer.id, 10, 10, AckStatus::Delivered);
    desk.acknowledge(offer.id, u32::MAX, u32::MAX, AckStatus::Delivered);
    desk.acknowledge(offer.id, 3, 0, AckStatus::Delivered);
    assert_eq!(desk.counts(), (0, 0, 0, 0));
    desk.acknowledge(offer.id, 5, u32::MAX, AckStatus::Delivered);
    assert_eq!(desk.counts(), (5, 0, 0, 0));
}

#[test]
fn acknowledgements_of_what_was_not_taken_are_ignored() {
    for early in [true, false] {
        let mut desk = in_flight(1);
        desk.push(10);
        let offer = desk.offer();
        if early {
            desk.acknowledge(offer.id, 0, 10, AckStatus::Delivered);
        }
        desk.answer(pending(6));
        if !early {
            desk.acknowledge(offer.id, 0, 10, AckStatus::Delivered);
        }
        assert_eq!(desk.counts(), (6, 0, 0, 0));
        assert_eq!(events(&desk.offer()), [6, 7, 8, 9]);
    }
}

#[test]
fn acknowledgements_to_a_replaced_instance_are_ignored() {
    let mut desk = in_flight(2);
    desk.push(10);
    let offer = desk.offer_and(pending(10));
    desk.delivery.replace(desk.now);
    desk.acknowledge(offer.id, 0, 10, AckStatus::Delivered);
    assert_eq!(desk.counts(), (0, 0, 0, 0));
    desk.delivery.opened();
    let again = desk.offer_and(delivered());
    assert_eq!((events(&again), again.doubt), (Vec::from_iter(0..10), Doubt::PossibleDuplicate));
}

#[test]
fn what_is_not_acknowledged_in_time_is_offered_again_as_a_possible_duplicate() {
    let mut desk = in_flight(2);
    desk.push(20);
    let first = desk.offer_and(pending(10));
    desk.pass(Duration::from_secs(20));
    let second = desk.offer_and(pending(10));
    desk.acknowledge(first.id, 0, 4, AckStatus::Delivered);
    assert_eq!(desk.wait(), Duration::from_secs(40));
    desk.wait();
    let again = desk.offer_and(pending(10));
    assert_eq!((events(&again), again.attempt), (Vec::from_iter(4..10), 2));
    assert_eq!(again.doubt, Doubt::PossibleDuplicate);
    desk.acknowledge(first.id, 4, 6, AckStatus::Delivered);
    assert_eq!(desk.counts().0, 4);
    desk.acknowledge(again.id, 0, 6, AckStatus::Delivered);
    desk.acknowledge(second.id, 0, 10, AckStatus::Delivered);
    assert_eq!(desk.counts(), (20, 6, 0, 0));
}

#[test]
fn a_sink_can_raise_its_ack_timeout_and_not_lower_it() {
    for (asked, waits) in [(90, 90), (5, 60)] {
        let mut desk = in_flight(1);
        desk.delivery.raise_ack_timeout(Duration::from_secs(asked));
        desk.push(10);
        desk.offer_and(pending(10));
        assert_eq!(desk.wait(), Duration::from_secs(waits));
    }
}

#[test]
fn a_missing_acknowledgement_counts_towards_max_attempts() {
    let mut desk = Desk::new(sink(), DeliverySettings { max_attempts: 1, ..timing() });
    desk.push(10);
    desk.offer_and(pending(10));
    desk.wait();
    let burial = desk.bury();
    assert_eq!(burial.pieces[0].reason, "not acknowledged within ack_timeout = 60 s");
}

#[test]
fn an_acknowledgement_without_a_reason_still_gives_the_dead_letter_one() {
    let mut desk = in_flight(1);
    desk.push(10);
    let offer = desk.offer_and(pending(10));
    desk.delivery.acknowledge(
        audit_plugin_api::Acknowledgement {
            batch: offer.id,
            first: 0,
            count: 10,
            status: AckStatus::Permanent,
            retry_after: None,
            reason: String::new(),
        },
        desk.now,
    );
    assert_eq!(desk.bury().pieces[0].reason, "the sink gave no reason");
}

#[test]
fn no_more_batches_are_in_flight_than_the_sink_may_hold() {
    for limit in [0, 1, 2, 8] {
        let mut desk = in_flight(limit);
        desk.push(100);
        let offers: Vec<_> = (0..limit.max(1)).map(|_| desk.offer_and(pending(10))).collect();
        desk.assert_holds_back();
        desk.acknowledge(offers[0].id, 0, 9, AckStatus::Delivered);
        desk.assert_holds_back();
        desk.acknowledge(offers[0].id, 9, 1, AckStatus::Delivered);
        assert!(matches!(desk.next(), Step::Write(_)));
    }
}
