//! The worker: carries out what [`Delivery`] says, for one sink.
//!
//! A sink has one worker at a time, in a thread of its own. It holds the sink's lock for decisions, never during a call
//! into the sink, an `open`, or a write to the dead letters. When a call outlasts its deadline the supervisor takes the
//! delivery state away from it (the *epoch* moves on); when such a call comes back after all, its worker finds that out,
//! leaks the instance, and ends.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use audit_plugin_api::{Deadline, ErrorKind, Host, RawEvent, SinkError};

use super::call::CallKind;
use super::delivery::{Instance, Offer, Step};
use super::offering::{Answer, write_offer};
use super::request::Request;
use super::run::Span;
use super::sink::SinkInstance;
use super::sink_host::SinkHost;
use super::sink_state::{Idle, Phase, SinkState, State};
use super::store::Waiting;

thread_local! {
    /// The store whose sink this thread is inside a callback of; 0 outside.
    static CALLBACK: Cell<u64> = const { Cell::new(0) };
}

/// Whether this thread is inside a callback of a sink of this store, where waiting for that sink would never end.
pub fn in_callback(store: u64) -> bool {
    CALLBACK.try_with(Cell::get).is_ok_and(|current| current == store)
}

/// Runs a callback of a sink of this store.
fn calling<R>(store: u64, call: impl FnOnce() -> R) -> R {
    let before = CALLBACK.replace(store);
    let result = call();
    CALLBACK.set(before);
    result
}

/// Carries out what the delivery state of one sink says.
pub struct Worker {
    sink: Arc<SinkState>,
    epoch: u64,
    instance: Option<Box<dyn SinkInstance>>,
    entries: Vec<RawEvent>,
}

/// What a turn of the worker came to.
pub enum Turn {
    /// Something was done.
    Did,
    /// There is nothing to do until something happens.
    Idle(Idle),
    /// The sink is closed, or taken over by another worker.
    Ended,
}

impl Worker {
    /// Opens the sink and makes a worker for it.
    pub fn open(sink: Arc<SinkState>) -> Result<Self, SinkError> {
        let mut state = sink.lock();
        let epoch = state.epoch;
        drop(state);
        let instance = open_instance(&sink, epoch)?;
        state = sink.lock();
        if state.epoch != epoch {
            std::mem::forget(instance);
            return Err(SinkError::retryable("opened too late"));
        }
        state.delivery.opened();
        drop(state);
        Ok(Self { sink, epoch, instance: Some(instance), entries: Vec::new() })
    }

    /// A worker that will open its instance itself.
    pub fn reopening(sink: Arc<SinkState>, epoch: u64) -> Self {
        Self { sink, epoch, instance: None, entries: Vec::new() }
    }

    /// Works in a thread of its own until the sink is closed or taken over.
    pub fn start(self) -> std::io::Result<()> {
        std::thread::Builder::new().name("audit-sink".into()).spawn(move || self.run()).map(drop)
    }

    /// Works until the sink is closed or taken over.
    pub fn run(mut self) {
        if catch_unwind(AssertUnwindSafe(|| self.work())).is_err() {
            std::mem::forget(self.instance.take());
            self.sink.worker_broke(self.epoch);
        }
    }

    fn work(&mut self) {
        loop {
            match self.turn() {
                Turn::Did => {}
                Turn::Idle(idle) => self.sink.wait_for_work(self.epoch, idle),
                Turn::Ended => return,
            }
        }
    }

    fn turn(&mut self) -> Turn {
        let sink = self.sink.clone();
        #[cfg(test)]
        sink.turns.fetch_add(1, Ordering::Relaxed);
        let mut state = sink.lock();
        if state.epoch != self.epoch || state.phase != Phase::Running {
            drop(state);
            // Its calls are over, but what it has may be half done.
            std::mem::forget(self.instance.take());
            return Turn::Ended;
        }
        if let Some(request) = state.requests.pop_front() {
            return self.answer(&sink, state, request);
        }
        let now = Instant::now();
        // A full batch needs no look into the slots, whose locks the recorders want.
        let full_batch = state.delivery.has_full_batch();
        let waiting = if full_batch { Waiting::default() } else { sink.store.waiting() };
        let pressed = sink.store.budget.is_half_full();
        let flush_due = sink.flush_due(&state);
        if flush_due.is_some_and(|due| due <= now) && state.delivery.is_flushed() {
            state.delivery.request_flush(0);
        }
        match state.delivery.next(now, waiting, pressed) {
            Step::Wait(until) => {
                let until = flush_due.filter(|due| *due > now).map_or(until, |due| until.min(due));
                return sink.idle(&state, now, waiting, Some(until));
            }
            Step::Sleep => return sink.idle(&state, now, waiting, flush_due.filter(|due| *due > now)),
            Step::Collect => {
                drop(state);
                // If the disk had no room for some before.
                sink.store.tell_gaps();
                sink.store.collect();
            }
            Step::Write(offer) => return self.write(&sink, state, offer),
            Step::Open => return self.reopen(&sink, state),
            Step::Bury(burial) => {
                drop(state);
                sink.bury(&burial);
            }
            Step::Nudge => return self.nudge(&sink, state),
            Step::Flush(request) => return self.flush(&sink, state, request),
            Step::Close => return self.close(&sink, state),
        }
        Turn::Did
    }

