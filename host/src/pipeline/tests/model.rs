//! Any sink whatsoever, against a model that knows only what the sink has said of each event.
//!
//! A random script says what the sink answers and acknowledges, what breaks and how time passes; when it is over, the
//! sink behaves, and everything must come to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use audit_plugin_api::{AckStatus, Delivered, SinkError, Written};
use proptest::prelude::*;

use super::desk::*;
use crate::config::{DeliverySettings, SinkSettings};
use crate::pipeline::delivery::{Instance, Offer, Step};
use crate::pipeline::piece::Doubt;

const ACK_TIMEOUT: Duration = Duration::from_secs(3600);
/// Stands for an event of a batch that is acknowledged.
const SETTLED: u64 = u64::MAX;
const MOST_EVENTS: u64 = 60;

/// Random choices, and good ones when there are no more.
struct Script(std::vec::IntoIter<u8>);

impl Script {
    fn choose(&mut self, options: u32) -> Option<u32> {
        self.0.next().map(|byte| u32::from(byte) % options)
    }

    fn up_to(&mut self, most: usize) -> usize {
        self.choose(most as u32 + 1).map_or(most, |chosen| chosen as usize)
    }
}

struct Out {
    events: Vec<u64>,
    deadline: Instant,
}

struct World {
    desk: Desk,
    settings: SinkSettings,
    script: Script,
    /// Batches that the sink has, with their events; the index of an event is its position in the batch.
    out: BTreeMap<u64, Out>,
    /// Events that have come to nothing yet.
    open: BTreeSet<u64>,
    /// Those of them that the sink was offered and did not take for good.
    failed: BTreeSet<u64>,
    /// Those of them that the sink may have delivered without saying so.
    doubtful: BTreeSet<u64>,
    delivered: BTreeSet<u64>,
    doomed: BTreeSet<u64>,
    buried: BTreeSet<u64>,
    closing: bool,
}

impl World {
    fn new(settings: SinkSettings, max_attempts: u32, script: Vec<u8>) -> Self {
        let timing = DeliverySettings { max_attempts, ack_timeout: ACK_TIMEOUT, ..timing() };
        Self {
            desk: Desk::new(settings.clone(), timing),
            settings,
            script: Script(script.into_iter()),
            out: BTreeMap::new(),
            open: BTreeSet::new(),
            failed: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            delivered: BTreeSet::new(),
            doomed: BTreeSet::new(),
            buried: BTreeSet::new(),
            closing: false,
        }
    }

    fn play(&mut self) {
        for turn in 0.. {
            assert!(turn < 20_000, "it does not end");
            match self.script.choose(8) {
                Some(0) => self.push(),
                Some(1) => self.acknowledge_something(),
                Some(2) => self.desk.pass(Duration::from_millis(700)),
                Some(3) => drop(self.desk.delivery.request_flush(self.desk.behind())),
                None if !self.closing => {
                    self.closing = true;
                    self.desk.delivery.request_close(self.desk.behind());
                }
                _ => {}
            }
            if self.turn() {
                break;
            }
            self.check();
        }
        assert!(self.open.is_empty() && self.desk.delivery.is_idle());
        assert_eq!(self.desk.delivery.settled_to(), self.desk.behind());
        assert_eq!(self.delivered.len() + self.buried.len(), self.desk.behind() as usize);
        assert!(self.doomed.is_subset(&self.buried));
        assert_eq!(self.desk.tally.counts().lost, 0);
    }

    fn check(&mut self) {
        let (delivered, _, dead_lettered, dropped) = self.desk.counts();
        assert_eq!(delivered as usize, self.delivered.len());
        assert_eq!((dead_lettered as usize, dropped), (self.buried.len(), 0));
        let in_flight =
            self.out.values().flat_map(|out| &out.events).filter(|event| self.is_out(**event)).count();
        assert_eq!(self.desk.delivery.in_flight() as usize, in_flight);
        let first = self.open.first().copied().unwrap_or(self.desk.behind());
        assert!(self.desk.delivery.settled_to() <= first);
    }

