"""Write the stored corpus of each fuzz target.

Run it with an interpreter that has numpy, see ../testdata/pickle/make.py.
"""

from __future__ import annotations

import importlib
import pathlib
import pickle
import struct
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "testdata" / "pickle"))
CASES = importlib.import_module("make").CASES

BODIES = {
    "plain": b'{"name":"a","msg":"b","levelno":20,"created":1.5,"context":{"key":"1@0f6f2a3c11114222833344445555666a/2"}}',
    "spaced": b'{"a": 1, "b": [1, 2.5e-3, {"c": null}], "d": "\\u00e4\\ud83d\\ude00"}\n',
    "python": b'\xef\xbb\xbf{"a": NaN, "b": [Infinity, -Infinity], "c": "\\udc80"}',
    "repeated": b'{"a":1,"\\u0061":2,"a":3}',
    "reserved": b'{"_offset":1,"__offset":2,"_rejected":3}',
    "nested": b'{"a":' + b"[" * 63 + b"]" * 63 + b"}",
    "deep": b'{"a":' + b"[" * 70,
    "numbers": b'{"created":1e999,"levelno":-0.0,"n":123456789012345678901234567890}',
    "escapes": b'{"\\"\\\\\\/\\b\\f\\n\\r\\t":"\\"\\\\\\/\\b\\f\\n\\r\\t"}',
    "array": b"[1,2]",
    "utf-16": '{"a":1}'.encode("utf-16"),
    "trailing": b'{"a":1}}',
}
FILTERS = [
    "",
    "error",
    "level>=error",
    "logger=app.db.*",
    "-healthcheck",
    "duration>500ms",
    "status:(500,502)",
    "a or b",
    "not (a b)",
    "message~/time.?out/i",
    'user="a b"',
    "task:0f6f2a3c",
    "goal.status=failed",
    "size>=1.5MiB",
    "created>-15m",
    "x=1 or (y:2 -z~/[0-9]+/)",
    "host=web-* level<warning",
    '"quoted \\" text"',
    "((((a))))",
    'a:(b,c,"d e")',
    "goal.duration>1h",
    "context.user.id=7",
]


def frames(*parts: bytes) -> bytes:
    """Return the wire target's form of a message."""
    return b"".join(struct.pack("<H", len(part)) + part for part in parts)


def write(target: str, files: dict[str, bytes]) -> None:
    """Replace a target's corpus."""
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, content in files.items():
        (folder / name.replace(" ", "-")).write_bytes(content)


def main() -> None:
    """Write all of them."""
    pickles = {}
    for at, (name, (value, _)) in enumerate(CASES.items()):
        protocol = 2 + at % 4 if name == "slots" else at % 6
        pickles[f"{name}-{protocol}"] = pickle.dumps({"value": value}, protocol)
    pickles["call"] = b"}S'v'\ncos\nsystem\n(S'id'\ntRs."
    pickles["object"] = b"(dS'v'\n(S'id'\nios\nsystem\np1\n(dbs."
    write("pickle", pickles)
    wire = {name: frames(b"PLJ", body) for name, body in BODIES.items()}
    wire |= {
        "pickle": frames(b"TLP", pickles["call"]),
        "none": b"",
        "one": frames(b"PLJ"),
        "three": frames(b"PLJ", b"{}", b""),
    }
    wire["topic"] = frames(b"XYZ", b"{}")
    write("wire", wire)
    write("filter", {f"{at:02}": text.encode() for at, text in enumerate(FILTERS)})


if __name__ == "__main__":
    main()
