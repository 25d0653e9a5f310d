//! Looks at what a contender wrote.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use audit_plugin_api::PermissionAuditEvent;
use serde_json::{Map, Value};

/// Of so many lines, one is taken apart.
const SAMPLE: u64 = 997;

/// What a file holds.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Lines in it.
    pub lines: u64,
    /// Bytes in it.
    pub bytes: u64,
    /// What the lines are, to judge by the first and every 997th.
    pub content: Content,
}

/// What lines are, against the canonical ones; the best first.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Content {
    /// No line was seen.
    #[default]
    None,
    /// The canonical line, but for id and time.
    Canonical,
    /// Every key with its value.
    SameJson,
    /// Every key with its value, but lists and objects as text.
    ListsAsText,
    /// Every key with its value, but no `event_id`, for which there is no place.
    NoId,
    /// Something else, with what is wrong.
    Other(String),
}

impl Content {
    /// In a word, for a table.
    pub fn as_str(&self) -> &str {
        match self {
            Self::None => "nothing",
            Self::Canonical => "canonical",
            Self::SameJson => "same JSON",
            Self::ListsAsText => "same, lists as text",
            Self::NoId => "same JSON, no id",
            Self::Other(what) => what,
        }
    }
}

/// Counts the lines of a file, and compares some with the events that were recorded in turn.
pub fn check_lines(path: &Path, events: &[PermissionAuditEvent]) -> io::Result<Checked> {
    let wanted: Vec<String> = events.iter().map(|event| event.to_json()).collect();
    let mut lines = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut checked = Checked::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = lines.read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(checked);
        }
        if checked.lines.is_multiple_of(SAMPLE) {
            checked.content = checked.content.max(compare(&line, &wanted));
        }
        checked.lines += 1;
        checked.bytes += length as u64;
    }
}

/// What a line is; with several events any of them will do, since producers interleave.
fn compare(line: &[u8], wanted: &[String]) -> Content {
    let Ok(line) = str::from_utf8(line) else { return Content::Other("not UTF-8".into()) };
    if wanted.iter().any(|wanted| rest(line.trim_end()) == rest(wanted)) {
        return Content::Canonical;
    }
    match wanted {
        [wanted] => compare_json(line, wanted),
        _ => Content::Other("another event".into()),
    }
}

/// The line behind id and time.
fn rest(line: &str) -> Option<&str> {
    line.find(r#","action":"#).map(|at| &line[at..])
}

fn compare_json(line: &str, wanted: &str) -> Content {
    let Ok(line) = serde_json::from_str::<Map<String, Value>>(line) else {
        return Content::Other("not JSON".into());
    };
    let wanted: Map<String, Value> = serde_json::from_str(wanted).expect("a canonical line");
    let mut content = Content::SameJson;
    for (key, wanted) in &wanted {
        let found = line.get(key).unwrap_or(&Value::Null);
        if key == "event_id" && found.is_null() {
            content = content.max(Content::NoId);
        } else if matches!(key.as_str(), "event_id" | "timestamp") {
            if !found.is_string() {
                return Content::Other(format!("no {key}"));
            }
        } else if found != wanted {
            let text = found.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
            if text.as_ref() != Some(wanted) {
                return Content::Other(format!("another {key}"));
            }
            content = content.max(Content::ListsAsText);
        }
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measured_event;

    #[test]
    fn lines_are_told_apart() {
        let event = measured_event();
        let canonical = event.to_json();
        let spaced = canonical.replace("\"action\":", "\"action\": ");
        let texts = canonical.replace(r#"["status","owner"]"#, r#""[\"status\", \"owner\"]""#);
        let wrong = canonical.replace("4217", "4218");
        let wanted = [canonical.clone()];
        assert_eq!(compare(canonical.as_bytes(), &wanted), Content::Canonical);
        assert_eq!(compare(spaced.as_bytes(), &wanted), Content::SameJson);
        assert_eq!(compare(texts.as_bytes(), &wanted), Content::ListsAsText);
        assert_eq!(compare(wrong.as_bytes(), &wanted), Content::Other("another user_id".into()));
        assert_eq!(compare(b"hello", &wanted), Content::Other("not JSON".into()));
    }
}
