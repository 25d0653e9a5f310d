//! What is wrong with a sink: its class, its options against the class's manifest, and what the sink itself says.

use std::ops::Range;
use std::path::PathBuf;

use audit_plugin_api::manifest::{ClassSpec, OptionSpec};
use serde_json::Value;

use super::error::Draft;
use super::parse::WORKER_KEYS;
use super::suggest::{did_you_mean, list};
use super::{ConfigError, SinkConfig};

/// Checks the options of `sink` against what the manifest of its class says, without running the plugin: unknown,
/// missing, of a wrong type, or not one of the values it may have.
pub fn check_options(sink: &SinkConfig, class: &ClassSpec) -> Result<(), ConfigError> {
    let mut drafts = Vec::new();
    let given = sink.options.as_object();
    for (name, value) in given.into_iter().flatten() {
        match class.options.iter().find(|option| option.name == *name) {
            Some(option) => drafts.extend(check_value(sink, option, value)),
            None => drafts.push(unknown_option(sink, class, name)),
        }
    }
    for option in class.options.iter().filter(|option| option.required) {
        if given.is_none_or(|given| !given.contains_key(&option.name)) {
            let message = format!("`{}` needs the option `{}`", sink.class, option.name);
            drafts.push(with_help(Draft::new(options_place(sink), message), option));
        }
    }
    if drafts.is_empty() { Ok(()) } else { Err(ConfigError::in_document(&sink.document, drafts)) }
}

impl ConfigError {
    /// No plugin has the class of `sink`: says which classes are `known`, which `folders` were searched, and which
    /// files were `refused`, each with its reason.
    pub fn unknown_class(
        sink: &SinkConfig,
        known: &[String],
        folders: &[PathBuf],
        refused: &[String],
    ) -> Self {
        let known = || known.iter().map(String::as_str);
        let meant = did_you_mean(&sink.class, known());
        let draft = Draft::new(sink.class_span.clone(), format!("unknown class `{}`{meant}", sink.class));
        let draft = match known().next() {
            Some(_) => draft.note(format!("known classes: {}", list(known()))),
            None => draft.note("no plugin was found"),
        };
        let draft = folders.iter().fold(draft, |draft, folder| {
            let absent = if folder.is_dir() { "" } else { ", which does not exist" };
            draft.note(format!("searched the folder {}{absent}", folder.display()))
        });
        let draft = refused.iter().fold(draft, |draft, reason| draft.note(format!("refused: {reason}")));
        Self::in_document(&sink.document, vec![draft])
    }

    /// The sink says that it cannot use an option. `path` is as `serde_path_to_error` writes it, e.g.
    /// `brokers[1].host`; an empty one, or one that is not in the file, points at the nearest part that is.
    pub fn option(sink: &SinkConfig, path: &str, reason: &str) -> Self {
        let place = sink.spans.nearest(path).map_or_else(|| options_place(sink), |span| span.value.clone());
        let message = match path {
            "" | "." | "?" => format!("sink `{}` cannot use its options: {reason}", sink.name),
            path => format!("sink `{}` cannot use the option `{path}`: {reason}", sink.name),
        };
        Self::in_document(&sink.document, vec![Draft::new(place, message)])
    }

    /// The sink could not be opened.
    pub fn opening(sink: &SinkConfig, reason: &str) -> Self {
        Self::at_class(sink, &format!("sink `{}` cannot be opened: {reason}", sink.name))
    }

    /// The spool could not be opened.
    pub fn spool(reason: &str) -> Self {
        Self::without_place(reason)
    }

    /// Anything else about a sink, shown where its class stands.
    pub fn at_class(sink: &SinkConfig, message: &str) -> Self {
        Self::in_document(&sink.document, vec![Draft::new(sink.class_span.clone(), message)])
    }
}

fn unknown_option(sink: &SinkConfig, class: &ClassSpec, name: &str) -> Draft {
    let place = sink.spans.nearest(name).map_or_else(|| options_place(sink), |span| span.key.clone());
    let own = || class.options.iter().map(|option| option.name.as_str());
    let message = format!("`{}` has no option `{name}`", sink.class);
    if ["class", "name", "required"].contains(&name) {
        return Draft::new(place, message).note(format!("`{name}` belongs beside `options`, not in it"));
    }
    let meant = did_you_mean(name, own().chain(WORKER_KEYS));
    Draft::new(place, message + &meant).note(format!("known options: {}", list(own().chain(WORKER_KEYS))))
}

fn check_value(sink: &SinkConfig, option: &OptionSpec, value: &Value) -> Option<Draft> {
    let place =
        sink.spans.nearest(&option.name).map_or_else(|| options_place(sink), |span| span.value.clone());
    let found = type_name(value);
    let fits = |expected: &String| expected == found || (expected == "float" && found == "integer");
    if !option.types.is_empty() && !option.types.iter().any(fits) {
        let expected = or_list(&option.types);
        let message = format!("wrong type for `{}`: expected {expected}, found {found}", option.name);
        return Some(with_help(Draft::new(place, message), option));
    }
    let text = value.as_str()?;
    if option.values.is_empty() || option.values.iter().any(|known| known == text) {
        return None;
    }
    let known = || option.values.iter().map(String::as_str);
    let message = format!("unknown value `{text}` for `{}`{}", option.name, did_you_mean(text, known()));
    let draft = Draft::new(place, message).note(format!("known values: {}", list(known())));
    Some(with_help(draft, option))
}

fn with_help(draft: Draft, option: &OptionSpec) -> Draft {
    if option.help.is_empty() { draft } else { draft.note(format!("`{}`: {}", option.name, option.help)) }
}

fn options_place(sink: &SinkConfig) -> Range<usize> {
    sink.options_span.as_ref().unwrap_or(&sink.class_span).clone()
}

fn or_list(words: &[String]) -> String {
    match words {
        [all @ .., last] if !all.is_empty() => format!("{} or {last}", all.join(", ")),
        _ => words.concat(),
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "string",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "integer",
        Value::Bool(_) => "boolean",
        Value::Array(_) => "array",
        Value::Object(_) => "table",
        Value::Null => "null",
    }
}
