"""Write the golden pickles: what Python itself makes of log records with all kinds of values.

Run it with CPython 3.11 and numpy 2 to get the same files again; other versions may pickle some classes otherwise,
which is a reason to keep these files and add to them.

`protocol-N.pickles` holds one pickle per case: length of the name (1 byte), name, length of the pickle (4 bytes,
big endian), pickle. Each is `LogRecord.__dict__` with one field more, `value`.
`expected.jsonl` holds what `value` must become: {"name", "value"}, or {"name", "protocol", "value"} where one differs.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import http
import ipaddress
import json
import logging
import pathlib
import pickle
import struct
import sys
import uuid
import zoneinfo
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy

if TYPE_CHECKING:
    from typing_extensions import Self

HERE = pathlib.Path(__file__).parent
PROTOCOLS = range(6)


class Color(enum.Enum):
    """An ordinary enumeration."""

    RED = 1


@dataclasses.dataclass
class Order:
    """A dataclass: its fields are its state."""

    number: int
    lines: list[str]


class Point(NamedTuple):
    """A named tuple: its fields are its arguments."""

    x: int
    y: float


class OrderError(Exception):
    """An exception whose arguments are not those of `__init__`: Python's own reader cannot make it again."""

    def __init__(self, order: int, *, reason: str) -> None:
        """Say what went wrong."""
        super().__init__(f"order {order}: {reason}")
        self.order = order
        self.reason = reason


class Slotted:
    """An object without a dict."""

    __slots__ = ("left", "right")

    def __init__(self) -> None:
        """Fill one of the slots."""
        self.left = 1


class Names(dict):
    """A dict of its own class."""


class Numbers(list):
    """A list of its own class."""


class Name(str):
    """A text of its own class."""

    __slots__ = ()


class Keywords:
    """An object made with keyword arguments."""

    def __init__(self, *, size: int) -> None:
        """Take the one keyword."""
        self.size = size

    def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, int]]:
        """Tell pickle the keyword."""
        return (), {"size": self.size}

    def __new__(cls, **_: int) -> Self:
        """Accept the keyword."""
        return super().__new__(cls)


def noted(error: BaseException) -> BaseException:
    """Add an attribute."""
    error.code = 7
    return error


def in_itself(empty: Any, add: str) -> Any:
    """Return a container that contains itself."""
    getattr(empty, add)(empty)
    return empty


def named_itself() -> dict[str, Any]:
    """Return a dict that contains itself."""
    itself: dict[str, Any] = {}
    itself["self"] = itself
    return itself


def nested(depth: int) -> Any:
    """Return a list in lists."""
    value: Any = "inside"
    for _ in range(depth):
        value = [value]
    return value


ONE = [1]
TWO = [ONE, ONE]
HERE_CLASS = "__main__."
UTC = datetime.timezone.utc
EAST = datetime.timezone(datetime.timedelta(hours=5, minutes=45))
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
MOMENT = (2024, 2, 29, 23, 59, 58, 7)
LARGE_ID = uuid.UUID("fedcba98-7654-4321-8fed-cba987654321")
SMALL_ID = uuid.UUID(int=17)


def made(name: str, *arguments: Any, **more: Any) -> dict[str, Any]:
    """Return the general form of an object of one of this file's classes."""
    general: dict[str, Any] = {"$class": HERE_CLASS + name}
    if arguments:
        general["$args"] = list(arguments)
    return general | {f"${key}": value for key, value in more.items()}


