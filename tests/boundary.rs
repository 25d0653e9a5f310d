//! A real `.so` on the other side of the boundary.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use audit_plugin_api::manifest::{MAGIC, Manifest, SECTION};
use audit_plugin_api::testing::{LogLine, TestBatch, TestHost, context};
use audit_plugin_api::{
    AckStatus, Acknowledgement, Action, Batch, Context, Deadline, ErrorKind, Extension, Instance, Level,
    Module, PermissionAuditEvent, RawExtension, SinkError, Written,
};
use object::{Object, ObjectSection, ObjectSymbol};
use serde_json::{Value, json};

/// Nothing waits this long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(30);

fn plugin(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    test.parent().expect("it is in a folder").join(format!("lib{name}.so"))
}

fn manifest(plugin: &Path) -> Manifest {
    let bytes = std::fs::read(plugin).expect("the plugin was built");
    let file = object::File::parse(&*bytes).expect("it is an ELF file");
    let section = file.section_by_name(SECTION).expect("it has a manifest");
    let section = section.data().expect("the section is in the file");
    let (magic, rest) = section.split_at(MAGIC.len());
    assert_eq!(magic, MAGIC);
    let (len, json) = rest.split_first_chunk().expect("a length follows");
    serde_json::from_slice(&json[..u32::from_le_bytes(*len) as usize]).expect("it is JSON")
}

fn module() -> Module {
    let plugin = plugin("audit_test_sinks");
    Module::load(&plugin, &manifest(&plugin)).unwrap_or_else(|error| panic!("{error}\n{}", error.report))
}

fn open_as(
    context: &Context,
    class: &str,
    options: Value,
    host: &Arc<TestHost>,
) -> Result<Instance, SinkError> {
    module().open(class, &options, context, host.clone())
}

fn open(class: &str, options: Value) -> (Instance, Arc<TestHost>) {
    let host = Arc::new(TestHost::new());
    (open_as(&context(), class, options, &host).expect("it opens"), host)
}

fn events(count: usize) -> Vec<PermissionAuditEvent> {
    (0..count)
        .map(|index| {
            PermissionAuditEvent::new(Action::Update, true).manager("Project").user_id(index.to_string())
        })
        .collect()
}

fn write(instance: &mut Instance, batch: &TestBatch) -> Result<Written, SinkError> {
    batch.lend(|batch| instance.write_batch(batch))
}

fn soon() -> Deadline {
    Deadline::after(PATIENCE)
}

#[test]
fn the_manifest_names_the_classes_that_the_module_has() {
    let manifest = manifest(&plugin("audit_test_sinks"));
    assert_eq!((manifest.api.as_str(), manifest.panic.as_str()), ("1.0.0", "unwind"));
    assert_eq!(manifest.crate_name, "audit-test-sinks");
    assert!(manifest.rustc.starts_with("rustc "), "{}", manifest.rustc);
    assert!(manifest.target.contains("linux"), "{}", manifest.target);
    let classes: Vec<&str> = manifest.classes.iter().map(|class| class.class.as_str()).collect();
    assert_eq!(module().classes(), classes);

    let recording = &manifest.classes[0];
    assert!(recording.durable);
    assert_eq!((recording.batch_size, recording.flush_interval), (Some(50), Some(0.05)));
    assert_eq!(recording.max_in_flight, None);
    let [path, delay] = recording.options.as_slice() else { panic!("{:?}", recording.options) };
    assert_eq!(
        (path.name.as_str(), path.required, path.types.as_slice()),
        ("path", true, &["string".to_owned()][..])
    );
    assert_eq!(path.help, "The file that is appended to.");
    assert_eq!((delay.required, &delay.default), (false, &json!(0)));
    let panicking =
        manifest.classes.iter().find(|class| class.class == "test.Panicking").expect("it is there");
    assert!(panicking.options[0].values.contains(&"drop".to_owned()), "{:?}", panicking.options[0]);
}

#[test]
fn a_plugin_exports_one_symbol() {
    for name in ["audit_test_sinks"] {
        let path = plugin(name);
        let bytes = std::fs::read(&path).expect("the plugin was built");
        let file = object::File::parse(&*bytes).expect("it is an ELF file");
        let exports: Vec<String> = file
            .dynamic_symbols()
            .filter(|symbol| symbol.is_definition())
            .map(|symbol| symbol.name().expect("it is text").to_owned())
            .collect();
        assert_eq!(exports, [manifest(&path).entry_symbol()], "{name}");
    }
}

