//! Who is measured.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use audit_host::config::Config;
use audit_host::logger::{AuditLogger, Loading, Logger};
use audit_plugin_api::testing::{self, TestBatch};
use audit_plugin_api::{
    AckStatus, Acknowledgement, Action, Context, Host, HostServices, Level, Metadata, PermissionAuditEvent,
    RawExtension, Sink, SinkOptions, Written,
};
use audit_sink_kafka::{KafkaOptions, KafkaSink};
use audit_tests::Dir;
use rdkafka::ClientConfig;
use serde_json::{Value, json};

use crate::bare::BareProducer;
use crate::{TOPIC, performance};

/// What is measured: a run of all messages.
pub struct Contender {
    pub name: &'static str,
    pub shape: &'static Shape,
    /// The row that it is compared with.
    pub against: usize,
    pub run: fn(&Load, &Shape) -> Run,
}

/// What the messages of a row carry beside their payload, and how they are sent.
pub struct Shape {
    pub name: &'static str,
    /// Whether they have a key: the user's id, of four characters; of `rdkafka_performance` always the same.
    pub key: bool,
    /// Whether they have the sink's two headers: the event's id, and the version of its form.
    pub headers: bool,
    pub compression: &'static str,
    pub partitioner: &'static str,
}

/// A run, from the first message to the last report.
#[derive(Clone, Copy)]
pub struct Run {
    pub took: Duration,
    /// Processor time of this process meanwhile, with the mock, where that is used, and of `rdkafka_performance`.
    pub cpu: Duration,
}

/// The sink's defaults.
const DEFAULT: Shape =
    Shape { name: "default", key: true, headers: true, compression: "lz4", partitioner: "murmur2_random" };
const NO_HEADERS: Shape = Shape { name: "no headers", headers: false, ..DEFAULT };
/// What `rdkafka_performance` can send as well: all its messages are one buffer, of which lz4 makes next to nothing, and have
/// one key, whose partition would get them all.
const AS_C: Shape = Shape { name: "as C", compression: "none", partitioner: "random", ..DEFAULT };
const PAYLOAD_ONLY: Shape =
    Shape { name: "payload only, as C", key: false, headers: false, compression: "none", ..DEFAULT };

/// The bare loop and the sink alone send lines that were made before: what takes longer through the host is the host's work.
pub const CONTENDERS: [Contender; 14] = [
    row("bare loop (rd_kafka_produceva)", &DEFAULT, 0, Load::bare),
    row("the sink alone", &DEFAULT, 0, Load::alone),
    row("the sink through the host", &DEFAULT, 0, Load::sink),
    row("bare loop (rd_kafka_produce_batch)", &NO_HEADERS, 3, Load::bare),
    row("the sink alone", &NO_HEADERS, 3, Load::alone),
    row("the sink through the host", &NO_HEADERS, 3, Load::sink),
    row("rdkafka_performance (C)", &AS_C, 6, Load::performance),
    row("bare loop", &AS_C, 6, Load::bare),
    row("the sink alone", &AS_C, 6, Load::alone),
    row("the sink through the host", &AS_C, 6, Load::sink),
    row("rdkafka_performance (C)", &PAYLOAD_ONLY, 10, Load::performance),
    row("bare loop", &PAYLOAD_ONLY, 10, Load::bare),
    row("the sink alone", &PAYLOAD_ONLY, 10, Load::alone),
    row("the sink through the host", &PAYLOAD_ONLY, 10, Load::sink),
];

const fn row(
    name: &'static str,
    shape: &'static Shape,
    against: usize,
    run: fn(&Load, &Shape) -> Run,
) -> Contender {
    Contender { name, shape, against, run }
}

impl Shape {
    /// The properties of all contenders, which are those of the sink.
    pub fn properties(&self) -> [(&'static str, &'static str); 7] {
        [
            ("acks", "all"),
            ("enable.idempotence", "true"),
            ("linger.ms", "5"),
            ("queue.buffering.max.messages", "100000"),
            ("queue.buffering.max.kbytes", "65536"),
            ("compression.type", self.compression),
            ("partitioner", self.partitioner),
        ]
    }

