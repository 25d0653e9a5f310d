//! What is abandoned, given up, dropped or lost.

use std::time::Duration;

use audit_plugin_api::{AckStatus, SinkError};

use super::desk::*;
use crate::config::{DeliverySettings, SinkSettings};
use crate::pipeline::delivery::{Instance, Step};
use crate::pipeline::piece::Doubt;

#[test]
fn the_events_of_an_abandoned_call_go_to_a_fresh_instance_as_possible_duplicates() {
    let mut desk = Desk::new(SinkSettings { max_in_flight: 2, ..sink() }, timing());
    desk.push(20);
    desk.offer_and(pending(10));
    let hung = desk.offer();
    desk.acknowledge(hung.id, 0, 2, AckStatus::Delivered);
    desk.delivery.abandoned("write_batch hung", desk.now);
    assert_eq!(desk.delivery.in_flight(), 0);
    assert!(matches!(desk.next(), Step::Open));
    desk.delivery.opened();
    let first = desk.offer_and(delivered());
    assert_eq!((events(&first), first.doubt), (Vec::from_iter(0..10), Doubt::PossibleDuplicate));
    desk.wait();
    let second = desk.offer_and(delivered());
    assert_eq!((events(&second), second.doubt), (Vec::from_iter(12..20), Doubt::PossibleDuplicate));
    desk.acknowledge(hung.id, 0, 10, AckStatus::Permanent);
    assert_eq!(desk.counts(), (20, 18, 0, 0));
}

#[test]
fn abandoned_calls_count_towards_max_attempts() {
    let mut desk = Desk::new(sink(), DeliverySettings { max_attempts: 1, ..timing() });
    desk.push(10);
    desk.offer();
    desk.delivery.abandoned("write_batch hung", desk.now);
    assert_eq!(desk.bury().pieces[0].reason, "write_batch hung");
}

#[test]
fn giving_up_dooms_everything_in_order_and_says_what_is_known_of_it() {
    let mut desk = Desk::new(SinkSettings { max_in_flight: 2, ..sink() }, timing());
    desk.push(35);
    let first = desk.offer_and(pending(10));
    let second = desk.offer_and(pending(10));
    desk.acknowledge(first.id, 0, 9, AckStatus::Delivered);
    desk.acknowledge(second.id, 0, 10, AckStatus::Retryable);
    desk.delivery.give_up("closing", desk.now);
    let burial = desk.bury();
    assert_eq!(buried(&burial), Vec::from_iter(9..35));
    let reasons: Vec<_> = burial.pieces.iter().map(|piece| piece.reason.as_str()).collect();
    let maybe = "closing, though it may have been delivered";
    assert_eq!(reasons, [maybe, "closing; last error: said so", "closing"]);
    assert!(desk.delivery.is_idle());
    assert_eq!(desk.counts(), (9, 0, 26, 0));
}

#[test]
fn what_a_sink_says_of_events_that_were_given_up_is_ignored_but_not_that_it_is_broken() {
    for (answer, instance) in [
        (delivered(), Instance::Keep),
        (retryable(), Instance::Keep),
        (panicked(), Instance::Replace),
        (Err(SinkError::reopen("gone")), Instance::Replace),
    ] {
        let mut desk = Desk::plain();
        desk.push(10);
        let offer = desk.offer();
        desk.delivery.give_up("closing", desk.now);
        desk.acknowledge(offer.id, 0, 10, AckStatus::Delivered);
        assert_eq!(desk.answer(answer), instance);
        desk.bury();
        assert_eq!(desk.counts(), (0, 0, 10, 0));
    }
}

#[test]
fn a_batch_that_is_being_offered_may_still_come_back_while_what_waits_is_given_up() {
    let mut desk = Desk::plain();
    desk.push(25);
    desk.offer();
    desk.delivery.give_up_waiting("closing");
    desk.answer(delivered());
    assert_eq!(buried(&desk.bury()), Vec::from_iter(10..25));
    assert_eq!(desk.counts(), (10, 0, 15, 0));
}

#[test]
fn dead_letters_that_cannot_be_written_stay_and_are_tried_again() {
    let mut desk = Desk::plain();
    desk.push(10);
    desk.offer_and(Err(SinkError::permanent("bad").only(0..10)));
    let Step::Bury(burial) = desk.next() else { panic!("no burial") };
    desk.delivery.buried(burial.id, 3, desk.now);
    assert_eq!(desk.counts(), (0, 0, 3, 0));
    assert_eq!(desk.wait(), Duration::from_secs(1));
    assert_eq!(buried(&desk.bury()), Vec::from_iter(3..10));
    assert_eq!(desk.counts(), (0, 0, 10, 0));
    desk.assert_sleeps();
}

