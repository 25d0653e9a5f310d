//! Errors after which a fresh producer has to take over.

use std::collections::BTreeSet;
use std::thread;

use audit_plugin_api::Uuid;

use super::*;
use crate::in_flight::Settled;

#[test]
fn after_a_fatal_error_the_host_is_asked_for_a_fresh_instance() {
    let cluster = mock(1);
    let mut sink = open(&cluster, json!({}));
    sink.poller.producer().provoke_fatal_error();
    let error = sink.write(&events(1)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Reopen);
    assert!(error.reason.contains("provoked by a test"), "{error}");
    assert_eq!(sink.flush(Deadline::after(PATIENCE)).unwrap_err().kind, ErrorKind::Reopen);
    drop(sink);
    let mut sink = open(&cluster, json!({}));
    sink.write(&events(1)).unwrap();
    assert_eq!(count_of(&settled(&sink, 1), AckStatus::Delivered), 1);
}

#[test]
fn nothing_of_a_batch_that_meets_a_fatal_error_has_failed() {
    let cluster = mock(1);
    for options in [json!({}), json!({"headers": []}), json!({"payload": "compact"})] {
        let sink = open(&cluster, options);
        sink.poller.producer().provoke_fatal_error();
        let mut settled = Settled::default();
        let sent = TestBatch::new(&events(10))
            .lend(|batch| sink.poller.producer().send(batch, 10, &sink.settings.form, &mut settled));
        assert_eq!((sent.taken, settled.acknowledgements.len()), (0, 0), "{:?}", settled.acknowledgements);
        assert!(sent.stopped.is_some());
    }
}

#[test]
fn after_a_fatal_error_of_the_idempotent_producer_a_fresh_one_delivers_the_rest() {
    let cluster = mock(1);
    let mut sink = open(&cluster, json!({}));
    sink.write(&events(1)).unwrap();
    settled(&sink, 1);
    cluster.broker_round_trip_time(1, Duration::from_millis(200)).unwrap();
    cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER],
    );
    let events: Vec<_> = events(300).into_iter().map(|event| event.event_id(Uuid::now_v7())).collect();
    // The producer fails while some of them are in flight.
    let written = events.chunks(50).map(|batch| sink.write(batch)).find_map(Result::err);
    let error = written.unwrap_or_else(|| {
        settled(&sink, 2);
        sink.write(&events[..1]).unwrap_err()
    });
    assert_eq!(error.kind, ErrorKind::Reopen);
    assert!(error.reason.contains("out of order sequence number"), "{error}");
    let acknowledgements = sink.host().acknowledgements();
    drop(sink);
    assert_eq!(count_of(&acknowledgements, AckStatus::Permanent), 0, "{acknowledgements:?}");
    // As the host does it: what was not told as delivered is offered to the next.
    let mut rest: BTreeMap<_, _> = (0..events.len()).zip(&events).collect();
    for ack in acknowledgements.iter().filter(|ack| ack.batch > 1 && ack.status == AckStatus::Delivered) {
        let first = (ack.batch as usize - 2) * 50 + ack.first as usize;
        rest.retain(|number, _| !(first..first + ack.count as usize).contains(number));
    }
    assert!(rest.len() >= 50, "{}", rest.len());
    let mut sink = open(&cluster, json!({}));
    let rest: Vec<_> = rest.into_values().cloned().collect();
    sink.write(&rest).unwrap();
    let count = rest.len() as u32;
    assert_eq!(count_of(&settled(&sink, count), AckStatus::Delivered), count);
    let consumed: BTreeSet<_> =
        consume(&cluster, 1)[&0].iter().map(|(_, _, headers)| headers[0].1.clone()).collect();
    for event in &events {
        assert!(consumed.contains(&event.event_id.unwrap().to_string()));
    }
}

#[test]
fn what_was_delivered_before_a_fatal_error_is_told_before_a_fresh_instance_is_asked_for() {
    let cluster = MockCluster::new(2).unwrap();
    cluster.create_topic(TOPIC, 2, 1).unwrap();
    for partition in 0..2 {
        cluster.partition_leader(TOPIC, partition, Some(partition + 1)).unwrap();
    }
    let mut sink = open(&cluster, json!({}));
    sink.write(&events(100)).unwrap();
    assert_eq!(count_of(&settled(&sink, 100), AckStatus::Delivered), 100);
    // So that the second batch stays incomplete.
    cluster.broker_round_trip_time(2, PATIENCE).unwrap();
    sink.write(&events(100)).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while sink.poller.producer().in_flight().messages() == 100 {
        assert!(Instant::now() < deadline, "nothing of the second batch is delivered");
        thread::yield_now();
    }
    sink.poller.producer().provoke_fatal_error();
    assert_eq!(sink.write(&events(1)).unwrap_err().kind, ErrorKind::Reopen);
    let acknowledgements = sink.host().acknowledgements();
    assert!(count_of(&acknowledgements, AckStatus::Delivered) > 100, "{acknowledgements:?}");
}
