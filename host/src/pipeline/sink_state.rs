//! One sink: its delivery state, and who waits for it.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use audit_plugin_api::serde_json::Value;
use audit_plugin_api::{Deadline, SinkError};

use super::backoff::LONGEST;
use super::call::{Call, CallKind};
use super::dead_letters::DeadLetters;
use super::delivery::{Delivery, POLL};
use super::flush_requests::FlushRequests;
use super::reclaim::Reclaim;
use super::request::{Ask, Request};
use super::run::Run;
use super::sink::SinkFactory;
use super::spooled::Source;
use super::store::{Store, Waiting};
use super::supervisor::Watch;
use super::worker::Turn;
use crate::config::{DeliverySettings, Secrets, SinkSettings};

/// Most inspections whose latest reply is kept.
const REPLIES: usize = 64;

/// What a sink state is made of.
pub struct SinkParts {
    /// Which of the sinks of the store it is.
    pub index: usize,
    /// Its settings.
    pub settings: SinkSettings,
    /// Opens its instances.
    pub factory: Arc<dyn SinkFactory>,
    /// Time limits.
    pub timing: DeliverySettings,
    /// Where its events come from.
    pub store: Arc<Store>,
    /// Where its events go that are given up.
    pub dead_letters: Arc<DeadLetters>,
    /// What must not be shown.
    pub secrets: Secrets,
    /// Watches its calls.
    pub watch: Weak<Watch>,
}

/// One sink: its delivery state, and who waits for it.
pub struct SinkState {
    parts: SinkParts,
    state: Mutex<State>,
    work: Condvar,
    settled: Condvar,
    /// How often the worker looked for something to do.
    #[cfg(test)]
    pub turns: std::sync::atomic::AtomicU64,
}

impl std::ops::Deref for SinkState {
    type Target = SinkParts;

    fn deref(&self) -> &SinkParts {
        &self.parts
    }
}

/// What changes.
pub struct State {
    /// What the sink still has to get.
    pub delivery: Delivery,
    /// Moves on when the worker or the instance is replaced.
    pub epoch: u64,
    /// The call that is going on.
    pub call: Option<Call>,
    /// Whether it works.
    pub phase: Phase,
    /// Requests that wait for the worker.
    pub requests: VecDeque<Request>,
    /// How many requests there were.
    pub requested: u64,
    /// The latest reply to each inspection.
    pub replies: HashMap<String, (Instant, Value)>,
    /// What the sink reported last.
    pub report: Option<Value>,
    /// Who waits for its flush.
    pub flushes: FlushRequests,
    /// Why its latest flush failed.
    pub flush_failure: Option<String>,
    /// By when it should be closed.
    pub close_deadline: Option<Instant>,
    /// Why its close failed.
    pub close_failure: Option<String>,
    /// Why an event was given up last.
    pub last_doom: Option<String>,
    /// How many calls were abandoned.
    pub abandoned: u32,
    /// What it has in the spool.
    pub reclaim: Reclaim,
    work_count: u64,
    worker_waits: bool,
    settled_waiters: usize,
}

/// Whether a sink works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It does.
    Running,
    /// Too many of its calls were abandoned.
    Failed,
    /// It is closed.
    Closed,
}

/// What a worker waits with.
pub struct Idle {
    until: Option<Instant>,
    work_count: u64,
}

impl SinkState {
    /// A sink that is not open yet.
    pub fn new(parts: SinkParts) -> Self {
        let seed = RandomState::new().hash_one(parts.index);
        let state = State {
            delivery: Delivery::new(parts.index, parts.settings.clone(), &parts.timing, seed),
            epoch: 0,
            call: None,
            phase: Phase::Running,
            requests: VecDeque::new(),
            requested: 0,
            replies: HashMap::new(),
            report: None,
            flushes: FlushRequests::default(),
            flush_failure: None,
            close_deadline: None,
            close_failure: None,
            last_doom: None,
            abandoned: 0,
            reclaim: Reclaim::default(),
            work_count: 0,
            worker_waits: false,
            settled_waiters: 0,
        };
        Self {
            parts,
            state: Mutex::new(state),
            work: Condvar::new(),
            settled: Condvar::new(),
            #[cfg(test)]
            turns: Default::default(),
        }
    }

