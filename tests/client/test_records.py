"""The record factory: its records are those of the interpreter, attribute by attribute, whatever is asked of it."""

from __future__ import annotations

import asyncio
import copy
import gc
import itertools
import logging
import os
import pickle
import random
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import Any
from unittest import mock

import distlog
import pytest
from distlog import current_task, stamp, task

log = logging.getLogger("app.records")


class Text(str):
    """Text of a class of its own."""


class Number(int):
    """A number of a class of its own."""


NAMES = ["app", "app.db", "", Text("own"), None, 7]
LEVELS = [0, 10, 20, 30, 40, 50, 25, 7, -3, 10**30, True, Number(20), "INFO", None]
PATHS = [
    "/srv/app/main.py",
    "plain",
    "/srv/.hidden",
    "/srv/a.b.c",
    "/srv/folder/",
    "",
    "ü/ß.py",
    Text("/own/text.py"),
    Path("/srv/app/path.py"),
    b"/srv/bytes.py",
    None,
    7,
]
LINES = [1, 0, -1, 2**31, 2**32, 10**30, True, None, "7"]
MESSAGES = ["user %s", "", 7, None, ValueError("x"), ("t",), b"b"]
ARGUMENTS: list[Any] = [
    (),
    ("a",),
    (1, 2.5),
    ({"a": 1},),
    ({},),
    ({"a": 1}, 2),
    (types.MappingProxyType({"a": 1}),),
    (types.MappingProxyType({}),),
    ([1],),
    None,
    {},
    {"a": 1},
    [],
    [{"a": 1}],
    "x",
]
FUNCTIONS = ["work", None, Text("own"), 7]
STACKS = [None, "Stack:\n  here", 7]


