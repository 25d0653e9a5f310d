//! A configuration whose every class was found, loaded and asked about its options; nothing is opened yet.

use std::path::PathBuf;
use std::sync::Arc;

use audit_plugin_api::manifest::ClassSpec;
use audit_plugin_api::{API_VERSION, Context};

use super::Logger;
use super::plugin_sink::PluginSink;
use crate::config::{
    BufferSettings, Config, ConfigError, DeliverySettings, Durability, Probe, Secrets, SinkConfig,
    SinkSettings, SpoolSettings, check_options,
};
use crate::loader::{
    Candidate, FindError, LoadedPlugin, PROBE_DEADLINE, PluginIndex, ProbeHow, Refusal, needs_probe, probe,
};
use crate::pipeline::{OpenError, Pipeline, SinkFactory, SinkOpenError, SinkSetup};

/// How plugins are loaded.
#[derive(Clone, Debug, Default)]
pub struct Loading {
    /// Which program loads a plugin on trial before this process loads it; `None`, the default for applications that
    /// embed the library: none does, whatever `[plugins] probe` says.
    pub probe: Option<ProbeHow>,
}

/// A configuration whose every class was found, loaded and asked about its options.
pub struct Plan {
    sinks: Vec<PlannedSink>,
    pub(super) buffer: BufferSettings,
    pub(super) delivery: DeliverySettings,
    pub(super) secrets: Secrets,
}

struct PlannedSink {
    config: SinkConfig,
    settings: SinkSettings,
    factory: Arc<dyn SinkFactory>,
}

impl Plan {
    /// Checks everything that can be checked without opening a sink.
    pub fn new(config: Config, loading: &Loading) -> Result<Self, ConfigError> {
        let index = PluginIndex::scan(&config.plugins.dirs, &config.plugins.sha256);
        warn_of_pins_without_file(&config, &index);
        warn_of_disk_for_without_effect(&config);
        let mut loaded: Vec<(PathBuf, LoadedPlugin)> = Vec::new();
        let mut sinks = Vec::new();
        for sink in &config.sinks {
            let candidate = index.find(&sink.class).map_err(|error| not_found(sink, &error))?;
            for shadowed in index.shadowed().iter().filter(|shadowed| shadowed.class == sink.class) {
                tracing::info!(
                    class = sink.class,
                    used = %shadowed.used.display(),
                    ignored = %shadowed.ignored.display(),
                    "the class is in several plugin folders: the first one counts"
                );
            }
            if let Some(spec) = class_spec(candidate, &sink.class) {
                check_options(sink, spec)?;
            }
            let known = loaded.iter().find(|(path, _)| path == candidate.path());
            let plugin = match known {
                Some((_, plugin)) => plugin.clone(),
                None => {
                    let plugin = load(candidate, config.plugins.probe, loading)
                        .map_err(|refusal| ConfigError::at_class(sink, &refusal.to_string()))?;
                    loaded.push((candidate.path().to_owned(), plugin.clone()));
                    plugin
                }
            };
            sinks.push(plan_sink(sink, &plugin, &config)?);
        }
        let Config { buffer, delivery, secrets, .. } = config;
        Ok(Self { sinks, buffer, delivery, secrets })
    }

    /// Whether there is nothing to deliver to.
    pub fn is_empty(&self) -> bool {
        self.sinks.is_empty()
    }

    /// Time limits.
    pub fn delivery(&self) -> &DeliverySettings {
        &self.delivery
    }

    /// The same sinks with another spool, or with none: then what a spool holds stays as it is.
    pub fn with_spool(mut self, spool: Option<SpoolSettings>) -> Self {
        self.buffer.spool = spool;
        self
    }

    /// Opens every sink.
    pub fn open(self) -> Result<Logger, ConfigError> {
        Logger::of(self)
    }

    pub(super) fn open_pipeline(&self) -> Result<Pipeline, ConfigError> {
        let setups = self
            .sinks
            .iter()
            .map(|sink| SinkSetup { settings: sink.settings.clone(), factory: sink.factory.clone() })
            .collect();
        Pipeline::open(setups, self.buffer.clone(), self.delivery.clone(), self.secrets.clone()).map_err(
            |error| match error {
                OpenError::Spool(error) => ConfigError::spool(&error.to_string()),
                OpenError::Sink(error) => self.sink_error(&error),
            },
        )
    }

