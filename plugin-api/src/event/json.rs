//! Reads JSON and appends the canonical text of what it read: no whitespace, only the escapes that must be.
//!
//! Key order, duplicate keys, number tokens and lone surrogates stay as they were. The grammar is RFC 8259's, to the
//! letter; `NaN` and `Infinity` are refused by name, and so is the 101st level. Nothing is built between input and
//! output, because a tree would lose duplicate keys, number tokens or lone surrogates.
//! `members` adds what an event needs: keys, and values of the one type that a key takes.

mod members;

use std::borrow::Cow;
use std::str::Utf8Error;

use super::{InvalidEvent, text};

/// Most levels of arrays and objects within a value.
pub const MAX_LEVELS: u32 = 100;

/// A place in a JSON text.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads this text, which must be UTF-8, from its start.
    pub fn new(json: &'a [u8]) -> Result<Self, InvalidEvent> {
        // Nearly all lines are ASCII, which is cheaper to see.
        if !json.is_ascii() {
            let not_utf8 = |error: Utf8Error| InvalidEvent::NotUtf8 { position: error.valid_up_to() };
            std::str::from_utf8(json).map_err(not_utf8)?;
        }
        Ok(Self { bytes: json, at: 0 })
    }

    /// The next byte behind whitespace.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                byte => return byte.copied(),
            }
        }
    }

    /// Takes this byte, behind whitespace.
    #[inline]
    pub fn expect(&mut self, byte: u8) -> Result<(), InvalidEvent> {
        if self.peek() != Some(byte) {
            return Err(self.expected(byte));
        }
        self.at += 1;
        Ok(())
    }

    /// Expects nothing but whitespace.
    pub fn end(&mut self) -> Result<(), InvalidEvent> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("nothing more")),
        }
    }

    /// Whether another member stands before the closing bracket, which is taken; takes the comma between members.
    #[inline]
    pub fn has_next(&mut self, close: u8, first: bool) -> Result<bool, InvalidEvent> {
        match self.peek() {
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            Some(_) if first => Ok(true),
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(self.unexpected(if close == b'}' { "',' or '}'" } else { "',' or ']'" })),
        }
    }

    /// Takes a value of any type and appends it.
    pub fn value(&mut self, out: &mut Vec<u8>) -> Result<(), InvalidEvent> {
        // One bit for each open bracket, the innermost lowest: 1 for an object.
        let mut objects: u128 = 0;
        let mut levels = 0;
        'value: loop {
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    if levels == MAX_LEVELS {
                        return Err(InvalidEvent::TooDeep { position: self.at });
                    }
                    levels += 1;
                    objects = objects << 1 | u128::from(open == b'{');
                    self.at += 1;
                    out.push(open);
                    if self.peek() != Some(closing(objects)) {
                        self.member_key(objects, out)?;
                        continue 'value;
                    }
                }
                Some(b'"') => {
                    out.push(b'"');
                    self.push_quoted(out)?;
                    out.push(b'"');
                }
                _ => self.scalar(out)?,
            }
            while levels > 0 {
                let close = closing(objects);
                let goes_on = self.has_next(close, false)?;
                out.push(if goes_on { b',' } else { close });
                if goes_on {
                    self.member_key(objects, out)?;
                    continue 'value;
                }
                levels -= 1;
                objects >>= 1;
            }
            return Ok(());
        }
    }

    /// Takes the member's key, if the innermost bracket is an object, and appends it with quotes and colon.
    #[inline]
    fn member_key(&mut self, objects: u128, out: &mut Vec<u8>) -> Result<(), InvalidEvent> {
        if objects & 1 == 1 {
            self.expect_key()?;
            out.push(b'"');
            self.push_quoted(out)?;
            self.expect(b':')?;
            out.extend_from_slice(b"\":");
        }
        Ok(())
    }

    #[inline]
    fn expect_key(&mut self) -> Result<(), InvalidEvent> {
        if self.peek() == Some(b'"') { Ok(()) } else { Err(self.unexpected("a key in quotes")) }
    }

    /// Takes a string, whose opening quote comes next; gives its text, escaped and without quotes.
    #[inline]
    fn quoted(&mut self) -> Result<Cow<'a, [u8]>, InvalidEvent> {
        let bytes = self.bytes;
        let text = &bytes[self.at + 1..];
        let plain = text::plain_len(text);
        if text.get(plain) == Some(&b'"') {
            self.at += plain + 2;
            return Ok(Cow::Borrowed(&text[..plain]));
        }
        let mut canonical = Vec::new();
        self.push_quoted(&mut canonical)?;
        Ok(Cow::Owned(canonical))
    }

    /// Takes a string, whose opening quote comes next, and appends its text, escaped and without quotes.
    fn push_quoted(&mut self, out: &mut Vec<u8>) -> Result<(), InvalidEvent> {
        self.at += 1;
        loop {
            let rest = &self.bytes[self.at..];
            let plain = text::plain_len(rest);
            out.extend_from_slice(&rest[..plain]);
            self.at += plain;
            match rest.get(plain) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape(out)?,
                Some(control) => {
                    return Err(
                        self.not_json(format!("the control character U+{control:04X} must be escaped"))
                    );
                }
                None => return Err(self.not_json("the text has no closing quote".into())),
            }
        }
    }

    /// Takes an escape and appends what the canonical form has in its place.
    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), InvalidEvent> {
        let escape = &self.bytes[self.at..];
        match escape.get(1) {
            Some(b'u') => return self.unicode_escape(out),
            Some(b'/') => out.push(b'/'),
            Some(&letter @ (b'"' | b'\\' | b'n' | b'r' | b't' | b'b' | b'f')) => {
                out.extend_from_slice(&[b'\\', letter])
            }
            _ => return Err(self.not_json("unknown escape".into())),
        }
        self.at += 2;
        Ok(())
    }

    fn unicode_escape(&mut self, out: &mut Vec<u8>) -> Result<(), InvalidEvent> {
        let escape = &self.bytes[self.at..];
        let Some(unit) = text::hex_unit(&escape[2..]) else {
            return Err(self.not_json("\\u needs four hexadecimal digits".into()));
        };
        let second = escape.get(6..).and_then(|rest| rest.strip_prefix(b"\\u")).and_then(text::hex_unit);
        match (char::from_u32(unit.into()), second.and_then(|second| text::join_surrogates(unit, second))) {
            (Some(character), _) => {
                text::push_escaped(character.encode_utf8(&mut [0; 4]).as_bytes(), out);
                self.at += 6;
            }
            (None, Some(character)) => {
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                self.at += 12;
            }
            (None, None) => {
                text::push_unit(unit, out);
                self.at += 6;
            }
        }
        Ok(())
    }

    /// Takes a number, true, false or null, and appends it.
    fn scalar(&mut self, out: &mut Vec<u8>) -> Result<(), InvalidEvent> {
        for word in [&b"true"[..], b"false", b"null"] {
            if self.take_word(word) {
                out.extend_from_slice(word);
                return Ok(());
            }
        }
        for token in ["NaN", "Infinity", "-Infinity"] {
            if self.bytes[self.at..].starts_with(token.as_bytes()) {
                return Err(InvalidEvent::NotANumber { token, position: self.at });
            }
        }
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits("a value")?;
        }
        if self.take(b'.') {
            self.digits("a digit")?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits("a digit")?;
        }
        out.extend_from_slice(&self.bytes[start..self.at]);
        Ok(())
    }

    fn digits(&mut self, expected: &str) -> Result<(), InvalidEvent> {
        let digits = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        if digits == 0 { Err(self.unexpected(expected)) } else { Ok(()) }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &[u8]) -> bool {
        let found = self.bytes[self.at..].starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    #[cold]
    fn expected(&self, byte: u8) -> InvalidEvent {
        self.unexpected(&format!("'{}'", char::from(byte)))
    }

    #[cold]
    fn unexpected(&self, expected: &str) -> InvalidEvent {
        let rest = String::from_utf8_lossy(&self.bytes[self.at..(self.at + 4).min(self.bytes.len())]);
        self.not_json(match rest.chars().next() {
            Some(found) => format!("expected {expected}, found {found:?}"),
            None => format!("expected {expected}, found the end"),
        })
    }

    #[cold]
    fn not_json(&self, problem: String) -> InvalidEvent {
        InvalidEvent::NotJson { position: self.at, problem }
    }
}