    /// The sink's options.
    fn options(&self, servers: &str) -> Value {
        let mut options = json!({
            "topic": TOPIC,
            "bootstrap_servers": servers,
            "librdkafka": { "compression.type": self.compression, "partitioner": self.partitioner },
        });
        if !self.key {
            options["key"] = json!("none");
        }
        if !self.headers {
            options["headers"] = json!([]);
        }
        options
    }
}

const USERS: usize = 100;
const LINES: usize = 10_000;
/// The worker's defaults for the sink.
const BATCH: usize = 2000;
const IN_FLIGHT: usize = 8;
/// `queue.buffering.max.messages`.
const QUEUE: usize = 100_000;
const PATIENCE: Duration = Duration::from_secs(300);

/// What is sent.
pub struct Load {
    servers: String,
    messages: usize,
    events: Vec<PermissionAuditEvent>,
    /// Canonical lines of `LINES` events, and the text of their users.
    lines: Vec<(Vec<u8>, String)>,
    performance: Option<PathBuf>,
}

impl Load {
    pub fn new(servers: String, messages: usize, performance: Option<PathBuf>) -> Self {
        let events: Vec<_> = (0..USERS).map(event).collect();
        let of_lines: Vec<_> = (0..LINES).map(|number| events[number % USERS].clone()).collect();
        let lines = TestBatch::new(&of_lines).lend(|batch| {
            let lines = batch.events().map(|event| {
                let user = event.user_id_escaped().unwrap_or_default();
                (event.json().to_vec(), String::from_utf8_lossy(user).into_owned())
            });
            lines.collect()
        });
        Self { servers, messages, events, lines, performance }
    }

    pub fn payload_bytes(&self) -> usize {
        self.lines[0].0.len()
    }

    fn sink(&self, shape: &Shape) -> Run {
        let dir = Dir::empty();
        dir.install("libaudit_sink_kafka.so");
        let options = shape.options(&self.servers);
        let config = json!({"audit_logger": {"class": "kafka.KafkaAuditLogger", "options": options}});
        dir.write("audit.toml", toml::to_string(&config).expect("tables and texts"));
        let config = Config::load(&dir.path("audit.toml")).expect("a good configuration");
        let logger = Logger::open(config, &Loading::default()).expect("the sink opens");
        // A first message, for everybody: getting the producer's id from the broker takes half a second now and then.
        logger.record(&self.events[0]).expect("accepted");
        logger.flush(PATIENCE).expect("not in a callback");
        let clock = Clock::start();
        for event in self.events.iter().cycle().take(self.messages) {
            logger.record(event).expect("accepted");
        }
        logger.flush(PATIENCE).expect("not in a callback");
        let run = clock.stop();
        let report = logger.close(PATIENCE).expect("not in a callback");
        assert_eq!(report.totals.delivered, self.messages as u64 + 1, "{report:?}");
        run
    }

    fn alone(&self, shape: &Shape) -> Run {
        let host = Arc::new(Acknowledged::default());
        let options = KafkaOptions::from_json(shape.options(&self.servers)).expect("good options");
        let context = Context { batch_size: BATCH, max_in_flight: IN_FLIGHT, ..testing::context() };
        let mut sink = KafkaSink::open(options, context, Host::new(host.clone())).expect("the sink opens");
        let first = TestBatch::new(&self.events[..1]);
        assert_eq!(first.lend(|batch| sink.write_batch(batch)), Ok(Written::Pending { taken: 1 }));
        host.wait_for(1);
        let events: Vec<_> = self.events.iter().cycle().take(BATCH).cloned().collect();
        let batches: Vec<_> = (0..LINES / BATCH).map(|_| TestBatch::new(&events)).collect();
        let clock = Clock::start();
        let mut sent = 1;
        for batch in batches.iter().cycle().take(self.messages.div_ceil(BATCH)) {
            // As many as the host has in flight.
            host.wait_for((sent + BATCH).saturating_sub(IN_FLIGHT * BATCH));
            let written = batch.lend(|batch| sink.write_batch(batch));
            assert_eq!(written, Ok(Written::Pending { taken: BATCH as u32 }));
            sent += BATCH;
        }
        host.wait_for(sent);
        clock.stop()
    }

