//! Brokers that are killed under load.
//!
//! Every event is recorded before the next step, so that a test ends with a fact and not with luck: what was consumed and
//! what is in the dead letters are, together, exactly what was recorded.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use audit_host::config::Config;
use audit_host::logger::{AuditLogger, Loading, Logger};
use audit_host::pipeline::CloseReport;
use audit_plugin_api::{Action, PermissionAuditEvent};
use audit_tests::Dir;
use audit_tests::oracle::id_of;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::arrived::Arrived;
use crate::cluster::{Cluster, Consumed, say};
use crate::mock::Mock;
use crate::{PATIENCE, TOPIC, dead_letters, kafka_dir};

const SETTINGS: &str = "delivery_timeout = 3\n[buffer]\nblock_timeout = 180\n";

/// A logger, and how many events were recorded.
struct Load {
    dir: Dir,
    logger: Logger,
    recorded: AtomicUsize,
}

impl Load {
    fn start(cluster: &Cluster) -> Self {
        let dir = kafka_dir(&cluster.servers(), SETTINGS);
        let config = Config::load(&dir.path("audit.toml")).expect("a good configuration");
        let logger = Logger::open(config, &Loading::default()).expect("the sink opens");
        Self { dir, logger, recorded: AtomicUsize::new(0) }
    }

    /// Records this many events. As soon as a third of them is delivered, `kill` ends a broker, while the second third
    /// is recorded; the last third is recorded while it is down, and `meanwhile` happens.
    fn record_through(&self, count: usize, kill: impl FnOnce(), meanwhile: impl FnOnce()) {
        let third = count / 3;
        let before = self.delivered();
        thread::scope(|scope| {
            // In here, so that the thread ends also where a broker is never killed.
            let (is_down, down) = mpsc::channel();
            scope.spawn(move || {
                self.record(2 * third);
                down.recv().expect("a broker is down");
                self.record(count - 2 * third);
            });
            self.wait("a third is delivered", || self.delivered() >= before + third as u64);
            kill();
            is_down.send(()).expect("the thread waits");
            meanwhile();
        });
    }

    fn record(&self, count: usize) {
        for _ in 0..count {
            let number = self.recorded.fetch_add(1, Ordering::Relaxed);
            let event = PermissionAuditEvent::new(Action::Update, true)
                .user_id((number % 100).to_string())
                .attribute(number.to_string())
                .manager("Project")
                .permission("isProjectOwner:status");
            self.logger.record(&event).expect("the event is accepted");
        }
    }

    fn delivered(&self) -> u64 {
        self.logger.counts().delivered
    }

    fn wait(&self, what: &str, done: impl Fn() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !done() {
            assert!(Instant::now() < end, "{what}: {:?}", self.logger.counts());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Closes the logger; nothing may be missing. What had happened is said beside the figures.
    fn end(self, cluster: &Cluster, what: &str) -> (CloseReport, Vec<Consumed>) {
        let report = self.logger.close(PATIENCE).expect("not in a callback");
        let totals = report.totals;
        let recorded = self.recorded.into_inner();
        assert_eq!((totals.accepted, totals.lost), (recorded as u64, 0), "{report:?}");
        let consumed = cluster.consume(TOPIC);
        let dead = dead_letters(&self.dir);
        assert_eq!(totals.dead_lettered, dead.len() as u64, "{report:?}");
        let Arrived { mut lines, duplicates } = Arrived::new(&consumed);
        // A dead letter may have arrived all the same, and has the same id then.
        let dead: Vec<String> = dead.iter().map(|letter| letter["event"].to_string()).collect();
        lines.extend(dead.iter().map(|line| (id_of(line).expect("an id"), &**line)));
        // An event that had arrived under two ids would stand here twice.
        let mut numbers: Vec<usize> = lines.values().map(|line| number_of(line)).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..recorded), "{} of {recorded} events arrived", lines.len());
        say(&format!(
            "{what}: recorded={recorded} consumed={} duplicates={duplicates} dead_letters={} retried={} lost={}",
            consumed.len(),
            dead.len(),
            totals.retried,
            totals.lost
        ));
        (report, consumed)
    }
}

/// The number that [`Load::record`] gave an event.
fn number_of(line: &str) -> usize {
    let event = PermissionAuditEvent::from_canonical(line.as_bytes()).expect("a canonical line");
    event.attributes[0].parse().expect("a number")
}

#[test]
fn a_broker_that_is_killed_again_and_again_loses_nothing() {
    let cluster = Cluster::start(1);
    cluster.create_topic(TOPIC, 3);
    let load = Load::start(&cluster);
    let share = cluster.scale(300_000) / 6;
    for _ in 0..5 {
        load.record_through(share, || cluster.kill(1), || cluster.resume(1));
    }
    // Longer than the delivery timeout: events come back from librdkafka, and are offered again.
    let retried = || load.logger.counts().retried;
    let before = retried();
    let kill = || cluster.kill(1);
    load.record_through(share, kill, || {
        load.wait("events come back", || retried() > before);
        cluster.resume(1);
    });
    let (report, _) = load.end(&cluster, "one broker, killed six times");
    assert_eq!(report.totals.delivered, report.totals.accepted, "{report:?}");
    assert!(report.totals.retried > 0, "{report:?}");
}

#[test]
fn a_fatal_error_of_the_idempotent_producer_costs_one_instance_and_no_event() {
    // No broker can be asked for this error: it is always the mock.
    let mock = Mock::start(1);
    mock.create_topic(TOPIC, 3);
    mock.fail(
        RDKafkaApiKey::InitProducerId,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED],
    );
    let cluster = Cluster::Mock(mock);
    let load = Load::start(&cluster);
    load.record(5000);
    let (report, consumed) = load.end(&cluster, "a fatal error (mock)");
    assert_eq!((report.totals.delivered, consumed.len()), (5000, 5000), "{report:?}");
    assert!(report.totals.retried > 0, "the first instance was of no use: {report:?}");
}

#[test]
fn a_leader_of_three_that_is_killed_under_load_loses_nothing() {
    let cluster = Cluster::start(3);
    cluster.create_topic(TOPIC, 1);
    let load = Load::start(&cluster);
    let share = cluster.scale(60_000);
    for _ in 0..2 {
        let leader = cluster.leader(TOPIC);
        let before = load.delivered() + share as u64;
        let kill = || cluster.kill(leader);
        load.record_through(share, kill, || load.wait("another leads", || load.delivered() == before));
        cluster.resume(leader);
    }
    let (report, _) = load.end(&cluster, "three brokers, their leader killed twice");
    assert_eq!(report.totals.delivered, report.totals.accepted, "{report:?}");
}
