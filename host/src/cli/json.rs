//! JSON that a terminal can be trusted with.

use std::borrow::Cow;
use std::fmt::Write;

use audit_host::config::printable;

/// Escapes in a JSON text what JSON leaves as it is and a terminal may obey: it can only stand within strings.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    if matches!(printable(json), Cow::Borrowed(_)) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        match printable(character.encode_utf8(&mut [0; 4])) {
            Cow::Borrowed(_) => out.push(character),
            Cow::Owned(_) if character == '\n' => out.push(character),
            Cow::Owned(_) => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_the_value_stays_the_same() {
        let value = serde_json::json!({ "a\u{7f}": "x\u{9b}2J\u{202e}\u{1b}[m ü" });
        let plain = serde_json::to_string(&value).expect("JSON");
        let escaped = printable_json(&plain);
        assert!(matches!(printable(&escaped), Cow::Borrowed(_)), "{escaped:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).expect("JSON"), value);
        assert!(matches!(printable_json("{\"a\":\"ü\"}"), Cow::Borrowed(_)));
    }
}