#[test]
fn a_plugin_that_lacks_its_symbol_is_refused() {
    let path = plugin("audit_test_sinks");
    let manifest = Manifest { crate_name: "somebody-else".into(), ..manifest(&path) };
    let refused = Module::load(&path, &manifest).err().expect("it is refused");
    assert!(refused.summary.contains("audit_sinks_of_somebody_else"), "{refused}");
    assert!(refused.summary.contains("libaudit_test_sinks.so"), "{refused}");
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
fn options_that_cannot_be_used_are_named_by_their_path() {
    let refused = |class: &str, options: Value| {
        let module = module();
        let error = module.validate(class, &options, &context()).expect_err("it is refused");
        let host = Arc::new(TestHost::new());
        assert_eq!(
            open_as(&context(), class, options, &host).err(),
            Some(error.clone()),
            "open agrees with validate"
        );
        assert_eq!(error.kind, ErrorKind::Permanent);
        (error.option.unwrap_or_default(), error.reason)
    };
    let path = |path: &str| path.to_owned();
    let (option, reason) = refused("test.Recording", json!({"pth": "x"}));
    assert_eq!(option, path("pth"));
    assert!(reason.contains("`pth`") && reason.contains("path, delay_ms"), "{reason}");
    let missing = refused("test.Recording", json!({}));
    assert_eq!(missing, (path(""), "the option `path` is missing".to_owned()));
    let wrong_type = refused("test.Recording", json!({"path": 7}));
    assert_eq!(wrong_type, (path("path"), "expected string, found integer".to_owned()));
    let out_of_range = refused("test.Recording", json!({"path": "x", "delay_ms": -1}));
    assert_eq!(out_of_range.0, path("delay_ms"));
    assert!(out_of_range.1.contains("from 0 to 18446744073709551615, found -1"), "{}", out_of_range.1);
    let nested = json!({"answers": [{"kind": "ok"}, {"kind": "ok", "positions": [1, "x"]}]});
    assert_eq!(
        refused("test.Failing", nested),
        (path("answers[1].positions[1]"), "expected integer, found string".to_owned())
    );
    let (option, reason) = refused("test.Failing", json!({"answers": [{"kind": "maybe"}]}));
    assert_eq!(option, path("answers[0].kind"));
    assert_eq!(reason, r#"expected one of "ok", "retryable", "permanent", "reopen", found "maybe""#);
    assert_eq!(refused("test.Extending", json!({"x": 1})).0, path("x"));
}

#[test]
fn what_a_sink_checks_itself_names_its_option() {
    let error =
        module().validate("test.Recording", &json!({"path": ""}), &context()).expect_err("it is refused");
    assert_eq!((error.option.as_deref(), error.reason.as_str()), (Some("path"), "the path is empty"));
    let error =
        open_as(&context(), "test.Recording", json!({"path": "no/such/folder"}), &Arc::new(TestHost::new()))
            .err()
            .expect("it is refused");
    assert_eq!(error.option.as_deref(), Some("path"));
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

/// Calls every callback in turn; the error of the one that failed.
fn live_a_life(options: Value, host: &Arc<TestHost>, name: &str) -> Vec<(&'static str, SinkError)> {
    let context = Context { name: name.into(), ..context() };
    let mut errors = Vec::new();
    let mut note = |place, error: Option<SinkError>| errors.extend(error.map(|error| (place, error)));
    note("validate", module().validate("test.Panicking", &options, &context).err());
    match open_as(&context, "test.Panicking", options, host) {
        Err(error) => note("open", Some(error)),
        Ok(mut instance) => {
            note("write", write(&mut instance, &TestBatch::new(&events(2))).err());
            note("flush", instance.flush(soon()).err());
            note("control", instance.control(&json!({}), soon()).err());
            note("inspect", instance.inspect("").err());
            assert!(instance.extension("none", 1).is_none());
            note("close", instance.close(soon()).err());
        }
    }
    errors
}

#[test]
fn a_panic_in_any_callback_becomes_an_error_and_a_line_in_the_hosts_log() {
    for place in ["validate", "open", "write", "flush", "control", "inspect", "close", "drop", "extension"] {
        let host = Arc::new(TestHost::new());
        let errors = live_a_life(json!({"in": place}), &host, place);
        match place {
            // The first has nobody to answer to, and the second answers that there is none.
            "drop" | "extension" => assert_eq!(errors, []),
            place => assert_eq!(errors, [(place, SinkError::panicked("told to"))]),
        }
        let logs = host.logs();
        if place == "validate" {
            assert_eq!(logs, [], "it has no host yet");
            continue;
        }
        let [line] = logs.as_slice() else { panic!("{place}: {logs:?}") };
        assert_eq!((line.level, line.target.as_str()), (Level::Error, "panic"));
        assert!(line.text.starts_with("panicked at ") && line.text.ends_with(": told to"), "{}", line.text);
        assert!(line.text.contains("panicking.rs:"), "{}", line.text);
        assert_eq!(Arc::strong_count(&host), 1, "{place}: the plugin has let go of its host");
    }
}

#[test]
fn a_panic_whose_value_panics_when_dropped_is_contained() {
    for place in ["open", "write", "drop"] {
        let host = Arc::new(TestHost::new());
        let errors = live_a_life(json!({"in": place, "payload": "value"}), &host, "nasty");
        if place != "drop" {
            assert_eq!(errors, [(place, SinkError::panicked("panicked with a value that is no text"))]);
        }
        assert!(host.logs()[0].text.ends_with("a value that is no text"), "{:?}", host.logs());
    }
}

#[test]
fn an_instance_works_on_after_a_panic() {
    let host = Arc::new(TestHost::new());
    let named = Context { name: "once".into(), ..context() };
    let mut instance =
        open_as(&named, "test.Panicking", json!({"in": "write", "times": 1}), &host).expect("it opens");
    let batch = TestBatch::new(&events(1));
    assert_eq!(write(&mut instance, &batch), Err(SinkError::panicked("told to")));
    assert_eq!(write(&mut instance, &batch), Ok(Written::Delivered));
}

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

/// An extension that a host of tomorrow has.
struct Greeting;

impl Extension for Greeting {
    fn call(&self, request: &[u8]) -> Result<Vec<u8>, i32> {
        match request {
            b"nobody" => Err(4),
            b"panic" => panic!("the host's own"),
            name => Ok([b"hello ", name].concat()),
        }
    }
}

#[test]
fn a_plugin_uses_an_extension_that_the_host_has_and_does_without_where_it_has_none() {
    let tomorrow = Arc::new(TestHost::new().with_extension("test.greeting", 1, RawExtension::of(&Greeting)));
    let mut instance = open_as(&context(), "test.Extending", json!({}), &tomorrow).expect("it opens");
    assert_eq!(instance.inspect("you"), Ok(json!("hello you")));
    assert_eq!(instance.inspect("nobody"), Ok(json!({"code": 4})));
    assert_eq!(instance.inspect("panic"), Ok(json!({"code": -1})));

    let (mut instance, _) = open("test.Extending", json!({}));
    assert_eq!(instance.inspect("you"), Ok(Value::Null));
    let other_version = TestHost::new().with_extension("test.greeting", 2, RawExtension::of(&Greeting));
    let mut instance =
        open_as(&context(), "test.Extending", json!({}), &Arc::new(other_version)).expect("it opens");
    assert_eq!(instance.inspect("you"), Ok(Value::Null));
}

#[test]
fn a_host_uses_extensions_of_module_and_instance_and_does_without_where_there_are_none() {
    let (instance, _) = open("test.Extending", json!({}));
    let double = instance.extension("test.double", 1).expect("it offers that");
    let answers: Vec<_> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..4_u8).map(|n| scope.spawn(move || double.call(&[n, n + 1]))).collect();
        calls.into_iter().map(|call| call.join().expect("no panic crosses")).collect()
    });
    assert_eq!(answers, (0..4_u8).map(|n| Ok(vec![n, n + 1, n, n + 1])).collect::<Vec<_>>());
    assert_eq!(double.call(b""), Err(7));
    assert_eq!(double.call(b"panic"), Err(-1));
    assert!(instance.extension("test.double", 2).is_none());
    assert!(instance.extension("test.triple", 1).is_none());

    let name = module().extension("test.name", 1).expect("it offers that");
    assert_eq!(name.call(b""), Ok(b"audit-test-sinks".to_vec()));
    assert!(module().extension("test.name", 2).is_none());
    let (plain, _) = open("test.Pending", json!({}));
    assert!(plain.extension("test.double", 1).is_none());
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
