//! Panics of the plugin.

use std::sync::Arc;

use audit_plugin_api::testing::{TestBatch, TestHost, context};
use audit_plugin_api::{Context, ErrorKind, Level, SinkError, Written};
use serde_json::{Value, json};

use crate::{events, module, open_as, soon, write};

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
            "validate" => {
                let [(_, error)] = errors.as_slice() else { panic!("{errors:?}") };
                assert_eq!(error.kind, ErrorKind::Panicked);
                assert!(error.reason.starts_with("panicked at "), "it has no log yet: {error}");
                assert!(error.reason.ends_with(": told to"), "{error}");
            }
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
