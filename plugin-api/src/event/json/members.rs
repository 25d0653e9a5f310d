//! Reads the members of an event: each key takes values of one type, and says so where it is given another.

use std::borrow::Cow;

use super::Reader;
use crate::event::InvalidEvent;

impl<'a> Reader<'a> {
    /// Takes a key and its colon; gives the key escaped and without quotes.
    #[inline]
    pub fn key(&mut self) -> Result<Cow<'a, [u8]>, InvalidEvent> {
        self.expect_key()?;
        let key = self.quoted()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// Takes this key and its colon, if they come next and the key is not escaped.
    #[inline]
    pub fn take_key(&mut self, key: &str) -> bool {
        if self.peek() != Some(b'"') {
            return false;
        }
        let start = self.at + 1;
        let end = start + key.len();
        let found = self.bytes.get(start..end) == Some(key.as_bytes())
            && self.bytes.get(end..end + 2) == Some(b"\":");
        if found {
            self.at = end + 2;
        }
        found
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
        match self.peek() {
            Some(b't') if self.take_word(b"true") => Ok(true),
            Some(b'f') if self.take_word(b"false") => Ok(false),
            _ => Err(self.wrong_type(key, "true or false")),
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
                let mut scalar = Vec::new();
                self.scalar(&mut scalar)?;
                match scalar.as_slice() {
                    b"true" => "true",
                    b"false" => "false",
                    b"null" => "null",
                    _ => "a number",
                }
            }
        })
    }

    fn null(&mut self) -> bool {
        self.peek() == Some(b'n') && self.take_word(b"null")
    }
}
