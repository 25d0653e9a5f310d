//! Text that a terminal can be trusted with.

use std::borrow::Cow;
use std::fmt::Write;

/// Escapes control characters, line breaks and characters that change the direction of text, so that foreign text can
/// neither move a terminal's cursor nor forge a line of a log.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_unsafe(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_not_copied() {
        assert!(matches!(printable("grün `x`"), Cow::Borrowed("grün `x`")));
    }

    #[test]
    fn escape_sequences_line_breaks_and_direction_marks_are_shown() {
        assert_eq!(
            printable("a\u{1b}[2J\r\n\tb\u{7f}\u{9b}\u{202e}"),
            r"a\u{1b}[2J\r\n\tb\u{7f}\u{9b}\u{202e}"
        );
    }
}
