//! Acknowledgements and held bytes.

use std::collections::BTreeMap;

use audit_plugin_api::testing::TestBatch;
use audit_plugin_api::{AckStatus, Acknowledgement, Written};
use serde_json::json;

use crate::{PATIENCE, events, open, soon, write};

/// The status that each event of each batch got first.
fn first_statuses(acknowledgements: &[Acknowledgement]) -> BTreeMap<(u64, u32), AckStatus> {
    let mut statuses = BTreeMap::new();
    for each in acknowledgements {
        for position in each.first..each.first + each.count {
            statuses.entry((each.batch, position)).or_insert(each.status);
        }
    }
    statuses
}

#[test]
fn acknowledgements_come_from_another_thread_in_the_order_of_the_sink() {
    let (mut instance, host) = open("test.Pending", json!({"order": "reverse", "gather": 2}));
    for id in [1, 2] {
        let taken = write(&mut instance, &TestBatch::new(&events(3)).id(id));
        assert_eq!(taken, Ok(Written::Pending { taken: 3 }));
    }
    let all = host.wait_for_acknowledgements(6, PATIENCE);
    let order: Vec<_> = all.iter().map(|each| (each.batch, each.first)).collect();
    assert_eq!(order, [(2, 2), (2, 1), (2, 0), (1, 2), (1, 1), (1, 0)]);
    assert!(all.iter().all(|each| each.status == AckStatus::Delivered));
}

#[test]
fn acknowledgements_may_come_before_write_batch_returns() {
    let (mut instance, host) = open("test.Pending", json!({"order": "before_return", "failing": [1]}));
    let batch = TestBatch::new(&events(3)).id(9);
    let written = batch.lend(|batch| instance.write_batch(batch));
    assert_eq!(written, Ok(Written::Pending { taken: 3 }));
    let statuses = first_statuses(&host.acknowledgements());
    use AckStatus::{Delivered, Retryable};
    assert_eq!(statuses, BTreeMap::from([((9, 0), Delivered), ((9, 1), Retryable), ((9, 2), Delivered)]));
    assert_eq!(host.acknowledgements()[1].reason, "scripted");
}

#[test]
fn a_sink_may_take_less_than_it_is_offered() {
    let (mut instance, host) = open("test.Pending", json!({"most": 2}));
    assert_eq!(write(&mut instance, &TestBatch::new(&events(5))), Ok(Written::Pending { taken: 2 }));
    assert_eq!(instance.flush(soon()), Ok(()));
    assert_eq!(first_statuses(&host.acknowledgements()).len(), 2);
}

#[test]
fn held_bytes_outlive_the_call_and_are_let_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let (mut instance, host) = open("test.Pending", json!({"path": out, "gather": 100}));
    let batch = TestBatch::new(&events(3)).run(&events(2));
    assert_eq!(write(&mut instance, &batch), Ok(Written::Pending { taken: 5 }));
    let bytes = batch.bytes();
    assert_eq!(instance.flush(soon()), Ok(()));
    assert_eq!(host.wait_for_acknowledgements(5, PATIENCE).iter().map(|each| each.count).sum::<u32>(), 5);
    assert_eq!(std::fs::read(&out).expect("it is there"), bytes);
    drop(instance);
    assert_eq!(batch.holds(), 0);

    let (mut silent, _) = open("test.Pending", json!({"silent": true, "gather": 100}));
    let batch = TestBatch::new(&events(1));
    assert_eq!(write(&mut silent, &batch), Ok(Written::Pending { taken: 1 }));
    assert!(batch.holds() > 0);
    drop(silent);
    assert_eq!(batch.holds(), 0);
}
