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
    /// Where the bytes begin that are canonical as they stand and are not appended yet: whole runs are copied at once.
    copied: usize,
}

impl<'a> Reader<'a> {
    /// Reads this text, which must be UTF-8, from its start.
    pub fn new(json: &'a [u8]) -> Result<Self, InvalidEvent> {
        // Nearly all lines are ASCII, which is cheaper to see.
        if !is_ascii(json) {
            let not_utf8 = |error: Utf8Error| InvalidEvent::NotUtf8 { position: error.valid_up_to() };
            std::str::from_utf8(json).map_err(not_utf8)?;
        }
        Ok(Self { bytes: json, at: 0, copied: 0 })
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
            _ => Err(self.expected_next(close)),
        }
    }

    /// Bytes taken so far.
    #[inline]
    pub fn position(&self) -> usize {
        self.at
    }

    /// Whether all is taken, whitespace too.
    #[inline]
    pub fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Takes a value of any type and appends it.
    pub fn value(&mut self, out: &mut Vec<u8>) -> Result<(), InvalidEvent> {
        self.copied = self.at;
        self.walk(out)?;
        self.flush(out);
        Ok(())
    }

    /// Takes a value of any type; appends only where its canonical form differs.
    fn walk(&mut self, out: &mut Vec<u8>) -> Result<(), InvalidEvent> {
        // One bit for each open bracket, the innermost lowest: 1 for an object.
        let mut objects: u128 = 0;
        let mut levels = 0;
        'value: loop {
            match self.skip_gap(out) {
                Some(b'"') => self.string(out)?,
                Some(open @ (b'{' | b'[')) => {
                    if levels == MAX_LEVELS {
                        return Err(InvalidEvent::TooDeep { position: self.at });
                    }
                    levels += 1;
                    objects = objects << 1 | u128::from(open == b'{');
                    self.at += 1;
                    if self.skip_gap(out) != Some(closing(objects)) {
                        self.member_key(objects, out)?;
                        continue 'value;
                    }
                }
                _ => self.scalar()?,
            }
            while levels > 0 {
                let close = closing(objects);
                match self.skip_gap(out) {
                    Some(b',') => {
                        self.at += 1;
                        self.member_key(objects, out)?;
                        continue 'value;
                    }
                    Some(byte) if byte == close => self.at += 1,
                    _ => return Err(self.expected_next(close)),
                }
                levels -= 1;
                objects >>= 1;
            }
            return Ok(());
        }
    }

    /// Takes the member's key and its colon, if the innermost bracket is an object.
    #[inline(always)]
    fn member_key(&mut self, objects: u128, out: &mut Vec<u8>) -> Result<(), InvalidEvent> {
        if objects & 1 == 1 {
            if self.skip_gap(out) != Some(b'"') {
                return Err(self.unexpected("a key in quotes"));
            }
            self.string(out)?;
            if self.skip_gap(out) != Some(b':') {
                return Err(self.expected(b':'));
            }
            self.at += 1;
        }
        Ok(())
    }

    /// The next byte behind whitespace, which is left out of what is appended.
    #[inline]
    fn skip_gap(&mut self, out: &mut Vec<u8>) -> Option<u8> {
        let next = self.bytes.get(self.at).copied();
        if !matches!(next, Some(b' ' | b'\t' | b'\n' | b'\r')) {
            return next;
        }
        self.flush(out);
        let next = self.peek();
        self.copied = self.at;
        next
    }

    /// Appends what was taken since the last time.
    #[inline]
    fn flush(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes[self.copied..self.at]);
        self.copied = self.at;
    }

    #[inline]
    fn expect_key(&mut self) -> Result<(), InvalidEvent> {
        if self.peek() == Some(b'"') { Ok(()) } else { Err(self.unexpected("a key in quotes")) }
    }

    /// Takes a string, whose opening quote comes next; gives its text, escaped and without quotes.
    #[inline]
    fn quoted(&mut self) -> Result<Cow<'a, [u8]>, InvalidEvent> {
        match self.take_plain_text() {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => self.quoted_with_escapes().map(Cow::Owned),
        }
    }

    #[inline(never)]
    fn quoted_with_escapes(&mut self) -> Result<Vec<u8>, InvalidEvent> {
        let mut canonical = Vec::new();
        self.copied = self.at + 1;
        self.string(&mut canonical)?;
        canonical.extend_from_slice(&self.bytes[self.copied..self.at - 1]);
        Ok(canonical)
    }

    /// Takes a string, whose opening quote comes next; appends only where its canonical form differs.
    #[inline(always)]
    fn string(&mut self, out: &mut Vec<u8>) -> Result<(), InvalidEvent> {
        self.at += 1;
        loop {
            self.at += text::plain_len(&self.bytes[self.at..]);
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape(out)?,
                byte => return Err(self.no_string(byte.copied())),
            }
        }
    }

    #[cold]
    fn no_string(&self, found: Option<u8>) -> InvalidEvent {
        self.not_json(match found {
            Some(control) => format!("the control character U+{control:04X} must be escaped"),
            None => "the text has no closing quote".into(),
        })
    }

    /// Takes an escape, or what the canonical form has in its place.
    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), InvalidEvent> {
        match self.bytes.get(self.at + 1) {
            Some(b'u') => return self.unicode_escape(out),
            Some(b'"' | b'\\' | b'n' | b'r' | b't' | b'b' | b'f') => {}
            Some(b'/') => {
                self.flush(out);
                self.copied = self.at + 1;
            }
            _ => return Err(self.not_json("unknown escape".into())),
        }
        self.at += 2;
        Ok(())
    }

    fn unicode_escape(&mut self, out: &mut Vec<u8>) -> Result<(), InvalidEvent> {
        self.flush(out);
        let escape = &self.bytes[self.at..];
        let Some(unit) = text::hex_unit(&escape[2..]) else {
            return Err(self.not_json("\\u needs four hexadecimal digits".into()));
        };
        self.at += 6;
        if let Some(character) = char::from_u32(unit.into()) {
            text::push_escaped_character(character, out);
        } else {
            let second = escape.get(6..).and_then(|rest| rest.strip_prefix(b"\\u")).and_then(text::hex_unit);
            match second.and_then(|second| text::join_surrogates(unit, second)) {
                Some(character) => {
                    text::push_escaped_character(character, out);
                    self.at += 6;
                }
                None => text::push_unit(unit, out),
            }
        }
        self.copied = self.at;
        Ok(())
    }

    /// Takes a number, true, false or null.
    fn scalar(&mut self) -> Result<(), InvalidEvent> {
        let word: &[u8] = match self.bytes.get(self.at) {
            Some(b't') => b"true",
            Some(b'f') => b"false",
            Some(b'n') => b"null",
            _ => return self.number(),
        };
        if self.take_literal(word).is_some() { Ok(()) } else { self.number() }
    }

    fn number(&mut self) -> Result<(), InvalidEvent> {
        for token in ["NaN", "Infinity", "-Infinity"] {
            if self.bytes[self.at..].starts_with(token.as_bytes()) {
                return Err(InvalidEvent::NotANumber { token, position: self.at });
            }
        }
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

    #[cold]
    fn expected(&self, byte: u8) -> InvalidEvent {
        self.unexpected(&format!("'{}'", char::from(byte)))
    }

    #[cold]
    fn expected_next(&self, close: u8) -> InvalidEvent {
        self.unexpected(if close == b'}' { "',' or '}'" } else { "',' or ']'" })
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

/// The same as [`[u8]::is_ascii`], whose last bytes are looked at one by one.
#[inline]
fn is_ascii(text: &[u8]) -> bool {
    match text.last_chunk::<64>() {
        Some(last) => text.as_chunks::<64>().0.as_flattened().is_ascii() && last.is_ascii(),
        None => text.is_ascii(),
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
