//! From a parsed file to settings, section by section. Goes on after a mistake, so that all are found at once.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::Document;
use super::error::Draft;
use super::fields::{self, Fields, Zero, array, boolean, integer, seconds, string, table, word, wrong_type};
use super::sink::{OptionSpans, SinkConfig};
use super::tree::{Entry, Node, Value};
use super::{BufferSettings, Config, ConfigError, DeliverySettings, PluginSettings, Probe, WhenFull};

/// The keys of `options` that are the worker's; the rest is the sink's.
pub(super) const WORKER_KEYS: [&str; 4] = ["batch_size", "flush_interval", "use_worker", "max_in_flight"];

pub(super) const MAX_COUNT: i64 = u32::MAX as i64;
pub(super) const MIN_CAPACITY_BYTES: i64 = 4 << 10;
pub(super) const MAX_CAPACITY_BYTES: i64 = 1 << 40;
/// Offsets within a batch have 32 bits.
pub(super) const MAX_EVENT_BYTES: i64 = 1 << 30;

/// Makes settings of `root`, unless there are mistakes: `drafts` holds those that were made before.
pub(super) fn parse(
    document: &Arc<Document>,
    root: Vec<Entry>,
    base_dir: &Path,
    mut drafts: Vec<Draft>,
) -> Result<Config, ConfigError> {
    let mut root = Fields::new("at the top level", root, &mut drafts);
    let sinks = root.take("audit_logger");
    let plugins = root.read("plugins", table).unwrap_or_default();
    let buffer = root.read("buffer", table).unwrap_or_default();
    let delivery = root.read("delivery", table).unwrap_or_default();
    root.finish(|_| None);

    let config = Config {
        sinks: sinks.map(|node| read_sinks(document, node, &mut drafts)).unwrap_or_default(),
        plugins: read_plugins(Fields::new("in [plugins]", plugins, &mut drafts), base_dir),
        buffer: read_buffer(Fields::new("in [buffer]", buffer, &mut drafts)),
        delivery: read_delivery(Fields::new("in [delivery]", delivery, &mut drafts), base_dir),
        base_dir: base_dir.to_owned(),
        secrets: document.secrets.clone(),
    };
    if drafts.is_empty() { Ok(config) } else { Err(ConfigError::in_document(document, drafts)) }
}

fn read_sinks(document: &Arc<Document>, node: Node, drafts: &mut Vec<Draft>) -> Vec<SinkConfig> {
    let sinks: Vec<(SinkConfig, Range<usize>)> = match node.value {
        Value::String(class) => read_class(class, node.span.clone(), drafts)
            .map(|class| (SinkConfig::new(document, class, node.span.clone()), node.span))
            .into_iter()
            .collect(),
        Value::Table(entries) => {
            read_sink(document, Fields::new("in [audit_logger]", entries, drafts), node.span)
                .into_iter()
                .collect()
        }
        Value::Array(nodes) => nodes
            .into_iter()
            .filter_map(|node| match node.value {
                Value::Table(entries) => {
                    read_sink(document, Fields::new("in [[audit_logger]]", entries, drafts), node.span)
                }
                _ => {
                    wrong_type("audit_logger", "array of tables", &node).report(drafts);
                    None
                }
            })
            .collect(),
        _ => {
            wrong_type("audit_logger", "string, table or array of tables", &node).report(drafts);
            Vec::new()
        }
    };
    let mut lines = BTreeMap::new();
    for (sink, span) in &sinks {
        let line = document.position(span.start).line;
        if let Some(first) = lines.insert(sink.name.as_str(), line) {
            drafts.push(
                Draft::new(
                    span.clone(),
                    format!("two sinks are called `{}`, here and in line {first}", sink.name),
                )
                .note(
                    "give each [[audit_logger]] a `name` of its own; without one it is called as its class",
                ),
            );
        }
    }
    sinks.into_iter().map(|(sink, _)| sink).collect()
}

