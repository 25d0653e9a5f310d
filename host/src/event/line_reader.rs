//! Splits an input into lines, with bounded memory.
//!
//! One buffer is read into in large pieces and reused; a line is borrowed from it. A byte order mark at the start, blank
//! lines, `\r\n` and a missing last newline are no part of any line. A line that is longer than the limit is told with
//! its size, and never kept. What stands in a line is not looked at.

use std::io::{self, ErrorKind, Read};
use std::ops::Range;

use memchr::memchr;

/// Bytes asked for at a time.
const PIECE_BYTES: usize = 256 << 10;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A line of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputLine<'a> {
    /// Its number; the first line of the input, blank or not, is 1.
    pub number: u64,
    /// Bytes of the input before it.
    pub offset: u64,
    /// What stands in it.
    pub content: LineContent<'a>,
}

/// What stands in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineContent<'a> {
    /// These bytes, without the line's end.
    Bytes(&'a [u8]),
    /// More bytes than the limit.
    TooLong {
        /// How many, without the line's end.
        len_bytes: u64,
    },
}

/// Splits an input into lines.
#[derive(Debug)]
pub struct LineReader<R> {
    input: R,
    max_line_bytes: usize,
    buffer: Vec<u8>,
    /// What of the buffer was read and not yet told.
    start: usize,
    end: usize,
    /// Bytes of the input before `start`.
    offset: u64,
    /// Lines begun so far.
    number: u64,
    ended: bool,
}

impl<R: Read> LineReader<R> {
    /// Reads lines of at most this many bytes.
    pub fn new(input: R, max_line_bytes: usize) -> Self {
        let buffer = vec![0; PIECE_BYTES];
        Self { input, max_line_bytes, buffer, start: 0, end: 0, offset: 0, number: 0, ended: false }
    }

    /// The next line that is not blank; `None` at the end of the input.
    pub fn next_line(&mut self) -> io::Result<Option<InputLine<'_>>> {
        if self.offset == 0 {
            self.skip_byte_order_mark()?;
        }
        loop {
            let offset = self.offset;
            let Some(line) = self.take_line()? else { return Ok(None) };
            self.number += 1;
            let content = match line {
                Taken::Whole(range) if is_blank(&self.buffer[range.clone()]) => continue,
                Taken::Whole(range) => LineContent::Bytes(&self.buffer[range]),
                Taken::TooLong { len_bytes } => LineContent::TooLong { len_bytes },
            };
            return Ok(Some(InputLine { number: self.number, offset, content }));
        }
    }

    fn skip_byte_order_mark(&mut self) -> io::Result<()> {
        while self.end < BYTE_ORDER_MARK.len() && !self.ended {
            self.fill()?;
        }
        if self.buffer[..self.end].starts_with(BYTE_ORDER_MARK) {
            self.consume(BYTE_ORDER_MARK.len());
        }
        Ok(())
    }

    fn take_line(&mut self) -> io::Result<Option<Taken>> {
        let mut searched = 0;
        loop {
            let waiting = &self.buffer[self.start..self.end];
            if let Some(found) = memchr(b'\n', &waiting[searched..]) {
                let len = searched + found;
                return Ok(Some(self.take(len, len + 1)));
            }
            searched = waiting.len();
            if self.ended {
                return Ok((searched > 0).then(|| self.take(searched, searched)));
            }
            // The byte above the limit may be the `\r` of the line's end.
            if searched > self.max_line_bytes.saturating_add(1) {
                return self.skip_long_line().map(Some);
            }
            self.fill()?;
        }
    }

    /// Takes a line of `len` bytes, which are `total` bytes with its end.
    fn take(&mut self, len: usize, total: usize) -> Taken {
        let start = self.start;
        let line = &self.buffer[start..start + len];
        let len = line.strip_suffix(b"\r").unwrap_or(line).len();
        self.consume(total);
        if len > self.max_line_bytes {
            Taken::TooLong { len_bytes: len as u64 }
        } else {
            Taken::Whole(start..start + len)
        }
    }

    /// Takes a line that starts with all that is in the buffer, and goes on.
    fn skip_long_line(&mut self) -> io::Result<Taken> {
        let mut len_bytes = 0;
        let mut ends_with_return = false;
        loop {
            let waiting = &self.buffer[self.start..self.end];
            let newline = memchr(b'\n', waiting);
            let part = &waiting[..newline.unwrap_or(waiting.len())];
            len_bytes += part.len() as u64;
            ends_with_return = part.last().map_or(ends_with_return, |byte| *byte == b'\r');
            self.consume(part.len() + usize::from(newline.is_some()));
            if newline.is_some() || self.ended {
                return Ok(Taken::TooLong { len_bytes: len_bytes - u64::from(ends_with_return) });
            }
            self.fill()?;
        }
    }

    fn consume(&mut self, len: usize) {
        self.start += len;
        self.offset += len as u64;
    }

    /// Reads once, behind what waits in the buffer.
    fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 && self.buffer.len() - self.end < PIECE_BYTES / 4 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            let limit = self.max_line_bytes.saturating_add(PIECE_BYTES);
            self.buffer.resize((self.end * 2).min(limit), 0);
        }
        let read = loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.end += read;
        self.ended = read == 0;
        Ok(())
    }
}