    /// Locks what changes.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run for this sink.
    pub fn push(&self, run: &Arc<Run>) {
        let mut dropped = Vec::new();
        let mut state = self.lock();
        if run.source().is_some() && !run.is_settled_at(self.index) {
            state.reclaim.push(run.clone());
        }
        state.delivery.push(run.clone());
        if state.phase == Phase::Failed && !self.settings.required {
            state.delivery.drop_before(u64::MAX);
            dropped = state.let_go(u64::MAX);
            state.notify_settled(self);
        }
        state.notify_work(self);
        drop(state);
        self.give_back(dropped);
    }

    /// Notes in the spool what this sink has settled for good, so that its space can be given back. May block.
    pub fn give_back(&self, done: Vec<(Arc<Run>, u32)>) {
        for (run, end) in done {
            let noted = run.source().map_or(Ok(()), |source| source.note_done(self.index, end));
            if let Err(error) = noted {
                tracing::warn!(
                    sink = self.settings.name,
                    "what is delivered cannot be noted in the spool: {error}; some of it may be delivered again"
                );
            }
        }
    }

    /// When the sink is to be flushed so that space in the spool can be given back, if it is.
    pub fn flush_due(&self, state: &State) -> Option<Instant> {
        self.store.spool.as_ref()?;
        state.reclaim.due(state.delivery.settled_to(), self.store.budget.is_half_full())
    }

    /// Has events dropped, which this sink is not required to deliver, and the spool give back what is settled before this
    /// position; returns how many bytes of it.
    pub fn make_room(&self, position: u64, drop: impl FnOnce(&mut Delivery)) -> usize {
        let mut state = self.lock();
        let before = state.delivery.given_up();
        drop(&mut state.delivery);
        let dropped = state.delivery.given_up() - before;
        let settled = state.let_go(position);
        if dropped > 0 {
            state.notify_settled(self);
        }
        std::mem::drop(state);
        let whole = settled.iter().filter(|(run, end)| *end == run.len());
        let bytes = whole.filter_map(|(run, _)| run.source()).map(Source::bytes).sum();
        self.give_back(settled);
        if dropped > 0 {
            tracing::warn!(
                sink = self.settings.name,
                dropped,
                "the store is full: the sink is not required, and dropped what it had not taken"
            );
        }
        bytes
    }

    /// Decides how to wait. The store is told to wake this worker only if it has nothing that the worker knows of.
    pub fn idle(&self, state: &State, now: Instant, waiting: Waiting, until: Option<Instant>) -> Turn {
        if waiting.events == 0 && until.is_none_or(|until| until > now + 2 * POLL) {
            self.store.fall_asleep();
            if self.store.waiting().events > 0 {
                return Turn::Did;
            }
        }
        Turn::Idle(Idle { until, work_count: state.work_count })
    }

