//! What it costs to record, and how fast events reach a file: `cargo bench -p audit-tests --bench record`.
//!
//! The event is the 384-byte one of the contract (383 bytes here: its id is a UUID like any other, its time too). The file
//! sink is loaded as a `.so`; the same sink linked in stands beside it, measured in turn with it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use audit_host::config::{BufferSettings, Config, DeliverySettings, Secrets, SinkSettings};
use audit_host::logger::{AuditLogger, Loading, Logger};
use audit_host::pipeline::{Pipeline, SinkSetup, linked};
use audit_plugin_api::serde_json::json;
use audit_plugin_api::{Context, PermissionAuditEvent, SinkError, SinkOptions};
use audit_sink_file::{FileOptions, FileSink};
use audit_tests::{Dir, measured_event};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Events recorded between two flushes: fewer than fill the store, so that `record` never waits.
const BURST: u64 = 50_000;
/// Events of one end-to-end run.
const RUN: u64 = 1_000_000;

/// Something to record into, however its sink came here.
trait Recorder: Sync {
    fn record(&self, event: &PermissionAuditEvent);
    fn flush(&self);
    fn close(&self) -> u64;
}

const LONG: Duration = Duration::from_secs(60);

impl Recorder for Logger {
    fn record(&self, event: &PermissionAuditEvent) {
        AuditLogger::record(self, event).expect("accepted");
    }
    fn flush(&self) {
        AuditLogger::flush(self, LONG).expect("not in a callback");
    }
    fn close(&self) -> u64 {
        AuditLogger::close(self, LONG).expect("not in a callback").totals.delivered
    }
}

impl Recorder for Pipeline {
    fn record(&self, event: &PermissionAuditEvent) {
        Pipeline::record(self, event).expect("accepted");
    }
    fn flush(&self) {
        Pipeline::flush(self, LONG).expect("not in a callback");
    }
    fn close(&self) -> u64 {
        Pipeline::close(self, LONG).expect("not in a callback").totals.delivered
    }
}

/// The file sink, loaded as a `.so` as a deployment does it.
fn loaded(dir: &Dir) -> Box<dyn Recorder> {
    loaded_with(dir, "")
}

/// The same, with the spool in the default durability.
fn spooled(dir: &Dir) -> Box<dyn Recorder> {
    loaded_with(dir, "[buffer]\nspool_dir = \"spool\"\n")
}

fn loaded_with(dir: &Dir, more: &str) -> Box<dyn Recorder> {
    let text = "[audit_logger]\nclass = \"file.FileAuditLogger\"\n[audit_logger.options]\npath = \"audit.ndjson\"\nfsync = \"never\"\n";
    let config =
        Config::load(&dir.write("audit.toml", format!("{text}{more}"))).expect("a good configuration");
    Box::new(Logger::open(config, &Loading::default()).expect("the sink opens"))
}

/// The same sink, linked into this program.
fn linked_in(dir: &Dir) -> Box<dyn Recorder> {
    let settings = SinkSettings {
        name: "file".into(),
        class: "file.FileAuditLogger".into(),
        batch_size: 1000,
        ..SinkSettings::default()
    };
    let context = Context {
        api: "1.0.0".into(),
        host_version: "0".into(),
        instance: 0,
        name: settings.name.clone(),
        class: settings.class.clone(),
        config_dir: dir.path(""),
        batch_size: settings.batch_size,
        max_event_bytes: 1 << 20,
        max_in_flight: 1,
        shutdown_timeout: 8.0,
        durability: None,
    };
    let options = || {
        FileOptions::from_json(json!({"path": "audit.ndjson", "fsync": "never"}))
            .map_err(|error| SinkError::permanent(error.to_string()))
    };
    let setup = SinkSetup { settings, factory: Arc::new(linked::<FileSink>(context, options)) };
    let buffer = BufferSettings::default();
    let pipeline = Pipeline::open(vec![setup], buffer, DeliverySettings::default(), Secrets::default());
    Box::new(pipeline.expect("the sink opens"))
}