    fn is_out(&self, event: u64) -> bool {
        self.open.contains(&event)
            && !self.doomed.contains(&event)
            && self.out.values().any(|out| out.events.contains(&event))
    }

    /// Events that are neither settled nor given up, in order.
    fn waiting(&self) -> impl Iterator<Item = u64> {
        self.open.difference(&self.doomed).copied()
    }

    fn push(&mut self) {
        let behind = self.desk.behind();
        let events = self.script.up_to(9) as u64;
        if !self.closing && behind + events <= MOST_EVENTS {
            self.open.extend(behind..behind + events);
            self.desk.push(events as u32);
        }
    }

    /// One turn of the worker; `true` when it is closed.
    fn turn(&mut self) -> bool {
        let now = self.desk.now;
        let expired: Vec<u64> =
            self.out.iter().filter(|(_, out)| out.deadline <= now).map(|(id, _)| *id).collect();
        expired.into_iter().for_each(|batch| self.take_back(batch));
        let step = self.desk.next();
        // Given up also by the rules on attempts and on poison, which other tests prove.
        for piece in self.desk.delivery.doomed() {
            self.doomed.extend(positions(&piece.spans));
        }
        self.failed.retain(|event| !self.doomed.contains(event));
        match step {
            Step::Write(offer) => self.write(&offer),
            Step::Open => match self.script.choose(4) {
                Some(0) => {
                    // What waits first may have had its last attempt.
                    self.desk.delivery.open_failed(&SinkError::retryable("locked"), now);
                }
                _ => self.desk.delivery.opened(),
            },
            Step::Bury(burial) => {
                let events = buried(&burial);
                let written = self.script.up_to(events.len());
                for event in &events[..written] {
                    assert!(self.open.remove(event), "{event} was settled before");
                    self.failed.remove(event);
                    self.doomed.insert(*event);
                    self.buried.insert(*event);
                }
                self.doomed.extend(&events);
                self.failed.retain(|event| !events.contains(event));
                self.desk.delivery.buried(burial.id, written, now);
            }
            Step::Nudge => self.acknowledge_something(),
            Step::Flush(request) => {
                let behind_flush = self.desk.delivery.settled_to();
                assert!(self.open.first().is_none_or(|first| *first >= behind_flush));
                match self.script.choose(5) {
                    Some(0) => {
                        self.replace();
                        self.desk.delivery.replace(now);
                        self.desk.delivery.flushed(request, &Ok(()));
                    }
                    _ => self.desk.delivery.flushed(request, &Ok(())),
                }
            }
            Step::Close => {
                assert!(self.closing);
                return true;
            }
            Step::Wait(until) => match self.script.choose(3) {
                Some(0) => self.acknowledge_something(),
                Some(1) => {}
                _ if self.out.is_empty() => self.desk.now = until,
                _ => self.acknowledge_everything(),
            },
            Step::Sleep => {
                // Everything waits for the sink, or for nothing.
                if self.script.choose(2).is_none() {
                    self.acknowledge_everything();
                }
            }
            Step::Collect => panic!("the store is empty"),
        }
        false
    }

    fn write(&mut self, offer: &Offer) {
        let events = events(offer);
        assert!(!events.is_empty() && events.len() <= self.settings.batch_size);
        assert!(self.out.len() < self.settings.max_in_flight);
        assert!(events.is_sorted_by(|before, after| before < after), "{events:?}");
        for event in &events {
            assert!(self.open.contains(event), "{event} was settled before");
            assert!(!self.doomed.contains(event), "{event} was given up before");
            assert!(!self.is_out(*event), "{event} is in flight");
        }
        if let Some(first) = self.failed.first() {
            let may_go =
                |event: &u64| event <= first || events.contains(first) && self.failed.contains(event);
            assert!(events.iter().all(may_go), "{events:?} before {:?} are settled", self.failed);
        } else {
            let first_fresh = self.waiting().find(|event| !self.is_out(*event));
            assert_eq!(Some(events[0]), first_fresh, "an older event was passed over");
        }
        if self.settings.max_in_flight == 1 {
            assert_eq!(Some(events[0]), self.waiting().next(), "an older event was passed over");
        }
        let doubtful = events.iter().any(|event| self.doubtful.contains(event));
        assert_eq!(offer.doubt == Doubt::PossibleDuplicate, doubtful, "{events:?}");
        self.answer(offer.id, &events);
    }

