//! Text, booleans and tuples as Python prints them.
//!
//! Works on text as it stands in a canonical line: escaped, without its quotes. A lone surrogate, which Rust's `char`
//! cannot hold, is a number here and comes out as Python's `'\ud800'`.

use crate::printable::is_printable;

/// Appends `True` or `False`.
pub fn push_bool(value: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if value { b"True" } else { b"False" });
}

/// Appends `repr(tuple(texts))`.
pub fn push_tuple<'a>(texts: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
    out.push(b'(');
    let mut count = 0;
    for text in texts {
        if count > 0 {
            out.extend_from_slice(b", ");
        }
        push_repr(text, out);
        count += 1;
    }
    out.extend_from_slice(if count == 1 { b",)" } else { b")" });
}

/// Appends `repr(text)`.
pub fn push_repr(escaped: &str, out: &mut Vec<u8>) {
    if escaped.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'\\' && byte != b'\'') {
        out.push(b'\'');
        out.extend_from_slice(escaped.as_bytes());
        out.push(b'\'');
        return;
    }
    let has = |wanted: char| CodePoints(escaped).any(|code| code == wanted as u32);
    let quote = if has('\'') && !has('"') { '"' } else { '\'' };
    out.push(quote as u8);
    for code in CodePoints(escaped) {
        push_code_point(code, quote, out);
    }
    out.push(quote as u8);
}

fn push_code_point(code: u32, quote: char, out: &mut Vec<u8>) {
    match char::from_u32(code) {
        Some(char) if char == quote || char == '\\' => out.extend_from_slice(&[b'\\', char as u8]),
        Some('\n') => out.extend_from_slice(b"\\n"),
        Some('\r') => out.extend_from_slice(b"\\r"),
        Some('\t') => out.extend_from_slice(b"\\t"),
        Some(char) if is_printable(code) => {
            out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        }
        _ => {
            let escape = match code {
                0..=0xff => format!("\\x{code:02x}"),
                0x100..=0xffff => format!("\\u{code:04x}"),
                _ => format!("\\U{code:08x}"),
            };
            out.extend_from_slice(escape.as_bytes());
        }
    }
}

/// The code points of canonical text, surrogates included.
struct CodePoints<'a>(&'a str);

impl Iterator for CodePoints<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let mut rest = self.0.chars();
        let mut code = rest.next()? as u32;
        if code == u32::from(b'\\') {
            code = match rest.next()? {
                'n' => 0x0a,
                'r' => 0x0d,
                't' => 0x09,
                'b' => 0x08,
                'f' => 0x0c,
                'u' => {
                    let (digits, behind) = rest.as_str().split_at_checked(4)?;
                    rest = behind.chars();
                    u32::from_str_radix(digits, 16).ok()?
                }
                itself => itself as u32,
            };
        }
        self.0 = rest.as_str();
        Some(code)
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    fn repr(escaped: &str) -> String {
        let mut out = Vec::new();
        push_repr(escaped, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn tuple(texts: &[&str]) -> String {
        let mut out = Vec::new();
        push_tuple(texts.iter().copied(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn tuples_of_none_one_and_two_look_as_python_prints_them() {
        assert_eq!(tuple(&[]), "()");
        assert_eq!(tuple(&["status"]), "('status',)");
        assert_eq!(tuple(&["status", "owner"]), "('status', 'owner')");
    }

    #[test]
    fn quotes_are_chosen_as_python_chooses_them() {
        assert_eq!(repr("it's"), r#""it's""#);
        assert_eq!(repr(r#"say \"hi\""#), r#"'say "hi"'"#);
        assert_eq!(repr(r#"it's \"both\""#), r#"'it\'s "both"'"#);
        assert_eq!(repr(r#"it\u0027s"#), r#""it's""#);
        assert_eq!(repr(""), "''");
    }

    #[test]
    fn what_cannot_be_printed_is_escaped_in_the_shortest_of_pythons_forms() {
        assert_eq!(repr(r"a\\b\n\r\t"), r"'a\\b\n\r\t'");
        assert_eq!(repr(r"\b\f\u0000\u001f"), r"'\x08\x0c\x00\x1f'");
        assert_eq!(repr("\u{7f}\u{a0}\u{ad}é"), r"'\x7f\xa0\xadé'");
        assert_eq!(repr("\u{200b}\u{2028}\u{3000}語"), r"'\u200b\u2028\u3000語'");
        assert_eq!(repr("\u{e0001}😀"), r"'\U000e0001😀'");
    }

    #[test]
    fn lone_surrogates_are_printed_as_python_prints_them() {
        assert_eq!(repr(r"a\ud800b\udfff"), r"'a\ud800b\udfff'");
    }

    /// `unicode/repr.sha256` is Python's own digest of the `repr` of every code point.
    #[test]
    fn every_code_point_is_printed_as_python_prints_it() {
        let mut digest = Sha256::new();
        let mut out = Vec::new();
        for code in 0..=0x10_ffff {
            let escaped = match char::from_u32(code) {
                Some('"' | '\\') => format!("\\{}", code as u8 as char),
                Some(char) if code >= 0x20 => char.to_string(),
                _ => format!("\\u{code:04x}"),
            };
            push_repr(&escaped, &mut out);
            out.push(b'\n');
            if code % 0x1000 == 0xfff {
                digest.update(&out);
                out.clear();
            }
        }
        let hex: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, include_str!("../unicode/repr.sha256").trim());
    }
}
