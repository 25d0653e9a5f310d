//! Sinks that do what a test says, and the pipeline over them.
//!
//! Every callback sends what it [`Seen`] when it begins, and then does what the test says, by default the best. A test
//! waits for what it expects to see, never for time to pass.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use audit_plugin_api::serde_json::{Value, json};
use audit_plugin_api::{
    AckStatus, Acknowledgement, Action, Batch, Deadline, Host, PermissionAuditEvent, RawEvent, SinkError,
    Written, flags,
};
use crossbeam_channel::{Receiver, Sender, unbounded};
use tempfile::TempDir;

use crate::config::{BufferSettings, DeliverySettings, Secrets, SinkSettings};
use crate::pipeline::{OpenError, Pipeline, SinkFactory, SinkInstance, SinkSetup};
use crate::spool::{Disk, RealDisk};

/// Long enough that only a defect makes a test wait for it.
pub const LONG: Duration = Duration::from_secs(60);

/// What a callback saw when it began.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    Open(u64),
    Write { instance: u64, batch: u64, attempt: u32, numbers: Vec<u64>, doubtful: bool },
    Flush(u64),
    Close(u64),
    Drop(u64),
    Control(Value),
    Inspect(String),
}

/// A batch on its way into the sink.
pub struct Writing<'a> {
    pub batch: &'a Batch<'a>,
    pub instance: u64,
    pub numbers: &'a [u64],
    pub host: &'a Host,
}

impl Writing<'_> {
    pub fn acknowledge(&self, first: u32, count: u32, status: AckStatus) {
        acknowledge(self.host, self.batch.id(), first, count, status);
    }
}

pub fn acknowledge(host: &Host, batch: u64, first: u32, count: u32, status: AckStatus) {
    let reason = if status == AckStatus::Delivered { "" } else { "said so" };
    host.acknowledge(Acknowledgement {
        batch,
        first,
        count,
        status,
        retry_after: None,
        reason: reason.into(),
    });
}