    fn answer(&mut self, batch: u64, events: &[u64]) {
        let mut acks = Vec::new();
        while self.script.choose(4) == Some(0) {
            acks.push(self.some_ack(events.len()));
        }
        for (first, count, status) in &acks {
            self.desk.acknowledge(batch, *first, *count, *status);
        }
        if self.script.choose(12) == Some(0) {
            self.desk.delivery.abandoned("hung", self.desk.now);
            let left = self.apply_early(events, &acks);
            self.doubtful.extend(&left);
            self.failed.extend(left);
            return self.replace();
        }
        let answer = self.some_answer(events.len());
        let taken = match answer {
            Ok(Written::Pending { taken }) => &events[..(taken as usize).min(events.len())],
            _ => events,
        };
        let instance = self.desk.answer(answer.clone());
        let mut left = self.apply_early(taken, &acks);
        match answer {
            Ok(Written::Delivered) => left.into_iter().for_each(|event| self.deliver(event)),
            Ok(Written::Pending { .. }) if left.is_empty() => {}
            Ok(Written::Pending { .. }) => {
                let deadline = self.desk.now + ACK_TIMEOUT;
                let still_out = |event: &u64| if left.contains(event) { *event } else { SETTLED };
                self.out.insert(batch, Out { events: taken.iter().map(still_out).collect(), deadline });
            }
            Err(error) => {
                let position =
                    |event: u64| events.iter().position(|other| *other == event).unwrap_or(0) as u32;
                let permanent = error.kind == audit_plugin_api::ErrorKind::Permanent;
                match &error.events {
                    Delivered::Nothing => {}
                    Delivered::Prefix(count) => left.retain(|event| {
                        let delivered = position(*event) < *count;
                        if delivered {
                            self.deliver(*event);
                        }
                        !delivered
                    }),
                    Delivered::AllExcept(positions) => {
                        left.retain(|event| {
                            let delivered = !positions.contains(&position(*event));
                            if delivered {
                                self.deliver(*event);
                            }
                            !delivered
                        });
                        if permanent {
                            self.doomed.extend(left.drain(..));
                        }
                    }
                }
                if error.kind == audit_plugin_api::ErrorKind::Panicked {
                    self.doubtful.extend(&left);
                }
                self.failed.extend(left);
                if instance == Instance::Replace {
                    self.replace();
                }
            }
        }
    }

    fn some_answer(&mut self, len: usize) -> Result<Written, SinkError> {
        let Some(choice) = self.script.choose(14) else { return Ok(Written::Delivered) };
        let count = self.script.up_to(len) as u32;
        let mut only = || -> Vec<u32> {
            (0..len as u32)
                .filter(|at| *at == count.min(len as u32 - 1) || self.script.choose(3) == Some(0))
                .collect()
        };
        match choice {
            0..=2 => Ok(Written::Delivered),
            3..=5 => Ok(Written::Pending { taken: len as u32 }),
            6 => Ok(Written::Pending { taken: count }),
            7 => Err(SinkError::retryable("busy")),
            8 => Err(SinkError::retryable("busy").after(count)),
            9 => Err(SinkError::retryable("busy").only(only())),
            10 => Err(SinkError::permanent("bad")),
            11 => Err(SinkError::permanent("bad").only(only())),
            12 => Err(SinkError::panicked("boom")),
            _ => Err(SinkError::reopen("stale").after(count)),
        }
    }