/// Reads one sink, and where its name stands.
fn read_sink(
    document: &Arc<Document>,
    mut fields: Fields<'_>,
    span: Range<usize>,
) -> Option<(SinkConfig, Range<usize>)> {
    let class = match fields.take("class") {
        Some(node) => match string("class", node) {
            Ok((class, span)) => read_class(class, span.clone(), fields.drafts).map(|class| (class, span)),
            Err(rejected) => {
                rejected.report(fields.drafts);
                None
            }
        },
        None => {
            let message = "the sink has no `class`: name one, such as `class = \"print.PrintAuditLogger\"`";
            fields.drafts.push(Draft::new(span, message));
            None
        }
    };
    let name = fields.read("name", read_name);
    let required = fields.read("required", boolean);
    let options_span = fields.span_of("options");
    let options = fields.read("options", table).unwrap_or_default();
    let mut options = Fields::new("in [audit_logger.options]", options, fields.drafts);
    let batch_size = options.read("batch_size", integer(1..=MAX_COUNT));
    let flush_interval = options.read("flush_interval", seconds(Zero::Allowed));
    let use_worker = options.read("use_worker", boolean);
    let max_in_flight = options.read("max_in_flight", integer(1..=MAX_COUNT));
    let mut spans = OptionSpans::default();
    let mut json = serde_json::Map::new();
    for entry in options.into_rest() {
        spans.insert(&entry.key, entry.key_span, entry.node.span.clone());
        if let Some(value) = read_option(&entry.key, entry.node, &mut spans, fields.drafts) {
            json.insert(entry.key, value);
        }
    }
    fields.finish(|key| {
        let worker = WORKER_KEYS.contains(&key);
        worker.then(|| format!("`{key}` belongs in [audit_logger.options]"))
    });

    let (class, class_span) = class?;
    let mut sink = SinkConfig::new(document, class, class_span.clone());
    let name_span = name.as_ref().map_or(class_span, |(_, span)| span.clone());
    if let Some((name, _)) = name {
        sink.name = name;
    }
    sink.required = required.unwrap_or(true);
    sink.batch_size = batch_size;
    sink.flush_interval = flush_interval;
    sink.use_worker = use_worker;
    sink.max_in_flight = max_in_flight;
    sink.options = json.into();
    sink.options_span = options_span;
    sink.spans = spans;
    Some((sink, name_span))
}

fn read_class(class: String, span: Range<usize>, drafts: &mut Vec<Draft>) -> Option<String> {
    let is_segment = |segment: &str| {
        !segment.is_empty() && !segment.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    if class.contains('.') && class.split('.').all(is_segment) {
        return Some(class);
    }
    let message = format!(
        "`{class}` is no class path: it takes two segments or more, `module.Class`, such as `print.PrintAuditLogger`"
    );
    drafts.push(Draft::new(span, message));
    None
}

fn read_name(key: &str, node: Node) -> Result<(String, Range<usize>), fields::Rejected> {
    let (name, span) = string(key, node)?;
    if name.trim().is_empty() {
        return Err(Draft::new(span, "`name` is empty: give the sink a name, or leave it out").into());
    }
    Ok((name, span))
}

/// An option as JSON, the place of each of its parts noted under its path.
fn read_option(
    path: &str,
    node: Node,
    spans: &mut OptionSpans,
    drafts: &mut Vec<Draft>,
) -> Option<serde_json::Value> {
    let problem = match node.value {
        Value::String(text) => return Some(text.into()),
        Value::Integer(number) => return Some(number.into()),
        Value::Boolean(value) => return Some(value.into()),
        Value::Invalid => return None,
        Value::Array(nodes) => {
            let mut values = Vec::with_capacity(nodes.len());
            for (index, node) in nodes.into_iter().enumerate() {
                let path = format!("{path}[{index}]");
                spans.insert(&path, node.span.clone(), node.span.clone());
                values.extend(read_option(&path, node, spans, drafts));
            }
            return Some(values.into());
        }
        Value::Table(entries) => {
            let mut table = serde_json::Map::with_capacity(entries.len());
            for entry in entries {
                let path = format!("{path}.{}", entry.key);
                spans.insert(&path, entry.key_span, entry.node.span.clone());
                if let Some(value) = read_option(&path, entry.node, spans, drafts) {
                    table.insert(entry.key, value);
                }
            }
            return Some(table.into());
        }
        Value::Float(number) => match serde_json::Number::from_f64(number) {
            Some(number) => return Some(number.into()),
            None => format!("`{path}` must be a finite number, not {number}"),
        },
        Value::Datetime => format!(
            "wrong type for `{path}`: expected string, integer, float, boolean, array or table, found datetime: put \
             it in quotes"
        ),
    };
    drafts.push(Draft::new(node.span, problem));
    None
}

fn read_plugins(mut fields: Fields<'_>, base_dir: &Path) -> PluginSettings {
    let mut settings = PluginSettings { dirs: vec![base_dir.join("plugins")], ..PluginSettings::default() };
    if let Some(nodes) = fields.read("dirs", array) {
        settings.dirs = nodes
            .into_iter()
            .enumerate()
            .filter_map(|(index, node)| read_dir(&format!("dirs[{index}]"), node, base_dir, fields.drafts))
            .collect();
    }
    for entry in fields.read("sha256", table).unwrap_or_default() {
        match read_pin(&entry.key, &entry.key_span, entry.node) {
            Ok(pin) => {
                settings.sha256.insert(entry.key, pin);
            }
            Err(rejected) => rejected.report(fields.drafts),
        }
    }
    let words = [("auto", Probe::Auto), ("always", Probe::Always), ("never", Probe::Never)];
    fields.set(&mut settings.probe, "probe", word(&words));
    fields.finish(|_| None);
    settings
}

fn read_dir(name: &str, node: Node, base_dir: &Path, drafts: &mut Vec<Draft>) -> Option<PathBuf> {
    let (path, span) = match fields::path(base_dir)(name, node) {
        Ok(read) => read,
        Err(rejected) => {
            rejected.report(drafts);
            return None;
        }
    };
    let shown = path.display();
    let problem = match path.metadata() {
        Ok(metadata) if metadata.is_dir() => return Some(path),
        Ok(_) => format!("the plugin folder {shown} is not a folder: name the folder that holds the plugins"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            format!("the plugin folder {shown} does not exist: make it, or take it out of `dirs`")
        }
        Err(error) => format!("the plugin folder {shown} cannot be read: {error}"),
    };
    drafts.push(Draft::new(span, problem));
    None
}

fn read_pin(file: &str, key_span: &Range<usize>, node: Node) -> Result<[u8; 32], fields::Rejected> {
    if file.contains('/') || !file.ends_with(".so") {
        let message =
            format!("`{file}` is no plugin's file name: pins are by name, such as `libaudit_sink_print.so`");
        return Err(Draft::new(key_span.clone(), message).into());
    }
    let (text, span) = string(&format!("sha256.{file}"), node)?;
    decode_hex(&text).ok_or_else(|| {
        let found = if text.len() == 64 {
            "characters that are not".to_owned()
        } else {
            format!("{} characters", text.chars().count())
        };
        Draft::new(span, format!("the SHA-256 of `{file}` must be 64 hexadecimal digits, but has {found}"))
            .note("`sha256sum FILE` prints it")
            .into()
    })
}

fn decode_hex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut out = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(out)
}