    fn bare(&self, shape: &Shape) -> Run {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.servers);
        for (name, value) in shape.properties() {
            config.set(name, value);
        }
        let producer = BareProducer::new(&config, TOPIC, shape);
        producer.connect();
        producer.send_all(&self.lines, 1);
        let clock = Clock::start();
        producer.send_all(&self.lines, self.messages);
        let run = clock.stop();
        assert_eq!(producer.delivered(), self.messages + 1);
        run
    }

    /// What this many messages cost beyond those that fill its queue, which it does while it still connects and waits for
    /// the producer's id: two runs, of which the shorter one is taken away.
    fn performance(&self, shape: &Shape) -> Run {
        let Some(program) = &self.performance else {
            return Run { took: Duration::MAX, cpu: Duration::ZERO };
        };
        let run = |messages| {
            let both = || processor_time(libc::RUSAGE_CHILDREN) + processor_time(libc::RUSAGE_SELF);
            let before = both();
            let took = performance::run(program, &self.servers, messages, self.payload_bytes(), shape);
            Run { took, cpu: both() - before }
        };
        let (start, all) = (run(QUEUE), run(QUEUE + self.messages));
        Run { took: all.took.saturating_sub(start.took), cpu: all.cpu.saturating_sub(start.cpu) }
    }
}

/// A host that only counts what is delivered.
#[derive(Default)]
struct Acknowledged {
    delivered: Mutex<usize>,
    more: Condvar,
}

impl Acknowledged {
    fn wait_for(&self, events: usize) {
        let delivered = self.delivered.lock().expect("nobody panics");
        let waited = self.more.wait_timeout_while(delivered, PATIENCE, |delivered| *delivered < events);
        assert!(!waited.expect("nobody panics").1.timed_out(), "everything is delivered");
    }
}

impl HostServices for Acknowledged {
    fn log(&self, _level: Level, _target: &str, _text: &str) {}

    fn acknowledge(&self, acknowledgement: Acknowledgement) {
        assert_eq!(acknowledgement.status, AckStatus::Delivered, "{acknowledgement:?}");
        *self.delivered.lock().expect("nobody panics") += acknowledgement.count as usize;
        self.more.notify_all();
    }

    fn report(&self, _report: &Value) {}

    fn extension(&self, _id: &str, _version: u32) -> Option<RawExtension> {
        None
    }
}

/// Measures a run.
struct Clock {
    started: Instant,
    processor: Duration,
}

impl Clock {
    fn start() -> Self {
        Self { processor: processor_time(libc::RUSAGE_SELF), started: Instant::now() }
    }

    fn stop(self) -> Run {
        let took = self.started.elapsed();
        Run { took, cpu: processor_time(libc::RUSAGE_SELF) - self.processor }
    }
}

/// Processor time of this process, or of its children that have ended, so far.
fn processor_time(who: libc::c_int) -> Duration {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: there is a place for the answer, which is whole when the call succeeds.
    let usage = unsafe {
        assert_eq!(libc::getrusage(who, usage.as_mut_ptr()), 0);
        usage.assume_init()
    };
    [usage.ru_utime, usage.ru_stime]
        .iter()
        .map(|time| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000))
        .sum()
}

/// An event whose canonical line has about 320 bytes.
fn event(number: usize) -> PermissionAuditEvent {
    let metadata = Metadata::from_json(r#"{"ip":"203.0.113.7","path":"/graphql/"}"#).expect("an object");
    PermissionAuditEvent::new(Action::Update, false)
        .attribute("status")
        .attribute("owner")
        .manager("Project")
        .user_id((4200 + number).to_string())
        .permission("isProjectOwner:status")
        .metadata(metadata)
}
