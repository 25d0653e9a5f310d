//! One sink: its delivery state, and who waits for it.

use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use audit_plugin_api::serde_json::Value;
use audit_plugin_api::{Deadline, SinkError};

use super::dead_letters::DeadLetters;
use super::delivery::{Delivery, Doomed, POLL};
use super::direct::DirectSlot;
use super::fanout::Fanout;
use super::run::Run;
use super::sink::{SinkFactory, SinkInstance};
use super::store::{Store, Waiting};
use super::worker::{Turn, Worker};
use crate::config::{DeliverySettings, Secrets, SinkSettings};

/// Abandoned calls after which a sink is failed.
const ABANDONED_CALLS: u32 = 3;

/// One sink: its delivery state, and who waits for it.
pub struct SinkState {
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
    /// The sinks of the store.
    pub fanout: Arc<Fanout>,
    /// Where its events go that are given up.
    pub dead_letters: Arc<DeadLetters>,
    /// What must not be shown.
    pub secrets: Secrets,
    /// With `use_worker = false`: where the worker waits for whoever records.
    pub direct: Option<DirectSlot>,
    state: Mutex<State>,
    work: Condvar,
    settled: Condvar,
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
    /// The latest reply to each inspection.
    pub replies: HashMap<String, (Instant, Value)>,
    /// What the sink reported last.
    pub report: Option<Value>,
    /// Failures of its flush, with the position up to which it was asked.
    pub flush_failures: Vec<(u64, String)>,
    /// Why its close failed.
    pub close_failure: Option<String>,
    /// Why an event was given up last.
    pub last_doom: Option<String>,
    abandoned: u32,
    work_count: u64,
    worker_waits: bool,
    settled_waiters: usize,
}

/// A call into the sink.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Which.
    pub what: &'static str,
    /// When it is abandoned.
    pub deadline: Instant,
    /// How long it may take.
    pub limit: Duration,
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

impl Idle {
    /// At most until then.
    pub fn at_most(mut self, deadline: Instant) -> Self {
        self.until = Some(self.until.map_or(deadline, |until| until.min(deadline)));
        self
    }
}

/// A request to the sink's instance, carried out between other calls.
pub enum Request {
    /// A question.
    Inspect(String, SyncSender<Result<Value, SinkError>>),
    /// An order.
    Control(Value, SyncSender<Result<Value, SinkError>>),
}

impl Request {
    /// Puts it to the instance.
    pub fn ask(&self, instance: &mut dyn SinkInstance, deadline: Deadline) -> Result<Value, SinkError> {
        match self {
            Request::Inspect(request, _) => instance.inspect(request),
            Request::Control(request, _) => instance.control(request, deadline),
        }
    }

    /// Sends the reply; whoever asked may be gone.
    pub fn reply(&self, reply: Result<Value, SinkError>) {
        let (Request::Inspect(_, sender) | Request::Control(_, sender)) = self;
        let _ = sender.try_send(reply);
    }
}

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
    /// The sinks of the store.
    pub fanout: Arc<Fanout>,
    /// Where its events go that are given up.
    pub dead_letters: Arc<DeadLetters>,
    /// What must not be shown.
    pub secrets: Secrets,
}

impl SinkState {
    /// A sink that is not open yet.
    pub fn new(parts: SinkParts) -> Self {
        let SinkParts { index, settings, factory, timing, store, fanout, dead_letters, secrets } = parts;
        let seed = Instant::now().elapsed().as_nanos() as u64
            ^ (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let state = State {
            delivery: Delivery::new(index, settings.clone(), &timing, seed),
            epoch: 0,
            call: None,
            phase: Phase::Running,
            requests: VecDeque::new(),
            replies: HashMap::new(),
            report: None,
            flush_failures: Vec::new(),
            close_failure: None,
            last_doom: None,
            abandoned: 0,
            work_count: 0,
            worker_waits: false,
            settled_waiters: 0,
        };
        let direct = (!settings.use_worker).then(DirectSlot::default);
        let (state, work, settled) = (Mutex::new(state), Condvar::new(), Condvar::new());
        Self {
            index,
            settings,
            factory,
            timing,
            store,
            fanout,
            dead_letters,
            secrets,
            direct,
            state,
            work,
            settled,
        }
    }

    /// Locks what changes.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a run out of the store, for all sinks.
    pub fn collect(&self) {
        self.store.collect(&mut |run| self.fanout.push(run));
    }

    /// A run for this sink.
    pub fn push(self: &Arc<Self>, run: &Arc<Run>) {
        let mut state = self.lock();
        state.delivery.push(run.clone());
        if state.phase == Phase::Failed && !self.settings.required {
            state.delivery.drop_waiting(&mut || false);
            state.notify_settled(self);
        }
        state.notify_work(self);
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
                    let Some(left) =
                        until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
                    else {
                        break;
                    };
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
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
            else {
                return false;
            };
            state.settled_waiters += 1;
            state = self.settled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.settled_waiters -= 1;
        }
    }

