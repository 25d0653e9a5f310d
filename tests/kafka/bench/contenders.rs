//! Who is measured.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use audit_host::config::Config;
use audit_host::logger::{AuditLogger, Loading, Logger};
use audit_plugin_api::testing::{self, TestBatch};
use audit_plugin_api::{
    AckStatus, Acknowledgement, Action, Host, HostServices, Level, Metadata, PermissionAuditEvent,
    RawExtension, Sink, SinkOptions, Written,
};
use audit_sink_kafka::{KafkaOptions, KafkaSink};
use audit_tests::Dir;
use rdkafka::producer::{BaseRecord, DeliveryResult, NoCustomPartitioner, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};
use serde_json::{Value, json};

use crate::bare::{BareProducer, Headers, Keys};
use crate::{TOPIC, performance};

/// What is measured: a run of all messages.
pub struct Contender {
    pub name: &'static str,
    /// The row that it is compared with: the bare loop that does the same work.
    pub against: usize,
    pub run: fn(&Load) -> Run,
}

/// A run, from the first message to the last report.
#[derive(Clone, Copy)]
pub struct Run {
    pub took: Duration,
    /// Processor time of this process meanwhile, with the mock, where that is used; of `rdkafka_performance` all of it.
    pub cpu: Duration,
}

/// Those "like with like" do what `rdkafka_performance` does: every one of its messages is the same buffer, which lz4 makes
/// next to nothing of, and has no key to be hashed; so there they have no compression and no keys either. The sink alone is
/// given lines that were made before, as the bare loop is: what it takes longer through the host is the host's work.
pub const CONTENDERS: [Contender; 13] = [
    row("bare loop (rd_kafka_produce_batch, poll thread)", 0, |load| {
        load.bare(Keys::Users, Headers::None, "lz4")
    }),
    row("the sink through the host, headers = []", 0, |load| load.sink("headers = []")),
    row("bare loop with two headers (rd_kafka_produceva)", 2, |load| {
        load.bare(Keys::Users, Headers::Two, "lz4")
    }),
    row("the sink through the host, its default two headers", 2, |load| load.sink("")),
    row("the same, compression none", 2, |load| load.sink(r#"librdkafka = { "compression.type" = "none" }"#)),
    row("rdkafka's ThreadedProducer, no headers", 0, Load::threaded),
    row("rdkafka_performance (C), one buffer, lz4", 0, |load| load.performance("lz4")),
    row("like with like: rdkafka_performance (C)", 7, |load| load.performance("none")),
    row("like with like: bare loop", 7, |load| load.bare(Keys::None, Headers::None, "none")),
    row("like with like: the sink through the host", 7, |load| load.sink(LIKE_C)),
    row("the sink alone, headers = []", 0, |load| load.alone(json!({"headers": []}))),
    row("the sink alone, its default two headers", 2, |load| load.alone(json!({}))),
    row("like with like: the sink alone", 7, |load| {
        load.alone(json!({"headers": [], "key": "none", "librdkafka": {"compression.type": "none"}}))
    }),
];

const fn row(name: &'static str, against: usize, run: fn(&Load) -> Run) -> Contender {
    Contender { name, against, run }
}

/// Options that leave out what `rdkafka_performance` does not do.
const LIKE_C: &str = r#"headers = []
key = "none"
librdkafka = { "compression.type" = "none" }"#;

/// The properties of all of them, which are those of the sink.
pub const PROPERTIES: [(&str, &str); 6] = [
    ("acks", "all"),
    ("enable.idempotence", "true"),
    ("compression.type", "lz4"),
    ("linger.ms", "5"),
    ("queue.buffering.max.messages", "100000"),
    ("queue.buffering.max.kbytes", "65536"),
];

const USERS: usize = 100;
const LINES: usize = 10_000;
/// The worker's defaults for the sink.
const BATCH: usize = 2000;
const IN_FLIGHT: usize = 8;
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

    fn config(&self, compression: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in PROPERTIES {
            config.set(name, value);
        }
        config.set("partitioner", "murmur2_random").set("bootstrap.servers", &self.servers);
        config.set("compression.type", compression);
        config
    }

    fn sink(&self, options: &str) -> Run {
        let dir = Dir::empty();
        dir.install("libaudit_sink_kafka.so");
        dir.write(
            "audit.toml",
            format!(
                "[audit_logger]\nclass = \"kafka.KafkaAuditLogger\"\n[audit_logger.options]\ntopic = \"{TOPIC}\"\n\
                 bootstrap_servers = \"{}\"\n{options}\n",
                self.servers
            ),
        );
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

    fn alone(&self, mut options: Value) -> Run {
        let host = Arc::new(Acknowledged::default());
        options["topic"] = json!(TOPIC);
        options["bootstrap_servers"] = json!(self.servers);
        let options = KafkaOptions::from_json(options).expect("good options");
        let mut sink =
            KafkaSink::open(options, testing::context(), Host::new(host.clone())).expect("the sink opens");
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

    fn bare(&self, keys: Keys, headers: Headers, compression: &str) -> Run {
        let producer = BareProducer::new(&self.config(compression), TOPIC, keys);
        producer.connect();
        producer.send_all(&self.lines, 1, headers);
        let clock = Clock::start();
        producer.send_all(&self.lines, self.messages, headers);
        let run = clock.stop();
        assert_eq!(producer.delivered(), self.messages + 1);
        run
    }

    fn threaded(&self) -> Run {
        #[derive(Clone, Default)]
        struct Count(Arc<AtomicUsize>);
        impl ClientContext for Count {}
        impl ProducerContext<NoCustomPartitioner> for Count {
            type DeliveryOpaque = ();
            fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
                assert!(result.is_ok(), "{:?}", result.as_ref().err());
                self.0.fetch_add(1, Ordering::Release);
            }
        }
        let count = Count::default();
        let producer: ThreadedProducer<Count> =
            self.config("lz4").create_with_context(count.clone()).expect("a producer");
        let _ = rdkafka::producer::Producer::client(&producer).fetch_metadata(Some(TOPIC), PATIENCE);
        let (line, user) = &self.lines[0];
        producer.send(BaseRecord::to(TOPIC).payload(line).key(user)).expect("room for the first");
        rdkafka::producer::Producer::flush(&producer, PATIENCE).expect("the first is delivered");
        let all = self.messages + count.0.load(Ordering::Acquire);
        let clock = Clock::start();
        for (line, user) in self.lines.iter().cycle().take(self.messages) {
            let mut record = BaseRecord::to(TOPIC).payload(line).key(user);
            while let Err((_, back)) = producer.send(record) {
                record = back;
                // Its queue is full; rdkafka has no call that waits for room.
                thread::sleep(Duration::from_millis(1));
            }
        }
        while count.0.load(Ordering::Acquire) < all {
            // Once, at the end, and at most a millisecond too long.
            thread::sleep(Duration::from_millis(1));
        }
        clock.stop()
    }

    fn performance(&self, compression: &str) -> Run {
        match &self.performance {
            Some(program) => {
                let before = processor_time(libc::RUSAGE_CHILDREN);
                let took = performance::run(
                    program,
                    &self.servers,
                    self.messages,
                    self.payload_bytes(),
                    compression,
                );
                Run { took, cpu: processor_time(libc::RUSAGE_CHILDREN) - before }
            }
            None => Run { took: Duration::MAX, cpu: Duration::ZERO },
        }
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
