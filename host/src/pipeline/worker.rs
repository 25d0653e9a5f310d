//! The worker: carries out what [`Delivery`] says, for one sink.
//!
//! A sink has one worker at a time: a thread of its own, or (with `use_worker = false`) whoever records. It holds the
//! sink's lock for decisions, never during a call into the sink, an `open`, or a write to the dead letters. When a call
//! outlasts its deadline the supervisor takes the delivery state away from it (the *epoch* moves on); when such a call
//! comes back after all, its worker finds that out, leaks the instance, and ends.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use audit_plugin_api::{Batch, Deadline, HeldRuns, Hold, Host, RawEvent, SinkError, Written, flags};

use super::budget::Charge;
use super::delivery::{Instance, Offer, Step};
use super::piece::Doubt;
use super::run::Span;
use super::sink::SinkInstance;
use super::sink_host::SinkHost;
use super::sink_state::{Call, Idle, Phase, Request, SinkState, State};

thread_local! {
    /// Whether this thread is inside a callback of a sink.
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside a callback of a sink, where waiting for that sink would never end.
pub fn in_callback() -> bool {
    IN_CALLBACK.try_with(Cell::get).unwrap_or(false)
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

    /// Which instance of the sink it works with.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Works until the sink is closed or taken over.
    pub fn run(mut self) {
        loop {
            match self.turn() {
                Turn::Did => {}
                Turn::Idle(idle) => self.sink.wait_for_work(self.epoch, idle),
                Turn::Ended => return,
            }
        }
    }

    /// Does the next thing.
    pub fn turn(&mut self) -> Turn {
        let sink = self.sink.clone();
        let mut state = sink.lock();
        if state.epoch != self.epoch || state.phase != Phase::Running {
            drop(state);
            return self.end();
        }
        if let Some(request) = state.requests.pop_front() {
            return self.answer(&sink, state, request);
        }
        let now = Instant::now();
        let waiting = sink.store.waiting();
        let pressed = sink.store.budget().is_half_full();
        match state.delivery.next(now, waiting, pressed) {
            Step::Wait(until) => sink.idle(&state, now, waiting, Some(until)),
            Step::Sleep => sink.idle(&state, now, waiting, None),
            Step::Collect => {
                drop(state);
                sink.collect();
                Turn::Did
            }
            Step::Write(offer) => self.write(&sink, state, offer),
            Step::Open => self.reopen(&sink, state),
            Step::Bury(doomed) => {
                drop(state);
                sink.bury(doomed);
                Turn::Did
            }
            Step::Flush => self.flush(&sink, state),
            Step::Close => self.close(&sink, state),
        }
    }

    /// Runs a call into the instance, unlocked, with a deadline. `None`: the call was abandoned meanwhile.
    fn call<'a, R>(
        &mut self,
        sink: &'a SinkState,
        mut state: MutexGuard<'a, State>,
        what: &'static str,
        limit: Duration,
        call: impl FnOnce(&mut dyn SinkInstance, &mut Vec<RawEvent>, Deadline) -> R,
    ) -> Option<(MutexGuard<'a, State>, R)> {
        let deadline = Deadline::after(limit);
        state.call = Some(Call { what, deadline: deadline.instant(), limit });
        drop(state);
        let instance = self.instance.as_deref_mut()?;
        IN_CALLBACK.set(true);
        let result = call(instance, &mut self.entries, deadline);
        IN_CALLBACK.set(false);
        let mut state = sink.lock();
        if state.epoch != self.epoch {
            drop(state);
            std::mem::forget(self.instance.take());
            std::mem::forget(result);
            return None;
        }
        state.call = None;
        Some((state, result))
    }

    fn write(&mut self, sink: &Arc<SinkState>, state: MutexGuard<'_, State>, offer: Offer) -> Turn {
        let limit = sink.timing.write_timeout;
        let Some((mut state, answer)) =
            self.call(sink, state, "write_batch", limit, |instance, entries, deadline| {
                write_offer(instance, entries, &offer, deadline)
            })
        else {
            // The abandoned call may still read these bytes from another thread of the sink.
            std::mem::forget(offer);
            return Turn::Ended;
        };
        let now = Instant::now();
        let answer = answer.map_err(|error| sink.masked(error));
        if let Err(error) = &answer {
            sink.log_failure(error, offer.spans.iter().map(Span::len).sum());
        }
        let before = state.delivery.settled();
        let instance = state.delivery.written(answer, now);
        if state.delivery.settled() != before {
            sink.store.budget().note_progress(now);
        }
        if instance == Instance::Replace {
            self.retire(&mut state);
        }
        state.notify_settled(sink);
        drop(state);
        if instance == Instance::Replace {
            self.drop_instance();
        }
        Turn::Did
    }

    /// The instance is to be dropped: what it acknowledges from now on is ignored.
    fn retire(&mut self, state: &mut State) {
        state.epoch += 1;
        self.epoch = state.epoch;
    }

    fn drop_instance(&mut self) {
        // A sink's drop may block for ever too.
        let sink = self.sink.clone();
        let mut state = sink.lock();
        let limit = sink.timing.write_timeout;
        state.call = Some(Call { what: "drop", deadline: Instant::now() + limit, limit });
        drop(state);
        IN_CALLBACK.set(true);
        drop(self.instance.take());
        IN_CALLBACK.set(false);
        let mut state = sink.lock();
        if state.epoch == self.epoch {
            state.call = None;
        }
    }

    fn reopen(&mut self, sink: &Arc<SinkState>, mut state: MutexGuard<'_, State>) -> Turn {
        let limit = sink.timing.open_timeout;
        state.call = Some(Call { what: "open", deadline: Instant::now() + limit, limit });
        drop(state);
        let opened = open_instance(sink, self.epoch);
        let mut state = sink.lock();
        if state.epoch != self.epoch {
            std::mem::forget(opened);
            return Turn::Ended;
        }
        state.call = None;
        match opened {
            Ok(instance) => {
                tracing::info!(sink = sink.settings.name, "the sink was opened anew");
                self.instance = Some(instance);
                state.delivery.opened();
            }
            Err(error) => {
                let error = sink.masked(error);
                tracing::warn!(sink = sink.settings.name, "the sink could not be opened anew: {error}");
                state.delivery.open_failed(&error, Instant::now());
            }
        }
        Turn::Did
    }

    fn flush(&mut self, sink: &Arc<SinkState>, state: MutexGuard<'_, State>) -> Turn {
        let target = state.delivery.flush_target();
        let limit = sink.timing.write_timeout.max(sink.timing.shutdown_timeout);
        let Some((mut state, result)) =
            self.call(sink, state, "flush", limit, |instance, _, deadline| instance.flush(deadline))
        else {
            return Turn::Ended;
        };
        state.delivery.flushed(target);
        if let Err(error) = result {
            let error = sink.masked(error);
            tracing::error!(sink = sink.settings.name, "the sink's flush failed: {error}");
            state.flush_failures.push((target, error.reason.clone()));
            if matches!(
                error.kind,
                audit_plugin_api::ErrorKind::Reopen | audit_plugin_api::ErrorKind::Panicked
            ) {
                state.delivery.replace(Instant::now());
                self.retire(&mut state);
                state.notify_settled(sink);
                drop(state);
                self.drop_instance();
                return Turn::Did;
            }
        }
        state.notify_settled(sink);
        Turn::Did
    }

    fn close(&mut self, sink: &Arc<SinkState>, state: MutexGuard<'_, State>) -> Turn {
        let limit = sink.timing.write_timeout.max(sink.timing.shutdown_timeout);
        let closed = if self.instance.is_some() {
            let Some((state, result)) =
                self.call(sink, state, "close", limit, |instance, _, deadline| instance.close(deadline))
            else {
                return Turn::Ended;
            };
            drop(state);
            self.drop_instance();
            result
        } else {
            drop(state);
            Ok(())
        };
        let mut state = sink.lock();
        if state.epoch == self.epoch {
            if let Err(error) = closed {
                let error = sink.masked(error);
                tracing::error!(sink = sink.settings.name, "the sink's close failed: {error}");
                state.close_failure = Some(error.reason);
            }
            state.phase = Phase::Closed;
            state.notify_settled(sink);
        }
        Turn::Ended
    }

    fn answer(&mut self, sink: &Arc<SinkState>, state: MutexGuard<'_, State>, request: Request) -> Turn {
        let limit = sink.timing.write_timeout;
        if self.instance.is_none() {
            drop(state);
            request.reply(Err(SinkError::retryable("the sink is not open")));
            return Turn::Did;
        }
        let Some((mut state, result)) =
            self.call(sink, state, "control", limit, |instance, _, deadline| request.ask(instance, deadline))
        else {
            return Turn::Ended;
        };
        let result = result.map_err(|error| sink.masked(error));
        let failed = matches!(&result, Err(error) if error.kind == audit_plugin_api::ErrorKind::Panicked);
        state.remember(&request, &result);
        request.reply(result);
        if failed {
            state.delivery.replace(Instant::now());
            self.retire(&mut state);
            drop(state);
            self.drop_instance();
        }
        Turn::Did
    }

    fn end(&mut self) -> Turn {
        if self.sink.lock().epoch != self.epoch {
            std::mem::forget(self.instance.take());
        }
        Turn::Ended
    }
}

