//! Events that a sink can never take.

use super::desk::*;
use crate::config::SinkSettings;
use crate::pipeline::delivery::{Instance, Step};
use crate::pipeline::piece::Doubt;

use audit_plugin_api::{AckStatus, SinkError, Written};

/// Delivers 0..`len` in one batch to a sink that refuses batches with a poisonous event; returns what was delivered, in
/// order, and what was buried, and how many batches were offered.
fn isolate(len: u32, poison: &[u64], refusal: &SinkError) -> (Vec<u64>, Vec<u64>, usize) {
    let mut desk = Desk::new(SinkSettings { batch_size: len as usize, ..sink() }, timing());
    desk.push(len);
    let (mut good, mut bad, mut offers) = (Vec::new(), Vec::new(), 0);
    loop {
        match desk.next() {
            Step::Write(offer) => {
                offers += 1;
                assert!(offers < 1000);
                let events = events(&offer);
                if events.iter().any(|event| poison.contains(event)) {
                    desk.answer(Err(refusal.clone()));
                } else {
                    good.extend(events);
                    desk.answer(delivered());
                }
            }
            Step::Open => desk.delivery.opened(),
            Step::Bury(burial) => {
                bad.extend(buried(&burial));
                desk.delivery.buried(burial.id, buried(&burial).len(), desk.now);
            }
            Step::Wait(until) => desk.now = until,
            Step::Sleep => break,
            step => panic!("{step:?}"),
        }
    }
    assert_eq!(desk.counts().0 + desk.counts().2, u64::from(len));
    (good, bad, offers)
}

#[test]
fn a_poisonous_event_anywhere_is_dead_lettered_alone_and_all_others_arrive_once_in_order() {
    for refusal in [SinkError::permanent("poison"), SinkError::panicked("boom")] {
        for len in 1..=17 {
            for poison in 0..u64::from(len) {
                let (good, bad, _) = isolate(len, &[poison], &refusal);
                let expected: Vec<u64> = (0..u64::from(len)).filter(|event| *event != poison).collect();
                assert_eq!((good, bad), (expected, vec![poison]), "{poison} of {len}");
            }
        }
    }
}

#[test]
fn several_poisonous_events_are_each_found() {
    for refusal in [SinkError::permanent("poison"), SinkError::panicked("boom")] {
        let poison = [0, 1, 7, 8, 9, 15, 16];
        let (good, bad, _) = isolate(17, &poison, &refusal);
        assert_eq!((good, bad), (vec![2, 3, 4, 5, 6, 10, 11, 12, 13, 14], poison.to_vec()));
        let all: Vec<u64> = (0..17).collect();
        assert_eq!(isolate(17, &all, &refusal).1, all);
    }
}

#[test]
fn a_poisonous_event_is_found_by_halving() {
    let (.., offers) = isolate(1024, &[700], &SinkError::permanent("poison"));
    assert!(offers <= 21, "{offers}");
}

#[test]
fn a_prefix_before_a_permanent_failure_is_kept_and_the_rest_halved() {
    let mut desk = Desk::plain();
    desk.push(10);
    desk.offer_and(Err(SinkError::permanent("poison").after(6)));
    assert_eq!(events(&desk.offer_and(permanent())), [6, 7]);
    assert_eq!(events(&desk.offer_and(permanent())), [6]);
    assert_eq!(buried(&desk.bury()), [6]);
    assert_eq!(events(&desk.offer_and(delivered())), [7]);
    assert_eq!(events(&desk.offer_and(delivered())), [8, 9]);
    assert_eq!(desk.counts(), (9, 6, 1, 0));
}