    fn sink_error(&self, error: &SinkOpenError) -> ConfigError {
        match self.sinks.iter().find(|sink| sink.settings.name == error.name) {
            Some(sink) => match &error.error.option {
                Some(option) => ConfigError::option(&sink.config, option, &error.error.reason),
                None => ConfigError::opening(&sink.config, &error.error.reason),
            },
            None => unreachable!("the pipeline opens the sinks of the plan only"),
        }
    }
}

/// A pin whose name is mistyped protects nothing.
fn warn_of_pins_without_file(config: &Config, index: &PluginIndex) {
    for pinned in config.plugins.sha256.keys() {
        let mut names = index.candidates().filter_map(|candidate| candidate.path().file_name());
        if !names.any(|name| name == pinned.as_str()) {
            tracing::warn!(
                "`{pinned}` is pinned under [plugins] sha256, but no plugin folder holds a file of that name"
            );
        }
    }
}

/// Everything is synced first already.
fn warn_of_disk_for_without_effect(config: &Config) {
    if let Some(spool) = &config.buffer.spool
        && spool.durability == Durability::Disk
        && !spool.disk_for.is_empty()
    {
        tracing::warn!("`disk_for` has no effect beside `durability = \"disk\"`, which covers every event");
    }
}

/// With `durability = "disk"` an event leaves the spool only for a place that outlives loss of power as well.
fn check_durability(sink: &SinkConfig, spec: &ClassSpec, config: &Config) -> Result<(), ConfigError> {
    let durability = config.buffer.spool.as_ref().map(|spool| spool.durability);
    if durability != Some(Durability::Disk) || spec.durable {
        return Ok(());
    }
    let message = format!(
        "sink `{}` cannot keep the promise of `durability = \"disk\"`: its class `{}` does not make durable what it is given. Use a \
         class that does, such as `file.FileAuditLogger`, or `durability = \"process\"`",
        sink.name, sink.class
    );
    Err(ConfigError::at_class(sink, &message))
}

fn plan_sink(sink: &SinkConfig, plugin: &LoadedPlugin, config: &Config) -> Result<PlannedSink, ConfigError> {
    let Some(spec) = plugin.class_spec(&sink.class) else {
        let text =
            format!("{} no longer holds this class: it was replaced meanwhile", plugin.path().display());
        return Err(ConfigError::at_class(sink, &text));
    };
    check_options(sink, spec)?;
    check_durability(sink, spec, config)?;
    let settings = sink.settings(spec);
    let context = Context {
        api: API_VERSION.into(),
        host_version: env!("CARGO_PKG_VERSION").into(),
        instance: 0,
        name: sink.name.clone(),
        class: sink.class.clone(),
        config_dir: config.base_dir.clone(),
        batch_size: settings.batch_size,
        max_event_bytes: config.buffer.max_event_bytes,
        max_in_flight: settings.max_in_flight,
        shutdown_timeout: config.delivery.shutdown_timeout.as_secs_f64(),
        durability: config.buffer.spool.as_ref().map(|spool| spool.durability.to_string()),
    };
    let module = plugin.module();
    module.validate(&sink.class, &sink.options, &context).map_err(|error| match &error.option {
        Some(option) => ConfigError::option(sink, option, &error.reason),
        None => {
            ConfigError::at_class(sink, &format!("sink `{}` cannot be used: {}", sink.name, error.reason))
        }
    })?;
    let factory = PluginSink { module, class: sink.class.clone(), options: sink.options.clone(), context };
    Ok(PlannedSink { config: sink.clone(), settings, factory: Arc::new(factory) })
}

fn load(candidate: &Candidate, policy: Probe, loading: &Loading) -> Result<LoadedPlugin, Refusal> {
    let checked = candidate.check()?;
    if let Some(how) = &loading.probe
        && needs_probe(policy, &checked)
    {
        probe(&checked, how, PROBE_DEADLINE)?;
    }
    let plugin = checked.load()?;
    tracing::debug!(path = %plugin.path().display(), sha256 = %plugin.sha256(), "plugin loaded");
    Ok(plugin)
}

fn class_spec<'a>(candidate: &'a Candidate, class: &str) -> Option<&'a ClassSpec> {
    candidate.manifest()?.classes.iter().find(|spec| spec.class == class)
}

fn not_found(sink: &SinkConfig, error: &FindError) -> ConfigError {
    match error {
        FindError::Unknown(unknown) => {
            let refused = unknown.refused.iter().map(ToString::to_string);
            let refused: Vec<_> = refused.chain(unknown.unreadable.iter().cloned()).collect();
            ConfigError::unknown_class(sink, &unknown.known, &unknown.folders, &refused)
        }
        error => ConfigError::at_class(sink, &error.to_string()),
    }
}
