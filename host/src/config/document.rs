//! The text of a configuration, and how places in it are named.

use std::ops::Range;

use super::{Secrets, printable};

/// A place in a file, as editors count: lines and columns (in characters) from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// The text of a configuration, with what messages about it need.
#[derive(Clone, Debug)]
pub(super) struct Document {
    /// What the file is called in messages.
    pub(super) name: String,
    /// The text that all spans are byte ranges of.
    pub(super) text: String,
    /// What messages about it must not show.
    pub(super) secrets: Secrets,
}

/// One line of the text, masked, and the part of it that is meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    pub(super) line: String,
    pub(super) marked: Range<usize>,
}

impl Document {
    /// Where this byte stands. Offsets beyond the end, or within a character, are moved back.
    pub(super) fn position(&self, offset: usize) -> Position {
        let before = &self.text[..self.text.floor_char_boundary(offset)];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Position {
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// The first line of this range; of a range over several lines only its part of that line is marked.
    pub(super) fn excerpt(&self, span: &Range<usize>) -> Excerpt {
        let start = self.text.floor_char_boundary(span.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |at| start + at);
        let line_end = start + self.text[start..line_end].trim_end_matches('\r').len();
        let end = self.text.floor_char_boundary(span.end).clamp(start, line_end);
        // Piece by piece, so that the mark stays where it belongs.
        let mut line = self.shown(line_start..start);
        let marked_start = line.len();
        line.push_str(&self.shown(start..end));
        let marked = marked_start..line.len();
        line.push_str(&self.shown(end..line_end));
        Excerpt { line, marked }
    }

    /// A part of the text as it may be shown; tabs stay, since an excerpt has room for them.
    fn shown(&self, part: Range<usize>) -> String {
        let masked = self.secrets.mask(&self.text[part]);
        masked.split('\t').map(printable).collect::<Vec<_>>().join("\t")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str, secrets: &[&str]) -> Document {
        let secrets = secrets.iter().map(|value| (*value).to_owned()).collect();
        Document { name: "audit.toml".into(), text: text.into(), secrets }
    }

    #[test]
    fn columns_count_characters() {
        let document = document("a = 1\r\nä = \"ü\" # x\n", &[]);
        assert_eq!(document.position(0), Position { line: 1, column: 1 });
        assert_eq!(document.position(7), Position { line: 2, column: 1 });
        let at = document.text.find('#').unwrap();
        assert_eq!(document.position(at), Position { line: 2, column: 9 });
        assert_eq!(document.position(usize::MAX), Position { line: 3, column: 1 });
    }

    #[test]
    fn an_excerpt_is_the_first_line_of_a_range() {
        let document = document("a = [\r\n  1,\n]\n", &[]);
        assert_eq!(document.excerpt(&(4..13)), Excerpt { line: "a = [".into(), marked: 4..5 });
    }

    #[test]
    fn an_excerpt_at_the_end_of_the_text_is_empty() {
        let document = document("a =", &[]);
        assert_eq!(document.excerpt(&(3..3)), Excerpt { line: "a =".into(), marked: 3..3 });
        assert_eq!(document.excerpt(&(90..99)), Excerpt { line: "a =".into(), marked: 3..3 });
    }

    #[test]
    fn control_characters_in_an_excerpt_are_escaped_and_the_mark_follows() {
        let document = document("a = [\"\u{9b}2J\u{202e}\",\t5]", &[]);
        let at = document.text.find('5').unwrap();
        let excerpt = document.excerpt(&(at..at + 1));
        assert_eq!(excerpt.line, "a = [\"\\u{9b}2J\\u{202e}\",\t5]");
        assert_eq!(&excerpt.line[excerpt.marked], "5");
    }

    #[test]
    fn a_secret_in_an_excerpt_is_masked_and_the_mark_follows() {
        let document = document("a = [\"hunter2\", 5]", &["hunter2"]);
        let at = document.text.find('5').unwrap();
        assert_eq!(
            document.excerpt(&(at..at + 1)),
            Excerpt { line: "a = [\"***\", 5]".into(), marked: 12..13 }
        );
    }
}
