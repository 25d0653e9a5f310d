//! `check`: all that `run` would check, without taking an event.

use std::path::Path;

use audit_host::config::{Config, DeliverySettings, Mistake, Secrets, SpoolSettings, printable};
use audit_host::loader::PluginIndex;
use audit_host::logger::{AuditLogger, Plan};
use audit_plugin_api::{ErrorKind, SinkError};
use serde::Serialize;
use serde_json::{Value, json};

use super::answer::{print, print_json};
use super::args::{self, Format, Global};
use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use super::places::{Place, examine_file, examine_spool_dir};
use super::settings;

/// What was found to be good.
#[derive(Serialize)]
struct Checked {
    config: String,
    sinks: Vec<CheckedSink>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spool: Option<CheckedSpool>,
    /// What is no mistake, but will be missed when it is needed.
    warnings: Vec<String>,
    #[serde(skip)]
    secrets: Secrets,
}

#[derive(Serialize)]
struct CheckedSink {
    name: String,
    class: String,
    plugin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probe: Option<Probed>,
}

#[derive(Serialize)]
struct CheckedSpool {
    dir: String,
    place: Place,
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
pub fn check(global: &Global, arguments: &args::Check, console: &Console) -> Result<Exit, Failure> {
    let checked = examine(global, arguments, console);
    match (checked, arguments.answer.format) {
        (Ok(checked), Format::Json) => print_json(&checked, &checked.secrets)?,
        (Ok(checked), Format::Text) => print(&checked.secrets.mask(&checked.to_text()))?,
        (Err(failure), Format::Json) => {
            // Its texts are masked already.
            print_json(&mistakes(&failure), &Secrets::default())?;
            return Err(failure);
        }
        (Err(failure), Format::Text) => return Err(failure),
    }
    Ok(Exit::Complete)
}

fn examine(global: &Global, arguments: &args::Check, console: &Console) -> Result<Checked, Failure> {
    let (config, path) = settings::load_from(global, console)?;
    if config.sinks.is_empty() {
        return Err(settings::no_logger(&path));
    }
    let mut checked = Checked::new(&config, &path);
    let (spool, delivery) = (config.buffer.spool.clone(), config.delivery.clone());
    let plan = Plan::new(config, &settings::loading())?;
    checked.spool = spool.as_ref().map(CheckedSpool::examine).transpose()?;
    checked.warnings = unwritable_files(&delivery);
    checked.warnings.iter().for_each(|warning| console.warn(warning));
    if arguments.probe {
        checked.probe(plan)?;
    }
    Ok(checked)
}

impl Checked {
    fn new(config: &Config, path: &Path) -> Self {
        let index = PluginIndex::scan(&config.plugins.dirs, &config.plugins.sha256);
        let sinks = config.sinks.iter().map(|sink| CheckedSink {
            name: sink.name.clone(),
            class: sink.class.clone(),
            plugin: index.find(&sink.class).ok().map(|candidate| candidate.path().display().to_string()),
            probe: None,
        });
        Self {
            config: path.display().to_string(),
            sinks: sinks.collect(),
            spool: None,
            warnings: Vec::new(),
            secrets: config.secrets.clone(),
        }
    }

    fn probe(&mut self, plan: Plan) -> Result<(), Failure> {
        let patience = plan.delivery().open_timeout;
        // What waits in the spool is not for a check to deliver.
        let logger = plan.with_spool(None).open()?;
        let answers = logger.control_all(&json!({"control": "probe"}), patience);
        let closed = logger.close(logger.shutdown_timeout());
        for (sink, (name, answer)) in self.sinks.iter_mut().zip(answers) {
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

    fn to_text(&self) -> String {
        let mut text = format!("{} can be run\n", printable(&self.config));
        for sink in &self.sinks {
            let from = sink.plugin.as_deref().unwrap_or("a plugin");
            let probed = match &sink.probe {
                None => String::new(),
                Some(Probed::Opened) => "; it was opened and closed".into(),
                Some(Probed::Answered(answer)) => format!("; its probe says {answer}"),
            };
            let line = format!("sink `{}`: {} from {from}{probed}", sink.name, sink.class);
            text += &format!("  {}\n", printable(&line));
        }
        if let Some(CheckedSpool { dir, place }) = &self.spool {
            let found = match place {
                Place::Usable => "is there, and can be used",
                Place::ToBeMade => "will be made",
            };
            text += &format!("  {}\n", printable(&format!("spool: the folder {dir} {found}")));
        }
        text
    }
}

impl CheckedSpool {
    fn examine(settings: &SpoolSettings) -> Result<Self, Failure> {
        let place = examine_spool_dir(&settings.dir)
            .map_err(|reason| Failure::new(format!("the spool (spool_dir) cannot be used: {reason}")))?;
        Ok(Self { dir: settings.dir.display().to_string(), place })
    }
}

/// A run only needs these files when something goes wrong, and would only then say that it cannot write them.
fn unwritable_files(delivery: &DeliverySettings) -> Vec<String> {
    [("dead_letter_path", &delivery.dead_letter_path), ("rejected_path", &delivery.rejected_path)]
        .into_iter()
        .filter_map(|(key, path)| {
            let reason = examine_file(path).err()?;
            Some(format!("`{key}` will be of no use: {reason}"))
        })
        .collect()
}

/// What is wrong, for editors and pipelines: with `file`, `line` and `column` where it stands somewhere.
fn mistakes(failure: &Failure) -> Value {
    let mistakes = match failure {
        Failure::Config(error) => error.mistakes().iter().map(mistake).collect(),
        Failure::Other(message) => vec![json!({"message": message})],
    };
    json!({"mistakes": mistakes})
}

fn mistake(mistake: &Mistake) -> Value {
    json!({
        "file": mistake.file(),
        "line": mistake.position().map(|position| position.line),
        "column": mistake.position().map(|position| position.column),
        "message": mistake.message(),
        "notes": mistake.notes(),
    })
}
