//! The parts of a canonical line that are printed.
//!
//! Reads no further than `attributes` and decodes nothing: the texts are handed on as they are escaped in the line, so
//! that what Rust's `String` cannot hold (a lone surrogate) is not lost.

/// The parts of a canonical line that are printed.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// The action's word, also one that this version does not know.
    pub action: &'a str,
    /// What follows the bracket that opens `attributes`.
    attributes: &'a str,
}

impl<'a> Parts<'a> {
    /// Finds them; `None` if the line is not canonical.
    pub fn find(line: &'a [u8]) -> Option<Self> {
        let rest = std::str::from_utf8(line).ok()?.strip_prefix(r#"{"event_id":""#)?;
        let (_, rest) = rest.split_once(r#"","timestamp":""#)?;
        let (_, rest) = rest.split_once(r#"","action":""#)?;
        let (action, attributes) = rest.split_once(r#"","attributes":["#)?;
        let parts = Self { action, attributes };
        let mut texts = parts.attributes();
        texts.by_ref().for_each(drop);
        texts.0.starts_with(']').then_some(parts)
    }

    /// The attributes, each as it is escaped in the line, without its quotes.
    pub fn attributes(&self) -> Texts<'a> {
        Texts(self.attributes)
    }
}

/// The texts of a list, each as it is escaped; stops where the list does.
pub struct Texts<'a>(&'a str);

impl<'a> Iterator for Texts<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.0.strip_prefix('"').or_else(|| self.0.strip_prefix(",\""))?;
        let mut bytes = text.bytes().enumerate();
        while let Some((position, byte)) = bytes.next() {
            match byte {
                b'"' => {
                    self.0 = &text[position + 1..];
                    return Some(&text[..position]);
                }
                b'\\' => _ = bytes.next(),
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(attributes: &str) -> String {
        format!(
            r#"{{"event_id":"019a0000-0000-7000-8000-000000000000","timestamp":"2026-11-24T02:42:00.123456+00:00","action":"update","attributes":{attributes},"granted":true,"bypassed":false,"manager":null,"user_id":null,"user":null,"permissions":["not this"],"metadata":null}}"#
        )
    }

    fn attributes(list: &str) -> Option<Vec<String>> {
        let line = line(list);
        Parts::find(line.as_bytes()).map(|parts| parts.attributes().map(str::to_owned).collect())
    }

    #[test]
    fn attributes_are_found_whatever_stands_in_them() {
        assert_eq!(attributes("[]"), Some(vec![]));
        assert_eq!(attributes(r#"["a","b c"]"#), Some(vec!["a".into(), "b c".into()]));
        assert_eq!(
            attributes(r#"["\"],\"granted\":","\\","]"]"#),
            Some(vec![r#"\"],\"granted\":"#.into(), r"\\".into(), "]".into()])
        );
    }

    #[test]
    fn a_line_that_is_not_canonical_is_refused() {
        assert!(Parts::find(b"").is_none());
        assert!(Parts::find(b"{\"action\":\"update\"}").is_none());
        assert!(Parts::find(&line("[]").as_bytes()[..120]).is_none());
        assert_eq!(attributes(r#"["open"#), None);
        assert_eq!(attributes(r#"["a" "b"]"#), None);
        assert_eq!(attributes(r#"["a",7]"#), None);
    }
}
