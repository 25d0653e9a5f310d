//! Escaping and unescaping of text, as the canonical form has it.
//!
//! Only `"`, `\` and U+0000–001F are escaped: as `\" \\ \n \r \t \b \f`, else as `\u00xx` in lower case. Text is scanned
//! eight or sixteen bytes at a time and copied in runs; nothing here allocates while the output has room.

use std::borrow::Cow;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Appends the text in its escaped form.
#[inline]
pub fn push_escaped(text: &[u8], out: &mut Vec<u8>) {
    let plain = plain_len(text);
    if plain == text.len() {
        out.extend_from_slice(text);
    } else {
        push_escaped_from(text, plain, out);
    }
}

#[cold]
fn push_escaped_from(text: &[u8], mut plain: usize, out: &mut Vec<u8>) {
    let mut rest = text;
    loop {
        out.extend_from_slice(&rest[..plain]);
        let Some(&byte) = rest.get(plain) else { return };
        push_escape(byte, out);
        rest = &rest[plain + 1..];
        plain = plain_len(rest);
    }
}

/// Appends the character in its escaped form.
#[inline]
pub fn push_escaped_character(character: char, out: &mut Vec<u8>) {
    let mut bytes = [0; 4];
    let len = character.encode_utf8(&mut bytes).len();
    if is_special(bytes[0]) {
        return push_escape(bytes[0], out);
    }
    // Four bytes are copied in one go, as fewer are not.
    out.extend_from_slice(&bytes);
    out.truncate(out.len() - (bytes.len() - len));
}

/// Appends the escape of a byte that [`plain_len`] stops at.
pub fn push_escape(byte: u8, out: &mut Vec<u8>) {
    let letter = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => return push_unit(u16::from(byte), out),
    };
    out.extend_from_slice(&[b'\\', letter]);
}

/// Appends `\uxxxx`, in lower case.
pub fn push_unit(unit: u16, out: &mut Vec<u8>) {
    let digit = |shift: u16| b"0123456789abcdef"[usize::from(unit >> shift & 15)];
    out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
}

/// Length in bytes of the escaped form.
#[inline]
pub fn escaped_len(text: &[u8]) -> usize {
    if is_plain(text) { text.len() } else { escaped_len_slow(text) }
}

/// Whether all bytes stand for themselves.
#[inline]
pub fn is_plain(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk::<8>() else { return plain_len(text) == text.len() };
    // Without a branch for each word. The last one may overlap the one before.
    let words =
        text.as_chunks::<8>().0.iter().fold(0, |all, word| all | special_bits(u64::from_le_bytes(*word)));
    words | special_bits(u64::from_le_bytes(*last)) == 0
}

#[cold]
fn escaped_len_slow(text: &[u8]) -> usize {
    let escaped = |byte: &u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0x00..0x20 => 6,
        _ => 1,
    };
    text.iter().map(escaped).sum()
}

/// How many bytes from the start stand for themselves: all before the first `"`, `\` or control character.
// Always inlined, as far as the first eight bytes: few texts are longer.
#[inline(always)]
pub fn plain_len(text: &[u8]) -> usize {
    let Some((word, rest)) = text.split_first_chunk() else { return plain_len_below_8(text) };
    match special_bits(u64::from_le_bytes(*word)) {
        0 => 8 + plain_len_of_words(rest),
        special => special.trailing_zeros() as usize / 8,
    }
}

#[inline(never)]
fn plain_len_of_words(text: &[u8]) -> usize {
    let mut rest = text;
    while let Some((word, behind)) = rest.split_first_chunk() {
        let special = special_bits(u64::from_le_bytes(*word));
        if special != 0 {
            return text.len() - rest.len() + special.trailing_zeros() as usize / 8;
        }
        rest = behind;
    }
    text.len() - rest.len() + plain_len_below_8(rest)
}

#[inline(never)]
fn plain_len_below_8(text: &[u8]) -> usize {
    let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) else {
        return text.iter().position(|&byte| is_special(byte)).unwrap_or(text.len());
    };
    let word = u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32;
    let special = special_bits(word);
    let lane = (special.trailing_zeros() / 8) as usize;
    if lane < 4 { lane } else { text.len() - (8 - lane) }
}

fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// The high bit of each byte that is special; a bit above the lowest one may be set in error.
fn special_bits(word: u64) -> u64 {
    let backslash = word ^ (ONES * b'\\' as u64);
    // Flipping bit 1 makes `"` 0x20 and the space 0x22, so that one comparison finds `"` and all controls.
    let below_0x21 = (word ^ (ONES * 2)).wrapping_sub(ONES * 0x21);
    (below_0x21 & !word | backslash.wrapping_sub(ONES) & !backslash) & HIGH_BITS
}

