//! The extension door, from both sides.

use std::sync::Arc;

use audit_plugin_api::testing::{TestHost, context};
use audit_plugin_api::{Extension, RawExtension};
use serde_json::{Value, json};

use crate::{module, open, open_as};

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
