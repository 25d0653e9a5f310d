//! The pipeline as a whole: a store, its sinks, and what can be asked of them.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use audit_plugin_api::serde_json::Value;
use audit_plugin_api::{PermissionAuditEvent, SinkError};
use crossbeam_channel::{Sender, bounded};

use super::counters::{Counts, Tally};
use super::dead_letters::DeadLetters;
use super::direct::{work_aside, write_through};
use super::error::{FromCallback, OpenError, RecordError};
use super::fanout::{Fanout, FanoutEvents};
use super::report::{CloseReport, FlushOutcome, Inspection, SinkReport};
use super::run::MAX_SINKS;
use super::sink::SinkFactory;
use super::sink_state::{Phase, Request, SinkParts, SinkState, State};
use super::store::{Patience, Record, Refused, Store};
use super::supervisor::supervise;
use super::worker::{Worker, in_callback};
use crate::config::{BufferSettings, DeliverySettings, Secrets, SinkSettings, WhenFull};

/// How long an inspection waits for a busy sink before it takes the last reply.
const INSPECTION_PATIENCE: Duration = Duration::from_millis(250);

/// A sink to open.
pub struct SinkSetup {
    /// The worker's side of it.
    pub settings: SinkSettings,
    /// Opens its instances.
    pub factory: Arc<dyn SinkFactory>,
}

/// A store, its sinks, and their workers.
pub struct Pipeline {
    store: Arc<Store>,
    sinks: Vec<Arc<SinkState>>,
    tally: Arc<Tally>,
    buffer: BufferSettings,
    shutdown_timeout: Duration,
    /// With a sink that is written through: whether somebody is recording.
    turnstile: Option<(Mutex<bool>, Condvar)>,
    /// Given up when the flush before was answered.
    given_up: Mutex<u64>,
    closed: Mutex<Option<CloseReport>>,
    _supervisor: Sender<()>,
}

impl Pipeline {
    /// Opens every sink; if one cannot be opened, those that were are closed again.
    pub fn open(
        setups: Vec<SinkSetup>,
        buffer: BufferSettings,
        delivery: DeliverySettings,
        secrets: Secrets,
    ) -> Result<Self, OpenError> {
        let refuse = |settings: &SinkSettings, error| OpenError {
            name: settings.name.clone(),
            class: settings.class.clone(),
            error,
        };
        if let Some(surplus) = setups.get(MAX_SINKS) {
            let error = SinkError::permanent(format!("a logger has at most {MAX_SINKS} sinks"));
            return Err(refuse(&surplus.settings, error));
        }
        let tally = Arc::new(Tally::new(setups.len()));
        let fanout = Arc::new(Fanout::default());
        let wake_every_event = setups.iter().any(|setup| setup.settings.batch_size == 1);
        let store = Arc::new(Store::new(
            buffer.capacity_bytes,
            setups.len(),
            wake_every_event,
            tally.clone(),
            Box::new(FanoutEvents(fanout.clone())),
        ));
        let dead_letters = Arc::new(DeadLetters::new(delivery.dead_letter_path.clone()));
        let sinks: Vec<_> = setups
            .into_iter()
            .enumerate()
            .map(|(index, SinkSetup { mut settings, factory })| {
                if !settings.use_worker {
                    settings.batch_size = 1;
                }
                Arc::new(SinkState::new(SinkParts {
                    index,
                    settings,
                    factory,
                    timing: delivery.clone(),
                    store: store.clone(),
                    fanout: fanout.clone(),
                    dead_letters: dead_letters.clone(),
                    secrets: secrets.clone(),
                }))
            })
            .collect();
        fanout.set(&store, &sinks);
        let (supervisor, stop) = bounded(0);
        let shortest = delivery.write_timeout.min(delivery.open_timeout);
        let direct = sinks.iter().any(|sink| sink.direct.is_some());
        let pipeline = Self {
            store,
            sinks,
            tally,
            buffer,
            shutdown_timeout: delivery.shutdown_timeout,
            turnstile: direct.then(|| (Mutex::new(false), Condvar::new())),
            given_up: Mutex::new(0),
            closed: Mutex::new(None),
            _supervisor: supervisor,
        };
        for (index, sink) in pipeline.sinks.iter().enumerate() {
            if let Err(error) = open_sink(sink, delivery.open_timeout) {
                let error = refuse(&sink.settings, sink.masked(error));
                for unopened in &pipeline.sinks[index..] {
                    unopened.lock().phase = Phase::Closed;
                }
                let _ = pipeline.close(delivery.shutdown_timeout);
                return Err(error);
            }
        }
        if let (Some(first), Err(error)) =
            (pipeline.sinks.first(), supervise(&pipeline.sinks, shortest, stop))
        {
            return Err(refuse(
                &first.settings,
                SinkError::retryable(format!("no thread to watch it: {error}")),
            ));
        }
        Ok(pipeline)
    }

