//! `plugins`: what is in the plugin folders, without running it.

use std::fmt::Write;

use audit_host::config::printable;
use audit_host::loader::{Candidate, PluginIndex, Sha256, check_file};
use audit_plugin_api::manifest::{ClassSpec, Manifest, OptionSpec};
use serde::Serialize;

use super::answer::{print, print_json};
use super::args::{self, Format, Global};
use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use super::settings;

#[derive(Serialize)]
struct List<'a> {
    folders: Vec<Folder>,
    plugins: Vec<Plugin<'a>>,
    shadowed: Vec<Shadowed>,
}

#[derive(Serialize)]
struct Folder {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

#[derive(Serialize)]
struct Plugin<'a> {
    path: String,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    sha256: Option<String>,
    pinned: bool,
    /// `null` where it cannot be read.
    manifest: Option<&'a Manifest>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Refused,
    /// It does not say that it is a plugin.
    NotAPlugin,
}

#[derive(Serialize)]
struct Shadowed {
    class: String,
    used: String,
    ignored: String,
}

/// Lists every candidate in the plugin folders.
pub fn list(global: &Global, format: Format, console: &Console) -> Result<Exit, Failure> {
    let config = settings::load_if_there(global, console)?;
    let index = PluginIndex::scan(&config.plugins.dirs, &config.plugins.sha256);
    let folders = index
        .folders()
        .iter()
        .map(|folder| Folder { path: folder.path.display().to_string(), problem: folder.problem.clone() });
    let shadowed = index.shadowed().into_iter().map(|shadowed| Shadowed {
        class: shadowed.class,
        used: shadowed.used.display().to_string(),
        ignored: shadowed.ignored.display().to_string(),
    });
    let list = List {
        folders: folders.collect(),
        plugins: index.candidates().map(|candidate| Plugin::new(candidate, None)).collect(),
        shadowed: shadowed.collect(),
    };
    match format {
        Format::Json => print_json(&list, &config.secrets)?,
        Format::Text => print(&config.secrets.mask(&list.to_text()))?,
    }
    Ok(Exit::Complete)
}

/// Checks one file with all that is checked before it is loaded.
pub fn inspect(global: &Global, arguments: &args::Inspect, console: &Console) -> Result<Exit, Failure> {
    let config = settings::load_if_there(global, console)?;
    let path = &arguments.file;
    let name = path.file_name().and_then(|name| name.to_str());
    let pin = name.and_then(|name| config.plugins.sha256.get(name)).map(|&pin| Sha256::from(pin));
    let candidate = Candidate::examine(path, pin.as_ref());
    let refusal = check_file(path, pin.as_ref()).err();
    let plugin = Plugin::new(&candidate, refusal.as_ref().map(ToString::to_string));
    match arguments.answer.format {
        Format::Json => print_json(&plugin, &config.secrets)?,
        Format::Text => print(&config.secrets.mask(&plugin.to_text()))?,
    }
    match plugin.verdict {
        Verdict::Ok => Ok(Exit::Complete),
        Verdict::Refused | Verdict::NotAPlugin => Err(Failure::new(plugin.reason.unwrap_or_default())),
    }
}

impl<'a> Plugin<'a> {
    fn new(candidate: &'a Candidate, refusal: Option<String>) -> Self {
        let reason = refusal.or_else(|| candidate.refusal().map(ToString::to_string));
        Self {
            path: candidate.path().display().to_string(),
            verdict: match &reason {
                None => Verdict::Ok,
                Some(_) if candidate.is_no_plugin() => Verdict::NotAPlugin,
                Some(_) => Verdict::Refused,
            },
            reason,
            // Of what is no plugin nobody needs it, and it may be large.
            sha256: candidate
                .manifest()
                .and_then(|_| candidate.sha256().ok())
                .map(|sha256| sha256.to_string()),
            pinned: candidate.pin().is_some(),
            manifest: candidate.manifest(),
        }
    }

    fn to_text(&self) -> String {
        let mut text = format!("{}\n", printable(&self.path));
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "  {name:<8} {}", printable(value));
        };
        match (self.verdict, self.reason.as_deref().unwrap_or_default()) {
            (Verdict::Ok, _) => line("verdict", "ok"),
            (Verdict::Refused, reason) => line("verdict", &format!("refused: {reason}")),
            (Verdict::NotAPlugin, _) => line("verdict", "not an audit plugin"),
        }
        if let Some(sha256) = &self.sha256 {
            line("sha256", &format!("{sha256}{}", if self.pinned { " (pinned)" } else { "" }));
        }
        if let Some(manifest) = self.manifest {
            line("crate", &format!("{} {}", manifest.crate_name, manifest.version));
            line(
                "built",
                &format!(
                    "for api {}, with {}, for {}, panic = {}",
                    manifest.api, manifest.rustc, manifest.target, manifest.panic
                ),
            );
            for class in &manifest.classes {
                line("class", &class_text(class));
                for option in &class.options {
                    line("", &option_text(option));
                }
            }
        }
        text
    }
}

impl List<'_> {
    fn to_text(&self) -> String {
        let mut text = String::new();
        for plugin in &self.plugins {
            text += &plugin.to_text();
            text.push('\n');
        }
        for Shadowed { class, used, ignored } in &self.shadowed {
            let line = format!("{class} is used from {used}, not from {ignored}");
            text += &format!("{}\n", printable(&line));
        }
        let folders = self.folders.iter().map(|folder| match &folder.problem {
            None => folder.path.clone(),
            Some(problem) => format!("{} ({problem})", folder.path),
        });
        let searched = format!("searched: {}", folders.collect::<Vec<_>>().join(", "));
        text + &format!("{}\n", printable(&searched))
    }
}

fn class_text(class: &ClassSpec) -> String {
    let mut text = class.class.clone();
    let mut own = Vec::new();
    own.extend(class.batch_size.map(|size| format!("batch_size = {size}")));
    own.extend(class.flush_interval.map(|seconds| format!("flush_interval = {seconds}")));
    own.extend(class.max_in_flight.map(|batches| format!("max_in_flight = {batches}")));
    own.extend(class.durable.then(|| "durable".to_owned()));
    if !own.is_empty() {
        text += &format!(" ({})", own.join(", "));
    }
    text
}

fn option_text(option: &OptionSpec) -> String {
    let mut text = format!("{}: {}", option.name, option.types.join(" or "));
    if !option.values.is_empty() {
        text += &format!(", one of {}", option.values.join(", "));
    }
    if option.required {
        text += ", required";
    } else if !option.default.is_null() {
        text += &format!(", default {}", option.default);
    }
    if !option.help.is_empty() {
        text += &format!(". {}", option.help);
    }
    text
}
