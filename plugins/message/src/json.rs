//! Canonical JSON, read without building anything.

use std::borrow::Cow;

use memchr::memchr2;

/// Splits canonical JSON behind its first value; `None` if that does not end.
pub fn split_value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut depth = 0_usize;
    let mut at = 0;
    loop {
        match *text.get(at)? {
            b'"' => at = end_of_string(text, at)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                at += 1;
            }
            b',' | b':' if depth > 0 => at += 1,
            _ => at += text[at..].iter().position(|byte| b"\"{}[],:".contains(byte))?,
        }
        if depth == 0 {
            return Some(text.split_at(at));
        }
    }
}

/// The position behind the string that starts at `start`.
fn end_of_string(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The text that canonical JSON holds between two quotes, as UTF-8. A lone surrogate, which UTF-8 cannot hold, stays
/// as its six characters `\udxxx`.
pub fn unescape(escaped: &[u8]) -> Cow<'_, [u8]> {
    // Keys are short: a search that is prepared for more takes longer than they are.
    let Some(first) = escaped.iter().position(|byte| *byte == b'\\') else {
        return Cow::Borrowed(escaped);
    };
    let mut text = escaped[..first].to_vec();
    let mut rest = &escaped[first..];
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'\\' {
            text.push(byte);
            continue;
        }
        let Some((&kind, behind)) = rest.split_first() else { break };
        rest = behind;
        match kind {
            b'n' => text.push(b'\n'),
            b'r' => text.push(b'\r'),
            b't' => text.push(b'\t'),
            b'b' => text.push(8),
            b'f' => text.push(12),
            b'u' => {
                let (digits, behind) = rest.split_at(rest.len().min(4));
                rest = behind;
                let code =
                    std::str::from_utf8(digits).ok().and_then(|digits| u32::from_str_radix(digits, 16).ok());
                match code.and_then(char::from_u32) {
                    Some(char) => text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
                    None => {
                        text.extend_from_slice(b"\\u");
                        text.extend_from_slice(digits);
                    }
                }
            }
            itself => text.push(itself),
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<&str> {
        split_value(text.as_bytes()).map(|(value, _)| std::str::from_utf8(value).unwrap())
    }

    #[test]
    fn a_value_ends_where_it_ends_whatever_stands_in_its_strings() {
        for first in [
            "null",
            "true",
            "-1.5e999",
            r#""""#,
            r#""a\"],}\\""#,
            "[]",
            r#"["]",[1,{"}":2}]]"#,
            r#"{"a":{"b":[]}}"#,
        ] {
            assert_eq!(value(&format!("{first},\"next\":1}}")), Some(first));
            assert_eq!(value(&format!("{first}}}")), Some(first));
        }
    }

    #[test]
    fn a_value_that_does_not_end_is_none() {
        for open in ["", "nul", "\"a", "\"a\\", "[1", "{\"a\":\"}", "}", ","] {
            assert!(value(open).is_none_or(str::is_empty), "{open}");
        }
    }

    #[test]
    fn text_without_an_escape_is_borrowed() {
        assert!(matches!(unescape("zoë".as_bytes()), Cow::Borrowed(_)));
    }

    #[test]
    fn every_escape_of_canonical_json_is_undone() {
        let text = unescape(br#"\"\\\n\r\t\b\f\u0000\u001f/"#);
        assert_eq!(&*text, b"\"\\\n\r\t\x08\x0c\0\x1f/");
    }

    #[test]
    fn lone_surrogates_stay_as_they_are_written() {
        assert_eq!(&*unescape(br"a\ud800b\n"), b"a\\ud800b\n");
    }

    #[test]
    fn cut_escapes_do_no_harm() {
        for cut in [&br"a\"[..], br"a\u", br"a\u12", br"a\u00zz"] {
            let _ = unescape(cut);
        }
    }
}