/// Records a run's events and closes; returns how long that took. All lines are looked at afterwards.
fn end_to_end(open: fn(&Dir) -> Box<dyn Recorder>, producers: u64) -> Duration {
    let dir = Dir::new();
    let recorder = open(&dir);
    let event = measured_event();
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..producers {
            let (recorder, event) = (&recorder, event.clone());
            scope.spawn(move || (0..RUN / producers).for_each(|_| recorder.record(&event)));
        }
    });
    let delivered = recorder.close();
    let took = started.elapsed();
    assert_eq!(delivered, RUN);
    assert_eq!(check_lines(&dir.path("audit.ndjson"), &event), RUN);
    took
}

/// Counts the lines; each must be the event, but for its id and time.
fn check_lines(path: &Path, event: &PermissionAuditEvent) -> u64 {
    let wanted = event.to_json();
    let rest = wanted.find(r#","action":"#).expect("a canonical line");
    let mut lines = BufReader::with_capacity(1 << 20, File::open(path).expect("the file is there"));
    let mut line = String::new();
    let mut count = 0;
    while lines.read_line(&mut line).expect("UTF-8") > 0 {
        assert_eq!(&line[rest..line.len() - 1], &wanted[rest..]);
        line.clear();
        count += 1;
    }
    count
}

fn record(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("record");
    group.throughput(Throughput::Elements(1)).measurement_time(Duration::from_secs(10));
    for (name, open) in [("in memory", loaded as Open), ("spool", spooled)] {
        let dir = Dir::new();
        let recorder = open(&dir);
        group.bench_function(format!("file .so, one producer, {name}"), |bencher| {
            bencher.iter_custom(|count| bursts(&*recorder, count));
        });
    }
    group.finish();
}

/// Records so many events in bursts, with a flush after each that does not count.
fn bursts(recorder: &dyn Recorder, count: u64) -> Duration {
    let event = measured_event();
    let mut took = Duration::ZERO;
    let mut left = count;
    while left > 0 {
        let burst = left.min(BURST);
        let started = Instant::now();
        (0..burst).for_each(|_| recorder.record(&event));
        took += started.elapsed();
        left -= burst;
        recorder.flush();
    }
    took
}

fn end_to_end_into_a_file(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("end to end");
    group.throughput(Throughput::Elements(RUN)).sample_size(10).measurement_time(Duration::from_secs(15));
    for producers in [1, 4] {
        group.bench_function(format!("file .so, {producers} producers"), |bencher| {
            bencher.iter_custom(|count| (0..count).map(|_| end_to_end(loaded, producers)).sum());
        });
    }
    group.finish();
}

type Open = fn(&Dir) -> Box<dyn Recorder>;

/// Two ways, in turn: the median of the ratios of neighbours.
fn compare(what: &str, one: impl Fn() -> Duration, other: impl Fn() -> Duration) {
    const ROUNDS: usize = 15;
    let mut ratios: Vec<f64> = (0..ROUNDS)
        .map(|round| {
            // Who goes first changes, so that a drift of the machine favours neither.
            let (one, other) = if round % 2 == 0 {
                let one = one();
                (one, other())
            } else {
                let other = other();
                (one(), other)
            };
            one.as_secs_f64() / other.as_secs_f64()
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let (least, median, most) = (ratios[0], ratios[ROUNDS / 2], ratios[ROUNDS - 1]);
    println!("{what}: ratio of times {median:.3} (median of {ROUNDS} pairs; {least:.3} to {most:.3})");
}

fn ratios(_: &mut Criterion) {
    let producers = 1;
    compare(
        "end to end, .so against linked in",
        || end_to_end(loaded, producers),
        || end_to_end(linked_in, producers),
    );
    for producers in [1, 4] {
        compare(
            &format!("end to end, spool against memory, {producers} producers"),
            || end_to_end(spooled, producers),
            || end_to_end(loaded, producers),
        );
    }
    let (memory_dir, spool_dir) = (Dir::new(), Dir::new());
    let (memory, spool) = (loaded(&memory_dir), spooled(&spool_dir));
    compare("record, spool against memory", || bursts(&*spool, 500_000), || bursts(&*memory, 500_000));
}

criterion_group!(benches, record, end_to_end_into_a_file, ratios);
criterion_main!(benches);