    /// Accepts an event, as `[buffer]` says; returns when it is accepted (with `use_worker = false`: delivered).
    pub fn record(&self, event: &PermissionAuditEvent) -> Result<(), RecordError> {
        let patience = match self.buffer.when_full {
            WhenFull::Block => Patience::Progress(self.buffer.block_timeout),
            WhenFull::Fail => Patience::None,
        };
        self.accept(Record::Event(event), patience)
    }

    /// Accepts an event or a canonical line; returns when it is accepted (with `use_worker = false`: delivered). One that
    /// is not accepted counts as rejected, unless the caller was told to stop while it waited.
    pub fn accept(&self, record: Record<'_>, patience: Patience<'_>) -> Result<(), RecordError> {
        let accepted = self.try_accept(record, patience);
        let was_stopped = matches!(patience, Patience::UntilStopped(_));
        match &accepted {
            Ok(()) | Err(RecordError::Undelivered(_)) => {}
            Err(RecordError::Full { .. }) if was_stopped => {}
            Err(_) => self.tally.reject(),
        }
        accepted
    }

    fn try_accept(&self, record: Record<'_>, patience: Patience<'_>) -> Result<(), RecordError> {
        let size = record.line_len();
        if size > self.buffer.max_event_bytes {
            return Err(RecordError::TooLarge { size, limit: self.buffer.max_event_bytes });
        }
        let refused = |refused| match refused {
            Refused::Closed => RecordError::Closed,
            Refused::Full => {
                let budget = self.store.budget();
                RecordError::Full { used: budget.used(), capacity: budget.capacity() }
            }
        };
        match &self.turnstile {
            None => self.store.record(record, size, patience).map_err(refused),
            Some(turnstile) => {
                let _turn = self.wait_for_turn(turnstile)?;
                let mut hand_out = |run: &_| self.sinks.iter().for_each(|sink| sink.push(run));
                let position =
                    self.store.record_alone(record, size, patience, &mut hand_out).map_err(refused)?;
                let deadline = Instant::now() + self.buffer.block_timeout;
                let mut result = Ok(());
                for sink in &self.sinks {
                    if let Err(reason) = write_through(sink, position, deadline) {
                        result = Err(RecordError::Undelivered(reason));
                    }
                }
                result
            }
        }
    }