    /// Writes dead letters; what cannot be written stays, and is tried again.
    pub fn bury(self: &Arc<Self>, doomed: Vec<Doomed>) {
        let written = self.dead_letters.write(&self.settings.name, &self.settings.class, &doomed);
        let mut state = self.lock();
        let now = Instant::now();
        match written {
            Ok(()) => {
                let events: usize = doomed.iter().map(|doomed| doomed.piece.len()).sum();
                let reason = doomed.last().map(|doomed| doomed.piece.reason.clone()).unwrap_or_default();
                tracing::error!(
                    sink = self.settings.name,
                    events,
                    dead_letters = %self.dead_letters.path().display(),
                    "events were given up and dead-lettered: {reason}"
                );
                state.delivery.buried(&doomed, Vec::new(), now);
                state.last_doom = Some(reason);
                self.store.budget().note_progress(now);
            }
            Err(error) => {
                tracing::error!(
                    sink = self.settings.name,
                    "dead letters cannot be written to {}: {error}; the events stay queued",
                    self.dead_letters.path().display()
                );
                state.delivery.buried(&[], doomed, now);
            }
        }
        state.notify_settled(self);
    }

    /// Abandons a call that has passed its deadline; returns when to look again.
    pub fn supervise(self: &Arc<Self>, now: Instant) -> Option<Instant> {
        let mut state = self.lock();
        let call = state.call?;
        if call.deadline > now {
            return Some(call.deadline);
        }
        let reason =
            format!("{} did not return within {} s and was abandoned", call.what, call.limit.as_secs_f64());
        tracing::error!(sink = self.settings.name, "{reason}");
        self.abandon(&mut state, &reason, now);
        state.abandoned += 1;
        if call.what == "close" {
            state.close_failure = Some(reason);
            state.phase = Phase::Closed;
        } else if state.abandoned >= ABANDONED_CALLS {
            self.fail(&mut state);
        } else {
            if call.what == "flush" {
                let target = state.delivery.flush_target();
                state.flush_failures.push((target, reason));
            }
            let worker = Worker::reopening(self.clone(), state.epoch);
            if let Err(error) = self.start(worker) {
                tracing::error!(sink = self.settings.name, "no thread for the sink's new worker: {error}");
                self.fail(&mut state);
            }
        }
        state.notify_settled(self);
        None
    }

    /// Leaks the call that is going on, with its thread and instance.
    pub fn abandon(&self, state: &mut State, reason: &str, now: Instant) {
        state.epoch += 1;
        state.call = None;
        state.delivery.abandoned(reason, now);
        state.notify_work(self);
    }

    fn fail(&self, state: &mut State) {
        state.phase = Phase::Failed;
        for request in state.requests.drain(..) {
            request.reply(Err(SinkError::permanent("the sink is failed")));
        }
        tracing::error!(
            sink = self.settings.name,
            "the sink is failed: {ABANDONED_CALLS} of its calls were abandoned; it gets nothing more until the logger is opened anew"
        );
        if !self.settings.required {
            state.delivery.drop_waiting(&mut || false);
        }
    }

    /// Lets a worker work: in a thread of its own, or for whoever records next.
    pub fn start(self: &Arc<Self>, worker: Worker) -> std::io::Result<()> {
        match &self.direct {
            Some(slot) => slot.put(worker),
            None => {
                std::thread::Builder::new().name("audit-sink".into()).spawn(move || worker.run())?;
            }
        }
        Ok(())
    }

    /// The error, without what must not be shown.
    pub fn masked(&self, mut error: SinkError) -> SinkError {
        error.reason = self.secrets.mask(&error.reason).into_owned();
        error
    }

    /// Says in the log that a batch failed.
    pub fn log_failure(&self, error: &SinkError, events: usize) {
        tracing::warn!(sink = self.settings.name, events, kind = ?error.kind, "the sink refused a batch: {error}");
    }
}

impl State {
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
        if let (Request::Inspect(request, _), Ok(value)) = (request, reply) {
            self.replies.insert(request.clone(), (Instant::now(), value.clone()));
        }
    }
}
