//! A sink that is open for a test.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde_json::Value;

use super::{TestBatch, TestHost};
use crate::{API_VERSION, Context, PermissionAuditEvent, Sink, SinkError, SinkOptions, Written};

/// A sink that is open for a test; its callbacks are called on it as they are.
pub struct TestSink<S> {
    sink: S,
    host: Arc<TestHost>,
    batches: u64,
}

/// A context as a host would give it: batches of 100, one in flight, paths relative to the working directory.
pub fn context() -> Context {
    Context {
        api: API_VERSION.to_owned(),
        host_version: "0.0.0".to_owned(),
        instance: 1,
        name: "test".to_owned(),
        class: "test.Sink".to_owned(),
        config_dir: ".".into(),
        batch_size: 100,
        max_event_bytes: 1 << 20,
        max_in_flight: 1,
        shutdown_timeout: 8.0,
        durability: None,
    }
}

/// Reads the options (a JSON object, as the table in `audit.toml`), validates them, and opens the sink.
pub fn open<S: Sink>(options: Value) -> Result<TestSink<S>, SinkError> {
    open_with(options, context(), Arc::new(TestHost::new()))
}

/// The same, with a context and a host of one's own.
pub fn open_with<S: Sink>(
    options: Value,
    context: Context,
    host: Arc<TestHost>,
) -> Result<TestSink<S>, SinkError> {
    let options = S::Options::from_json(options)?;
    S::validate(&options, &context)?;
    Ok(TestSink { sink: S::open(options, context, host.host())?, host, batches: 0 })
}

impl<S: Sink> TestSink<S> {
    /// Hands it one batch of these events, with an id of its own.
    pub fn write(&mut self, events: &[PermissionAuditEvent]) -> Result<Written, SinkError> {
        self.batches += 1;
        let batch = TestBatch::new(events).id(self.batches);
        batch.lend(|batch| self.sink.write_batch(batch))
    }

    /// What it told its host.
    pub fn host(&self) -> &TestHost {
        &self.host
    }
}

impl<S> Deref for TestSink<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.sink
    }
}

impl<S> DerefMut for TestSink<S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.sink
    }
}
