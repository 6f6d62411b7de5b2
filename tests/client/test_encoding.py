"""Any record becomes a message, in both encodings, and stays as it is."""

from __future__ import annotations

import collections
import copy
import dataclasses
import datetime
import decimal
import enum
import fractions
import ipaddress
import json
import logging
import math
import pathlib
import pickle
import pickletools
import random
import signal
import string
import sys
import time
import types
import uuid
from typing import Any, NamedTuple
from unittest import mock

import pytest
from distlog import JSONFormatter, PickleFormatter, task
from distlog.testing import capture

MIB = 1 << 20
if hasattr(sys, "set_int_max_str_digits"):
    sys.set_int_max_str_digits(0)


def made(msg: Any = "hello", *args: Any, exc_info: Any = None, **extra: Any) -> logging.LogRecord:
    """A record as a logging call makes it."""
    return logging.getLogger("app").makeRecord("app", 20, "/srv/app.py", 7, msg, args, exc_info, "work", extra or None)


def both(record: logging.LogRecord, same: bool = True) -> dict[str, Any]:
    """The record's fields, which both encodings agree on (but for the place where a whole message is cut)."""
    text = JSONFormatter().format(record)
    body = PickleFormatter().format(record)
    assert len(text) < MIB
    assert len(body) < MIB
    from_json = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    from_pickle = json.loads(json.dumps(pickle.loads(body)))
    assert from_json == from_pickle or not same
    assert not {op.name for op, _, _ in pickletools.genops(body)} & {
        "GLOBAL",
        "STACK_GLOBAL",
        "REDUCE",
        "BUILD",
        "NEWOBJ",
        "INST",
        "OBJ",
    }
    return from_json  # type: ignore[no-any-return]


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    assert len(set(names)) == len(names), names
    return dict(pairs)


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def seen(value: Any) -> Any:
    """What is written for a value."""
    return both(made(value=value))["value"]


