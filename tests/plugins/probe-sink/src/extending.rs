//! Uses an extension of the host, and offers two.

use audit_plugin_api::serde_json::{Value, json};
use audit_plugin_api::{Batch, Context, Extension, Host, RawExtension, Sink, SinkError, Written};

/// Uses the host's extension `test.greeting`, version 1, where there is one; offers `test.double`, version 1.
pub struct Extending {
    host: Host,
}

/// Answers each request twice over; an empty one is refused.
struct Double;

/// Says what the module is.
struct Name;

impl Extension for Double {
    fn call(&self, request: &[u8]) -> Result<Vec<u8>, i32> {
        match request {
            [] => Err(7),
            b"panic" => panic!("told to"),
            _ => Ok(request.repeat(2)),
        }
    }
}

impl Extension for Name {
    fn call(&self, _request: &[u8]) -> Result<Vec<u8>, i32> {
        Ok(b"audit-test-sinks".to_vec())
    }
}

/// The extension door of the module.
pub fn module_extension(id: &str, version: u32) -> Option<RawExtension> {
    ((id, version) == ("test.name", 1)).then(|| RawExtension::of(&Name))
}

impl Sink for Extending {
    type Options = ();

    fn open(_options: (), _context: Context, host: Host) -> Result<Self, SinkError> {
        Ok(Self { host })
    }

    fn write_batch(&mut self, _batch: &Batch<'_>) -> Result<Written, SinkError> {
        Ok(Written::Delivered)
    }

    fn inspect(&mut self, request: &str) -> Result<Value, SinkError> {
        let Some(greeting) = self.host.extension("test.greeting", 1) else { return Ok(Value::Null) };
        match greeting.call(request.as_bytes()) {
            Ok(answer) => Ok(json!(String::from_utf8_lossy(&answer))),
            Err(code) => Ok(json!({"code": code})),
        }
    }

    fn extension(&self, id: &str, version: u32) -> Option<RawExtension> {
        ((id, version) == ("test.double", 1)).then(|| RawExtension::of(&Double))
    }
}
