//! The parsed file: TOML values with the place of each, `${…}` filled in.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Draft;
use super::interpolate::Interpolator;

/// A value and where it stands. A table under a header stands where its header does.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) value: Value,
}

/// A TOML value.
#[derive(Debug)]
pub(super) enum Value {
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Datetime,
    Array(Vec<Node>),
    Table(Vec<Entry>),
    /// It was reported already; whoever meets it says nothing more.
    Invalid,
}

/// A key with its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) node: Node,
}

/// A whole file.
pub(super) struct Tree {
    pub(super) root: Vec<Entry>,
    pub(super) secrets: BTreeSet<String>,
}

impl Value {
    /// Its type, as TOML calls it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::Integer(_) => "integer",
            Self::Float(_) => "float",
            Self::Boolean(_) => "boolean",
            Self::Datetime => "datetime",
            Self::Array(_) => "array",
            Self::Table(_) => "table",
            Self::Invalid => "invalid value",
        }
    }
}

impl Tree {
    /// Parses `text`, and fills in values if there is an `interpolator`; what is wrong is added to `drafts`.
    pub(super) fn read(text: &str, interpolator: Option<Interpolator<'_>>, drafts: &mut Vec<Draft>) -> Self {
        let table = match DeTable::parse(text) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                let end = text.trim_end().len();
                let span = error.span().unwrap_or(end..end);
                drafts.push(Draft::new(span, format!("not valid TOML: {}", error.message())));
                DeTable::new()
            }
        };
        let mut reader = Reader { text, interpolator, drafts };
        let root = reader.table(table);
        Self { root, secrets: reader.interpolator.map(Interpolator::into_secrets).unwrap_or_default() }
    }
}

struct Reader<'a> {
    text: &'a str,
    interpolator: Option<Interpolator<'a>>,
    drafts: &'a mut Vec<Draft>,
}

impl Reader<'_> {
    fn table(&mut self, table: DeTable<'_>) -> Vec<Entry> {
        let entry = |(key, value): (Spanned<_>, _)| {
            let key_span = key.span();
            let key: std::borrow::Cow<'_, str> = key.into_inner();
            Entry { key: key.into_owned(), key_span, node: self.node(value) }
        };
        table.into_iter().map(entry).collect()
    }

    fn node(&mut self, value: Spanned<DeValue<'_>>) -> Node {
        let span = value.span();
        let value = match value.into_inner() {
            DeValue::String(text) => self.string(&text, &span),
            DeValue::Integer(number) => {
                let parsed = i64::from_str_radix(number.as_str(), number.radix());
                parsed.map_or_else(|_| self.out_of_range(&span, "an integer of 64 bits"), Value::Integer)
            }
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                Ok(parsed)
                    if parsed.is_finite() || !number.as_str().contains(|c: char| c.is_ascii_digit()) =>
                {
                    Value::Float(parsed)
                }
                _ => self.out_of_range(&span, "a float of 64 bits"),
            },
            DeValue::Boolean(value) => Value::Boolean(value),
            DeValue::Datetime(_) => Value::Datetime,
            DeValue::Array(values) => {
                Value::Array(values.into_iter().map(|value| self.node(value)).collect())
            }
            DeValue::Table(table) => Value::Table(self.table(table)),
        };
        Node { span, value }
    }

    fn string(&mut self, text: &str, span: &Range<usize>) -> Value {
        let Some(interpolator) = &mut self.interpolator else {
            return Value::String(text.to_owned());
        };
        interpolator.expand(text).map_or_else(
            |error| {
                // The expression itself, unless the string is written with escapes.
                let source = self.text.get(span.clone()).unwrap_or_default();
                let narrowed = source.find(&error.expression).map(|at| {
                    let start = span.start + at;
                    start..start + error.expression.len()
                });
                self.drafts.push(Draft::new(narrowed.unwrap_or_else(|| span.clone()), error.message));
                Value::Invalid
            },
            Value::String,
        )
    }

    fn out_of_range(&mut self, span: &Range<usize>, limit: &str) -> Value {
        let number = self.text.get(span.clone()).unwrap_or_default();
        self.drafts.push(Draft::new(span.clone(), format!("{number} is beyond {limit}")));
        Value::Invalid
    }
}