fn open_instance(sink: &Arc<SinkState>, epoch: u64) -> Result<Box<dyn SinkInstance>, SinkError> {
    IN_CALLBACK.set(true);
    let host = Host::new(Arc::new(SinkHost::new(sink, epoch)));
    let instance = sink.factory.open(host);
    IN_CALLBACK.set(false);
    instance
}

/// Unique numbers for instances.
pub fn next_instance() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn write_offer(
    instance: &mut dyn SinkInstance,
    entries: &mut Vec<RawEvent>,
    offer: &Offer,
    deadline: Deadline,
) -> Result<Written, SinkError> {
    entries.clear();
    let mut runs: Vec<&[u8]> = Vec::with_capacity(offer.spans.len());
    let extra = if offer.doubt == Doubt::PossibleDuplicate { flags::POSSIBLE_DUPLICATE } else { 0 };
    for span in &offer.spans {
        let (lines, begin) = span.run.lines(span.start, span.end);
        let run = runs.len() as u32;
        runs.push(lines);
        entries.extend(span.run.entries(span.start, span.end).iter().map(|entry| RawEvent {
            run,
            offset: entry.offset - begin,
            flags: entry.flags | extra,
            ..*entry
        }));
    }
    instance.write_batch(&Batch::new(
        offer.id,
        offer.attempt,
        deadline,
        &runs,
        entries,
        &Holder(&offer.spans),
    ))
}

/// Hands out handles on the runs of a batch.
struct Holder<'a>(&'a [Span]);

impl Hold for Holder<'_> {
    fn hold(&self) -> Arc<dyn HeldRuns> {
        Arc::new(HeldSpans(self.0.iter().map(|span| (span.clone(), span.run.hold())).collect()))
    }
}

/// Keeps the runs of a batch, and keeps them counted in the bound.
struct HeldSpans(Vec<(Span, Option<Arc<Charge>>)>);

impl HeldRuns for HeldSpans {
    fn run(&self, index: usize) -> &[u8] {
        self.0.get(index).map_or(&[], |(span, _)| span.run.lines(span.start, span.end).0)
    }
}