type Hook<A, R> = Box<dyn Fn(A) -> R + Send + Sync>;
type WriteHook = Box<dyn Fn(&Writing<'_>) -> Result<Written, SinkError> + Send + Sync>;

struct Hooks {
    open: Hook<u64, Result<(), SinkError>>,
    write: WriteHook,
    flush: Hook<(u64, Deadline), Result<(), SinkError>>,
    close: Hook<(u64, Deadline), Result<(), SinkError>>,
    control: Hook<Value, Result<Value, SinkError>>,
    inspect: Hook<String, Result<Value, SinkError>>,
    drop: Hook<u64, ()>,
}

/// A sink that a test writes.
pub struct Actor {
    pub settings: SinkSettings,
    hooks: Hooks,
}

impl Actor {
    /// Delivers everything, in batches of 10, never for reason of age.
    pub fn new(name: &str) -> Self {
        let settings = SinkSettings {
            name: name.into(),
            class: "stage.Actor".into(),
            batch_size: 10,
            flush_interval: Duration::from_secs(3600),
            ..SinkSettings::default()
        };
        let hooks = Hooks {
            open: Box::new(|_| Ok(())),
            write: Box::new(|_| Ok(Written::Delivered)),
            flush: Box::new(|_| Ok(())),
            close: Box::new(|_| Ok(())),
            control: Box::new(Ok),
            inspect: Box::new(|request| Ok(json!({ "asked": request }))),
            drop: Box::new(|_| {}),
        };
        Self { settings, hooks }
    }

    pub fn with(mut self, change: impl FnOnce(&mut SinkSettings)) -> Self {
        change(&mut self.settings);
        self
    }

    pub fn optional(self) -> Self {
        self.with(|settings| settings.required = false)
    }

    pub fn on_open(mut self, hook: impl Fn(u64) -> Result<(), SinkError> + Send + Sync + 'static) -> Self {
        self.hooks.open = Box::new(hook);
        self
    }

    pub fn on_write(
        mut self,
        hook: impl Fn(&Writing<'_>) -> Result<Written, SinkError> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.write = Box::new(hook);
        self
    }

    pub fn on_flush(mut self, hook: impl Fn(u64) -> Result<(), SinkError> + Send + Sync + 'static) -> Self {
        self.hooks.flush = Box::new(move |(instance, _)| hook(instance));
        self
    }

    pub fn on_flush_until(
        mut self,
        hook: impl Fn(Deadline) -> Result<(), SinkError> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.flush = Box::new(move |(_, deadline)| hook(deadline));
        self
    }

    pub fn on_close(mut self, hook: impl Fn(u64) -> Result<(), SinkError> + Send + Sync + 'static) -> Self {
        self.hooks.close = Box::new(move |(instance, _)| hook(instance));
        self
    }

    pub fn on_control(
        mut self,
        hook: impl Fn(Value) -> Result<Value, SinkError> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.control = Box::new(hook);
        self
    }

    pub fn on_inspect(
        mut self,
        hook: impl Fn(String) -> Result<Value, SinkError> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.inspect = Box::new(hook);
        self
    }

    pub fn on_drop(mut self, hook: impl Fn(u64) + Send + Sync + 'static) -> Self {
        self.hooks.drop = Box::new(hook);
        self
    }
}

/// The pipeline, and what its sinks see.
pub struct Stage {
    pub pipeline: Arc<Pipeline>,
    pub seen: Vec<Receiver<Seen>>,
    hosts: Vec<Arc<Mutex<Option<Host>>>>,
    pub dead_letters: PathBuf,
    _folder: Arc<TempDir>,
}

/// How the pipeline is set up.
pub struct Setting {
    pub buffer: BufferSettings,
    pub delivery: DeliverySettings,
    pub secrets: Secrets,
    pub folder: Arc<TempDir>,
    /// What the spool is on.
    pub disk: Arc<dyn Disk>,
}

impl Default for Setting {
    /// Retries come quickly, and nothing else happens for reason of time.
    fn default() -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        let delivery = DeliverySettings {
            retry_initial: Duration::from_millis(1),
            retry_max: Duration::from_millis(2),
            write_timeout: LONG,
            open_timeout: LONG,
            ack_timeout: LONG,
            shutdown_timeout: LONG,
            dead_letter_path: folder.path().join("dead.ndjson"),
            ..DeliverySettings::default()
        };
        let buffer = BufferSettings { block_timeout: LONG, ..BufferSettings::default() };
        Self { buffer, delivery, secrets: Secrets::default(), folder, disk: Arc::new(RealDisk) }
    }
}

impl Setting {
    pub fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut setting = Self::default();
        change(&mut setting);
        setting
    }

    pub fn try_open(self, actors: Vec<Actor>) -> Result<Stage, OpenError> {
        let mut seen = Vec::new();
        let mut hosts = Vec::new();
        let setup = |Actor { settings, hooks }| {
            let (sender, receiver) = unbounded();
            let host = Arc::new(Mutex::new(None));
            seen.push(receiver);
            hosts.push(host.clone());
            let troupe = Troupe { hooks: Arc::new(hooks), seen: sender, opened: AtomicU64::new(0), host };
            SinkSetup { settings, factory: Arc::new(troupe) }
        };
        let setups = actors.into_iter().map(setup).collect();
        let dead_letters = self.delivery.dead_letter_path.clone();
        let pipeline = Pipeline::open_on(self.disk, setups, self.buffer, self.delivery, self.secrets)?;
        let pipeline = Arc::new(pipeline);
        Ok(Stage { pipeline, seen, hosts, dead_letters, _folder: self.folder })
    }

    pub fn open(self, actors: Vec<Actor>) -> Stage {
        self.try_open(actors).unwrap_or_else(|error| panic!("{error}"))
    }
}

impl Stage {
    pub fn open(actors: Vec<Actor>) -> Self {
        Setting::default().open(actors)
    }

    /// Records events of these numbers.
    pub fn record(&self, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            self.pipeline.record(&event(number)).unwrap_or_else(|error| panic!("{number}: {error}"));
        }
    }

    /// Waits for the next thing that a sink sees.
    #[track_caller]
    pub fn see(&self, sink: usize) -> Seen {
        self.seen[sink].recv_timeout(LONG).expect("the sink is called")
    }

    /// Waits until a sink sees this, whatever it sees before.
    #[track_caller]
    pub fn see_until(&self, sink: usize, mut is_it: impl FnMut(&Seen) -> bool) -> Seen {
        loop {
            let seen = self.see(sink);
            if is_it(&seen) {
                return seen;
            }
        }
    }

    /// Waits for the next batch, whatever it sees before; returns its numbers.
    #[track_caller]
    pub fn see_batch(&self, sink: usize) -> Vec<u64> {
        match self.see_until(sink, |seen| matches!(seen, Seen::Write { .. })) {
            Seen::Write { numbers, .. } => numbers,
            _ => unreachable!(),
        }
    }

    /// What a sink has seen since, without waiting.
    pub fn seen(&self, sink: usize) -> Vec<Seen> {
        self.seen[sink].try_iter().collect()
    }

    /// The numbers of all batches that a sink has seen since.
    pub fn numbers(&self, sink: usize) -> Vec<u64> {
        let written = |seen| match seen {
            Seen::Write { numbers, .. } => numbers,
            _ => Vec::new(),
        };
        self.seen(sink).into_iter().flat_map(written).collect()
    }

    /// The host of the sink's latest instance.
    pub fn host(&self, sink: usize) -> Host {
        self.hosts[sink].lock().unwrap().clone().expect("the sink was opened")
    }

    pub fn letters(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.dead_letters).unwrap_or_default();
        text.lines().map(|line| audit_plugin_api::serde_json::from_str(line).expect("JSON")).collect()
    }

    /// The numbers of the dead letters of a sink.
    pub fn dead_numbers(&self, sink: &str) -> Vec<u64> {
        let letters = self.letters();
        let own = letters.iter().filter(|letter| letter["sink"] == sink);
        own.map(|letter| letter["event"]["user_id"].as_str().unwrap().parse().unwrap()).collect()
    }
}