    /// One records at a time where the caller is the worker.
    fn wait_for_turn<'a>(
        &self,
        turnstile: &'a (Mutex<bool>, Condvar),
    ) -> Result<impl Drop + 'a, RecordError> {
        struct Turn<'a>(&'a (Mutex<bool>, Condvar));
        impl Drop for Turn<'_> {
            fn drop(&mut self) {
                *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = false;
                self.0.1.notify_one();
            }
        }
        if in_callback() {
            return Err(RecordError::Undelivered("recorded from the sink's own callback".into()));
        }
        let busy = turnstile.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut busy, waited) = turnstile
            .1
            .wait_timeout_while(busy, self.buffer.block_timeout, |busy| *busy)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            let budget = self.store.budget();
            return Err(RecordError::Full { used: budget.used(), capacity: budget.capacity() });
        }
        *busy = true;
        Ok(Turn(turnstile))
    }

    /// Counts something that was never accepted, such as a line of input that is no event.
    pub fn reject(&self) {
        self.tally.reject();
    }

    /// Waits until everything accepted before the call is delivered and durable, for at most `timeout`.
    pub fn flush(&self, timeout: Duration) -> Result<FlushOutcome, FromCallback> {
        if in_callback() {
            return Err(FromCallback);
        }
        let deadline = deadline_after(timeout);
        let position = self.store.seal();
        for sink in &self.sinks {
            let mut state = sink.lock();
            state.delivery.request_flush(position);
            state.notify_work(sink);
            drop(state);
            self.work_aside(sink, move |state| is_flushed(state, position));
        }
        let mut remaining = Vec::new();
        for sink in &self.sinks {
            if !sink.wait_until(deadline, |state| is_flushed(state, position)) {
                remaining.push((sink.settings.name.clone(), self.counts_of(sink).unsettled()));
            }
        }
        if !remaining.is_empty() {
            return Ok(FlushOutcome::TimedOut { remaining });
        }
        let mut sinks = Vec::new();
        let mut given_up = 0;
        for sink in &self.sinks {
            let mut state = sink.lock();
            given_up += state.delivery.given_up();
            let failed = state.flush_failures.extract_if(.., |(to, _)| *to <= position);
            sinks.extend(failed.map(|(_, reason)| (sink.settings.name.clone(), reason)));
        }
        let mut before = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        let given_up = given_up - std::mem::replace(&mut *before, given_up).min(given_up);
        if given_up == 0 && sinks.is_empty() {
            Ok(FlushOutcome::Flushed)
        } else {
            Ok(FlushOutcome::Failed { given_up, sinks })
        }
    }

    /// Refuses new events, delivers what there is, flushes and closes the sinks. What is not delivered when `timeout`
    /// has passed is dead-lettered. Called again, it answers the same.
    pub fn close(&self, timeout: Duration) -> Result<CloseReport, FromCallback> {
        if in_callback() {
            return Err(FromCallback);
        }
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(report) = &*closed {
            return Ok(report.clone());
        }
        let deadline = deadline_after(timeout);
        self.store.close();
        let position = self.store.seal();
        for sink in &self.sinks {
            let mut state = sink.lock();
            state.delivery.request_close(position);
            state.notify_work(sink);
            drop(state);
            self.work_aside(sink, |state| state.phase == Phase::Closed);
        }
        for sink in &self.sinks {
            sink.wait_until(deadline, |state| state.phase != Phase::Running);
        }
        // What a hung sink left in the store becomes dead letters with the rest.
        while self.store.collect(&mut |run| self.sinks.iter().for_each(|sink| sink.push(run))) {}
        for sink in &self.sinks {
            self.end(sink, timeout);
        }
        let report = CloseReport {
            totals: self.counts(),
            sinks: self.sinks.iter().map(|sink| self.report_of(sink)).collect(),
        };
        *closed = Some(report.clone());
        Ok(report)
    }

    /// Ends a sink that has not closed in time.
    fn end(&self, sink: &Arc<SinkState>, timeout: Duration) {
        let mut state = sink.lock();
        if state.phase == Phase::Closed && state.delivery.is_idle() {
            return;
        }
        let now = Instant::now();
        let mut reason = format!("not delivered within {} s of closing", timeout.as_secs_f64());
        if let Some(call) = state.call {
            let hung = format!("{} did not return before the end of closing, and was abandoned", call.what);
            reason = format!("{reason}: {hung}");
            state.close_failure = Some(hung);
        }
        if state.phase == Phase::Failed {
            reason = "the sink is failed: too many of its calls were abandoned".into();
        }
        if !state.delivery.is_idle() {
            tracing::error!(sink = sink.settings.name, "{reason}");
        }
        sink.abandon(&mut state, &reason, now);
        state.delivery.give_up(&reason, now);
        state.phase = Phase::Closed;
        let doomed = state.delivery.take_doomed();
        drop(state);
        if !doomed.is_empty() {
            sink.bury(doomed);
        }
        for doomed in sink.lock().delivery.take_doomed() {
            for span in doomed.piece.spans {
                for index in span.start..span.end {
                    let event = String::from_utf8_lossy(span.run.json(index)).into_owned();
                    tracing::error!(
                        sink = sink.settings.name,
                        "lost, since there is no dead letter of it: {event}"
                    );
                }
            }
        }
    }

    fn work_aside(&self, sink: &Arc<SinkState>, done: impl Fn(&State) -> bool + Send + 'static) {
        if sink.direct.is_some()
            && let Err(error) = work_aside(sink, done)
        {
            tracing::error!(sink = sink.settings.name, "no thread to flush or close the sink: {error}");
        }
    }

    /// The counters, each event once.
    pub fn counts(&self) -> Counts {
        let mut counts = self.tally.counts();
        for sink in &self.sinks {
            let (in_flight, retried) = {
                let state = sink.lock();
                (state.delivery.in_flight(), state.delivery.settled().1)
            };
            counts.in_flight = counts.in_flight.max(in_flight);
            counts.retried += retried;
        }
        counts.accepted = self.store.accepted();
        let settled = counts.delivered + counts.dead_lettered + counts.dropped + counts.lost;
        counts.in_flight = counts.in_flight.min(counts.accepted.saturating_sub(settled));
        counts.with_queued()
    }

    /// The counters of each sink, by name.
    pub fn sink_counts(&self) -> Vec<(String, Counts)> {
        self.sinks.iter().map(|sink| (sink.settings.name.clone(), self.counts_of(sink))).collect()
    }

    fn counts_of(&self, sink: &SinkState) -> Counts {
        let state = sink.lock();
        let (delivered, retried, dead_lettered, dropped) = state.delivery.settled();
        let in_flight = state.delivery.in_flight();
        drop(state);
        let lost = self.tally.lost_at(sink.index);
        let rejected = self.tally.rejected();
        let accepted = self.store.accepted();
        Counts {
            accepted,
            delivered,
            retried,
            dead_lettered,
            dropped,
            rejected,
            spooled: 0,
            queued: 0,
            in_flight,
            lost,
        }
        .with_queued()
    }

    fn report_of(&self, sink: &SinkState) -> SinkReport {
        let state = sink.lock();
        let flush = state.flush_failures.iter().map(|(_, reason)| format!("flush: {reason}"));
        let failures =
            flush.chain(state.close_failure.iter().map(|reason| format!("close: {reason}"))).collect();
        drop(state);
        SinkReport { name: sink.settings.name.clone(), counts: self.counts_of(sink), failures }
    }

    /// Bytes that the store has in use.
    pub fn used_bytes(&self) -> usize {
        self.store.budget().used()
    }

    /// How long a close may take by default.
    pub fn shutdown_timeout(&self) -> Duration {
        self.shutdown_timeout
    }

    /// Asks a sink; a busy one is answered for from its last reply.
    pub fn inspect(&self, sink: &str, request: &str) -> Result<Inspection, SinkError> {
        let sink = self.sink(sink)?;
        match self.ask(sink, INSPECTION_PATIENCE, |reply| Request::Inspect(request.to_owned(), reply)) {
            Some(reply) => reply.map(|reply| Inspection { reply, age: Duration::ZERO }),
            None => match sink.lock().replies.get(request) {
                Some((at, reply)) => Ok(Inspection { reply: reply.clone(), age: at.elapsed() }),
                None => Err(SinkError::retryable("the sink is busy, and has not answered this before")),
            },
        }
    }

    /// Gives a sink an order, such as `{"control": "reopen"}`, and waits for its answer.
    pub fn control(&self, sink: &str, request: &Value, timeout: Duration) -> Result<Value, SinkError> {
        let sink = self.sink(sink)?;
        self.ask(sink, timeout, |reply| Request::Control(request.clone(), reply))
            .unwrap_or_else(|| Err(SinkError::retryable("the sink is busy")))
    }

    fn sink(&self, name: &str) -> Result<&Arc<SinkState>, SinkError> {
        self.sinks.iter().find(|sink| sink.settings.name == name).ok_or_else(|| {
            let known: Vec<_> = self.sinks.iter().map(|sink| sink.settings.name.as_str()).collect();
            SinkError::permanent(format!("there is no sink `{name}`; there are: {}", known.join(", ")))
        })
    }

    fn ask(
        &self,
        sink: &Arc<SinkState>,
        patience: Duration,
        request: impl FnOnce(SyncSender<Result<Value, SinkError>>) -> Request,
    ) -> Option<Result<Value, SinkError>> {
        if in_callback() {
            return Some(Err(SinkError::retryable("asked from a sink's own callback")));
        }
        let (sender, answer) = sync_channel(1);
        let mut state = sink.lock();
        if state.phase != Phase::Running {
            return Some(Err(SinkError::permanent("the sink is closed or failed")));
        }
        state.requests.push_back(request(sender));
        state.notify_work(sink);
        drop(state);
        self.work_aside(sink, |state| state.requests.is_empty());
        answer.recv_timeout(patience).ok()
    }

    /// The first required sink that reported `{"state": "failed"}` or is failed, with the reason.
    pub fn failed_sink(&self) -> Option<(String, String)> {
        self.sinks.iter().filter(|sink| sink.settings.required).find_map(|sink| {
            let state = sink.lock();
            let reported = state.report.as_ref().filter(|report| report["state"] == "failed");
            let reason = match reported {
                Some(report) => report["reason"].as_str().unwrap_or("it gave no reason").to_owned(),
                None if state.phase == Phase::Failed => "too many of its calls were abandoned".to_owned(),
                None => return None,
            };
            Some((sink.settings.name.clone(), sink.secrets.mask(&reason).into_owned()))
        })
    }

    /// Names of the sinks, in the order of the configuration.
    pub fn sink_names(&self) -> impl Iterator<Item = &str> {
        self.sinks.iter().map(|sink| sink.settings.name.as_str())
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        let _ = self.close(self.shutdown_timeout);
    }
}