class Colour(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    BIG = 3


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Part:
    name: str
    inner: Any = None


class Silent:
    __slots__ = ()

    def __repr__(self) -> str:
        return "<Silent>"


class Bad:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class BadMapping(collections.abc.Mapping):  # type: ignore[type-arg]
    def __getitem__(self, key: Any) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Any:
        return iter([1])

    def __len__(self) -> int:
        return 1


class Endless(collections.abc.Sequence):  # type: ignore[type-arg]
    def __getitem__(self, at: Any) -> Any:
        return at

    def __len__(self) -> int:
        return sys.maxsize


class Text(str):
    def __len__(self) -> int:
        raise RuntimeError("no")

    __str__ = __repr__ = __len__  # type: ignore[assignment]


UTC = datetime.timezone.utc
VALUES: dict[str, tuple[Any, Any]] = {
    "none": (None, None),
    "true": (True, True),
    "int": (-5, -5),
    "i64": (-(2**63), -(2**63)),
    "big int": (10**4299, 10**4299),
    "longer than json reads": (10**5000, "1" + "0" * 5000),
    "negative big int": (-(2**64) - 1, -(2**64) - 1),
    "negative big power": (-(2**2047), -(2**2047)),
    "huge int": (1 << 100_000, "…<clipped int>"),
    "float": (0.1, 0.1),
    "large float": (1e300, 1e300),
    "negative zero": (-0.0, -0.0),
    "nan": (math.nan, "NaN"),
    "inf": (math.inf, "Infinity"),
    "-inf": (-math.inf, "-Infinity"),
    "text": ("ümläut \n \r \\n \0 \x1b \u2028 😀", "ümläut \n \r \\n \0 \x1b \u2028 😀"),
    "lone surrogate": ("a\udc80b", "a\\udc80b"),
    "text subclass": (Text("sub"), "sub"),
    "bytes": (b"abc", "abc"),
    "bad bytes": (b"a\xff\x00", "a\\xff\0"),
    "bytearray": (bytearray(b"abc"), "abc"),
    "memoryview": (memoryview(b"abcdef")[::2], "ace"),
    "datetime": (datetime.datetime(2026, 1, 2, 3, 4, 5, 6, UTC), "2026-01-02T03:04:05.000006+00:00"),
    "date": (datetime.date(2026, 1, 2), "2026-01-02"),
    "time": (datetime.time(3, 4), "03:04:00"),
    "timedelta": (datetime.timedelta(minutes=1, microseconds=5), 60.000005),
    "decimal": (decimal.Decimal("1.10"), "1.10"),
    "fraction": (fractions.Fraction(1, 3), "1/3"),
    "complex": (1 + 2j, "(1+2j)"),
    "uuid": (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    "set": ({1}, [1]),
    "frozenset": (frozenset(["a"]), ["a"]),
    "deque": (collections.deque([1, 2]), [1, 2]),
    "range": (range(3), [0, 1, 2]),
    "enum": (Colour.RED, "red"),
    "int enum": (Size.BIG, 3),
    "path": (pathlib.PurePosixPath("/a/b"), "/a/b"),
    "ip": (ipaddress.ip_address("::1"), "::1"),
    "network": (ipaddress.ip_network("10.0.0.0/8"), "10.0.0.0/8"),
    "named tuple": (Point(1, 2), {"x": 1, "y": 2}),
    "dataclass": (Part("a", Part("b")), {"name": "a", "inner": {"name": "b", "inner": None}}),
    "tuple": ((1, (2,)), [1, [2]]),
    "empty": ([(), [], {}, set(), ""], [[], [], {}, [], ""]),
    "keys of all kinds": (
        {1: "a", None: "b", True: "c", 2.5: "d", (1, 2): "e", b"f": "f", Colour.RED: "g"},
        {"true": "c", "1": "a", "null": "b", "2.5": "d", "(1, 2)": "e", "f": "f", "Colour.RED": "g"},
    ),
    "mapping": (types.MappingProxyType({"a": 1}), {"a": 1}),
    "counter": (collections.Counter("aab"), {"a": 2, "b": 1}),
    "keys view": ({"a": 1}.keys(), ["a"]),
    "no state": (Silent(), "<Silent>"),
    "repr raises": (Bad(), "<unrepresentable Bad: RuntimeError>"),
    "inside": ([Bad(), 1], ["<unrepresentable Bad: RuntimeError>", 1]),
    "class": (Silent, repr(Silent)),
    "function": (len, "<built-in function len>"),
    "repeated": ([[1]] * 3, [[1], [1], [1]]),
}
if True not in {1: 0}:  # pragma: no cover - 1 and True are the same key
    raise AssertionError
VALUES["keys of all kinds"][1].pop("true")
VALUES["keys of all kinds"][1]["1"] = "c"


@pytest.mark.parametrize("name", VALUES)
def test_values(name: str) -> None:
    """D3"""
    value, expected = VALUES[name]
    assert seen(value) == expected


def test_cycles() -> None:
    ring: list[Any] = [1]
    ring.append({"again": ring})
    assert seen(ring) == [1, {"again": "<cycle>"}]
    part = Part("a")
    part.inner = part
    assert seen(part) == {"name": "a", "inner": "<cycle>"}


def test_attrs_and_pydantic_and_numpy() -> None:
    attrs = pytest.importorskip("attrs")
    Made = attrs.make_class("Made", ["a", "b"])
    assert seen(Made(1, [2])) == {"a": 1, "b": [2]}


def test_pydantic() -> None:
    pydantic = pytest.importorskip("pydantic")
    Model = pydantic.create_model("Model", when=(datetime.date, ...), n=(int, 3))
    assert seen(Model(when="2026-01-02")) == {"when": "2026-01-02", "n": 3}


def test_numpy() -> None:
    numpy = pytest.importorskip("numpy")
    assert seen([numpy.float64(1.5), numpy.int32(3), numpy.bool_(True), numpy.str_("a")]) == [1.5, 3, True, "a"]
    assert seen(numpy.arange(4).reshape(2, 2)) == [[0, 1], [2, 3]]
    long = seen(numpy.zeros((100, 1_000)))
    assert long == {"type": "ndarray", "shape": [100, 1000], "dtype": "float64", "head": [0.0] * 5}
    assert seen(numpy.datetime64("2026-01-02")) == "2026-01-02"
    assert isinstance(seen(numpy.longdouble(1)), (str, float))


def test_hostile_values() -> None:
    assert isinstance(seen(mock.MagicMock()), str)
    assert seen(BadMapping()) == "<unrepresentable BadMapping: KeyError>"
    assert len(seen(Endless())) == 1001

    class BadClass(type):
        def __getattribute__(cls, name: str) -> Any:
            raise RuntimeError(name)

    class Odd(metaclass=BadClass):
        pass

    assert isinstance(seen(Odd()), str)

    class NoStr:
        def __str__(self) -> str:
            raise SystemExit(1)

        __repr__ = __str__

    assert "SystemExit" in seen(NoStr())
    assert both(made("%s", NoStr()))["format_error"].startswith("SystemExit")

    class Recursing:
        def __repr__(self) -> str:
            return repr(self)

    assert seen(Recursing()) == "<unrepresentable Recursing: RecursionError>"


def test_an_interrupt_comes_after_the_record() -> None:
    """Ctrl-C while a value is looked at loses neither the record nor the interrupt."""

    class Interrupted:
        def __str__(self) -> str:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    body = b""
    try:
        with pytest.raises(KeyboardInterrupt):
            body = JSONFormatter().format(made("%s", Interrupted()))
            time.sleep(1)
    finally:
        signal.signal(signal.SIGINT, before)
    if body:
        assert json.loads(body)["format_error"].startswith("KeyboardInterrupt")


def test_generators_are_not_consumed() -> None:
    steps = iter([1, 2])
    lazy = (x for x in steps)
    seen([lazy, steps])
    assert list(lazy) == [1, 2]


class TestLimits:
    """C12: everything is bounded, and says so."""

    def test_long_text(self) -> None:
        text = seen("x" * 10_000_000)
        assert text.startswith("x" * 1000)
        assert text.endswith("…<clipped 9934464>")
        assert both(made("x" * 10_000_000))["message"].endswith("…<clipped 9934464>")
        assert seen("ü" * 70_000).endswith("…<clipped 37232>")
        assert seen(b"y" * 100_000).endswith("…<clipped 34464>")

    def test_many_items(self) -> None:
        items = seen({str(n): n for n in range(100_000)})
        assert (len(items), items["…"]) == (1001, "<clipped 99000>")
        assert seen(list(range(100_000)))[-1] == "…<clipped 99000>"

    def test_depth(self) -> None:
        nested: Any = "end"
        for _ in range(10_000):
            nested = [nested]
        assert "…<too deep>" in json.dumps(seen(nested), ensure_ascii=False)
        nested = "end"
        for _ in range(1_000):
            nested = {"a": nested}
        assert "…<too deep>" in json.dumps(seen(nested), ensure_ascii=False)

    def test_all_at_once(self) -> None:
        """Whatever is how large, the fields of the standard library are all there."""
        worst = "\0" * 100_000
        extra = {f"{worst[:200]}{n}": [worst] * 50 for n in range(2_000)}
        record = made(worst, worst, exc_info=caught(ValueError(worst)), **extra)
        with task(worst, **{f"f{n}": worst for n in range(100)}):
            fields = both(made(worst, *[worst] * 20, **extra), same=False)
        assert fields["hostname"] and fields["context"]["key"]
        assert fields["lineno"] == 7
        fields = both(record, same=False)
        assert set(made().__dict__) <= set(fields)
        assert "…" in fields

    def test_a_quick_no(self) -> None:
        """Linear: a value that is a thousand times too large costs no thousand times more."""
        started = time.perf_counter()
        both(made(value=[["x" * 1_000] * 1_000] * 1_000), same=False)
        assert time.perf_counter() - started < 2


class TestMessages:
    def test_templates_are_kept(self) -> None:
        fields = both(made("%s is %d", "a", 3))
        assert (fields["message"], fields["msg"], fields["args"]) == ("a is 3", "%s is %d", ["a", 3])

    def test_dict_arguments(self) -> None:
        fields = both(made("%(a)s", {"a": 1}))
        assert (fields["message"], fields["args"]) == ("1", {"a": 1})
        assert both(made("%s", {"a": 1}))["message"] == "{'a': 1}"

    def test_bad_templates(self) -> None:
        fields = both(made("%d of %s", "x"))
        assert (fields["message"], fields["args"]) == ("%d of %s", ["x"])
        assert fields["format_error"].startswith("TypeError: ")

    def test_messages_that_are_no_text(self) -> None:
        assert both(made({"a": 1}))["msg"] == {"a": 1}
        assert both(made(ValueError("boom")))["message"] == "boom"
        assert both(made(ValueError("boom")))["msg"]["type"] == "ValueError"
        assert both(made(Bad()))["message"] == "<unrepresentable Bad: RuntimeError>"
        assert both(made(None))["message"] == "None"

    def test_percent_without_arguments(self) -> None:
        assert both(made("100 %"))["message"] == "100 %"

    def test_a_record_class_that_renders_itself(self) -> None:
        class Braces(logging.LogRecord):
            def getMessage(self) -> str:  # noqa: N802
                return str(self.msg).format(*self.args)  # type: ignore[misc]

        assert both(Braces("app", 20, "", 1, "{} and {}", ("a", "b"), None))["message"] == "a and b"

    def test_arguments_that_log(self) -> None:
        """P16: an argument whose text logs itself."""
        log = logging.getLogger("app.recursive")

        class Logs:
            def __str__(self) -> str:
                log.info("rendering %s", self)
                return "rendered"

        # Other handlers would recurse without end.
        log.propagate = False
        with capture("app.recursive") as captured:
            log.info("outer %s", Logs(), extra={"also": [Logs()]})
        assert captured.records[-1]["message"] == "outer rendered"
        assert [r["format_error"] for r in captured.records[:-1]] == ["its arguments log"] * (len(captured.records) - 1)


def caught(error: BaseException) -> Any:
    try:
        raise error
    except BaseException:
        return sys.exc_info()


class TestExceptions:
    """D4"""

    def test_plain(self) -> None:
        fields = both(made(exc_info=caught(ValueError("boom"))))
        info = fields["exc_info"]
        assert (info["type"], info["module"], info["message"]) == ("ValueError", "builtins", "boom")
        (frame,) = info["frames"]
        assert (frame["file"], frame["function"]) == (__file__, "caught")
        lines = fields["exc_text"].split("\n")
        assert lines[0] == "Traceback (most recent call last):"
        assert lines[1:] == [
            f'  File "{__file__}", line {frame["line"]}, in caught',
            "    raise error",
            "ValueError: boom",
        ]

    @pytest.mark.skipif(sys.version_info >= (3, 11), reason="newer interpreters put carets under the lines")
    def test_text_is_the_interpreters(self) -> None:
        info = chained()
        assert both(made(exc_info=info))["exc_text"] == logging.Formatter().formatException(info)

    def test_chains(self) -> None:
        fields = both(made(exc_info=chained()))
        assert fields["exc_info"]["type"] == "RuntimeError"
        assert fields["exc_info"]["cause"]["type"] == "KeyError"
        assert fields["exc_info"]["cause"]["context"]["message"] == "division by zero"
        assert "direct cause" in fields["exc_text"]
        assert "During handling" in fields["exc_text"]
        assert fields["exc_text"].index("ZeroDivisionError") < fields["exc_text"].index("RuntimeError")

    def test_suppressed_context(self) -> None:
        try:
            try:
                raise KeyError("hidden")
            except KeyError:
                raise ValueError("shown") from None
        except ValueError:
            info = sys.exc_info()
        assert "context" not in both(made(exc_info=info))["exc_info"]

    def test_rings(self) -> None:
        first, second = ValueError("a"), ValueError("b")
        first.__cause__, second.__cause__ = second, first
        assert both(made(exc_info=caught(first)))["exc_info"]["cause"]["cause"] == "<cycle>"

    def test_long_chains(self) -> None:
        error: BaseException = ValueError("first")
        for n in range(3000):
            following = ValueError(str(n))
            following.__cause__ = error
            error = following
        fields = both(made(exc_info=caught(error)))
        assert fields["exc_info"]["cause"]["message"] == "2998"

    def test_deep_recursion(self) -> None:
        def recurse() -> None:
            recurse()

        try:
            recurse()
        except RecursionError:
            info = sys.exc_info()
        fields = both(made(exc_info=info))
        assert len(fields["exc_info"]["frames"]) == 65
        assert "Previous line repeated" in fields["exc_text"]

    @pytest.mark.skipif(sys.version_info < (3, 11), reason="notes and groups came with 3.11")
    def test_notes_and_groups(self) -> None:
        error = ExceptionGroup("several", [ValueError("a"), ExceptionGroup("inner", [KeyError("b")])])  # type: ignore[name-defined] # noqa: F821
        error.add_note("seen on Monday")
        fields = both(made(exc_info=caught(error)))
        info = fields["exc_info"]
        assert info["notes"] == ["seen on Monday"]
        assert [e["type"] for e in info["exceptions"]] == ["ValueError", "ExceptionGroup"]
        assert info["exceptions"][1]["exceptions"][0]["type"] == "KeyError"
        assert "+-+----" in fields["exc_text"]
        assert "seen on Monday" in fields["exc_text"]

    def test_exceptions_that_cannot_be_printed(self) -> None:
        class Broken(Exception):
            def __str__(self) -> str:
                raise RuntimeError("no")

        fields = both(made(exc_info=caught(Broken())))
        assert fields["exc_info"]["message"] == "<unrepresentable Broken: RuntimeError>"
        assert "<unrepresentable Broken: RuntimeError>" in fields["exc_text"]

    def test_syntax_errors(self) -> None:
        try:
            compile("a b", "x.py", "exec")
        except SyntaxError:
            info = sys.exc_info()
        assert "^" in both(made(exc_info=info))["exc_text"]

    @pytest.mark.parametrize("nothing", [None, False, (None, None, None)])
    def test_no_exception(self, nothing: Any) -> None:
        fields = both(made(exc_info=nothing))
        assert (fields["exc_info"], fields["exc_text"]) == (None, None)

    def test_instances_and_odd_values(self) -> None:
        assert both(made(exc_info=ValueError("x")))["exc_info"]["type"] == "ValueError"
        assert both(made(exc_info="odd"))["exc_info"] == "odd"
        assert both(made(exc_info=True))["exc_info"] is True

    def test_huge_tracebacks_keep_their_end(self) -> None:
        text = both(made(exc_info=caught(ValueError("x" * 200_000 + "end"))))["exc_text"]
        assert text.startswith("Traceback")
        assert text.endswith("end")


def chained() -> Any:
    try:
        try:
            try:
                1 / 0
            except ZeroDivisionError:
                raise KeyError("second")  # noqa: B904
        except KeyError as error:
            raise RuntimeError("third") from error
    except RuntimeError:
        return sys.exc_info()


class TestFields:
    def test_all_of_the_standard_library(self) -> None:
        fields = both(made())
        assert set(made().__dict__) | {"message", "asctime", "hostname"} == set(fields)
        assert (fields["levelno"], fields["levelname"], fields["lineno"], fields["funcName"]) == (20, "INFO", 7, "work")

    def test_asctime_is_iso_8601_with_its_offset(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for zone in ("UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            for created in (0.0, 1795360868.321133, 1774746000.5 + 60 * random.randrange(10**6), -1e9 + 0.25):
                record = made()
                record.created = created
                text = both(record)["asctime"]
                expected = datetime.datetime.fromtimestamp(math.floor(created * 1e6) // 10**6).astimezone()
                assert text[:19] == expected.isoformat()[:19]
                assert text[-6:] == expected.isoformat()[-6:]
                assert abs(datetime.datetime.fromisoformat(text).timestamp() - created) < 2e-6
        monkeypatch.undo()
        time.tzset()

    @pytest.mark.parametrize("created", [math.nan, math.inf, 1e300, -1e300, None, "x"])
    def test_times_that_are_none(self, created: Any) -> None:
        record = made()
        record.created = created
        assert "asctime" not in both(record)

    def test_names_of_our_own(self) -> None:
        """D2"""
        fields = both(made(context=1, goal=2, hostname=3, format_error=4, context_=5))
        assert [fields[n] for n in ("context__", "goal_", "hostname_", "format_error_", "context_")] == [1, 2, 3, 4, 5]
        assert "context" not in fields

    def test_names_that_are_no_text(self) -> None:
        record = made()
        record.__dict__[1] = "a"  # type: ignore[index]
        record.__dict__["1"] = "b"
        record.__dict__[(1,)] = "c"  # type: ignore[index]
        fields = both(record)
        assert (fields["1_"], fields["1"], fields["(1,)"]) == ("a", "b", "c")

    def test_switched_off_fields(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"):
            monkeypatch.setattr(logging, name, False, raising=False)
        fields = both(made())
        assert (fields["thread"], fields["process"], fields["processName"]) == (None, None, None)

    def test_missing_and_odd_fields(self) -> None:
        record = logging.LogRecord.__new__(logging.LogRecord)
        assert both(record)["message"] == ""
        record.msg, record.args = "%s", ("x",)
        record.levelno = "high"  # type: ignore[assignment]
        assert both(record)["message"] == "x"

    def test_custom_levels_and_names(self) -> None:
        """D5"""
        logging.addLevelName(25, "NÖTICE")
        record = logging.getLogger("äpp").makeRecord("äpp", 25, "f", 1, "m", (), None)
        assert (both(record)["levelname"], both(record)["name"]) == ("NÖTICE", "äpp")

    def test_no_record_at_all(self) -> None:
        assert both(types.SimpleNamespace(msg="a", args=()))["message"] == "a"  # type: ignore[arg-type]


def test_records_stay_as_they_are() -> None:
    """D1"""
    record = made("hello %s", "x", exc_info=caught(ValueError("x")), value=[1])
    before = {name: (id(value), copy.copy(value)) for name, value in record.__dict__.items()}
    both(record)
    after = {name: (id(value), copy.copy(value)) for name, value in record.__dict__.items()}
    assert repr(before) == repr(after)
    assert record.exc_text is None


def test_anything_at_all() -> None:
    """Random structures of everything above: both encodings, always, and the same."""
    leaves = [value for value, _ in VALUES.values() if not isinstance(value, int) or abs(value) < 2**64]
    for seed in range(300):
        dice = random.Random(seed)

        def value(depth: int, dice: random.Random = dice) -> Any:
            kind = dice.randrange(6) if depth < 6 else 0
            some = range(dice.randrange(5))
            if kind == 1:
                return [value(depth + 1) for _ in some]
            if kind == 2:
                return tuple(value(depth + 1) for _ in some)
            if kind == 3:
                return {"".join(dice.choices(string.printable, k=4)): value(depth + 1) for _ in some}
            if kind == 4:
                return Part("p", value(depth + 1))
            if kind == 5:
                return "".join(chr(dice.randrange(0x3000)) for _ in some)
            return dice.choice(leaves)

        both(made(value(0), value=value(0)))