#: name → value, what it becomes
CASES: dict[str, tuple[Any, Any]] = {
    "none": (None, None),
    "booleans": ([True, False], [True, False]),
    "integers": (
        [0, -1, 255, 256, -65536, 2**31, -(2**63), 2**63 - 1],
        [0, -1, 255, 256, -65536, 2**31, -(2**63), 2**63 - 1],
    ),
    "large integers": (
        [2**64 - 1, 2**64, -(2**63) - 1, 2**127 - 1],
        [2**64 - 1, str(2**64), str(-(2**63) - 1), str(2**127 - 1)],
    ),
    "huge integers": ([2**200 + 255, -(2**200)], [hex(2**200 + 255), hex(-(2**200))]),
    "floats": ([0.0, -1.5, 1e300, 5e-324, 0.1], [0.0, -1.5, 1e300, 5e-324, 0.1]),
    "odd floats": (
        [float("nan"), float("inf"), float("-inf")],
        ["NaN", "Infinity", "-Infinity"],
    ),
    "complex": ([1 + 2j, -0.5j], ["(1+2j)", "(-0-0.5j)"]),
    "texts": (
        ["", "plain", "üñí 😀", 'a\nb\t"c" \\u00e4 \0\x1a\r'],
        ["", "plain", "üñí 😀", 'a\nb\t"c" \\u00e4 \0\x1a\r'],
    ),
    "surrogates": (["a\udc80b", "\ud800"], ["a\\udc80b", "\\ud800"]),
    "long text": ("x" * 3000, "x" * 3000),
    "bytes": (
        [b"", b"plain", "ü".encode(), b"\xff\x00\x80"],
        ["", "plain", "ü", {"$bytes": "/wCA"}],
    ),
    "long bytes": (b"\xff" * 300, {"$bytes": "/" * 400}),
    "bytearray": ([bytearray(b"ab"), bytearray()], ["ab", ""]),
    "containers": (
        [[], [1], (), (1, "a"), {}, {"a": [None]}],
        [[], [1], [], [1, "a"], {}, {"a": [None]}],
    ),
    "tuples": (
        [(1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
        [[1], [1, 2], [1, 2, 3], [1, 2, 3, 4]],
    ),
    "odd keys": (
        {1: "c", None: "b", (1, "x"): "d", 1.5: "e", b"f": "f"},
        {"1": "c", "null": "b", '[1,"x"]': "d", "1.5": "e", "f": "f"},
    ),
    "sets": ([{1}, frozenset({"a"}), set(), frozenset()], [[1], ["a"], [], []]),
    "shared": ([TWO, TWO], [[[1], [1]], [[1], [1]]]),
    "list in itself": (in_itself([], "append"), ["<cycle>"]),
    "dict in itself": (named_itself(), {"self": "<cycle>"}),
    "deep": (nested(70), json.loads("[" * 63 + '"<too deep>"' + "]" * 63)),
    "datetime": (datetime.datetime(*MOMENT), "2024-02-29T23:59:58.000007"),
    "datetime utc": (
        datetime.datetime(*MOMENT, tzinfo=UTC),
        "2024-02-29T23:59:58.000007+00:00",
    ),
    "datetime east": (
        datetime.datetime(*MOMENT, tzinfo=EAST),
        "2024-02-29T23:59:58.000007+05:45",
    ),
    "datetime zone": (
        datetime.datetime(*MOMENT, tzinfo=BERLIN),
        "2024-02-29T23:59:58.000007[Europe/Berlin]",
    ),
    "datetime fold": (
        datetime.datetime(2024, 10, 27, 2, 30, fold=1),
        "2024-10-27T02:30:00",
    ),
    "date": (datetime.date(1, 12, 31), "0001-12-31"),
    "time": (
        [datetime.time(1, 2, 3), datetime.time(23, 59, 59, 999999, UTC, fold=1)],
        ["01:02:03", "23:59:59.999999+00:00"],
    ),
    "timedelta": (
        [
            datetime.timedelta(seconds=1.5),
            datetime.timedelta(days=-1, seconds=1),
            datetime.timedelta(days=2),
        ],
        ["0:00:01.500000", "-1 day, 0:00:01", "2 days, 0:00:00"],
    ),
    "timezone": ([UTC, EAST, BERLIN], ["UTC+00:00", "UTC+05:45", "Europe/Berlin"]),
    "decimal": (
        [decimal.Decimal("1.50"), decimal.Decimal("NaN"), decimal.Decimal("-1E+99")],
        ["1.50", "NaN", "-1E+99"],
    ),
    "fraction": (fractions.Fraction(1, 3), "1/3"),
    "uuid": ([LARGE_ID, SMALL_ID], [str(LARGE_ID), str(SMALL_ID)]),
    "enum": (Color.RED, made("Color", 1)),
    "int enum": (
        http.HTTPStatus.NOT_FOUND,
        {"$class": "http.HTTPStatus", "$args": [404]},
    ),
    "path": (
        [
            pathlib.PurePosixPath("/a/b/c.txt"),
            pathlib.PurePosixPath("x/y"),
            pathlib.PurePosixPath(),
            pathlib.PureWindowsPath("C:\\a\\b"),
        ],
        ["/a/b/c.txt", "x/y", ".", "C:\\a\\b"],
    ),
    "dataclass": (Order(7, ["a"]), made("Order", state={"number": 7, "lines": ["a"]})),
    "named tuple": (Point(1, 2.5), made("Point", 1, 2.5)),
    "slots": (Slotted(), made("Slotted", state=[None, {"left": 1}])),
    "dict subclass": (Names(a=1), made("Names", pairs={"a": 1})),
    "list subclass": (Numbers([1, 2]), made("Numbers", items=[1, 2])),
    "text subclass": (Name("n"), made("Name", "n")),
    "keyword arguments": (
        Keywords(size=3),
        made("Keywords", kwargs={"size": 3}, state={"size": 3}),
    ),
    "class": (
        [int, Color, len],
        [
            {"$class": "builtins.int"},
            {"$class": "__main__.Color"},
            {"$class": "builtins.len"},
        ],
    ),
    "exception": (
        ValueError("bad", 7),
        {"$class": "builtins.ValueError", "$args": ["bad", 7]},
    ),
    "os error": (
        FileNotFoundError(2, "No such file", "/x"),
        {"$class": "builtins.FileNotFoundError", "$args": [2, "No such file", "/x"]},
    ),
    "exception with attribute": (
        noted(KeyError("k")),
        {"$class": "builtins.KeyError", "$args": ["k"], "$state": {"code": 7}},
    ),
    "exception of its own": (
        OrderError(7, reason="empty"),
        made("OrderError", "order 7: empty", state={"order": 7, "reason": "empty"}),
    ),
    "unicode error": (
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        {
            "$class": "builtins.UnicodeDecodeError",
            "$args": ["utf-8", {"$bytes": "/w=="}, 0, 1, "bad"],
        },
    ),
    "ordered dict": (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    "default dict": (collections.defaultdict(list, a=[1]), {"a": [1]}),
    "counter": (collections.Counter("aab"), {"a": 2, "b": 1}),
    "deque": (
        [collections.deque([1, 2]), collections.deque([3], maxlen=5)],
        [[1, 2], [3]],
    ),
    "ip address": (
        [
            ipaddress.ip_address("10.0.0.1"),
            ipaddress.ip_address("fe80::1"),
            ipaddress.ip_network("fe80::/64"),
            ipaddress.ip_interface("10.0.0.1/8"),
        ],
        ["10.0.0.1", "fe80::1", "fe80::/64", "10.0.0.1/8"],
    ),
    "range and slice": (
        [range(1, 9, 2), slice(1, None)],
        [
            {"$class": "builtins.range", "$args": [1, 9, 2]},
            {"$class": "builtins.slice", "$args": [1, None, None]},
        ],
    ),
    "numpy floats": (
        [numpy.float64(1.5), numpy.float32(0.25), numpy.float64("nan")],
        [1.5, 0.25, "NaN"],
    ),
    "numpy integers": (
        [
            numpy.int64(-5),
            numpy.uint64(2**64 - 1),
            numpy.int8(-128),
            numpy.uint16(65535),
        ],
        [-5, 2**64 - 1, -128, 65535],
    ),
    "numpy others": ([numpy.bool_(True), numpy.str_("ñ😀")], [True, "ñ😀"]),
}

#: (name, protocol) → what it becomes there
DIFFERENT: dict[tuple[str, int], Any] = {}
for _protocol in (0, 1):
    DIFFERENT["dict subclass", _protocol] = made("Names", {"a": 1})
    DIFFERENT["list subclass", _protocol] = made("Numbers", [1, 2])
    DIFFERENT["huge integers", _protocol] = [str(2**200 + 255), str(-(2**200))]
    DIFFERENT["keyword arguments", _protocol] = made("Keywords", state={"size": 3})
for _protocol in (0, 1, 2):
    DIFFERENT["os error", _protocol] = {
        "$class": "builtins.OSError",
        "$args": [2, "No such file", "/x"],
    }
for _protocol in (2, 3):
    _new = "__main__.Keywords.__new__"
    _partial = {
        "$args": [_new],
        "$class": "functools.partial",
        "$state": [_new, [{"$class": "__main__.Keywords"}], {"size": 3}, None],
    }
    DIFFERENT["keyword arguments", _protocol] = {
        "$class": _partial,
        "$state": {"size": 3},
    }


def record(value: Any) -> dict[str, Any]:
    """Return a log record's dict, the same at every run."""
    made_record = logging.LogRecord(
        "shop.orders",
        logging.WARNING,
        "/srv/shop/views.py",
        42,
        "order %s: %d lines",
        ("A-17", 3),
        None,
        "view",
    )
    fields = dict(made_record.__dict__)
    fields.update(
        created=1700000000.1234567,
        msecs=123.0,
        relativeCreated=42.5,
        thread=140000000000001,
        process=4711,
    )
    fields.update(threadName="MainThread", processName="MainProcess", taskName=None)
    fields["context"] = {"key": "3@0f6f2a3c-1111-4222-8333-444455556666/2"}
    fields["value"] = value
    return fields


def main() -> None:
    """Write all files."""
    if sys.version_info[:2] != (3, 11):
        print("these files are made with CPython 3.11", file=sys.stderr)
    skipped = []
    for protocol in PROTOCOLS:
        parts = []
        for name, (value, _) in CASES.items():
            try:
                body = pickle.dumps(record(value), protocol)
            except (TypeError, pickle.PicklingError, ValueError) as error:
                skipped.append((name, protocol, str(error)))
                continue
            parts += [
                struct.pack(">B", len(name)),
                name.encode(),
                struct.pack(">L", len(body)),
                body,
            ]
        (HERE / f"protocol-{protocol}.pickles").write_bytes(b"".join(parts))
    lines = [{"name": name, "value": expected} for name, (_, expected) in CASES.items()]
    lines += [{"name": name, "protocol": number, "value": expected} for (name, number), expected in DIFFERENT.items()]
    text = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)
    (HERE / "expected.jsonl").write_text(text, "utf-8")
    for name, protocol, error in skipped:
        print(f"protocol {protocol} has no {name}: {error}")


if __name__ == "__main__":
    main()
