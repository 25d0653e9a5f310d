//! The same file sink, linked in instead of loaded: what the boundary costs.

use std::sync::Arc;
use std::time::Duration;

use audit_host::config::{BufferSettings, DeliverySettings, Secrets, SinkSettings};
use audit_host::pipeline::{Pipeline, SinkSetup, linked};
use audit_plugin_api::serde_json::json;
use audit_plugin_api::{Context, SinkError, SinkOptions};
use audit_sink_file::{FileOptions, FileSink};
use bench_harness::{Case, Contender, Event};

/// A pipeline with one sink.
pub struct Linked(Pipeline);

impl Linked {
    /// Opens it.
    pub fn open(case: &Case) -> Self {
        let settings = SinkSettings {
            name: "file".into(),
            class: "file.FileAuditLogger".into(),
            batch_size: 1000,
            ..SinkSettings::default()
        };
        let out = case.out();
        let context = Context {
            api: "1.0.0".into(),
            host_version: "0".into(),
            instance: 0,
            name: settings.name.clone(),
            class: settings.class.clone(),
            config_dir: out.parent().expect("a file is in a folder").to_owned(),
            batch_size: settings.batch_size,
            max_event_bytes: 1 << 20,
            max_in_flight: 1,
            shutdown_timeout: 8.0,
            durability: None,
        };
        let options = move || {
            FileOptions::from_json(json!({"path": out, "fsync": "never"}))
                .map_err(|error| SinkError::permanent(error.to_string()))
        };
        let setup = SinkSetup { settings, factory: Arc::new(linked::<FileSink>(context, options)) };
        let buffer = BufferSettings::default();
        let pipeline = Pipeline::open(vec![setup], buffer, DeliverySettings::default(), Secrets::default());
        Self(pipeline.expect("the sink opens"))
    }
}

impl Contender for Linked {
    fn producer(&self) -> impl FnMut(&Event) {
        |event| self.0.record(&event.audit).expect("accepted")
    }

    fn finish(self) -> Option<u64> {
        Some(self.0.close(Duration::from_secs(3600)).expect("not in a callback").totals.delivered)
    }
}