    /// Waits until there may be work, or the worker is no longer the one of this epoch.
    pub fn wait_for_work(&self, epoch: u64, idle: Idle) {
        let mut state = self.lock();
        while state.work_count == idle.work_count && state.epoch == epoch {
            state.worker_waits = true;
            state = match idle.until {
                None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    self.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        state.worker_waits = false;
    }

    /// Waits until `done`, or the deadline; returns whether it is done.
    pub fn wait_until(&self, deadline: Instant, mut done: impl FnMut(&State) -> bool) -> bool {
        let mut state = self.lock();
        loop {
            if done(&state) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state.settled_waiters += 1;
            state = self.settled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.settled_waiters -= 1;
        }
    }

    /// Notes that a call into the sink begins; returns when it is abandoned.
    pub fn begin_call(&self, state: &mut State, kind: CallKind) -> Deadline {
        let timing = &self.timing;
        let limit = match kind {
            CallKind::Open => timing.open_timeout,
            CallKind::Write | CallKind::Request | CallKind::Drop => timing.write_timeout,
            CallKind::Flush(_) | CallKind::Nudge | CallKind::Close => {
                timing.write_timeout.max(timing.shutdown_timeout)
            }
        };
        let deadline = Deadline::after(limit.min(LONGEST));
        state.call = Some(Call { kind, deadline: deadline.instant(), limit });
        if let Some(watch) = self.watch.upgrade() {
            watch.notice();
        }
        deadline
    }

    /// The error, without what must not be shown.
    pub fn masked(&self, mut error: SinkError) -> SinkError {
        error.reason = self.secrets.mask(&error.reason).into_owned();
        error
    }

    /// The value, without what must not be shown.
    pub fn masked_value(&self, value: &Value) -> Value {
        let mask = |text: &str| self.secrets.mask(text).into_owned();
        match value {
            Value::String(text) => mask(text).into(),
            Value::Array(values) => values.iter().map(|value| self.masked_value(value)).collect(),
            Value::Object(map) => {
                let masked = map.iter().map(|(key, value)| (mask(key), self.masked_value(value)));
                Value::Object(masked.collect())
            }
            _ => value.clone(),
        }
    }
}

impl State {
    /// Takes out what is settled before this position, for a sink that is not required: no flush is waited for.
    fn let_go(&mut self, position: u64) -> Vec<(Arc<Run>, u32)> {
        let position = self.delivery.let_go(position);
        self.reclaim.take(position)
    }

    /// The reason, and what the sink reported as its last error: why an acknowledgement never came.
    pub fn with_last_error(&self, reason: &str) -> String {
        match self.report.as_ref().and_then(|report| report["last_error"].as_str()) {
            Some(error) => format!("{reason}; the sink's last error: {error}"),
            None => reason.to_owned(),
        }
    }

    /// Wakes the worker, if it waits.
    pub fn notify_work(&mut self, sink: &SinkState) {
        self.work_count += 1;
        if self.worker_waits {
            sink.work.notify_all();
        }
    }

    /// Wakes those who wait for events to be settled, if any do.
    pub fn notify_settled(&self, sink: &SinkState) {
        if self.settled_waiters > 0 {
            sink.settled.notify_all();
        }
    }

    /// Keeps the reply to an inspection, for when the sink is busy.
    pub fn remember(&mut self, request: &Request, reply: &Result<Value, SinkError>) {
        if let (Ask::Inspect(request), Ok(value)) = (&request.what, reply) {
            if self.replies.len() >= REPLIES {
                self.replies.clear();
            }
            self.replies.insert(request.clone(), (Instant::now(), value.clone()));
        }
    }

    /// The sink gets nothing more: nobody is to wait for it.
    pub fn end(&mut self, phase: Phase, why: &str) {
        self.phase = phase;
        for request in self.requests.drain(..) {
            request.reply(Err(SinkError::permanent(why)));
        }
        let failure = self.flush_failure.clone().unwrap_or_else(|| why.to_owned());
        self.flushes.answer(u64::MAX, &Err(failure));
    }

    #[cfg(test)]
    pub fn worker_waits(&self) -> bool {
        self.worker_waits
    }

    #[cfg(test)]
    pub fn work_count(&self) -> u64 {
        self.work_count
    }

    /// What a callback may be told as its deadline: not later than anybody waits for it.
    pub fn patience(&self, call: Deadline, waits_until: Option<Instant>) -> Deadline {
        let earliest = waits_until.into_iter().chain(self.close_deadline).min();
        earliest.map_or(call, |moment| call.min(Deadline::at(moment)))
    }
}

/// A duration as the configuration writes it.
pub fn seconds(duration: Duration) -> String {
    format!("{} s", (duration.as_secs_f64() * 1e6).round() / 1e6)
}
