#!/usr/bin/env python3
"""Makes `src/printable.rs` and `unicode/repr.sha256` from this Python's own `str.isprintable` and `repr`.

Run it in `plugins/print` to move to the Unicode version of another Python.
"""

import hashlib
import unicodedata

ranges = []
for code in range(0x110000):
    if chr(code).isprintable():
        continue
    if ranges and ranges[-1][1] == code - 1:
        ranges[-1][1] = code
    else:
        ranges.append([code, code])

rows = [", ".join(f"(0x{a:x}, 0x{b:x})" for a, b in ranges[i : i + 6]) for i in range(0, len(ranges), 6)]
version = unicodedata.unidata_version

with open("src/printable.rs", "w", encoding="utf-8") as file:
    file.write(
        f"""//! Which code points Python's `repr` prints as they are: `str.isprintable` of Unicode {version}.
//!
//! Made by `unicode/generate.py`; not to be edited by hand. A Python with a later Unicode also prints what was assigned
//! since, where this one escapes it.

/// Whether Python's `repr` prints this code point as it is.
pub fn is_printable(code: u32) -> bool {{
    let position = NOT_PRINTABLE.partition_point(|&(_, last)| last < code);
    NOT_PRINTABLE.get(position).is_none_or(|&(first, _)| code < first)
}}

/// First and last code point of each range that is escaped, ascending.
#[rustfmt::skip]
const NOT_PRINTABLE: [(u32, u32); {len(ranges)}] = [
"""
        + "".join(f"    {row},\n" for row in rows)
        + "];\n"
    )

digest = hashlib.sha256()
for code in range(0x110000):
    digest.update((repr(chr(code)) + "\n").encode())
with open("unicode/repr.sha256", "w", encoding="ascii") as file:
    file.write(digest.hexdigest() + "\n")
