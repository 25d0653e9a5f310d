//! Reading a table key by key: which keys it may have, and what type and range each value has.

use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::Draft;
use super::suggest::{did_you_mean, list};
use super::tree::{Entry, Node, Value};

/// A year. More is a slip of the unit, and sums with a clock must not overflow.
pub(super) const MAX_SECONDS: f64 = 31_536_000.0;

/// A table of which keys are taken one by one; what is left in the end is unknown.
pub(super) struct Fields<'d> {
    /// Where that is, in messages: `in [buffer]`.
    place: &'static str,
    entries: Vec<Entry>,
    known: Vec<&'static str>,
    pub(super) drafts: &'d mut Vec<Draft>,
}

/// Why there is no value: a mistake, or `None` where it was reported already.
pub(super) struct Rejected(Option<Draft>);

impl From<Draft> for Rejected {
    fn from(draft: Draft) -> Self {
        Self(Some(draft))
    }
}

impl Rejected {
    pub(super) fn report(self, drafts: &mut Vec<Draft>) {
        drafts.extend(self.0);
    }
}

impl<'d> Fields<'d> {
    pub(super) fn new(place: &'static str, entries: Vec<Entry>, drafts: &'d mut Vec<Draft>) -> Self {
        Self { place, entries, known: Vec::new(), drafts }
    }

    pub(super) fn take(&mut self, key: &'static str) -> Option<Node> {
        self.known.push(key);
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(at).node)
    }

    /// Takes the value of `key` as `reader` understands it; `None` if it is absent or wrong.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        reader: impl FnOnce(&str, Node) -> Result<T, Rejected>,
    ) -> Option<T> {
        let node = self.take(key)?;
        match reader(key, node) {
            Ok(value) => Some(value),
            Err(rejected) => {
                rejected.report(self.drafts);
                None
            }
        }
    }

    /// As [`Fields::read`], into `target`, which keeps its value if there is none.
    pub(super) fn set<T>(
        &mut self,
        target: &mut T,
        key: &'static str,
        reader: impl FnOnce(&str, Node) -> Result<T, Rejected>,
    ) {
        if let Some(value) = self.read(key, reader) {
            *target = value;
        }
    }

    /// Where the value of `key` stands, while it was not taken.
    pub(super) fn span_of(&self, key: &str) -> Option<Range<usize>> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| entry.node.span.clone())
    }

    /// Where `key` itself stands, while it was not taken.
    pub(super) fn key_span_of(&self, key: &str) -> Option<Range<usize>> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| entry.key_span.clone())
    }

    /// What was not taken.
    pub(super) fn into_rest(self) -> Vec<Entry> {
        self.entries
    }

    /// Reports what was not taken.
    pub(super) fn finish(self) {
        self.finish_with_note(None);
    }

    /// Reports what was not taken; the note may say where else such keys belong.
    pub(super) fn finish_with_note(self, note: Option<&str>) {
        for entry in self.entries {
            let key = &entry.key;
            let known = || self.known.iter().copied();
            let message = format!("unknown key `{key}` {}{}", self.place, did_you_mean(key, known()));
            let draft = Draft::new(entry.key_span, message).note(format!("known keys: {}", list(known())));
            let draft = note.into_iter().fold(draft, Draft::note);
            self.drafts.push(draft);
        }
    }
}

/// The mistake of a value that has another type than `expected`.
pub(super) fn wrong_type(name: &str, expected: &str, node: &Node) -> Rejected {
    if matches!(node.value, Value::Invalid) {
        return Rejected(None);
    }
    let found = node.value.type_name();
    Draft::new(node.span.clone(), format!("wrong type for `{name}`: expected {expected}, found {found}"))
        .into()
}

pub(super) fn string(name: &str, node: Node) -> Result<(String, Range<usize>), Rejected> {
    match node.value {
        Value::String(text) => Ok((text, node.span)),
        _ => Err(wrong_type(name, "string", &node)),
    }
}

pub(super) fn boolean(name: &str, node: Node) -> Result<bool, Rejected> {
    match node.value {
        Value::Boolean(value) => Ok(value),
        _ => Err(wrong_type(name, "boolean", &node)),
    }
}

pub(super) fn table(name: &str, node: Node) -> Result<Vec<Entry>, Rejected> {
    match node.value {
        Value::Table(entries) => Ok(entries),
        _ => Err(wrong_type(name, "table", &node)),
    }
}

pub(super) fn array(name: &str, node: Node) -> Result<Vec<Node>, Rejected> {
    match node.value {
        Value::Array(nodes) => Ok(nodes),
        _ => Err(wrong_type(name, "array", &node)),
    }
}

pub(super) fn integer<T>(range: RangeInclusive<i64>) -> impl FnOnce(&str, Node) -> Result<T, Rejected>
where
    T: TryFrom<i64>,
{
    move |name, node| {
        let Value::Integer(number) = node.value else {
            return Err(wrong_type(name, "integer", &node));
        };
        let value = range.contains(&number).then(|| T::try_from(number).ok()).flatten();
        value.ok_or_else(|| {
            let (least, most) = range.into_inner();
            let limit = if number < least { format!("at least {least}") } else { format!("at most {most}") };
            Draft::new(node.span, format!("`{name}` must be {limit}, not {number}")).into()
        })
    }
}

/// Whether a duration may be nothing at all.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Zero {
    Allowed,
    Refused,
}

pub(super) fn seconds(zero: Zero) -> impl FnOnce(&str, Node) -> Result<Duration, Rejected> {
    move |name, node| {
        let number = match node.value {
            #[allow(clippy::cast_precision_loss)]
            Value::Integer(number) => number as f64,
            Value::Float(number) => number,
            _ => return Err(wrong_type(name, "integer or float", &node)),
        };
        let limit = if !number.is_finite() {
            "a number of seconds"
        } else if number < 0.0 {
            "0 seconds or more"
        } else if number == 0.0 && zero == Zero::Refused {
            "more than 0 seconds"
        } else if number > MAX_SECONDS {
            "at most 31536000 seconds (a year)"
        } else {
            return Duration::try_from_secs_f64(number)
                .map_err(|error| Draft::new(node.span, format!("`{name}`: {error}")).into());
        };
        Err(Draft::new(node.span, format!("`{name}` must be {limit}, not {number}")).into())
    }
}

/// One of a few words.
pub(super) fn word<T: Clone>(words: &[(&str, T)]) -> impl FnOnce(&str, Node) -> Result<T, Rejected> {
    move |name, node| {
        let (text, span) = string(name, node)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(value.clone());
        }
        let known = || words.iter().map(|(word, _)| *word);
        let message = format!("unknown value `{text}` for `{name}`{}", did_you_mean(&text, known()));
        Err(Draft::new(span, message).note(format!("known values: {}", list(known()))).into())
    }
}

/// A path, made absolute against `base_dir`.
pub(super) fn path(base_dir: &Path) -> impl Fn(&str, Node) -> Result<(PathBuf, Range<usize>), Rejected> {
    move |name, node| {
        let (text, span) = string(name, node)?;
        if text.is_empty() || text.contains('\0') {
            let problem = if text.is_empty() { "is empty" } else { "holds a NUL character" };
            return Err(Draft::new(span, format!("`{name}` {problem}, but must be a path")).into());
        }
        let path = base_dir.join(text);
        Ok((std::path::absolute(&path).unwrap_or(path), span))
    }
}
