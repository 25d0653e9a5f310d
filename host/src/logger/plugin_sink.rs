//! A sink class of a plugin, as the pipeline sees it.

use std::sync::Arc;

use audit_plugin_api::serde_json::Value;
use audit_plugin_api::{
    Batch, Context, Deadline, Host, HostServices, Instance, Module, RawExtension, SinkError, Written,
};

use crate::pipeline::{SinkFactory, SinkInstance, next_instance};

/// Opens instances of a class of a loaded plugin.
pub struct PluginSink {
    /// The plugin.
    pub module: Module,
    /// The class path.
    pub class: String,
    /// Its options.
    pub options: Value,
    /// What every instance is told; its `instance` is filled in.
    pub context: Context,
}

impl SinkFactory for PluginSink {
    fn open(&self, host: Host) -> Result<Box<dyn SinkInstance>, SinkError> {
        let context = Context { instance: next_instance(), ..self.context.clone() };
        let instance = self.module.open(&self.class, &self.options, &context, Arc::new(PluginHost(host)))?;
        super::process::register_exit_handler();
        Ok(Box::new(PluginInstance(instance)))
    }
}

/// The pipeline's host, as services that cross the boundary.
struct PluginHost(Host);

impl HostServices for PluginHost {
    fn log(&self, level: audit_plugin_api::Level, target: &str, text: &str) {
        self.0.log(level, target, text);
    }

    fn acknowledge(&self, acknowledgement: audit_plugin_api::Acknowledgement) {
        self.0.acknowledge(acknowledgement);
    }

    fn report(&self, report: &Value) {
        self.0.report(report);
    }

    fn extension(&self, id: &str, version: u32) -> Option<RawExtension> {
        self.0.extension(id, version)
    }
}

struct PluginInstance(Instance);

impl SinkInstance for PluginInstance {
    fn write_batch(&mut self, batch: &Batch<'_>) -> Result<Written, SinkError> {
        self.0.write_batch(batch)
    }

    fn flush(&mut self, deadline: Deadline) -> Result<(), SinkError> {
        self.0.flush(deadline)
    }

    fn close(&mut self, deadline: Deadline) -> Result<(), SinkError> {
        self.0.close(deadline)
    }

    fn control(&mut self, request: &Value, deadline: Deadline) -> Result<Value, SinkError> {
        self.0.control(request, deadline)
    }

    fn inspect(&mut self, request: &str) -> Result<Value, SinkError> {
        self.0.inspect(request)
    }
}
