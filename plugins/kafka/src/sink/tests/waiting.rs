//! Who waits for reports, how long, and who hears them.

use std::sync::{Condvar, Mutex};
use std::thread::{self, ThreadId};

use audit_plugin_api::{HostServices, RawExtension, SinkOptions};

use super::*;

/// A host that keeps which thread told it of what.
#[derive(Default)]
struct Listener {
    heard: Mutex<Vec<(ThreadId, Acknowledgement)>>,
    more: Condvar,
}

impl Listener {
    /// Waits until this many events are acknowledged; returns by whom.
    fn wait_for(&self, events: u32) -> Vec<(ThreadId, Acknowledgement)> {
        let few = |heard: &mut Vec<(_, Acknowledgement)>| {
            heard.iter().map(|(_, ack)| ack.count).sum::<u32>() < events
        };
        let heard = self.heard.lock().unwrap();
        let (heard, waited) = self.more.wait_timeout_while(heard, PATIENCE, few).unwrap();
        assert!(!waited.timed_out(), "{heard:?}");
        heard.clone()
    }

    fn heard(&self) -> Vec<(ThreadId, Acknowledgement)> {
        self.heard.lock().unwrap().clone()
    }

    fn open(self: &Arc<Self>, cluster: &Mock, max_in_flight: usize, librdkafka: Value) -> KafkaSink {
        let options = options(&cluster.bootstrap_servers(), json!({"librdkafka": librdkafka}));
        let context = Context { max_in_flight, ..testing::context() };
        KafkaSink::open(KafkaOptions::from_json(options).unwrap(), context, Host::new(self.clone())).unwrap()
    }
}

impl HostServices for Listener {
    fn log(&self, _level: Level, _target: &str, _text: &str) {}

    fn acknowledge(&self, acknowledgement: Acknowledgement) {
        self.heard.lock().unwrap().push((thread::current().id(), acknowledgement));
        self.more.notify_all();
    }

    fn report(&self, _report: &Value) {}

    fn extension(&self, _id: &str, _version: u32) -> Option<RawExtension> {
        None
    }
}

fn write(sink: &mut KafkaSink, id: u64, count: usize) {
    let batch = TestBatch::new(&events(count)).id(id);
    assert_eq!(batch.lend(|batch| sink.write_batch(batch)), Ok(Written::Pending { taken: count as u32 }));
}

#[test]
fn a_writer_that_may_send_no_more_hears_the_reports_itself() {
    let (cluster, host) = (mock(1), Arc::new(Listener::default()));
    let mut sink = host.open(&cluster, 1, json!({"linger.ms": 0}));
    for batch in 0..200 {
        // As the host does, which has one batch in flight.
        host.wait_for(batch * 5);
        write(&mut sink, batch.into(), 5);
    }
    let heard = host.wait_for(1000);
    drop(sink);
    assert_eq!(heard, host.heard());
    let mut events: Vec<_> = heard
        .iter()
        .flat_map(|(_, ack)| (ack.first..ack.first + ack.count).map(move |event| (ack.batch, event)))
        .collect();
    events.sort_unstable();
    let all: Vec<_> = (0..200).flat_map(|batch| (0..5).map(move |event| (batch, event))).collect();
    assert_eq!(events, all, "each event is acknowledged once");
    assert!(heard.iter().all(|(_, ack)| ack.status == AckStatus::Delivered), "{heard:?}");
    // This thread has done nothing but write.
    assert!(heard.iter().any(|(thread, _)| *thread == thread::current().id()));
}

#[test]
fn a_writer_that_may_send_no_more_waits_a_moment_only() {
    let (cluster, host) = (mock(1), Arc::new(Listener::default()));
    let mut sink = host.open(&cluster, 2, json!({}));
    cluster.broker_round_trip_time(1, Duration::from_secs(2)).unwrap();
    for batch in 1..=2 {
        write(&mut sink, batch, 5);
        assert_eq!(sink.poller.producer().in_flight().batches(), batch as usize);
    }
    assert_eq!(host.heard(), []);
    let heard = host.wait_for(10);
    assert!(heard.iter().all(|(thread, _)| *thread != thread::current().id()), "{heard:?}");
}

#[test]
fn a_flush_does_not_wait_for_what_is_in_flight() {
    let (cluster, host) = (mock(1), Arc::new(Listener::default()));
    let mut sink = host.open(&cluster, 2, json!({}));
    cluster.broker_round_trip_time(1, Duration::from_millis(900)).unwrap();
    write(&mut sink, 1, 5);
    assert_eq!(sink.flush(Deadline::after(PATIENCE)), Ok(()));
    assert_eq!(host.heard(), []);
    let heard = host.wait_for(5);
    assert!(heard.iter().all(|(thread, _)| *thread != thread::current().id()), "{heard:?}");
}

#[test]
fn a_flush_and_a_close_send_what_librdkafka_would_hold_back_for_more() {
    let cluster = mock(1);
    let mut sink = open(&cluster, json!({"delivery_timeout": 300, "librdkafka": {"linger.ms": 200_000}}));
    sink.write(&events(5)).unwrap();
    let until = Instant::now() + PATIENCE;
    while sink.host().acknowledgements().is_empty() {
        // Not at once, where it is still to be given its id by the broker.
        assert_eq!(sink.flush(Deadline::after(PATIENCE)), Ok(()));
        assert!(Instant::now() < until, "the messages are held back");
    }
    sink.write(&events(5)).unwrap();
    assert_eq!(sink.close(Deadline::after(PATIENCE)), Ok(()));
    assert_eq!(count_of(&settled(&sink, 10), AckStatus::Delivered), 10);
}

#[test]
fn a_report_that_the_thread_took_wakes_who_waits() {
    let (cluster, host) = (mock(1), Arc::new(Listener::default()));
    // Nothing else is to happen that would end a wait.
    let mut sink = host.open(&cluster, 8, json!({"linger.ms": 0, "statistics.interval.ms": 0}));
    let until = Instant::now() + PATIENCE;
    let mut sent = 0;
    loop {
        // The thread hears of the first, and goes on waiting for what comes next, as this thread does after the second.
        write(&mut sink, sent + 1, 1);
        host.wait_for(sent as u32 + 1);
        write(&mut sink, sent + 2, 1);
        let before = host.heard().len();
        assert_eq!(sink.poller.listen().wait_for_all(until), 0);
        assert!(Instant::now() < until, "nobody has woken this thread");
        sent += 2;
        let heard = host.wait_for(sent as u32);
        if heard[before..].iter().any(|(thread, _)| *thread != thread::current().id()) {
            break;
        }
        assert!(sent < 1000, "the thread never takes a report while another one waits");
    }
}
