//! The compact payload: the seven keys of the Python example, in its order.
//!
//! The values are the canonical ones, byte for byte, without whitespace between them (Python's `json.dumps` puts a
//! space behind `,` and `:`, and escapes all but ASCII; both read as the same JSON). `user` is the user's primary key
//! and so a number where that is one: a decimal integer as Python writes it.

use crate::json::split_value;

/// Values of a canonical line, as they stand there.
struct Values<'a> {
    action: &'a [u8],
    attributes: &'a [u8],
    granted: &'a [u8],
    manager: &'a [u8],
    user_id: &'a [u8],
    permissions: &'a [u8],
    metadata: &'a [u8],
}

/// Makes the compact payload of a canonical line; `None` if it is not canonical.
pub fn compact(line: &[u8]) -> Option<Vec<u8>> {
    let values = Values::find(line)?;
    let mut out = Vec::with_capacity(line.len());
    let user = integer(values.user_id).unwrap_or(values.user_id);
    for (key, value) in [
        (&b"{\"action\":"[..], values.action),
        (b",\"granted\":", values.granted),
        (b",\"attributes\":", values.attributes),
        (b",\"manager\":", values.manager),
        (b",\"user\":", user),
        (b",\"permissions\":", values.permissions),
        (b",\"metadata\":", values.metadata),
    ] {
        out.extend_from_slice(key);
        out.extend_from_slice(value);
    }
    out.push(b'}');
    Some(out)
}

impl<'a> Values<'a> {
    fn find(line: &'a [u8]) -> Option<Self> {
        let mut rest = line;
        let mut next = |key: &[u8]| -> Option<&'a [u8]> {
            let (value, behind) = split_value(rest.strip_prefix(key)?)?;
            rest = behind;
            Some(value)
        };
        next(b"{\"event_id\":")?;
        next(b",\"timestamp\":")?;
        let action = next(b",\"action\":")?;
        let attributes = next(b",\"attributes\":")?;
        let granted = next(b",\"granted\":")?;
        next(b",\"bypassed\":")?;
        let manager = next(b",\"manager\":")?;
        let user_id = next(b",\"user_id\":")?;
        next(b",\"user\":")?;
        let permissions = next(b",\"permissions\":")?;
        let metadata = next(b",\"metadata\":")?;
        Some(Self { action, attributes, granted, manager, user_id, permissions, metadata })
    }
}

/// The digits within the quotes, if they are an integer as Python writes it.
fn integer(quoted: &[u8]) -> Option<&[u8]> {
    let text = quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match digits {
        [b'0'] if text == b"0" => Some(text),
        [b'1'..=b'9', more @ ..] if more.iter().all(u8::is_ascii_digit) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(user_id: &str, metadata: &str) -> String {
        format!(
            r#"{{"event_id":"019a0000-0000-7000-8000-000000000000","timestamp":"2026-11-24T02:42:00.123456+00:00","action":"update","attributes":["a]","\","],"granted":false,"bypassed":true,"manager":"Project","user_id":{user_id},"user":"repr, of","permissions":["isAdmin"],"metadata":{metadata}}}"#
        )
    }

    fn compacted(user_id: &str, metadata: &str) -> String {
        String::from_utf8(compact(line(user_id, metadata).as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn the_seven_keys_stand_in_the_order_of_the_example() {
        assert_eq!(
            compacted("null", "null"),
            r#"{"action":"update","granted":false,"attributes":["a]","\","],"manager":"Project","user":null,"permissions":["isAdmin"],"metadata":null}"#
        );
    }

    #[test]
    fn a_user_id_that_is_a_decimal_integer_becomes_a_number() {
        for (user_id, user) in [
            (r#""4217""#, "4217"),
            (r#""0""#, "0"),
            (r#""-7""#, "-7"),
            (r#""123456789012345678901234567890""#, "123456789012345678901234567890"),
            (r#""007""#, r#""007""#),
            (r#""-0""#, r#""-0""#),
            (r#""+7""#, r#""+7""#),
            (r#""1.5""#, r#""1.5""#),
            (r#""1e3""#, r#""1e3""#),
            (r#"" 1""#, r#"" 1""#),
            (r#""""#, r#""""#),
            (r#""-""#, r#""-""#),
            (r#""٣""#, r#""٣""#),
            (r#""\ud800""#, r#""\ud800""#),
        ] {
            assert!(
                compacted(user_id, "null").contains(&format!(r#""user":{user},"permissions""#)),
                "{user_id}"
            );
        }
    }

    #[test]
    fn metadata_is_copied_as_it_stands() {
        let metadata = r#"{"b":1e999,"a":{"x":[1,"}"]},"a":0.10}"#;
        assert!(compacted("null", metadata).ends_with(&format!(",\"metadata\":{metadata}}}")));
    }

    #[test]
    fn keys_that_a_later_version_appends_are_left_out() {
        let line = line("null", r#"null,"later":{"metadata":1}"#);
        assert!(compact(line.as_bytes()).unwrap().ends_with(b",\"metadata\":null}"));
    }

    #[test]
    fn a_line_cut_anywhere_is_refused() {
        let line = line(r#""7""#, r#"{"a":"b"}"#);
        for end in 0..line.len() - 1 {
            assert!(compact(&line.as_bytes()[..end]).is_none(), "{end}");
        }
    }
}