    fn some_ack(&mut self, len: usize) -> (u32, u32, AckStatus) {
        let first = self.script.up_to(len) as u32;
        let count = self.script.up_to(len + 2) as u32;
        let status = match self.script.choose(5) {
            Some(0) => AckStatus::Retryable,
            Some(1) => AckStatus::Permanent,
            _ => AckStatus::Delivered,
        };
        (first, count, status)
    }

    /// What is left of these events after acknowledgements, of which the first one counts.
    fn apply_early(&mut self, events: &[u64], acks: &[(u32, u32, AckStatus)]) -> Vec<u64> {
        let mut left = events.to_vec();
        for (first, count, status) in acks {
            let start = (*first as usize).min(events.len());
            let end = (start + *count as usize).min(events.len());
            for event in &events[start..end] {
                if let Some(index) = left.iter().position(|other| other == event) {
                    left.remove(index);
                    self.settle(*event, *status);
                }
            }
        }
        left
    }

    fn settle(&mut self, event: u64, status: AckStatus) {
        match status {
            AckStatus::Delivered => self.deliver(event),
            AckStatus::Permanent => {
                self.failed.remove(&event);
                self.doomed.insert(event);
            }
            AckStatus::Retryable => drop(self.failed.insert(event)),
        }
    }

    fn deliver(&mut self, event: u64) {
        assert!(self.open.remove(&event), "{event} was settled before");
        self.failed.remove(&event);
        self.delivered.insert(event);
    }

    fn acknowledge_something(&mut self) {
        let batches: Vec<u64> = self.out.keys().copied().collect();
        let Some(batch) = batches.get(self.script.up_to(batches.len())) else {
            // One that the sink never had, or has no longer, or after all.
            let batch = self.script.up_to(40) as u64;
            return self.acknowledge(batch, 0, 100, AckStatus::Permanent);
        };
        let (first, count, status) = self.some_ack(self.out[batch].events.len());
        self.acknowledge(*batch, first, count, status);
    }

    fn acknowledge_everything(&mut self) {
        for batch in self.out.keys().copied().collect::<Vec<_>>() {
            self.acknowledge(batch, 0, u32::MAX, AckStatus::Delivered);
        }
    }

    fn acknowledge(&mut self, batch: u64, first: u32, count: u32, status: AckStatus) {
        self.desk.acknowledge(batch, first, count, status);
        let Some(out) = self.out.get_mut(&batch) else { return };
        let start = (first as usize).min(out.events.len());
        let end = start.saturating_add(count as usize).min(out.events.len());
        let mut said = Vec::new();
        for event in &mut out.events[start..end] {
            // What is acknowledged is out no longer.
            said.push(std::mem::replace(event, SETTLED));
        }
        if out.events.iter().all(|event| *event == SETTLED) {
            self.out.remove(&batch);
        }
        said.into_iter().filter(|event| *event != SETTLED).for_each(|event| self.settle(event, status));
    }

    /// The sink will not say any more what came of this batch.
    fn take_back(&mut self, batch: u64) {
        let Some(out) = self.out.remove(&batch) else { return };
        let left = out.events.into_iter().filter(|event| *event != SETTLED);
        for event in left {
            self.doubtful.insert(event);
            self.failed.insert(event);
        }
    }

    fn replace(&mut self) {
        for batch in self.out.keys().copied().collect::<Vec<_>>() {
            self.take_back(batch);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn every_event_comes_to_one_end_in_order_whatever_the_sink_says(
        batch_size in 1_usize..8,
        max_in_flight in 1_usize..4,
        max_attempts in prop_oneof![Just(0_u32), 1_u32..4],
        script in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let flush_interval = Duration::from_millis(500);
        let settings = SinkSettings { batch_size, max_in_flight, flush_interval, ..SinkSettings::default() };
        World::new(settings, max_attempts, script).play();
    }
}
