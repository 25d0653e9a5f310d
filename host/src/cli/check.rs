//! `check`: all that `run` would check, without taking an event.

use std::path::Path;
use std::time::Duration;

use audit_host::config::{Config, printable};
use audit_host::loader::PluginIndex;
use audit_host::logger::{AuditLogger, Plan};
use audit_plugin_api::{ErrorKind, SinkError};
use serde::Serialize;
use serde_json::{Value, json};

use super::answer::{print, print_json};
use super::args::{self, Format, Global};
use super::exit::Exit;
use super::failure::Failure;
use super::settings;

#[derive(Serialize)]
struct Answer {
    config: String,
    sinks: Vec<CheckedSink>,
}

#[derive(Serialize)]
struct CheckedSink {
    name: String,
    class: String,
    plugin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probe: Option<Probed>,
}

/// What a probe came to.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Probed {
    /// The sink's own answer.
    Answered(Value),
    /// It was opened and closed; it knows no probe.
    Opened,
}

/// Checks the configuration, the plugins and their options; with `--probe` the sinks, too.
pub fn check(global: &Global, arguments: &args::Check) -> Result<Exit, Failure> {
    let (config, path) = settings::load_from(global)?;
    if config.sinks.is_empty() {
        return Err(settings::no_logger(&path));
    }
    let mut sinks = describe(&config);
    let open_timeout = config.delivery.open_timeout;
    let plan = Plan::new(config, &settings::loading())?;
    if arguments.probe {
        probe(plan, open_timeout, &mut sinks)?;
    }
    answer(&path, sinks, arguments.answer.format)?;
    Ok(Exit::Complete)
}

fn describe(config: &Config) -> Vec<CheckedSink> {
    let index = PluginIndex::scan(&config.plugins.dirs, &config.plugins.sha256);
    let describe = |sink: &audit_host::config::SinkConfig| CheckedSink {
        name: config.secrets.mask(&sink.name).into_owned(),
        class: config.secrets.mask(&sink.class).into_owned(),
        plugin: index.find(&sink.class).ok().map(|candidate| candidate.path().display().to_string()),
        probe: None,
    };
    config.sinks.iter().map(describe).collect()
}

fn probe(plan: Plan, patience: Duration, sinks: &mut [CheckedSink]) -> Result<(), Failure> {
    let logger = plan.open()?;
    let answers = logger.control_all(&json!({"control": "probe"}), patience);
    let closed = logger.close(logger.shutdown_timeout());
    for (sink, (name, answer)) in sinks.iter_mut().zip(answers) {
        sink.probe = Some(match answer {
            Ok(answer) => Probed::Answered(answer),
            Err(SinkError { kind: ErrorKind::Unsupported, .. }) => Probed::Opened,
            Err(error) => return Err(Failure::new(format!("sink `{name}` failed its probe: {error}"))),
        });
    }
    for sink in closed.map(|report| report.sinks).unwrap_or_default() {
        if let Some(reason) = sink.failures.first() {
            return Err(Failure::new(format!("sink `{}` failed after its probe: {reason}", sink.name)));
        }
    }
    Ok(())
}

fn answer(path: &Path, sinks: Vec<CheckedSink>, format: Format) -> Result<(), Failure> {
    let config = path.display().to_string();
    if format == Format::Json {
        return print_json(&Answer { config, sinks });
    }
    let mut text = format!("{} can be run\n", printable(&config));
    for sink in &sinks {
        let from = sink.plugin.as_deref().unwrap_or("a plugin");
        let probed = match &sink.probe {
            None => String::new(),
            Some(Probed::Opened) => "; it was opened and closed".into(),
            Some(Probed::Answered(answer)) => format!("; its probe says {answer}"),
        };
        let line = format!("sink `{}`: {} from {from}{probed}", sink.name, sink.class);
        text += &format!("  {}\n", printable(&line));
    }
    print(&text)
}
