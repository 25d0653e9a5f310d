//! Reads the members of an event: each key takes values of one type, and says so where it is given another.

use std::borrow::Cow;

use super::Reader;
use crate::event::{InvalidEvent, text};

impl<'a> Reader<'a> {
    /// Takes a key and its colon; gives the key escaped and without quotes.
    #[inline]
    pub fn key(&mut self) -> Result<Cow<'a, [u8]>, InvalidEvent> {
        self.expect_key()?;
        let key = self.quoted()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// Takes these bytes, if exactly they come next.
    // Always inlined, so that a constant is compared in words.
    #[inline(always)]
    pub fn take_literal(&mut self, literal: &[u8]) -> Option<()> {
        let end = self.at + literal.len();
        (self.bytes.get(self.at..end)? == literal).then(|| self.at = end)
    }

    /// Takes a text of this length and its quotes, if one comes next whose quotes stand there; what is in it is not
    /// looked at.
    #[inline(always)]
    pub fn take_text_of<const LEN: usize>(&mut self) -> Option<&'a [u8; LEN]> {
        let (text, rest) = self.bytes.get(self.at..)?.strip_prefix(b"\"")?.split_first_chunk()?;
        (rest.first() == Some(&b'"')).then(|| {
            self.at += LEN + 2;
            text
        })
    }

    /// Takes a text in which nothing is escaped, if one comes next; gives it without quotes.
    #[inline]
    pub fn take_plain_text(&mut self) -> Option<&'a [u8]> {
        let text = self.bytes[self.at..].strip_prefix(b"\"")?;
        let len = text::plain_len(text);
        (text.get(len) == Some(&b'"')).then(|| {
            self.at += len + 2;
            &text[..len]
        })
    }

    /// Takes a text, the value of `key`; gives it escaped and without quotes.
    #[inline]
    pub fn text(&mut self, key: &'static str) -> Result<Cow<'a, [u8]>, InvalidEvent> {
        self.expect_type(b'"', key, "text")?;
        self.quoted()
    }

    /// Takes a text or null, the value of `key`; gives the text escaped and without quotes.
    #[inline]
    pub fn nullable_text(&mut self, key: &'static str) -> Result<Option<Cow<'a, [u8]>>, InvalidEvent> {
        if self.null() {
            return Ok(None);
        }
        self.expect_type(b'"', key, "text or null")?;
        self.quoted().map(Some)
    }

    /// Takes true or false, the value of `key`.
    pub fn boolean(&mut self, key: &'static str) -> Result<bool, InvalidEvent> {
        self.peek();
        if self.take_literal(b"true").is_some() {
            Ok(true)
        } else if self.take_literal(b"false").is_some() {
            Ok(false)
        } else {
            Err(self.wrong_type(key, "true or false"))
        }
    }

    /// Takes the bracket that opens a list, the value of `key`.
    pub fn open_list(&mut self, key: &'static str) -> Result<(), InvalidEvent> {
        self.expect_type(b'[', key, "a list of text")?;
        self.at += 1;
        Ok(())
    }

    /// Takes a text of a list, the value of `key`; gives it escaped and without quotes.
    #[inline]
    pub fn list_text(&mut self, key: &'static str) -> Result<Cow<'a, [u8]>, InvalidEvent> {
        if self.peek() != Some(b'"') {
            let found = self.name_type()?;
            return Err(InvalidEvent::WrongItem { key, found });
        }
        self.quoted()
    }

    /// Takes an object, the value of `key`, and appends it.
    pub fn object(&mut self, key: &'static str, out: &mut Vec<u8>) -> Result<(), InvalidEvent> {
        self.expect_type(b'{', key, "an object")?;
        self.value(out)
    }

    /// Takes an object or null, the value of `key`, and appends the object. False for null.
    pub fn nullable_object(&mut self, key: &'static str, out: &mut Vec<u8>) -> Result<bool, InvalidEvent> {
        if self.null() {
            return Ok(false);
        }
        self.expect_type(b'{', key, "an object or null")?;
        self.value(out)?;
        Ok(true)
    }

    /// Takes an object, if one comes next that is canonical as it stands; where none does, what was taken is not said.
    pub fn take_canonical_object(&mut self) -> Option<()> {
        if self.bytes.get(self.at) != Some(&b'{') {
            return None;
        }
        let start = self.at;
        self.copied = start;
        self.walk(&mut Vec::new()).ok()?;
        (self.copied == start).then_some(())
    }

    /// Takes the bracket that opens an event.
    pub fn open_event(&mut self) -> Result<(), InvalidEvent> {
        if self.peek() != Some(b'{') {
            let found = self.name_type()?;
            return Err(InvalidEvent::NoObject { found });
        }
        self.at += 1;
        Ok(())
    }

    fn expect_type(
        &mut self,
        opening: u8,
        key: &'static str,
        expected: &'static str,
    ) -> Result<(), InvalidEvent> {
        if self.peek() == Some(opening) { Ok(()) } else { Err(self.wrong_type(key, expected)) }
    }

    #[cold]
    fn wrong_type(&mut self, key: &'static str, expected: &'static str) -> InvalidEvent {
        match self.name_type() {
            Ok(found) => InvalidEvent::WrongType { key, expected, found },
            Err(error) => error,
        }
    }

    /// The type of what comes next; an error where that is no JSON.
    #[cold]
    fn name_type(&mut self) -> Result<&'static str, InvalidEvent> {
        Ok(match self.peek() {
            Some(b'"') => "text",
            Some(b'[') => "a list",
            Some(b'{') => "an object",
            _ => {
                let start = self.at;
                self.scalar()?;
                match &self.bytes[start..self.at] {
                    b"true" => "true",
                    b"false" => "false",
                    b"null" => "null",
                    _ => "a number",
                }
            }
        })
    }

    fn null(&mut self) -> bool {
        self.peek();
        self.take_literal(b"null").is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_would_be_appended_otherwise_is_not_canonical_as_it_stands() {
        let taken = |json: &str| {
            let mut reader = Reader::new(json.as_bytes()).expect("UTF-8");
            reader.take_canonical_object().map(|()| (reader.position(), reader.is_at_end()))
        };
        for json in ["{}", r#"{"a":[1e5,"\n\"é",{"a":null}],"a":{}}"#] {
            assert_eq!(taken(json), Some((json.len(), true)));
            assert_eq!(taken(&format!("{json} ")), Some((json.len(), false)));
        }
        for json in [
            "{ }",
            " {}",
            r#"{"a": 1}"#,
            r#"{"\/":1}"#,
            r#"{"a":"\u001F"}"#,
            r#"{"a":01}"#,
            "{",
            "[]",
            "null",
            "",
        ] {
            assert_eq!(taken(json), None, "{json}");
        }
    }
}
