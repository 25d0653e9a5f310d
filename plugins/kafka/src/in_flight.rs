//! The batches that librdkafka has, and what became of their events.
//!
//! A batch gets a slot until the last of its events is reported; the slot keeps the batch's bytes alive, since librdkafka
//! sends from them. Failures become acknowledgements at once. Deliveries are collected until the whole batch is
//! reported, or until they are [overdue](InFlight::overdue): with several partitions the reports of one batch come in
//! thousands of small pieces, and an acknowledgement for each would cost more than sending the events.

use std::mem;

use audit_plugin_api::{AckStatus, Acknowledgement, Held};

use crate::verdict::Verdict;
use crate::window::Window;

/// Names an event in librdkafka's reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The slot of its batch.
    pub slot: u32,
    /// Its position in the batch.
    pub position: u32,
}

/// The batches that librdkafka has.
#[derive(Default)]
pub struct InFlight {
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    messages: usize,
    /// How many messages may be on their way, where brokers have refused a batch.
    pub window: Window,
}

struct Slot {
    batch: u64,
    /// Kept until the last report: librdkafka reads the payloads there.
    held: Option<Held>,
    events: Vec<Event>,
    /// Events that are not reported.
    out: usize,
    /// Whether some are reported as delivered, and not acknowledged.
    ripe: bool,
    /// Whether [`InFlight::overdue`] has seen it.
    old: bool,
    /// Whether all reports so far were deliveries.
    clean: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Event {
    Out,
    Delivered,
    Acknowledged,
}

/// What a report came to.
#[derive(Default)]
pub struct Settled {
    /// What to tell the host.
    pub acknowledgements: Vec<Acknowledgement>,
    /// Bytes that nobody needs any more; to be dropped where no lock is held.
    pub released: Vec<Held>,
}

impl InFlight {
    /// A slot for a batch of this many events.
    pub fn begin(&mut self, batch: u64, events: usize, held: Option<Held>) -> u32 {
        let slot = Slot {
            batch,
            held,
            events: vec![Event::Out; events],
            out: events,
            ripe: false,
            old: false,
            clean: true,
        };
        self.messages += events;
        match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = Some(slot);
                index
            }
            None => {
                self.slots.push(Some(slot));
                self.slots.len() as u32 - 1
            }
        }
    }

    /// The event was reported, with this verdict; a second report of an event is ignored.
    pub fn report(&mut self, ticket: Ticket, verdict: Verdict, settled: &mut Settled) {
        let Some(slot) = self.slots.get_mut(ticket.slot as usize).and_then(Option::as_mut) else { return };
        let position = ticket.position as usize;
        if slot.events.get(position) != Some(&Event::Out) {
            return;
        }
        slot.out -= 1;
        self.messages -= 1;
        let (status, retry_after, reason) = match verdict {
            Verdict::Delivered => {
                slot.events[position] = Event::Delivered;
                slot.ripe = true;
                return self.settle(ticket.slot, settled);
            }
            Verdict::Retry { reason, after } => (AckStatus::Retryable, after, reason),
            // The host's interface has no status that gives an event back without counting a failed attempt.
            Verdict::Suspect { reason, among } => {
                self.window.refused(among);
                (AckStatus::Retryable, None, reason)
            }
            Verdict::GiveUp { reason } => {
                self.window.found();
                (AckStatus::Permanent, None, reason)
            }
        };
        slot.clean = false;
        slot.events[position] = Event::Acknowledged;
        let next = Acknowledgement {
            batch: slot.batch,
            first: ticket.position,
            count: 1,
            status,
            retry_after,
            reason,
        };
        match settled.acknowledgements.last_mut() {
            Some(last) if continues(last, &next) => last.count += 1,
            _ => settled.acknowledgements.push(next),
        }
        self.settle(ticket.slot, settled);
    }

    /// librdkafka did not take the events from this position on: nobody will report them.
    pub fn cut(&mut self, slot: u32, taken: usize, settled: &mut Settled) {
        let Some(batch) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else { return };
        let cut = batch.events.len() - taken;
        batch.events.truncate(taken);
        batch.out -= cut;
        self.messages -= cut;
        self.settle(slot, settled);
    }

    /// Acknowledges what was delivered of batches that were not complete the last time this was called, and are not now.
    pub fn overdue(&mut self, settled: &mut Settled) {
        for slot in self.slots.iter_mut().flatten() {
            if mem::replace(&mut slot.old, true) {
                slot.acknowledge(settled);
            }
        }
    }

    /// Acknowledges whatever was delivered, since nobody will ask again.
    pub fn finish(&mut self, settled: &mut Settled) {
        for slot in self.slots.iter_mut().flatten() {
            slot.acknowledge(settled);
        }
    }

    /// Batches of which not all events are reported.
    pub fn batches(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Messages that are not reported.
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// Ends the slot when its last event is reported.
    fn settle(&mut self, index: u32, settled: &mut Settled) {
        let place = &mut self.slots[index as usize];
        if place.as_ref().is_some_and(|slot| slot.out == 0)
            && let Some(mut slot) = place.take()
        {
            slot.acknowledge(settled);
            if slot.clean {
                self.window.passed(slot.events.len());
            }
            settled.released.extend(slot.held.take());
            self.free.push(index);
        }
    }
}

impl Slot {
    /// Acknowledges what is delivered, in ranges.
    fn acknowledge(&mut self, settled: &mut Settled) {
        if !mem::take(&mut self.ripe) {
            return;
        }
        let mut at = 0;
        while let Some(start) = self.events[at..].iter().position(|event| *event == Event::Delivered) {
            let first = at + start;
            let count = self.events[first..].iter().take_while(|event| **event == Event::Delivered).count();
            self.events[first..first + count].fill(Event::Acknowledged);
            at = first + count;
            settled.acknowledgements.push(Acknowledgement {
                batch: self.batch,
                first: first as u32,
                count: count as u32,
                status: AckStatus::Delivered,
                retry_after: None,
                reason: String::new(),
            });
        }
    }
}