    /// Runs a call into the instance, unlocked, with a deadline. `None`: the call was abandoned meanwhile.
    fn call<'a, R>(
        &mut self,
        sink: &'a SinkState,
        mut state: MutexGuard<'a, State>,
        kind: CallKind,
        waits_until: Option<Instant>,
        call: impl FnOnce(&mut dyn SinkInstance, &mut Vec<RawEvent>, Deadline) -> R,
    ) -> Option<(MutexGuard<'a, State>, R)> {
        let instance = self.instance.as_deref_mut().expect("an open sink has an instance");
        let deadline = sink.begin_call(&mut state, kind);
        let deadline = state.patience(deadline, waits_until);
        drop(state);
        let result = calling(sink.store.id(), || call(instance, &mut self.entries, deadline));
        let mut state = sink.lock();
        if state.epoch != self.epoch {
            drop(state);
            std::mem::forget(self.instance.take());
            std::mem::forget(std::mem::take(&mut self.entries));
            std::mem::forget(result);
            return None;
        }
        state.call = None;
        Some((state, result))
    }

    fn write(&mut self, sink: &Arc<SinkState>, state: MutexGuard<'_, State>, offer: Offer) -> Turn {
        let Some((mut state, answer)) =
            self.call(sink, state, CallKind::Write, None, |instance, entries, deadline| {
                write_offer(instance, entries, &offer, deadline)
            })
        else {
            // The abandoned call may still read these bytes from another thread of the sink.
            std::mem::forget(offer);
            return Turn::Ended;
        };
        let answer = match answer {
            Answer::Sink(answer) => answer,
            Answer::Damaged(damaged) => {
                state.delivery.take_offer_back();
                drop(state);
                sink.store.lose_damaged(&damaged);
                return Turn::Did;
            }
        };
        let now = Instant::now();
        let answer = answer.map_err(|error| sink.masked(error));
        let before = state.delivery.progress();
        let failure = answer.as_ref().err().cloned();
        let instance = state.delivery.written(answer, now);
        if state.delivery.progress() != before {
            sink.store.budget.note_progress(now);
        }
        self.go_on(sink, state, instance);
        if let Some(error) = failure {
            let events: usize = offer.spans.iter().map(Span::len).sum();
            tracing::warn!(
                sink = sink.settings.name,
                events,
                kind = ?error.kind,
                "the sink refused a batch: {error}"
            );
        }
        Turn::Did
    }

    /// Goes on after a call: with a fresh instance, if this one is of no further use. What that acknowledges from now
    /// on is ignored.
    fn go_on(&mut self, sink: &SinkState, mut state: MutexGuard<'_, State>, instance: Instance) {
        if instance == Instance::Replace {
            state.epoch += 1;
            self.epoch = state.epoch;
        }
        state.notify_settled(sink);
        drop(state);
        if instance == Instance::Replace {
            self.drop_instance(sink);
        }
    }

    /// Goes on after a call that may have broken the instance.
    fn go_on_after<T>(
        &mut self,
        sink: &SinkState,
        mut state: MutexGuard<'_, State>,
        result: &Result<T, SinkError>,
    ) {
        let broken = |error: &SinkError| matches!(error.kind, ErrorKind::Reopen | ErrorKind::Panicked);
        let mut instance = Instance::Keep;
        if result.as_ref().is_err_and(broken) {
            state.delivery.replace(Instant::now());
            instance = Instance::Replace;
        }
        self.go_on(sink, state, instance);
    }

    /// A sink's drop may block for ever too.
    fn drop_instance(&mut self, sink: &SinkState) {
        let Some(instance) = self.instance.take() else { return };
        let mut state = sink.lock();
        if state.epoch != self.epoch {
            return std::mem::forget(instance);
        }
        sink.begin_call(&mut state, CallKind::Drop);
        drop(state);
        calling(sink.store.id(), || drop(instance));
        let mut state = sink.lock();
        if state.epoch == self.epoch {
            state.call = None;
        }
    }

    fn reopen(&mut self, sink: &Arc<SinkState>, mut state: MutexGuard<'_, State>) -> Turn {
        sink.begin_call(&mut state, CallKind::Open);
        drop(state);
        let opened = open_instance(sink, self.epoch).map_err(|error| sink.masked(error));
        let mut state = sink.lock();
        if state.epoch != self.epoch {
            std::mem::forget(opened);
            return Turn::Ended;
        }
        state.call = None;
        let failure = opened.as_ref().err().cloned();
        match opened {
            Ok(instance) => {
                self.instance = Some(instance);
                state.delivery.opened();
            }
            Err(error) => state.delivery.open_failed(&error, Instant::now()),
        }
        drop(state);
        match failure {
            None => tracing::info!(sink = sink.settings.name, "the sink was opened anew"),
            Some(error) => {
                tracing::warn!(sink = sink.settings.name, "the sink could not be opened anew: {error}");
            }
        }
        Turn::Did
    }

    /// Its answer counts for nothing: the sink is flushed once more when everything is settled.
    fn nudge(&mut self, sink: &Arc<SinkState>, state: MutexGuard<'_, State>) -> Turn {
        let waits_until = state.flushes.deadline();
        let Some((state, result)) =
            self.call(sink, state, CallKind::Nudge, waits_until, |instance, _, deadline| {
                instance.flush(deadline)
            })
        else {
            return Turn::Ended;
        };
        let result = result.map_err(|error| sink.masked(error));
        self.go_on_after(sink, state, &result);
        if let Err(error) = result {
            tracing::debug!(sink = sink.settings.name, "the sink could not flush what is in flight: {error}");
        }
        Turn::Did
    }

    fn flush(&mut self, sink: &Arc<SinkState>, mut state: MutexGuard<'_, State>, request: u64) -> Turn {
        let waits_until = state.flushes.deadline();
        let kind = CallKind::Flush(request);
        let begun = Instant::now();
        let settled_to = state.delivery.settled_to();
        state.delivery.begin_flush();
        let Some((mut state, result)) =
            self.call(sink, state, kind, waits_until, |instance, _, deadline| instance.flush(deadline))
        else {
            return Turn::Ended;
        };
        let result = result.map_err(|error| sink.masked(error));
        let flushed = result.as_ref().copied().map_err(|error| error.reason.clone());
        state.delivery.flushed(request, &flushed);
        state.reclaim.note_flush(begun, Instant::now());
        let done = if flushed.is_ok() { state.reclaim.take(settled_to) } else { Vec::new() };
        state.flush_failure = flushed.clone().err();
        state.flushes.answer(request, &flushed);
        self.go_on_after(sink, state, &result);
        sink.give_back(done);
        if let Err(error) = result {
            tracing::error!(sink = sink.settings.name, "the sink's flush failed: {error}");
        }
        Turn::Did
    }

    fn close(&mut self, sink: &Arc<SinkState>, mut state: MutexGuard<'_, State>) -> Turn {
        let closed = if self.instance.is_some() {
            let Some((state, result)) =
                self.call(sink, state, CallKind::Close, None, |instance, _, deadline| {
                    instance.close(deadline)
                })
            else {
                return Turn::Ended;
            };
            drop(state);
            self.drop_instance(sink);
            result.map_err(|error| sink.masked(error))
        } else {
            if !state.delivery.is_flushed() {
                state.flush_failure = Some("it could not be opened anew".into());
            }
            drop(state);
            Ok(())
        };
        if let Err(error) = &closed {
            tracing::error!(sink = sink.settings.name, "the sink's close failed: {error}");
        }
        let mut state = sink.lock();
        if state.epoch == self.epoch {
            state.close_failure = closed.err().map(|error| error.reason);
            state.end(Phase::Closed, "the sink is closed");
            state.notify_settled(sink);
        }
        Turn::Ended
    }

    fn answer(&mut self, sink: &Arc<SinkState>, state: MutexGuard<'_, State>, request: Request) -> Turn {
        if self.instance.is_none() {
            drop(state);
            request.reply(Err(SinkError::retryable("the sink is not open")));
            return Turn::Did;
        }
        let waits_until = Some(request.deadline);
        let Some((mut state, result)) =
            self.call(sink, state, CallKind::Request, waits_until, |instance, _, deadline| {
                request.ask(instance, deadline)
            })
        else {
            return Turn::Ended;
        };
        let result = match result {
            Ok(value) => Ok(sink.masked_value(&value)),
            Err(error) => Err(sink.masked(error)),
        };
        state.remember(&request, &result);
        self.go_on_after(sink, state, &result);
        request.reply(result);
        Turn::Did
    }
}

fn open_instance(sink: &Arc<SinkState>, epoch: u64) -> Result<Box<dyn SinkInstance>, SinkError> {
    let host = Host::new(Arc::new(SinkHost::new(sink, epoch)));
    calling(sink.store.id(), || sink.factory.open(host))
}

/// Unique numbers for instances.
pub fn next_instance() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