/// The text that an escaped form stands for; a lone surrogate becomes U+FFFD, and so does what is not UTF-8.
pub fn unescape(escaped: &[u8]) -> Cow<'_, str> {
    if !escaped.contains(&b'\\') {
        return String::from_utf8_lossy(escaped);
    }
    let mut plain = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.iter().position(|&byte| byte == b'\\') {
        plain.extend_from_slice(&rest[..at]);
        let (character, len) = unescape_one(&rest[at..]);
        plain.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &rest[at + len..];
    }
    plain.extend_from_slice(rest);
    Cow::Owned(
        String::from_utf8(plain)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    )
}

/// The character of the escape at the start, and the escape's length.
fn unescape_one(escape: &[u8]) -> (char, usize) {
    let character = match escape.get(1) {
        Some(b'u') => return unescape_unit(escape),
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(&byte) if byte.is_ascii() => char::from(byte),
        _ => return (char::REPLACEMENT_CHARACTER, 1),
    };
    (character, 2)
}

fn unescape_unit(escape: &[u8]) -> (char, usize) {
    let Some(unit) = hex_unit(&escape[2..]) else { return (char::REPLACEMENT_CHARACTER, 2) };
    let second = escape.get(6..).and_then(|rest| rest.strip_prefix(b"\\u")).and_then(hex_unit);
    match (char::from_u32(unit.into()), second.and_then(|second| join_surrogates(unit, second))) {
        (Some(character), _) => (character, 6),
        (None, Some(character)) => (character, 12),
        (None, None) => (char::REPLACEMENT_CHARACTER, 6),
    }
}

/// The number that the four hexadecimal digits at the start write.
#[inline]
pub fn hex_unit(digits: &[u8]) -> Option<u16> {
    let [a, b, c, d] = digits.first_chunk::<4>()?.map(|digit| u32::from(HEX_VALUES[usize::from(digit)]));
    u16::try_from(a << 12 | b << 8 | c << 4 | d | (a | b | c | d) >> 4 << 16).ok()
}

/// Of each byte the number that it writes as a hexadecimal digit; above 15 for what is none.
const HEX_VALUES: [u8; 256] = {
    let mut values = [0xff; 256];
    let mut value = 0;
    while value < 16 {
        let digit = b"0123456789abcdef"[value];
        values[digit as usize] = value as u8;
        values[digit.to_ascii_uppercase() as usize] = value as u8;
        value += 1;
    }
    values
};

/// The character that a high and a low surrogate write together.
pub fn join_surrogates(high: u16, low: u16) -> Option<char> {
    char::decode_utf16([high, low]).next()?.ok().filter(|character| *character > '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = Vec::new();
        push_escaped(text.as_bytes(), &mut out);
        String::from_utf8(out).expect("escaped text is UTF-8")
    }

    #[test]
    fn only_quote_backslash_and_controls_are_escaped() {
        assert_eq!(escaped("a\"b\\c/d\u{7f}ü\u{2028}😀"), "a\\\"b\\\\c/d\u{7f}ü\u{2028}😀");
        assert_eq!(escaped("\n\r\t\u{8}\u{c}\0\u{1f}"), r"\n\r\t\b\f\u0000\u001f");
    }

    #[test]
    fn every_byte_at_every_place_is_found() {
        for len in 1..40 {
            for at in 0..len {
                for byte in 0..=255_u8 {
                    let mut text = vec![b'!'; len];
                    text[at] = byte;
                    let expected = if is_special(byte) { at } else { len };
                    assert_eq!(plain_len(&text), expected, "byte {byte:#x} at {at} of {len}");
                }
            }
        }
    }

    #[test]
    fn surrogates_are_joined_or_replaced() {
        assert_eq!(unescape(br"\ud83d\ude00|\ud83d|\ude00\ud83d"), "😀|\u{fffd}|\u{fffd}\u{fffd}");
        assert_eq!(unescape(br"\u00e9\/\b"), "é/\u{8}");
        assert_eq!(unescape(br"\"), "\u{fffd}");
        assert_eq!(unescape(br"\u12"), "\u{fffd}12");
    }

    proptest! {
        #[test]
        fn unescape_undoes_push_escaped(text in any::<String>()) {
            let escaped = escaped(&text);
            prop_assert_eq!(escaped.len(), escaped_len(text.as_bytes()));
            prop_assert_eq!(unescape(escaped.as_bytes()), text);
        }

        #[test]
        fn unescape_takes_any_bytes(bytes in any::<Vec<u8>>()) {
            unescape(&bytes);
        }

        #[test]
        fn plain_len_is_the_first_special_byte(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let expected = bytes.iter().position(|&byte| is_special(byte)).unwrap_or(bytes.len());
            prop_assert_eq!(plain_len(&bytes), expected);
            prop_assert_eq!(is_plain(&bytes), expected == bytes.len());
        }
    }
}