/// An event of this number.
pub fn event(number: u64) -> PermissionAuditEvent {
    PermissionAuditEvent::new(Action::Update, true).user_id(number.to_string())
}

struct Troupe {
    hooks: Arc<Hooks>,
    seen: Sender<Seen>,
    opened: AtomicU64,
    host: Arc<Mutex<Option<Host>>>,
}

struct Player {
    instance: u64,
    hooks: Arc<Hooks>,
    seen: Sender<Seen>,
    host: Host,
}

impl SinkFactory for Troupe {
    fn open(&self, host: Host) -> Result<Box<dyn SinkInstance>, SinkError> {
        let instance = self.opened.fetch_add(1, Ordering::SeqCst) + 1;
        let _ = self.seen.send(Seen::Open(instance));
        (self.hooks.open)(instance)?;
        *self.host.lock().unwrap() = Some(host.clone());
        Ok(Box::new(Player { instance, hooks: self.hooks.clone(), seen: self.seen.clone(), host }))
    }
}

impl SinkInstance for Player {
    fn write_batch(&mut self, batch: &Batch<'_>) -> Result<Written, SinkError> {
        let number = |escaped: &[u8]| std::str::from_utf8(escaped).unwrap().parse().unwrap();
        let is_gap = |raw: &RawEvent| raw.flags & flags::GAP != 0;
        let (events, raw_events) = (batch.events(), batch.raw_events());
        let own = events.zip(raw_events).filter(|(_, raw)| !is_gap(raw));
        let numbers: Vec<u64> = own.map(|(event, _)| number(event.user_id_escaped().unwrap())).collect();
        let doubtful = batch.raw_events().iter().all(|raw| raw.flags & flags::POSSIBLE_DUPLICATE != 0);
        let _ = self.seen.send(Seen::Write {
            instance: self.instance,
            batch: batch.id(),
            attempt: batch.attempt(),
            numbers: numbers.clone(),
            doubtful,
        });
        (self.hooks.write)(&Writing { batch, instance: self.instance, numbers: &numbers, host: &self.host })
    }

    fn flush(&mut self, deadline: Deadline) -> Result<(), SinkError> {
        let _ = self.seen.send(Seen::Flush(self.instance));
        (self.hooks.flush)((self.instance, deadline))
    }

    fn close(&mut self, deadline: Deadline) -> Result<(), SinkError> {
        let _ = self.seen.send(Seen::Close(self.instance));
        (self.hooks.close)((self.instance, deadline))
    }

    fn control(&mut self, request: &Value, _: Deadline) -> Result<Value, SinkError> {
        let _ = self.seen.send(Seen::Control(request.clone()));
        (self.hooks.control)(request.clone())
    }

    fn inspect(&mut self, request: &str) -> Result<Value, SinkError> {
        let _ = self.seen.send(Seen::Inspect(request.to_owned()));
        (self.hooks.inspect)(request.to_owned())
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.seen.send(Seen::Drop(self.instance));
        (self.hooks.drop)(self.instance);
    }
}

/// What callbacks wait at until a test opens it.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Waits until it is open.
    pub fn pass(&self) {
        let mut open = self.0.0.lock().unwrap();
        while !*open {
            open = self.0.1.wait(open).unwrap();
        }
    }
}

/// Says that it is over, also when a test fails: whoever goes on until then would keep it from failing.
pub struct Over<'a>(pub &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Asks again and again, until it is so.
#[track_caller]
pub fn eventually(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < deadline, "it did not come to that");
        std::thread::yield_now();
    }
}
