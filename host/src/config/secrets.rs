//! The values that no message may show.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

const MASK: &str = "***";

/// The values that `${NAME}` and `${file:…}` brought in. Cheap to clone.
///
/// Masking is textual: it finds a value as it is, and as JSON or a Rust debug string would write it. Short values are
/// masked like long ones, even where that makes a message hard to read.
#[derive(Clone, Default)]
pub struct Secrets {
    values: Arc<[String]>,
}

impl Secrets {
    /// Replaces every occurrence of a secret value by `***`; overlapping occurrences become one.
    pub fn mask<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut found: Vec<(usize, usize)> = Vec::new();
        for value in self.values.iter() {
            let mut from = 0;
            while let Some(at) = text[from..].find(value.as_str()) {
                let start = from + at;
                found.push((start, start + value.len()));
                from = start + value.chars().next().map_or(1, char::len_utf8);
            }
        }
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        found.sort_unstable();
        let mut out = String::with_capacity(text.len());
        let mut covered = 0;
        for (start, end) in found {
            if start >= covered {
                out.push_str(&text[covered..start]);
                out.push_str(MASK);
            }
            covered = covered.max(end);
        }
        out.push_str(&text[covered..]);
        Cow::Owned(out)
    }

    /// These values and those.
    pub fn and(&self, other: &Self) -> Self {
        let mut values = [&*self.values, &*other.values].concat();
        values.sort_unstable();
        values.dedup();
        Self { values: values.into() }
    }

    /// Whether nothing is secret.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl FromIterator<String> for Secrets {
    /// Takes the values as they are; empty ones are left out.
    fn from_iter<I: IntoIterator<Item = String>>(values: I) -> Self {
        let mut all: Vec<String> = Vec::new();
        for value in values.into_iter().filter(|value| !value.is_empty()) {
            let json = serde_json::Value::from(value.as_str()).to_string();
            all.push(json[1..json.len() - 1].to_owned());
            all.push(value.escape_debug().to_string());
            all.push(value);
        }
        all.sort_unstable();
        all.dedup();
        Self { values: all.into() }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "Secrets(none)" } else { "Secrets(***)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(values: &[&str], text: &str) -> String {
        values.iter().map(|value| (*value).to_owned()).collect::<Secrets>().mask(text).into_owned()
    }

    #[test]
    fn every_occurrence_is_masked() {
        assert_eq!(mask(&["hunter2"], "hunter2 and hunter2hunter2"), "*** and ******");
    }

    #[test]
    fn values_of_two_configurations_are_masked_together() {
        let of = |value: &str| [value.to_owned()].into_iter().collect::<Secrets>();
        assert_eq!(of("one").and(&of("two")).mask("one two three"), "*** *** three");
        assert!(Secrets::default().and(&Secrets::default()).is_empty());
    }

    #[test]
    fn text_without_secrets_is_not_copied() {
        let secrets: Secrets = ["x".to_owned()].into_iter().collect();
        assert!(matches!(secrets.mask("abc"), Cow::Borrowed("abc")));
        assert!(matches!(Secrets::default().mask("abc"), Cow::Borrowed("abc")));
    }

    #[test]
    fn overlapping_values_leave_no_remainder() {
        assert_eq!(mask(&["pass", "password"], "password=pass"), "***=***");
        assert_eq!(mask(&["abc", "bcdef"], "-abcdef-"), "-***-");
        assert_eq!(mask(&["aa"], "aaa"), "***");
    }

    #[test]
    fn short_values_are_masked_and_empty_ones_are_not_values() {
        assert_eq!(mask(&["7"], "port 7"), "port ***");
        assert_eq!(mask(&[""], "port 7"), "port 7");
        assert!([String::new()].into_iter().collect::<Secrets>().is_empty());
    }

    #[test]
    fn values_are_found_as_json_and_debug_write_them() {
        let value = "a\"b\nü\u{1b}";
        let json = serde_json::json!({ "k": value }).to_string();
        assert_eq!(mask(&[value], &json), r#"{"k":"***"}"#);
        assert_eq!(mask(&[value], &format!("{value:?}")), r#""***""#);
    }

    #[test]
    fn debug_shows_no_value() {
        let secrets: Secrets = ["hunter2".to_owned()].into_iter().collect();
        assert_eq!(format!("{secrets:?}"), "Secrets(***)");
    }

    proptest::proptest! {
        #[test]
        fn no_value_survives_masking(values in proptest::collection::vec("[ab]{1,3}", 1..4), text in "[abc]{0,24}") {
            let secrets: Secrets = values.iter().cloned().collect();
            let masked = secrets.mask(&text).into_owned();
            for value in &values {
                proptest::prop_assert!(!masked.contains(value.as_str()), "{value} in {masked}");
            }
        }
    }
}