/// Whether both are one range with one fate.
fn continues(last: &Acknowledgement, next: &Acknowledgement) -> bool {
    last.batch == next.batch
        && last.first.checked_add(last.count) == Some(next.first)
        && (last.status, last.retry_after) == (next.status, next.retry_after)
        && last.reason == next.reason
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(slot: u32, position: u32) -> Ticket {
        Ticket { slot, position }
    }

    fn fates(settled: &Settled) -> Vec<(u64, u32, u32, AckStatus)> {
        settled.acknowledgements.iter().map(|ack| (ack.batch, ack.first, ack.count, ack.status)).collect()
    }

    fn retry(reason: &str) -> Verdict {
        Verdict::Retry { reason: reason.into(), after: None }
    }

    #[test]
    fn a_batch_delivered_in_any_order_is_one_acknowledgement() {
        let (mut in_flight, mut settled) = (InFlight::default(), Settled::default());
        let slot = in_flight.begin(7, 4, None);
        for position in [2, 0, 3] {
            in_flight.report(ticket(slot, position), Verdict::Delivered, &mut settled);
        }
        assert_eq!((fates(&settled).len(), in_flight.messages()), (0, 1));
        in_flight.report(ticket(slot, 1), Verdict::Delivered, &mut settled);
        assert_eq!(fates(&settled), [(7, 0, 4, AckStatus::Delivered)]);
        assert_eq!(in_flight.messages(), 0);
    }

    #[test]
    fn failures_are_told_at_once_and_never_as_delivered() {
        let (mut in_flight, mut settled) = (InFlight::default(), Settled::default());
        let slot = in_flight.begin(7, 4, None);
        in_flight.report(ticket(slot, 0), Verdict::Delivered, &mut settled);
        in_flight.report(ticket(slot, 1), retry("down"), &mut settled);
        in_flight.report(ticket(slot, 2), retry("down"), &mut settled);
        assert_eq!(fates(&settled), [(7, 1, 2, AckStatus::Retryable)]);
        in_flight.report(ticket(slot, 3), Verdict::GiveUp { reason: "too large".into() }, &mut settled);
        assert_eq!(fates(&settled)[1..], [(7, 3, 1, AckStatus::Permanent), (7, 0, 1, AckStatus::Delivered)]);
    }

    #[test]
    fn deliveries_of_an_incomplete_batch_are_told_when_they_are_overdue_and_once() {
        let (mut in_flight, mut settled) = (InFlight::default(), Settled::default());
        let slot = in_flight.begin(7, 5, None);
        for position in [0, 1, 3] {
            in_flight.report(ticket(slot, position), Verdict::Delivered, &mut settled);
        }
        in_flight.overdue(&mut settled);
        assert_eq!(fates(&settled), [], "the batch may still become complete");
        in_flight.overdue(&mut settled);
        in_flight.overdue(&mut settled);
        in_flight.finish(&mut settled);
        assert_eq!(fates(&settled), [(7, 0, 2, AckStatus::Delivered), (7, 3, 1, AckStatus::Delivered)]);
        in_flight.report(ticket(slot, 3), Verdict::Delivered, &mut settled);
        assert_eq!((fates(&settled).len(), in_flight.messages()), (2, 2), "a second report is ignored");
    }

    #[test]
    fn whatever_is_delivered_is_told_at_the_end() {
        let (mut in_flight, mut settled) = (InFlight::default(), Settled::default());
        let slot = in_flight.begin(7, 2, None);
        in_flight.report(ticket(slot, 1), Verdict::Delivered, &mut settled);
        in_flight.finish(&mut settled);
        assert_eq!(fates(&settled), [(7, 1, 1, AckStatus::Delivered)]);
    }

    #[test]
    fn what_was_not_taken_is_never_acknowledged_and_the_slot_is_used_again() {
        let (mut in_flight, mut settled) = (InFlight::default(), Settled::default());
        let slot = in_flight.begin(7, 5, None);
        in_flight.report(ticket(slot, 0), Verdict::Delivered, &mut settled);
        in_flight.report(ticket(slot, 1), Verdict::Delivered, &mut settled);
        assert_eq!(in_flight.batches(), 1);
        in_flight.cut(slot, 2, &mut settled);
        assert_eq!(in_flight.batches(), 0);
        assert_eq!(fates(&settled), [(7, 0, 2, AckStatus::Delivered)]);
        assert_eq!(in_flight.begin(8, 1, None), slot);
        in_flight.report(ticket(slot, 4), Verdict::Delivered, &mut settled);
        assert_eq!((fates(&settled).len(), in_flight.messages()), (1, 1));
    }

    #[test]
    fn bytes_are_kept_until_the_last_report() {
        use audit_plugin_api::testing::TestBatch;
        use audit_plugin_api::{Action, PermissionAuditEvent};

        let event = PermissionAuditEvent::new(Action::Read, true);
        let batch = TestBatch::new(&[event.clone(), event]);
        let (mut in_flight, mut settled) = (InFlight::default(), Settled::default());
        let slot = batch.lend(|batch| in_flight.begin(1, 2, Some(batch.hold())));
        in_flight.report(ticket(slot, 0), Verdict::Delivered, &mut settled);
        assert_eq!((batch.holds(), settled.released.len()), (1, 0));
        in_flight.report(ticket(slot, 1), Verdict::Delivered, &mut settled);
        assert_eq!(settled.released.len(), 1);
        drop(settled);
        assert_eq!(batch.holds(), 0);
    }
}
