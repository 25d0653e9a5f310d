#!/usr/bin/env python3
"""Makes the canonical form of general_manager's audit lines, independently of the product.

Usage: canonical.py < permission-events.ndjson > canonical-without-event-id.ndjson

Each line of standard input becomes one line with the canonical keys in their order, apart from `event_id`, which
general_manager does not write. `expected.sha256` beside this file is the SHA-256 of what this prints for
`examples/permission-events.ndjson`:

    python3 tests/canonical/canonical.py < examples/permission-events.ndjson | sha256sum

Only the standard library is used, and nothing but its JSON parser is shared with the way the lines were written.
"""

import datetime
import json
import sys

KEYS = [
    "timestamp",
    "action",
    "attributes",
    "granted",
    "bypassed",
    "manager",
    "user_id",
    "user",
    "permissions",
    "metadata",
]
DEFAULTS = {"attributes": [], "bypassed": False, "permissions": []}
ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}


class Number(str):
    """A number token, as written."""


class Pairs(list):
    """An object, with its keys in order and as often as they stand there."""


def refuse(token):
    raise ValueError(f"{token} is no JSON number")


def text(value):
    out = []
    for character in value:
        code = ord(character)
        if character in ESCAPES:
            out.append(ESCAPES[character])
        elif code < 0x20 or 0xD800 <= code <= 0xDFFF:
            out.append(f"\\u{code:04x}")
        else:
            out.append(character)
    return '"' + "".join(out) + '"'


def canonical(value):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Pairs):
        return "{" + ",".join(text(key) + ":" + canonical(member) for key, member in value) + "}"
    return "[" + ",".join(canonical(item) for item in value) + "]"


def utc(value):
    moment = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    return moment.astimezone(datetime.timezone.utc).isoformat(timespec="microseconds")


def canonical_line(line):
    event = json.loads(
        line, object_pairs_hook=Pairs, parse_int=Number, parse_float=Number, parse_constant=refuse
    )
    members = dict(event)
    if len(members) != len(event) or not set(members) <= set(KEYS):
        raise ValueError(f"unknown or repeated keys in {line!r}")
    members["timestamp"] = utc(members["timestamp"])
    values = ((key, members.get(key, DEFAULTS.get(key))) for key in KEYS)
    return "{" + ",".join(text(key) + ":" + canonical(value) for key, value in values) + "}"


def main():
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    for line in sys.stdin.buffer:
        print(canonical_line(line.decode("utf-8")))


if __name__ == "__main__":
    main()