#[test]
fn a_part_of_a_batch_may_be_in_the_dead_letters() {
    let mut desk = Desk::new(sink(), DeliverySettings { max_attempts: 1, ..timing() });
    desk.push(10);
    desk.offer_and(retryable());
    let Step::Bury(burial) = desk.next() else { panic!("no burial") };
    desk.delivery.buried(burial.id, 4, desk.now);
    assert_eq!(desk.delivery.settled_to(), 4);
    desk.wait();
    assert_eq!(buried(&desk.bury()), Vec::from_iter(4..10));
}

#[test]
fn dead_letters_do_not_wait_for_a_sink_that_cannot_be_opened() {
    let mut desk = Desk::plain();
    desk.push(1);
    desk.delivery.hurry(1);
    desk.offer_and(permanent());
    let Step::Bury(burial) = desk.next() else { panic!("no burial") };
    desk.delivery.buried(burial.id, 0, desk.now);
    desk.delivery.replace(desk.now);
    desk.delivery.open_failed(&SinkError::retryable("locked").retry_after(HOUR), desk.now);
    assert_eq!(desk.wait(), Duration::from_secs(1));
    desk.bury();
}

#[test]
fn newer_events_are_delivered_while_dead_letters_cannot_be_written() {
    let mut desk = Desk::plain();
    desk.push(10);
    desk.offer_and(Err(SinkError::permanent("bad").only(0..10)));
    let Step::Bury(burial) = desk.next() else { panic!("no burial") };
    desk.delivery.buried(burial.id, 0, desk.now);
    desk.push(10);
    desk.offer_and(delivered());
    assert_eq!(desk.counts(), (10, 0, 0, 0));
    assert_eq!(desk.delivery.settled_to(), 0);
}

#[test]
fn what_is_in_no_dead_letter_in_the_end_is_counted_as_lost() {
    let mut desk = Desk::plain();
    desk.push(10);
    desk.delivery.give_up("closing", desk.now);
    let Step::Bury(burial) = desk.next() else { panic!("no burial") };
    let doomed = desk.delivery.take_doomed();
    assert_eq!(
        doomed.iter().flat_map(|piece| positions(&piece.spans)).collect::<Vec<_>>(),
        Vec::from_iter(0..10)
    );
    desk.delivery.lose(&doomed);
    desk.delivery.buried(burial.id, 10, desk.now);
    assert_eq!(desk.counts(), (0, 0, 0, 0));
    assert_eq!((desk.tally.lost_at(0), desk.tally.counts().lost), (10, 10));
    assert!(desk.delivery.is_idle());
}

#[test]
fn events_that_vanish_are_counted_as_lost() {
    let mut desk = Desk::plain();
    desk.push(10);
    desk.push(5);
    desk.offer_and(delivered());
    let Desk { delivery, tally, .. } = desk;
    drop(delivery);
    assert_eq!((tally.lost_at(0), tally.counts().lost, tally.counts().delivered), (5, 5, 10));
}

#[test]
fn a_sink_that_is_not_required_drops_the_oldest_first_and_what_is_in_flight_last() {
    let mut desk = Desk::new(SinkSettings { max_in_flight: 2, ..sink() }, timing());
    desk.push(10);
    let first = desk.offer_and(pending(10));
    desk.acknowledge(first.id, 0, 4, AckStatus::Retryable);
    desk.push(10);
    desk.push(10);
    assert_eq!(desk.delivery.oldest_waiting().map(|run| run.behind()), Some(10));
    desk.delivery.drop_before(10);
    assert_eq!(desk.counts(), (0, 0, 0, 4));
    assert_eq!(desk.delivery.oldest_waiting().map(|run| run.behind()), Some(20));
    desk.delivery.drop_before(20);
    assert_eq!(desk.counts(), (0, 0, 0, 14));
    desk.delivery.drop_in_flight(desk.now, &|_| false);
    assert_eq!((desk.delivery.in_flight(), desk.counts().3), (6, 14));
    desk.delivery.drop_in_flight(desk.now, &|_| true);
    assert_eq!((desk.delivery.in_flight(), desk.counts().3), (0, 20));
    desk.acknowledge(first.id, 0, 10, AckStatus::Delivered);
    assert_eq!(desk.counts(), (0, 0, 0, 20));
    assert_eq!(events(&desk.offer()), Vec::from_iter(20..30));
}