#[test]
fn halving_begins_when_nothing_else_is_in_flight_and_goes_on_alone() {
    let mut desk = Desk::new(SinkSettings { max_in_flight: 4, ..sink() }, timing());
    desk.push(40);
    let before = desk.offer_and(pending(10));
    desk.offer_and(permanent());
    desk.assert_holds_back();
    desk.acknowledge(before.id, 0, 9, AckStatus::Delivered);
    desk.assert_holds_back();
    desk.acknowledge(before.id, 9, 1, AckStatus::Delivered);
    let half = desk.offer_and(pending(10));
    assert_eq!(events(&half), Vec::from_iter(10..15));
    desk.assert_holds_back();
    desk.acknowledge(half.id, 0, 10, AckStatus::Delivered);
    assert_eq!(events(&desk.offer_and(delivered())), Vec::from_iter(15..20));
    assert_eq!(events(&desk.offer_and(delivered())), Vec::from_iter(20..30));
}

#[test]
fn retryable_failures_are_never_halved() {
    let mut desk = Desk::plain();
    desk.push(10);
    for _ in 0..10 {
        assert_eq!(events(&desk.offer_and(retryable())).len(), 10);
        desk.wait();
    }
}

#[test]
fn a_permanent_failure_after_some_early_acknowledgements_dooms_no_innocent_event() {
    let mut desk = Desk::plain();
    desk.push(3);
    desk.delivery.request_flush(3);
    let offer = desk.offer();
    desk.acknowledge(offer.id, 1, 1, AckStatus::Delivered);
    desk.answer(permanent());
    assert_eq!(events(&desk.offer_and(delivered())), [0]);
    assert_eq!(events(&desk.offer_and(permanent())), [2]);
    assert_eq!(buried(&desk.bury()), [2]);
    assert_eq!(desk.counts(), (2, 2, 1, 0));
}

#[test]
fn a_panic_replaces_the_instance_and_three_over_one_event_alone_are_a_dead_letter() {
    let mut desk = Desk::plain();
    desk.push(1);
    desk.delivery.hurry(1);
    for attempt in 1..=3 {
        let offer = desk.offer();
        assert_eq!(offer.attempt, attempt);
        assert_eq!(offer.doubt == Doubt::PossibleDuplicate, attempt > 1);
        assert_eq!(desk.answer(panicked()), Instance::Replace);
        if attempt < 3 {
            assert!(matches!(desk.next(), Step::Open));
            desk.delivery.opened();
        }
    }
    let burial = desk.bury();
    assert_eq!(burial.pieces[0].reason, "the sink panicked: boom");
    assert_eq!(burial.pieces[0].attempts, 3);
    assert!(matches!(desk.next(), Step::Open));
}

#[test]
fn a_panic_while_others_are_in_flight_is_not_held_against_a_single_event() {
    let mut desk = Desk::new(SinkSettings { batch_size: 1, max_in_flight: 2, ..sink() }, timing());
    desk.push(2);
    desk.offer_and(pending(1));
    let second = desk.offer();
    assert_eq!(events(&second), [1]);
    desk.answer(panicked());
    desk.delivery.opened();
    assert_eq!(events(&desk.offer_and(delivered())), [0]);
    for _ in 0..2 {
        assert_eq!(events(&desk.offer_and(panicked())), [1]);
        desk.delivery.opened();
    }
    assert_eq!(events(&desk.offer_and(delivered())), [1]);
    assert_eq!(desk.counts().0, 2);
}

#[test]
fn a_panic_offers_what_was_in_flight_to_the_fresh_instance_as_possible_duplicates() {
    let mut desk = Desk::new(SinkSettings { max_in_flight: 3, ..sink() }, timing());
    desk.push(20);
    let first = desk.offer_and(pending(10));
    desk.acknowledge(first.id, 0, 4, AckStatus::Delivered);
    desk.offer_and(panicked());
    desk.delivery.opened();
    let again = desk.offer_and(Ok(Written::Delivered));
    assert_eq!((events(&again), again.doubt), (Vec::from_iter(4..10), Doubt::PossibleDuplicate));
    assert_eq!(events(&desk.offer()), Vec::from_iter(10..15));
}