def both(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """What the interpreter and what distlog make of the same arguments, at the same time."""

    def made(factory: Any) -> Any:
        try:
            return factory(*args, **kwargs)
        except Exception as error:
            return type(error), str(error)

    with (
        mock.patch("time.time", return_value=1764000000.123987),
        mock.patch("time.time_ns", return_value=1764000000123987654),
    ):
        return made(logging.LogRecord), made(stamp.factory)


def same(*args: Any, **kwargs: Any) -> None:
    """Fails unless both make the same, twice: the first record of a place is the interpreter's, the second a copy."""
    for _ in range(2):
        theirs, ours = both(*args, **kwargs)
        if isinstance(theirs, tuple):
            assert ours == theirs
            continue
        assert isinstance(ours, logging.LogRecord)
        assert list(ours.__dict__) == list(theirs.__dict__)
        for name, value in theirs.__dict__.items():
            assert ours.__dict__[name] == value, name
            assert type(ours.__dict__[name]) is type(value), name


@pytest.fixture(autouse=True)
def installed() -> None:
    """The factory knows distlog's records from the first goal on."""
    with task("first"):
        pass
    assert logging.getLogRecordFactory() is stamp.factory
    assert current_task() is None


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("path", PATHS)
def test_attribute_by_attribute(level: Any, path: Any) -> None:
    dice = random.Random(repr((level, path)))
    for name, args in itertools.product(NAMES, ARGUMENTS):
        line, function = dice.choice([LINES[0], *LINES]), dice.choice([FUNCTIONS[0], *FUNCTIONS])
        info = dice.choice([None, (None, None, None), (ValueError, ValueError("x"), None), True])
        same(name, level, path, line, dice.choice(MESSAGES), args, info, function, dice.choice(STACKS))


def test_other_forms_of_the_call() -> None:
    same("app", 20, "/srv/app.py", 1, "m", (), None)
    same("app", 20, "/srv/app.py", 1, "m", (), None, sinfo="s", func="f")
    same(name="app", level=20, pathname="/srv/app.py", lineno=1, msg="m", args=(), exc_info=None)
    same("app", 20, "/srv/app.py", 1, "m", (), None, "f", None, more=1)
    with pytest.raises(TypeError):
        stamp.factory()  # type: ignore[call-arg]


@pytest.mark.parametrize("flag", ["logThreads", "logMultiprocessing", "logProcesses", "logAsyncioTasks"])
@pytest.mark.parametrize("value", [False, 0, None, 1])
def test_flags(flag: str, value: Any) -> None:
    """One place with and without."""
    if not hasattr(logging, flag):
        pytest.skip("from Python 3.12 on")
    same("app", 20, __file__, 5, "m", (), None)
    with mock.patch.object(logging, flag, value):
        same("app", 20, __file__, 5, "m", (), None)
    same("app", 20, __file__, 5, "m", (), None)


def test_a_place_of_many_loggers_levels_and_threads() -> None:
    """What was the same at first may be different later."""

    def work(name: str) -> None:
        try:
            for level in (10, 20, 35):
                same(name, level, __file__, 9, "m", (), None, "work")
        except BaseException as error:
            failures.append(error)

    failures: list[BaseException] = []
    for name in ("app", "app.db", "app"):
        work(name)
        thread = threading.Thread(target=work, args=(name,), name=f"of {name}")
        thread.start()
        thread.join()
    assert failures == []


class Renamed(threading.Thread):
    """A thread that says its name in its own way."""

    @property
    def name(self) -> str:
        return "its own name"

    @name.setter
    def name(self, name: str) -> None: ...


def test_names_of_threads() -> None:
    """Those that change, those of other classes, and those that ``threading`` did not start."""
    import _thread

    failures: list[BaseException] = []
    done = threading.Semaphore(0)

    def work() -> None:
        try:
            same("app", 20, __file__, 11, "m", (), None)
            threading.current_thread().name = "changed"
            same("app", 20, __file__, 11, "m", (), None)
        except BaseException as error:
            failures.append(error)
        finally:
            done.release()

    for thread in (threading.Thread(target=work), Renamed(target=work), threading.Timer(0, work)):
        thread.start()
        thread.join()
    _thread.start_new_thread(work, ())
    for _ in range(4):
        assert done.acquire(timeout=10)
    assert failures == []


def test_names_of_levels() -> None:
    before = dict(logging._levelToName), dict(logging._nameToLevel)  # type: ignore[attr-defined]
    try:
        same("app", 20, __file__, 13, "m", (), None)
        logging.addLevelName(20, "Note")
        same("app", 20, __file__, 13, "m", (), None)
        logging.addLevelName(20, "")
        same("app", 20, __file__, 13, "m", (), None)
        logging.addLevelName(21, "Notice")
        same("app", 21, __file__, 13, "m", (), None)
        same("app", 22, __file__, 13, "m", (), None)
    finally:
        for names, old in zip((logging._levelToName, logging._nameToLevel), before):  # type: ignore[attr-defined]
            names.clear()
            names.update(old)


def test_names_of_processes() -> None:
    multiprocessing = pytest.importorskip("multiprocessing")
    process = multiprocessing.current_process()
    before = process.name
    try:
        for name in ("changed", "again"):
            process.name = name
            same("app", 20, __file__, 15, "m", (), None)
    finally:
        process.name = before
    with mock.patch.dict(sys.modules, {"multiprocessing": types.ModuleType("half loaded")}):
        same("app", 20, __file__, 15, "m", (), None)
    with mock.patch.dict(sys.modules, {"multiprocessing": None}):  # type: ignore[dict-item]
        same("app", 20, __file__, 15, "m", (), None)


def test_names_of_tasks() -> None:
    async def main() -> None:
        for name in ("one", "two"):
            await asyncio.create_task(work(), name=name)

    async def work() -> None:
        same("app", 20, __file__, 17, "m", (), None)

    asyncio.run(main())
    same("app", 20, __file__, 17, "m", (), None)


@pytest.mark.parametrize("now", [0.0, 0.9999999, 1764000000.9996, 1764000000.999, 1.5, -1.5, 4e9])
def test_times(now: float) -> None:
    nanoseconds = int(now * 1e9)
    for _ in range(2):
        with mock.patch("time.time", return_value=now), mock.patch("time.time_ns", return_value=nanoseconds):
            theirs = logging.LogRecord("app", 20, __file__, 19, "m", (), None)
            ours = stamp.factory("app", 20, __file__, 19, "m", (), None)
        times = ["created", "msecs", "relativeCreated"]
        assert [getattr(ours, name) for name in times] == [getattr(theirs, name) for name in times]


def test_clocks_that_are_none() -> None:
    """Whole seconds, as some simulated clocks tell them."""
    for now in (1764000000, 1764000001):
        with mock.patch("time.time", return_value=now), mock.patch("time.time_ns", return_value=now * 10**9):
            theirs = logging.LogRecord("app", 20, __file__, 21, "m", (), None)
            ours = stamp.factory("app", 20, __file__, 21, "m", (), None)
        assert (ours.created, ours.msecs) == (theirs.created, theirs.msecs)
        assert type(ours.created) is type(theirs.created)


def test_the_time_goes_on() -> None:
    first = stamp.factory("app", 20, __file__, 23, "m", (), None)
    second = stamp.factory("app", 20, __file__, 23, "m", (), None)
    third = logging.LogRecord("app", 20, __file__, 23, "m", (), None)
    assert first.created <= second.created <= third.created
    assert first.relativeCreated <= second.relativeCreated <= third.relativeCreated


def test_records_have_nothing_in_common() -> None:
    one, two = (stamp.factory("app", 20, __file__, 25, "m", (), None) for _ in range(2))
    assert type(one) is type(two) is distlog.LogRecord
    one.__dict__["extra"] = one.msg = one.name = "changed"
    assert (two.msg, two.name, hasattr(two, "extra")) == ("m", "app", False)
    assert stamp.factory("app", 20, __file__, 25, "m", (), None).name == "app"


def test_nothing_is_kept() -> None:
    """Neither message nor arguments nor exception of a record outlive it."""

    class Held:
        pass

    class HeldError(Exception):
        pass

    import weakref

    gone: list[Any] = []
    for _ in range(2):
        msg, arg, error = Held(), Held(), HeldError("x")
        gone += [weakref.ref(one) for one in (msg, arg, error)]
        stamp.factory("app", 20, __file__, 27, msg, (arg,), (HeldError, error, None), "f", None)
        del msg, arg, error
    gc.collect()
    assert [one() for one in gone] == [None] * 6


def test_copied_and_pickled() -> None:
    with task("work") as goal:
        record = stamp.factory("app", 20, __file__, 29, "m %s", (1,), None)
        record = stamp.factory("app", 20, __file__, 29, "m %s", (1,), None)
    context: Any = record.context  # type: ignore[attr-defined]
    assert context["key"].endswith(goal.id)
    for other in (copy.copy(record), pickle.loads(pickle.dumps(record))):
        assert {**other.__dict__, "_distlog": 0} == {**record.__dict__, "_distlog": 0}
        assert other.getMessage() == "m 1"
    assert copy.copy(record).context == context  # type: ignore[attr-defined]
    assert type(pickle.loads(pickle.dumps(record))) is logging.LogRecord


def test_many_threads_at_once() -> None:
    """Each record is of its own thread."""
    wrong: list[Any] = []

    def work() -> None:
        me = threading.current_thread()
        for number in range(300):
            record = stamp.factory("app", 20, __file__, number % 7, "m", (number,), None)
            if (record.thread, record.threadName, record.args) != (me.ident, me.name, (number,)):
                wrong.append(record)

    threads = [threading.Thread(target=work) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_forked_child_has_its_own_number() -> None:
    program = """
import ctypes, logging, os
from distlog import stamp, task
with task("install"): pass
def number(): return stamp.factory("app", 20, "/a.py", 1, "m", (), None).process
assert number() == number() == os.getpid()
for fork in (os.fork, ctypes.CDLL(None).fork):
    pid = fork()
    if pid == 0: os._exit(0 if number() == number() == os.getpid() else 1)
    assert os.waitpid(pid, 0)[1] == 0, fork
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=30)
