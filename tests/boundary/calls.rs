//! Requests, answers and errors.

use std::sync::Arc;
use std::time::Duration;

use audit_plugin_api::testing::{LogLine, TestBatch, TestHost, context};
use audit_plugin_api::{Batch, Context, ErrorKind, Level, Module, SinkError, Written};
use serde_json::json;

use crate::{PATIENCE, events, manifest, open, open_as, plugin, soon, write};

#[test]
fn several_plugins_live_side_by_side() {
    let load = |name: &str| {
        let path = plugin(name);
        Module::load(&path, &manifest(&path)).expect("it loads beside the others").classes()
    };
    assert_eq!(load("audit_sink_print"), ["print.PrintAuditLogger"]);
    assert_eq!(load("audit_sink_file"), ["file.FileAuditLogger"]);
    assert_eq!(load("audit_sink_fake"), ["fake.FakeProducerAuditLogger"]);
}

#[test]
fn instances_of_one_class_live_side_by_side() {
    let folder = tempfile::tempdir().expect("a folder");
    let in_folder = |name: &str| Context { config_dir: folder.path().into(), name: name.into(), ..context() };
    let host = Arc::new(TestHost::new());
    let mut one =
        open_as(&in_folder("one"), "test.Recording", json!({"path": "one"}), &host).expect("it opens");
    let mut two =
        open_as(&in_folder("two"), "test.Recording", json!({"path": "two"}), &host).expect("it opens");
    let (first, second) = (TestBatch::new(&events(3)), TestBatch::new(&events(2)).run(&events(2)));
    assert_eq!(write(&mut one, &first), Ok(Written::Delivered));
    assert_eq!(write(&mut two, &second), Ok(Written::Delivered));
    assert_eq!(std::fs::read(folder.path().join("one")).expect("it is there"), first.bytes());
    assert_eq!(std::fs::read(folder.path().join("two")).expect("it is there"), second.bytes());
    assert_eq!(one.inspect("context").expect("it answers")["name"], "one");
    assert_eq!(two.inspect("counts").expect("it answers"), json!({"batches": 1, "events": 4}));
    assert_eq!(one.flush(soon()), Ok(()));
    assert_eq!(two.close(soon()), Ok(()));
    assert_eq!(host.reports(), [json!({"state": "closed", "batches": 1, "events": 4})]);
    let opened = |name: &str| LogLine {
        level: Level::Info,
        target: "recording".into(),
        text: format!("opened {name}"),
    };
    assert_eq!(host.logs(), [opened("one"), opened("two")]);
}

#[test]
fn requests_reach_the_sink_and_unknown_ones_are_unsupported() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut instance, _) = open("test.Recording", json!({"path": folder.path().join("out")}));
    let answer = instance.control(&json!({"control": "probe"}), soon()).expect("it knows that");
    let left = answer["seconds_left"].as_f64().expect("a number");
    assert!(left > 0.0 && left <= PATIENCE.as_secs_f64(), "{left}");
    for error in [
        instance.control(&json!({"control": "dance"}), soon()).expect_err("it does not know that"),
        instance.inspect("weather").expect_err("it does not know that"),
    ] {
        assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
    }
}

#[test]
fn scripted_errors_arrive_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let answers = json!([
        {"kind": "retryable", "retry_after": 1.5, "reason": "busy"},
        {"kind": "permanent", "positions": [2, 0]},
        {"kind": "reopen", "prefix": 1, "times": 2},
        {"kind": "permanent"},
    ]);
    let named = Context { name: "scripted".into(), ..context() };
    let host = Arc::new(TestHost::new());
    let mut instance =
        open_as(&named, "test.Failing", json!({"answers": answers, "path": out}), &host).expect("it opens");
    let batch = TestBatch::new(&events(3));
    let busy = SinkError::retryable("busy").retry_after(Duration::from_millis(1500));
    assert_eq!(write(&mut instance, &batch), Err(busy));
    assert_eq!(write(&mut instance, &batch), Err(SinkError::permanent("scripted").only([0, 2])));
    assert_eq!(write(&mut instance, &batch), Err(SinkError::reopen("scripted").after(1)));
    assert_eq!(write(&mut instance, &batch), Err(SinkError::reopen("scripted").after(1)));
    assert_eq!(write(&mut instance, &batch), Err(SinkError::permanent("scripted")));
    assert_eq!(write(&mut instance, &batch), Ok(Written::Delivered));
    let lines = std::fs::read_to_string(out).expect("it is there");
    assert_eq!(lines.lines().count(), 1 + 1 + 1 + 3);
}

#[test]
fn an_unknown_action_reaches_the_sink_as_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let (mut instance, _) = open("test.Failing", json!({"path": out}));
    let batch = TestBatch::new(&events(1));
    let written = batch.lend(|batch| {
        let mut entry = batch.raw_events()[0];
        entry.action = 4711;
        let (runs, entries) = (batch.runs(), [entry]);
        let holder = TestBatch::new(&[]);
        instance.write_batch(&Batch::new(1, 1, batch.deadline(), runs, &entries, &holder))
    });
    assert_eq!(written, Ok(Written::Delivered));
    assert_eq!(std::fs::read(&out).expect("it is there"), batch.bytes());
}
