//! The plugin that was built with 1.0.0 and is kept as a binary: it works in this host, and in every later one.
//!
//! `tests/abi` holds its source and the recipe.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use audit_plugin_api::testing::{LogLine, TestBatch, TestHost, context};
use audit_plugin_api::{
    AckStatus, Extension, Instance, Level, Module, PermissionAuditEvent, RawExtension, SinkError, Written,
};
use serde_json::{Value, json};

use crate::{events, manifest, soon, write};

fn module() -> Module {
    let plugin = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/abi/libaudit_abi_1_0_0.so"));
    Module::load(&plugin, &manifest(&plugin)).unwrap_or_else(|error| panic!("{error}\n{}", error.report))
}

fn open(options: Value) -> (Instance, Arc<TestHost>) {
    let host = Arc::new(TestHost::new().with_extension("abi.greeting", 1, RawExtension::of(&Greeting)));
    (module().open("abi.Keeping", &options, &context(), host.clone()).expect("it opens"), host)
}

struct Greeting;

impl Extension for Greeting {
    fn call(&self, request: &[u8]) -> Result<Vec<u8>, i32> {
        Ok([b"hello ", request].concat())
    }
}

fn kept(instance: &mut Instance) -> Vec<PermissionAuditEvent> {
    let lines: Vec<String> =
        serde_json::from_value(instance.inspect("lines").expect("it answers")).expect("they are lines");
    lines
        .iter()
        .map(|line| PermissionAuditEvent::from_canonical(line.as_bytes()).expect("it is canonical"))
        .collect()
}

#[test]
fn it_delivers_through_every_callback() {
    assert_eq!(module().classes(), ["abi.Keeping"]);
    let (mut instance, host) = open(json!({}));
    let batch = TestBatch::new(&events(3)).run(&events(2));
    assert_eq!(write(&mut instance, &batch), Ok(Written::Delivered));
    assert_eq!(kept(&mut instance).len(), 5);
    assert!(batch.holds() > 0);
    assert_eq!(instance.flush(soon()), Ok(()));
    assert_eq!(instance.inspect("api"), Ok(json!("1.0.0")));
    assert_eq!(instance.control(&json!({"control": "rotate"}), soon()), Ok(json!({"forgotten": 5})));
    assert_eq!(batch.holds(), 0);
    assert_eq!(instance.close(soon()), Ok(()));
    assert_eq!(host.reports(), [json!({"state": "closed", "kept": 0})]);
    let opened = "opened test.Sink as test".to_owned();
    assert_eq!(host.logs(), [LogLine { level: Level::Info, target: "abi".into(), text: opened }]);
    drop(instance);
    assert_eq!(Arc::strong_count(&host), 1);
}

#[test]
fn its_errors_arrive_whole() {
    let (mut instance, _) = open(json!({"refuse": ["1"], "retry_after": 2}));
    let refused = SinkError::permanent("refused").only([1, 4]).retry_after(Duration::from_secs(2));
    assert_eq!(write(&mut instance, &TestBatch::new(&events(3)).run(&events(2))), Err(refused));
    assert_eq!(kept(&mut instance).len(), 3);
    let error = module()
        .validate("abi.Keeping", &json!({"refuse": ["x", ""]}), &context())
        .expect_err("it is refused");
    assert_eq!(error.option.as_deref(), Some("refuse[1]"));
    let error =
        module().validate("abi.Keeping", &json!({"mode": "loud"}), &context()).expect_err("it is refused");
    assert_eq!(error.option.as_deref(), Some("mode"));
}

#[test]
fn its_acknowledgements_arrive_from_its_own_thread() {
    let (mut instance, host) = open(json!({"mode": "pending"}));
    assert_eq!(write(&mut instance, &TestBatch::new(&events(3)).id(42)), Ok(Written::Pending { taken: 2 }));
    let acknowledged: Vec<_> = host
        .acknowledgements()
        .iter()
        .map(|each| (each.batch, each.first, each.count, each.status))
        .collect();
    assert_eq!(acknowledged, [(42, 1, 1, AckStatus::Delivered), (42, 0, 1, AckStatus::Delivered)]);
}

#[test]
fn its_panics_are_contained() {
    let (mut instance, host) = open(json!({"mode": "panicking"}));
    assert_eq!(write(&mut instance, &TestBatch::new(&events(1))), Err(SinkError::panicked("told to")));
    assert!(host.logs()[1].text.ends_with(": told to"), "{:?}", host.logs());
}

#[test]
fn its_doors_open_both_ways() {
    let (mut instance, _) = open(json!({}));
    assert_eq!(instance.inspect("greeting"), Ok(json!("hello host")));
    for reverse in [instance.extension("abi.reverse", 1), module().extension("abi.reverse", 1)] {
        assert_eq!(reverse.expect("it offers that").call(b"abc"), Ok(b"cba".to_vec()));
    }
    assert!(instance.extension("abi.reverse", 2).is_none());
}
