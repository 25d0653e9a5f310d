//! A delivery state without a worker, at made-up times.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use audit_plugin_api::{AckStatus, Acknowledgement, RawEvent, SinkError, Written};

use crate::config::{DeliverySettings, SinkSettings};
use crate::pipeline::body::Body;
use crate::pipeline::budget::{Budget, Charge};
use crate::pipeline::counters::Tally;
use crate::pipeline::delivery::{Burial, Delivery, Instance, Offer, Step};
use crate::pipeline::pool::Pool;
use crate::pipeline::run::{Run, RunParts, Span, owed_to_all};
use crate::pipeline::store::Waiting;

pub const HOUR: Duration = Duration::from_secs(3600);

/// A delivery state without a worker. Events are known by their position.
pub struct Desk {
    pub delivery: Delivery,
    pub tally: Arc<Tally>,
    pub now: Instant,
    pub waiting: Waiting,
    pub pressed: bool,
    budget: Arc<Budget>,
    pool: Arc<Pool>,
    behind: u64,
}

/// Batches of 10 that wait an hour, and retries after a second.
pub fn sink() -> SinkSettings {
    SinkSettings { batch_size: 10, flush_interval: HOUR, ..SinkSettings::default() }
}

pub fn timing() -> DeliverySettings {
    DeliverySettings {
        retry_initial: Duration::from_secs(1),
        retry_max: Duration::from_secs(8),
        dead_letter_path: PathBuf::new(),
        ..DeliverySettings::default()
    }
}

impl Desk {
    /// With an open instance.
    pub fn new(settings: SinkSettings, timing: DeliverySettings) -> Self {
        let mut delivery = Delivery::new(0, settings, &timing, 1);
        delivery.opened();
        Self {
            delivery,
            tally: Arc::new(Tally::new(1)),
            now: Instant::now(),
            waiting: Waiting::default(),
            pressed: false,
            budget: Arc::new(Budget::new(1 << 30)),
            pool: Arc::new(Pool::new(1)),
            behind: 0,
        }
    }

    /// As [`sink`] and [`timing`] say.
    pub fn plain() -> Self {
        Self::new(sink(), timing())
    }

    pub fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// A run of this many events, recorded now.
    pub fn push(&mut self, events: u32) {
        let entries = (0..events).map(|index| RawEvent { offset: index * 3, len: 2, ..RawEvent::default() });
        let behind = self.behind + u64::from(events);
        let lines = b"{}\n".repeat(events as usize);
        let charge = Charge::of(&self.budget, 0);
        let body = Body::new(lines, entries.collect(), charge, self.pool.clone());
        let parts = RunParts {
            first: self.behind,
            behind,
            len: events,
            oldest: self.now,
            body: Some(Arc::new(body)),
            source: None,
            owed: owed_to_all(1),
        };
        self.behind = behind;
        self.delivery.push(Arc::new(Run::new(parts, 1, self.tally.clone())));
    }

    pub fn behind(&self) -> u64 {
        self.behind
    }

    pub fn next(&mut self) -> Step {
        self.delivery.next(self.now, self.waiting, self.pressed)
    }

    /// The next thing to do, which is to offer a batch.
    #[track_caller]
    pub fn offer(&mut self) -> Offer {
        match self.next() {
            Step::Write(offer) => offer,
            step => panic!("not a batch, but {step:?}"),
        }
    }

    /// The next thing to do, which is to wait for something that happens at a time; goes there.
    #[track_caller]
    pub fn wait(&mut self) -> Duration {
        match self.next() {
            Step::Wait(until) => {
                let time = until - self.now;
                self.now = until;
                time
            }
            step => panic!("not a wait, but {step:?}"),
        }
    }

    #[track_caller]
    pub fn assert_sleeps(&mut self) {
        let step = self.next();
        assert!(matches!(step, Step::Sleep), "{step:?}");
    }

    #[track_caller]
    pub fn assert_holds_back(&mut self) {
        let step = self.next();
        assert!(matches!(step, Step::Sleep | Step::Wait(_)), "{step:?}");
    }

    pub fn answer(&mut self, answer: Result<Written, SinkError>) -> Instance {
        self.delivery.written(answer, self.now)
    }

    /// The next batch, answered so.
    #[track_caller]
    pub fn offer_and(&mut self, answer: Result<Written, SinkError>) -> Offer {
        let offer = self.offer();
        self.answer(answer);
        offer
    }

    pub fn acknowledge(&mut self, batch: u64, first: u32, count: u32, status: AckStatus) {
        let reason = if status == AckStatus::Delivered { "" } else { "said so" };
        let ack = Acknowledgement { batch, first, count, status, retry_after: None, reason: reason.into() };
        self.delivery.acknowledge(ack, self.now);
    }

    /// The next thing to do, which is to write dead letters; they are written.
    #[track_caller]
    pub fn bury(&mut self) -> Burial {
        match self.next() {
            Step::Bury(burial) => {
                let events = burial.pieces.iter().map(|piece| piece.len()).sum();
                self.delivery.buried(burial.id, events, self.now);
                burial
            }
            step => panic!("not a burial, but {step:?}"),
        }
    }

    /// `(delivered, retried, dead_lettered, dropped)`.
    pub fn counts(&self) -> (u64, u64, u64, u64) {
        self.delivery.settled()
    }
}

/// The events of an offer.
pub fn events(offer: &Offer) -> Vec<u64> {
    positions(&offer.spans)
}

pub fn buried(burial: &Burial) -> Vec<u64> {
    burial.pieces.iter().flat_map(|piece| positions(&piece.spans)).collect()
}

pub fn positions(spans: &[Span]) -> Vec<u64> {
    spans.iter().flat_map(|span| span.position()..span.position() + span.len() as u64).collect()
}

pub fn retryable() -> Result<Written, SinkError> {
    Err(SinkError::retryable("busy"))
}

pub fn permanent() -> Result<Written, SinkError> {
    Err(SinkError::permanent("poison"))
}

pub fn panicked() -> Result<Written, SinkError> {
    Err(SinkError::panicked("boom"))
}

pub fn delivered() -> Result<Written, SinkError> {
    Ok(Written::Delivered)
}

pub fn pending(taken: u32) -> Result<Written, SinkError> {
    Ok(Written::Pending { taken })
}
