"""Native methods of loggers: whatever is called, everybody sees what they would see without them.

``differential.py`` draws thousands of calls, usual and odd ones, and prints all that handlers, filters, replaced methods and callers get
to see. ``ACCELERATE_SEEDS=100 pytest tests/client/test_accelerate.py`` draws more, ``CPYTHON=/path/to/python3.13`` runs other
interpreters.
"""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import distlog
import pytest
from distlog import accelerate, stamp

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parents[1] / "python"
INTERPRETERS = [sys.executable, *filter(None, os.environ.get("CPYTHON", "").split(":"))]
SEEDS = range(1, 1 + int(os.environ.get("ACCELERATE_SEEDS", "8")))


@pytest.fixture
def accelerated() -> Iterator[None]:
    """Native methods, for as long as a test."""
    accelerate.start()
    yield
    accelerate.stop()


def program(*arguments: object, interpreter: str = sys.executable) -> list[str]:
    """The lines that ``differential.py`` prints."""
    command = [interpreter, str(HERE / "differential.py"), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_nobody_sees_a_difference(interpreter: str, seed: int) -> None:
    """The same records, messages, results and exceptions, in the same order."""
    standard = program(seed, 300, "standard", interpreter=interpreter)
    found = program(seed, 300, "accelerated", interpreter=interpreter)
    different = [(left, right) for left, right in zip(standard, found) if left != right]
    assert different[:1] == []
    assert len(found) == len(standard) > 600


@pytest.mark.usefixtures("accelerated")
def test_loggers_change_their_class_and_nothing_else() -> None:
    root, old, new = logging.getLogger(), logging.getLogger("tests.old"), logging.getLogger("tests.new.one")
    assert type(root) is accelerate.RootLogger
    assert type(old) is type(new) is accelerate.Logger is logging.getLoggerClass()
    assert isinstance(root, logging.RootLogger)
    assert repr(old) == f"<Logger tests.old ({logging.getLevelName(old.getEffectiveLevel())})>"
    assert repr(root).startswith("<RootLogger root (")
    assert pickle.loads(pickle.dumps(old)) is old
    assert "info" not in vars(old)
    accelerate.stop()
    assert type(root) is logging.RootLogger
    assert type(old) is type(new) is logging.Logger is logging.getLoggerClass()


@pytest.mark.usefixtures("accelerated")
def test_classes_of_a_program_stay() -> None:
    class Own(logging.getLoggerClass()):  # type: ignore[misc]
        def trace(self, msg: str) -> None:
            self.log(5, msg)

    own = Own("tests.own")
    handler = mock.Mock(spec=logging.Handler, level=0)
    own.addHandler(handler)
    own.trace("%s is not rendered")
    (record,) = [call.args[0] for call in handler.handle.call_args_list]
    assert (record.msg, record.funcName, record.levelno) == ("%s is not rendered", "trace", 5)
    accelerate.stop()
    assert type(own) is Own


@pytest.mark.usefixtures("accelerated")
def test_methods_that_a_program_adds_outlast_it() -> None:
    def trace(self: logging.Logger, msg: str) -> str:
        return f"{self.name}: {msg}"

    logging.getLoggerClass().trace = trace  # type: ignore[attr-defined]
    accelerate.stop()
    try:
        assert logging.getLogger("tests.added").trace("x") == "tests.added: x"  # type: ignore[attr-defined]
    finally:
        del logging.Logger.trace  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["isEnabledFor", "_log", "findCaller", "makeRecord", "handle", "callHandlers"])
@pytest.mark.parametrize("where", ["Logger", "the class", "the logger"])
@pytest.mark.usefixtures("accelerated")
def test_what_is_replaced_is_called(name: str, where: str) -> None:
    """Before, while and after: each time the method that is there."""
    logger = logging.getLogger("tests.replaced")
    logger.setLevel(10)
    target = {"Logger": logging.Logger, "the class": type(logger), "the logger": logger}[where]
    for _ in range(3):
        logger.info("before")
        with (
            mock.patch.object(target, name, autospec=True, side_effect=RuntimeError("it is called")),
            pytest.raises(RuntimeError, match="it is called"),
        ):
            logger.info("while")
        logger.info("after")


@pytest.mark.usefixtures("accelerated")
def test_a_filter_may_be_replaced_too() -> None:
    logger = logging.getLogger("tests.replaced")
    logger.info("before")
    with mock.patch.object(logging.Filterer, "filter", autospec=True, return_value=False) as replaced:
        logger.error("while")
    assert replaced.call_count == 1