fn closing(objects: u128) -> u8 {
    if objects & 1 == 1 { b'}' } else { b']' }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(json: &str) -> Result<String, String> {
        let mut reader = Reader::new(json.as_bytes()).map_err(|error| error.to_string())?;
        let mut out = Vec::new();
        reader.value(&mut out).and_then(|()| reader.end()).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(out).expect("UTF-8"))
    }

    #[test]
    fn order_duplicates_and_number_tokens_stay() {
        let json = " { \"b\" : [ 1e999 , -0 , 0.10 , 1E+5 , 12345678901234567890123 ] , \"a\" : { } , \"b\" : [ ] , \"a\" : null } ";
        let expected = r#"{"b":[1e999,-0,0.10,1E+5,12345678901234567890123],"a":{},"b":[],"a":null}"#;
        assert_eq!(canonical(json).as_deref(), Ok(expected));
    }

    #[test]
    fn escapes_become_canonical() {
        let json = r#""\u0041\/\u00e9\ud83d\ude00\u0022\u005c\u000a\u001F\uD83D\uDE00\uD83Dx\uDE00""#;
        assert_eq!(canonical(json).as_deref(), Ok("\"A/é😀\\\"\\\\\\n\\u001f😀\\ud83dx\\ude00\""));
    }

    #[test]
    fn a_lone_high_surrogate_before_a_pair_stays_alone() {
        assert_eq!(canonical(r#""\ud83d\ud83d\ude00""#).as_deref(), Ok("\"\\ud83d😀\""));
    }

    #[test]
    fn a_hundred_levels_are_read_and_the_next_is_refused() {
        let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(canonical(&nested(100)), Ok(nested(100)));
        assert_eq!(
            canonical(&nested(101)).unwrap_err(),
            "more than 100 levels of arrays and objects at byte 100"
        );
        let nested = |levels| format!("{}0{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
        assert_eq!(canonical(&nested(100)), Ok(nested(100)));
        assert!(canonical(&nested(101)).is_err());
    }

    #[test]
    fn numbers_that_json_lacks_are_refused_by_name() {
        for token in ["NaN", "Infinity", "-Infinity"] {
            let error = canonical(&format!(r#"{{"a":{token}}}"#)).unwrap_err();
            assert_eq!(error, format!("{token} at byte 5 is no JSON number: write null or leave it out"));
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let refused = [
            "",
            "[",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{\"a\":1,}",
            "{,}",
            "{a:1}",
            "{'a':1}",
            "{\"a\" 1}",
            "{\"a\":}",
            "01",
            "-",
            "+1",
            ".5",
            "1.",
            "1e",
            "1e+",
            "0x1",
            "tru",
            "nul",
            "True",
            "\"",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\n\"",
            "\"\u{1}\"",
            "[}",
            "{]",
            "1 1",
            "\u{feff}1",
            "\u{a0}1",
            "[1]]",
            "//1",
        ];
        for json in refused {
            assert!(canonical(json).is_err(), "{json:?} was taken as {:?}", canonical(json));
        }
    }

    #[test]
    fn a_fault_names_its_byte_and_what_was_expected() {
        assert_eq!(canonical("[1 2]").unwrap_err(), "not JSON at byte 3: expected ',' or ']', found '2'");
        assert_eq!(canonical("{\"a\":").unwrap_err(), "not JSON at byte 5: expected a value, found the end");
        assert_eq!(
            canonical("\"a\u{1}\"").unwrap_err(),
            "not JSON at byte 2: the control character U+0001 must be escaped"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            let _ = canonical(&text);
        }

        #[test]
        fn what_is_read_is_what_serde_json_reads(json in "[\\[\\]{}:,\"\\\\ntfu0-9aeE+. -]{0,24}") {
            // Apart from what a tree cannot hold: lone surrogates and numbers beyond f64.
            match (canonical(&json), serde_json::from_str::<serde_json::Value>(&json)) {
                (Ok(ours), Ok(theirs)) => prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&ours).unwrap(), theirs),
                (Err(error), Ok(_)) => prop_assert!(false, "{} was refused: {}", json, error),
                (Ok(ours), Err(_)) => prop_assert!(ours.contains("\\ud") || ours.contains(['e', 'E']), "{} was taken", json),
                (Err(_), Err(_)) => {}
            }
        }
    }
}