fn is_flushed(state: &State, position: u64) -> bool {
    state.delivery.flushed_to() >= position || state.phase == Phase::Closed
}

fn deadline_after(timeout: Duration) -> Instant {
    audit_plugin_api::Deadline::after(timeout).instant()
}

/// Opens a sink in a thread of its own, since it may hang.
fn open_sink(sink: &Arc<SinkState>, timeout: Duration) -> Result<(), SinkError> {
    let (sender, opened) = bounded(1);
    let to_open = sink.clone();
    let spawned = std::thread::Builder::new().name("audit-sink".into()).spawn(move || {
        match Worker::open(to_open.clone()) {
            Err(error) => {
                let _ = sender.send(Err(error));
            }
            Ok(worker) => {
                if sender.send(Ok(())).is_err() {
                    return;
                }
                drop(sender);
                match &to_open.direct {
                    Some(slot) => slot.put(worker),
                    None => worker.run(),
                }
            }
        }
    });
    spawned.map_err(|error: io::Error| SinkError::retryable(format!("no thread for it: {error}")))?;
    match opened.recv_timeout(timeout) {
        Ok(result) => result,
        Err(crossbeam_channel::RecvTimeoutError::Timeout) => {
            let mut state = sink.lock();
            state.epoch += 1;
            state.phase = Phase::Closed;
            Err(SinkError::retryable(format!(
                "open did not return within open_timeout = {} s",
                timeout.as_secs_f64()
            )))
        }
        Err(crossbeam_channel::RecvTimeoutError::Disconnected) => {
            Err(SinkError::retryable("its thread ended while it was opened"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use audit_plugin_api::{Action, Batch, Context, Deadline, Host, Sink, SinkOptions, Written};

    use super::*;
    use crate::pipeline::linked;

    #[derive(SinkOptions)]
    struct NoOptions {}

    struct Collecting(mpsc::Sender<Vec<Vec<u8>>>);
    thread_local! {}

    fn sender() -> &'static Mutex<Option<mpsc::Sender<Vec<Vec<u8>>>>> {
        static SENDER: Mutex<Option<mpsc::Sender<Vec<Vec<u8>>>>> = Mutex::new(None);
        &SENDER
    }

    impl Sink for Collecting {
        type Options = NoOptions;
        fn open(_: NoOptions, _: Context, _: Host) -> Result<Self, SinkError> {
            Ok(Self(sender().lock().unwrap().clone().unwrap()))
        }
        fn write_batch(&mut self, batch: &Batch<'_>) -> Result<Written, SinkError> {
            let _ = self.0.send(batch.events().map(|event| event.json().to_vec()).collect());
            Ok(Written::Delivered)
        }
        fn close(&mut self, _: Deadline) -> Result<(), SinkError> {
            Ok(())
        }
    }

    #[test]
    fn smoke() {
        let (tx, rx) = mpsc::channel();
        *sender().lock().unwrap() = Some(tx);
        let context = Context {
            api: "1.0.0".into(),
            host_version: "0".into(),
            instance: 1,
            name: "t".into(),
            class: "t.T".into(),
            config_dir: ".".into(),
            batch_size: 100,
            max_event_bytes: 1 << 20,
            max_in_flight: 1,
            shutdown_timeout: 8.0,
        };
        let factory = Arc::new(linked::<Collecting>(context, || Ok(NoOptions {})));
        let settings = SinkSettings { name: "t".into(), class: "t.T".into(), ..SinkSettings::default() };
        let pipeline = Pipeline::open(
            vec![SinkSetup { settings, factory }],
            BufferSettings::default(),
            DeliverySettings::default(),
            Secrets::default(),
        )
        .unwrap();
        let n = 200_000;
        let event = PermissionAuditEvent::new(Action::Update, true)
            .attribute("status")
            .attribute("owner")
            .manager("Project")
            .user_id("4217")
            .permission("isAdmin");
        let start = Instant::now();
        for _ in 0..n {
            pipeline.record(&event).unwrap();
        }
        assert_eq!(pipeline.flush(Duration::from_secs(20)).unwrap(), FlushOutcome::Flushed);
        println!("{:?}", start.elapsed());
        let report = pipeline.close(Duration::from_secs(5)).unwrap();
        assert_eq!(report.totals.delivered, n);
        assert_eq!(report.totals.lost, 0);
        let events: usize = rx.try_iter().map(|batch| batch.len()).sum();
        assert_eq!(events as u64, n);
        println!("{report:?}");
    }
}