@pytest.mark.usefixtures("accelerated")
def test_caplog_and_assert_logs_see_all(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("tests.seen")
    with caplog.at_level(logging.INFO):
        logger.info("number %d", 7)
        logger.debug("not this")
    assert caplog.messages == ["number 7"]
    assert caplog.records[0].funcName == "test_caplog_and_assert_logs_see_all"


def test_configure_switches_it_on_and_off(collector: Any) -> None:
    handler = distlog.configure(collector.endpoint, accelerate=True)
    try:
        assert accelerate.is_on()
        logging.getLogger("tests.set.up").warning("one %s", 1, extra={"request": "r"})
        distlog.configure(collector.endpoint)
        assert not accelerate.is_on()
        logging.getLogger("tests.set.up").warning("one %s", 1, extra={"request": "r"})
        first, second = collector.wait(2)
        for record in (first, second):
            for name in ("created", "asctime", "msecs", "relativeCreated"):
                record.pop(name)
        assert second.pop("lineno") - first.pop("lineno") == 3
        assert first == second
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


class Silly:
    """Its text is its own business."""

    def __str__(self) -> str:
        return "silly"

    __repr__ = __str__


#: Messages with their arguments, and extra fields.
SAID: list[tuple[Any, tuple[Any, ...], Any]] = [
    ("plain", (), None),
    ("user %s did %s", ("ann", "this"), {"request_id": "r-1"}),
    ("%d of %s at %.2f, %5d, %r, %x", (1, None, 2.5, 7, "q", 255), {"n": 1, "x": 1.5, "b": True, "none": None}),
    ("%s%s%s%s", (True, 1.25, -3, 10**17), {}),
    ("five %s %s %s %s %s", (1, 2, 3, 4, 5), None),
    ("big %s", (10**30,), {"big": 10**30}),
    ("%(a)s", ({"a": 1},), None),
    ("{'json': \"%s\"}\n\t\x00", ("\\",), {'quote"d': "\u2028 \U0001f600"}),
    ("lone \ud800 %s", ("\ud801",), {"key\ud800": "\ud802"}),
    ("%s", (Silly(),), {"silly": Silly(), "list": [1, {"a": Silly()}]}),
    ("bad %d", ("x",), None),
    ("too few %s %s", (1,), None),
    ("100%", (), None),
    ("100%", (1,), None),
    (("no", "text"), (), None),
    (Silly(), (1,), None),
    ("names", (), {"context": 1, "goal": 2, "hostname": 3, "format_error": 4, "_distlog": 5}),
    ("names", (), {"taskName_": 1, "k" * 300: 2, "": 3}),
    ("long %s", ("x" * 5000,), {"long": "y" * 70_000}),
    ("nan %s", (float("nan"),), {"inf": float("inf")}),
    ("tuple %s", ((1, 2),), {"tuple": (1, 2)}),
]


def say_all(logger: logging.Logger) -> None:
    for msg, args, extra in SAID:
        logger.warning(msg, *args, extra=extra)
        with distlog.to("a goal", field=1):
            logger.info(msg, *args, extra=extra)
    try:
        raise ValueError("caught")
    except ValueError:
        logger.exception("with %s", "exception")
    logging.LoggerAdapter(logger, {"adapted": 1}).error("adapted %s", 1)
    logger.log(35, "a level of its own")


@pytest.mark.parametrize("form", [distlog.JSONFormatter, distlog.PickleFormatter])
@pytest.mark.parametrize("factory", ["with", "without"])
def test_the_same_bytes_leave(collector: Any, form: Any, factory: str) -> None:
    """All fields, in the same order, of the same types; only times and numbers of goals differ."""
    handler = distlog.ZmqHandler(collector.endpoint)
    handler.setFormatter(form())
    # A new one: pytest puts handlers of its own to those that do not propagate.
    logger = logging.getLogger(f"tests.bytes.{form.__name__}.{factory}")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(handler)
    if factory == "without":
        stamp.uninstall()
    try:
        say_all(logger)
        handler.flush(5)
        accelerate.start()
        say_all(logger)
        # The second time everything is known that is kept for the next time.
        say_all(logger)
    finally:
        accelerate.stop()
        logger.removeHandler(handler)
        handler.close()
    count = len(collector.wait(9 * len(SAID) + 9, settle=0.2)) // 3
    found = [shown(record) for record in collector.records()]
    assert found[:count] == found[count : 2 * count] == found[2 * count :]


def shown(record: dict[str, Any]) -> list[tuple[str, Any]]:
    """Names and values in their order, without what is never the same twice."""
    fields = []
    for name, value in record.items():
        if name in ("created", "asctime", "msecs", "relativeCreated"):
            fields.append((name, type(value).__name__))
        elif name == "context":
            fields.append((name, {**value, "key": value["key"].partition("@")[0]}))
        elif name == "goal":
            fields.append((name, sorted(value)))
        elif name == "lineno" and record["funcName"] == "say_all":
            fields.append((name, value))
        else:
            fields.append((name, repr(value)))
    return fields
