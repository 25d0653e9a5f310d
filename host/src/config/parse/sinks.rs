//! `audit_logger`, in its three forms.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::MAX_COUNT;
use crate::config::SinkConfig;
use crate::config::document::Document;
use crate::config::error::Draft;
use crate::config::fields::{Fields, Rejected, Zero, boolean, integer, seconds, string, table, wrong_type};
use crate::config::sink::OptionSpans;
use crate::config::tree::{Node, Value};

pub(super) fn read_sinks(document: &Arc<Document>, node: Node, drafts: &mut Vec<Draft>) -> Vec<SinkConfig> {
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
    fields.finish_with_note(Some("the options of worker and sink belong in [audit_logger.options]"));

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

fn read_name(key: &str, node: Node) -> Result<(String, Range<usize>), Rejected> {
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