/// A line that was taken from the buffer, where it still stands.
enum Taken {
    Whole(Range<usize>),
    TooLong { len_bytes: u64 },
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// An input that gives a few bytes at a time, and is interrupted in between.
    struct Trickle<'a> {
        input: &'a [u8],
        step: usize,
        interrupted: bool,
    }

    impl Read for Trickle<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.interrupted = !self.interrupted;
            if self.interrupted {
                return Err(ErrorKind::Interrupted.into());
            }
            let step = self.step.min(out.len());
            self.input.read(&mut out[..step])
        }
    }

    type Line = (u64, u64, Result<Vec<u8>, u64>);

    fn lines_of(input: impl Read, max_line_bytes: usize) -> Vec<Line> {
        let mut reader = LineReader::new(input, max_line_bytes);
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line().expect("reading from memory") {
            let content = match line.content {
                LineContent::Bytes(bytes) => Ok(bytes.to_vec()),
                LineContent::TooLong { len_bytes } => Err(len_bytes),
            };
            lines.push((line.number, line.offset, content));
        }
        assert_eq!(reader.next_line().expect("reading from memory"), None, "the end is not the end");
        lines
    }

    fn bytes(text: &str) -> Result<Vec<u8>, u64> {
        Ok(text.as_bytes().to_vec())
    }

    #[test]
    fn mark_blank_lines_returns_and_a_missing_newline_are_no_part_of_lines() {
        let input = b"\xef\xbb\xbfa\r\n\r\n \t\nbc\n\n\xef\xbb\xbfd".as_slice();
        let expected = vec![(1, 3, bytes("a")), (4, 11, bytes("bc")), (6, 15, bytes("\u{feff}d"))];
        assert_eq!(lines_of(input, 10), expected);
        assert_eq!(lines_of(Trickle { input, step: 1, interrupted: false }, 10), expected);
        for empty in ["", "\u{feff}", "\n\n", "\r\n"] {
            assert_eq!(lines_of(empty.as_bytes(), 10), []);
        }
    }

    #[test]
    fn a_line_above_the_limit_is_told_with_its_size_and_the_next_one_is_read() {
        let input = "1234\n12345\r\n123456\r\n1234567\nab\n12345678";
        let expected = vec![
            (1, 0, bytes("1234")),
            (2, 5, bytes("12345")),
            (3, 12, Err(6)),
            (4, 20, Err(7)),
            (5, 28, bytes("ab")),
            (6, 31, Err(8)),
        ];
        assert_eq!(lines_of(input.as_bytes(), 5), expected);
        for step in 1..9 {
            let input = Trickle { input: input.as_bytes(), step, interrupted: false };
            assert_eq!(lines_of(input, 5), expected);
        }
    }

    #[test]
    fn an_endless_line_is_not_kept() {
        let input = io::repeat(b'x').take(40 << 20).chain(&b"\nnext\n"[..]);
        let mut reader = LineReader::new(input, 1 << 20);
        let line = reader.next_line().unwrap().unwrap();
        assert_eq!(line.content, LineContent::TooLong { len_bytes: 40 << 20 });
        let line = reader.next_line().unwrap().unwrap();
        assert_eq!((line.number, line.content), (2, LineContent::Bytes(b"next")));
        assert!(reader.buffer.len() <= (1 << 20) + PIECE_BYTES);
    }

    #[test]
    fn a_line_longer_than_a_piece_is_whole() {
        let long = "y".repeat(3 * PIECE_BYTES + 17);
        let input = format!("{long}\nz\n{long}");
        let offset = long.len() as u64;
        let expected = vec![(1, 0, bytes(&long)), (2, offset + 1, bytes("z")), (3, offset + 3, bytes(&long))];
        assert_eq!(lines_of(input.as_bytes(), 1 << 20), expected);
    }

    proptest! {
        #[test]
        fn lines_and_offsets_are_those_of_the_input(
            parts in vec(prop_oneof![vec(any::<u8>(), 0..9), Just(b"\n".to_vec()), Just(b"\r\n".to_vec())], 0..30),
            step in 1..20_usize,
            max in 0..12_usize,
        ) {
            let input = parts.concat();
            let mut expected = Vec::new();
            let mut offset = if input.starts_with(BYTE_ORDER_MARK) { 3 } else { 0 };
            for (line, number) in input[offset..].split(|byte| *byte == b'\n').zip(1..) {
                let content = line.strip_suffix(b"\r").unwrap_or(line);
                if content.len() > max {
                    expected.push((number, offset as u64, Err(content.len() as u64)));
                } else if !is_blank(content) {
                    expected.push((number, offset as u64, Ok(content.to_vec())));
                }
                offset += line.len() + 1;
            }
            prop_assert_eq!(lines_of(Trickle { input: &input, step, interrupted: false }, max), expected);
        }
    }
}
