//! JSON text put together while compiling, for the manifest.

/// A piece of JSON text.
#[derive(Clone, Copy)]
pub enum Part {
    /// JSON, as it stands.
    Json(&'static str),
    /// A JSON string of this text.
    Text(&'static str),
    /// A JSON array of strings.
    List(&'static [&'static str]),
    /// `true` or `false`.
    Flag(bool),
}

/// Length in bytes of the parts, one after the other.
pub const fn length(parts: &[Part]) -> usize {
    write(parts, &mut [])
}

/// The parts, one after the other; `N` is their [`length`].
pub const fn bytes<const N: usize>(parts: &[Part]) -> [u8; N] {
    let mut out = [0; N];
    write(parts, &mut out);
    out
}

/// The bytes as text.
pub const fn text(bytes: &'static [u8]) -> &'static str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("made of text"),
    }
}

/// Writes the parts, one after the other, as far as they fit into `out`; returns their length.
pub const fn write(parts: &[Part], out: &mut [u8]) -> usize {
    let mut at = 0;
    let mut part = 0;
    while part < parts.len() {
        at = match parts[part] {
            Part::Json(json) => write_raw(json.as_bytes(), out, at),
            Part::Text(text) => write_text(text, out, at),
            Part::Flag(true) => write_raw(b"true", out, at),
            Part::Flag(false) => write_raw(b"false", out, at),
            Part::List(list) => {
                at = write_raw(b"[", out, at);
                let mut item = 0;
                while item < list.len() {
                    if item > 0 {
                        at = write_raw(b",", out, at);
                    }
                    at = write_text(list[item], out, at);
                    item += 1;
                }
                write_raw(b"]", out, at)
            }
        };
        part += 1;
    }
    at
}

const fn write_text(text: &str, out: &mut [u8], at: usize) -> usize {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    let mut at = write_raw(b"\"", out, at);
    let mut index = 0;
    while index < bytes.len() {
        let byte = bytes[index];
        at = match byte {
            b'"' | b'\\' => write_raw(&[b'\\', byte], out, at),
            0..0x20 => write_raw(
                &[b'\\', b'u', b'0', b'0', HEX[(byte >> 4) as usize], HEX[(byte & 15) as usize]],
                out,
                at,
            ),
            _ => write_raw(&[byte], out, at),
        };
        index += 1;
    }
    write_raw(b"\"", out, at)
}

const fn write_raw(bytes: &[u8], out: &mut [u8], at: usize) -> usize {
    let mut index = 0;
    while index < bytes.len() {
        if at + index < out.len() {
            out[at + index] = bytes[index];
        }
        index += 1;
    }
    at + bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_become_json() {
        const PARTS: &[Part] = &[
            Part::Json("{\"a\":"),
            Part::Text("say \"hä\"\n\\"),
            Part::Json(",\"b\":"),
            Part::List(&["x", "y"]),
            Part::Json(",\"c\":"),
            Part::Flag(true),
            Part::Json("}"),
        ];
        const BYTES: [u8; length(PARTS)] = bytes(PARTS);
        let value: serde_json::Value = serde_json::from_str(text(&BYTES)).unwrap();
        assert_eq!(value, serde_json::json!({"a": "say \"hä\"\n\\", "b": ["x", "y"], "c": true}));
    }
}