fn read_buffer(mut fields: Fields<'_>) -> BufferSettings {
    let mut settings = BufferSettings::default();
    let default_event_bytes = settings.max_event_bytes;
    fields.set(
        &mut settings.capacity_bytes,
        "capacity_bytes",
        integer(MIN_CAPACITY_BYTES..=MAX_CAPACITY_BYTES),
    );
    let quarter = settings.capacity_bytes / 4;
    // A small store lowers the default; a size that was asked for is never changed.
    settings.max_event_bytes = default_event_bytes.min(quarter);
    let span = fields.span_of("max_event_bytes");
    fields.set(&mut settings.max_event_bytes, "max_event_bytes", integer(1..=MAX_EVENT_BYTES));
    if let Some(span) = span.filter(|_| settings.max_event_bytes > quarter) {
        let BufferSettings { max_event_bytes, capacity_bytes, .. } = settings;
        fields.drafts.push(Draft::new(
            span,
            format!(
                "`max_event_bytes` must be at most a quarter of `capacity_bytes`, {quarter} of {capacity_bytes}, not \
                 {max_event_bytes}"
            ),
        ));
    }
    let words = [("block", WhenFull::Block), ("fail", WhenFull::Fail)];
    fields.set(&mut settings.when_full, "when_full", word(&words));
    fields.set(&mut settings.block_timeout, "block_timeout", seconds(Zero::Allowed));
    fields.finish(|_| None);
    settings
}

fn read_delivery(mut fields: Fields<'_>, base_dir: &Path) -> DeliverySettings {
    let mut settings = DeliverySettings::default();
    let span = fields.span_of("retry_initial");
    let initial = fields.read("retry_initial", seconds(Zero::Allowed));
    fields.set(&mut settings.retry_max, "retry_max", seconds(Zero::Allowed));
    // A short `retry_max` lowers the default; a delay that was asked for is never changed.
    settings.retry_initial = initial.unwrap_or(settings.retry_initial.min(settings.retry_max));
    if let Some(span) = span.filter(|_| settings.retry_initial > settings.retry_max) {
        let (initial, max) = (settings.retry_initial.as_secs_f64(), settings.retry_max.as_secs_f64());
        fields.drafts.push(Draft::new(
            span,
            format!("`retry_initial` must be at most `retry_max`, {max} seconds, not {initial}"),
        ));
    }
    fields.set(&mut settings.max_attempts, "max_attempts", integer(0..=MAX_COUNT));
    fields.set(&mut settings.open_timeout, "open_timeout", seconds(Zero::Refused));
    fields.set(&mut settings.write_timeout, "write_timeout", seconds(Zero::Refused));
    fields.set(&mut settings.ack_timeout, "ack_timeout", seconds(Zero::Refused));
    fields.set(&mut settings.shutdown_timeout, "shutdown_timeout", seconds(Zero::Allowed));
    settings.dead_letter_path = base_dir.join(&settings.dead_letter_path);
    settings.rejected_path = base_dir.join(&settings.rejected_path);
    let mut last = None;
    for (target, key) in
        [(&mut settings.dead_letter_path, "dead_letter_path"), (&mut settings.rejected_path, "rejected_path")]
    {
        if let Some((path, span)) = fields.read(key, fields::path(base_dir)) {
            *target = path;
            last = Some(span);
        }
    }
    if let Some(span) = last.filter(|_| settings.dead_letter_path == settings.rejected_path) {
        let shown = settings.rejected_path.display();
        let message =
            format!("`dead_letter_path` and `rejected_path` are both {shown}: give each a file of its own");
        fields.drafts.push(Draft::new(span, message));
    }
    fields.finish(|_| None);
    settings
}
