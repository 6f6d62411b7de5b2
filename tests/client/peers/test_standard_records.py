"""What the standard library promises of its records and of the calls that make them, held on the wire and with goals."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from distlog import JSONFormatter, PickleFormatter, ZmqHandler, task, to
from distlog.testing import capture

log = logging.getLogger("peers.records")


@pytest.fixture(params=["alone", "in a goal"], autouse=True)
def surroundings(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each case without goals, and inside one that began before any handler was there."""
    if request.param == "alone":
        yield
    else:
        with task("surroundings"):
            yield


def own(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the begin and end records of goals, nor what asyncio says."""
    return [record for record in records if "goal" not in record and record["name"] != "asyncio"]


def got(collector: Any, count: int = 1) -> list[dict[str, Any]]:
    """So many records of the test itself, whatever begin records come with them."""
    total = count
    while len(found := own(collector.wait(total))) < count:
        total += count - len(found)
    return found


def test_a_mapping_as_the_only_argument(handler: ZmqHandler, collector: Any) -> None:
    """``%(name)s`` reads from it; ``%s`` shows it; both keep it as data."""
    log.info("%(less)s and %(more)s", {"less": 1, "more": "two"})
    log.info("%s", {"a": 1})
    log.info("no place for it", {"a": 1})
    log.info("%s", {})
    first, second, third, empty = got(collector, 4)
    assert first["message"] == "1 and two"
    assert first["args"] == {"less": 1, "more": "two"}
    assert (second["message"], second["args"]) == ("{'a': 1}", {"a": 1})
    assert (third["message"], third["args"]) == ("no place for it", {"a": 1})
    assert empty["message"] == "{}"


def test_arguments_that_do_not_fit(handler: ZmqHandler, collector: Any, monkeypatch: Any) -> None:
    """The record arrives, its template and arguments kept, and says what was wrong."""
    # Pytest's own handler complains of them, by an exception.
    monkeypatch.setattr(log, "propagate", False)
    monkeypatch.setattr(log, "handlers", [handler])
    log.info("%s and %s", "one")
    log.info("%d", "no number")
    log.info("nothing", 1, 2)
    log.info("%(absent)s", {"there": 1})
    log.info("100%", 1)
    for record, template in zip(got(collector, 5), ["%s and %s", "%d", "nothing", "%(absent)s", "100%"]):
        assert record["msg"] == template
        assert template in record["message"]
        assert record["format_error"]


def test_literal_braces_and_percents(handler: ZmqHandler, collector: Any) -> None:
    """Without arguments nothing is formatted."""
    for text in ("{literal} 100% {0} %s %(x)s", "{}", "%", "$x"):
        log.info(text)
    assert [r["message"] for r in got(collector, 4)] == ["{literal} 100% {0} %s %(x)s", "{}", "%", "$x"]


@pytest.mark.parametrize("formatter", [JSONFormatter, PickleFormatter])
def test_switched_off_fields(handler: ZmqHandler, collector: Any, formatter: Any, monkeypatch: Any) -> None:
    """With ``logThreads`` and its like off, the fields are there and empty."""
    handler.setFormatter(formatter())
    names = ["logThreads", "logProcesses", "logMultiprocessing"]
    if sys.version_info >= (3, 12):
        names.append("logAsyncioTasks")
    for name in names:
        monkeypatch.setattr(logging, name, False)
    log.info("off")
    (record,) = got(collector)
    empty = ["thread", "threadName", "process", "processName", *(["taskName"] if "logAsyncioTasks" in names else [])]
    assert {name: record[name] for name in empty} == dict.fromkeys(empty)
    assert record["message"] == "off"


def test_process_names(run: Any, collector: Any) -> None:
    """The main process has its name, and a child the one it was given."""
    run("""
        context = multiprocessing.get_context("fork")
        log.info("parent")
        child = context.Process(target=log.info, args=("child",), name="Renamed-7")
        child.start(); child.join()
    """)
    names = {r["message"]: r["processName"] for r in collector.wait(2)}
    assert names == {"parent": "MainProcess", "child": "Renamed-7"}


def test_no_multiprocessing_no_name_changed(handler: ZmqHandler, collector: Any, monkeypatch: Any) -> None:
    """A half-imported multiprocessing, which cannot tell its process, costs no record."""
    import types

    class Raises(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    monkeypatch.setitem(sys.modules, "multiprocessing", Raises("multiprocessing"))
    log.info("still here")
    (record,) = got(collector)
    assert record["message"] == "still here"


class TestCallers:
    def test_stacklevel(self, handler: ZmqHandler, collector: Any) -> None:
        """Record after record, a deeper level names a caller further out."""

        def innermost(level: int) -> None:
            log.warning("test", stacklevel=level)

        def inner(level: int) -> None:
            innermost(level)

        def outer(level: int) -> None:
            inner(level)

        for level in (1, 2, 3, 4):
            outer(level)
        records = got(collector, 4)
        assert [r["funcName"] for r in records] == ["innermost", "inner", "outer", "test_stacklevel"]
        assert len({r["lineno"] for r in records}) == 4
        assert {r["filename"] for r in records} == {"test_standard_records.py"}

    def test_stacklevel_beyond_the_stack(self, handler: ZmqHandler, collector: Any) -> None:
        """A level deeper than the stack is no error."""
        log.warning("deep", stacklevel=10_000)
        assert got(collector)[0]["message"] == "deep"

    def test_exceptions_name_the_handler_of_the_exception(self, handler: ZmqHandler, collector: Any) -> None:
        """``exception`` is named where it is called, not where it was raised."""
        try:
            [].pop()
        except IndexError:
            log.exception("oops")
        (record,) = got(collector)
        assert record["funcName"] == "test_exceptions_name_the_handler_of_the_exception"
        assert record["exc_info"]["type"] == "IndexError"

    def test_stack_info(self, handler: ZmqHandler, collector: Any) -> None:
        """The stack is there, ends at the caller, and is there once."""
        log.info("with stack", stack_info=True)
        (record,) = got(collector)
        assert record["stack_info"].startswith("Stack (most recent call last):")
        assert record["stack_info"].splitlines()[-1].strip() == 'log.info("with stack", stack_info=True)'

    def test_begin_and_end_name_the_user(self, handler: ZmqHandler, collector: Any) -> None:
        """A goal's begin record names the line of its ``with``, not a line of ours."""
        with task("named"):
            pass
        begin = next(r for r in collector.wait(2) if r.get("goal", {}).get("title") == "named")
        assert (begin["funcName"], begin["filename"], begin["name"]) == (
            "test_begin_and_end_name_the_user",
            "test_standard_records.py",
            __name__,
        )


class TestExtra:
    @pytest.mark.parametrize("key", ["message", "asctime", "name", "args", "levelname", "exc_info"])
    def test_names_of_the_record_are_refused(self, handler: ZmqHandler, collector: Any, key: str) -> None:
        """As ever the standard library refuses to overwrite its own fields, with and without our factory."""
        with pytest.raises(KeyError, match=key):
            log.info("x", extra={key: "some value"})

    def test_other_names_are_not(self, handler: ZmqHandler, collector: Any) -> None:
        """Names that only we use are free."""
        extra = {"valid_key": 1, "context": {"a": 1}, "goal": 2, "_distlog": 3, "hostname": "mine", "topic_": 4}
        log.info("x", extra=extra)
        (record,) = got(collector)
        assert (record["valid_key"], record["context_"], record["goal_"], record["hostname_"]) == (
            1,
            {"a": 1},
            2,
            "mine",
        )

    def test_keys_that_are_no_text(self, handler: ZmqHandler, collector: Any) -> None:
        """Integer keys, and stranger ones, become text."""
        log.error("wrong keys", extra={1: 1, None: 2, (1, 2): 3, "ok": 4})  # type: ignore[dict-item]
        (record,) = got(collector)
        assert record["ok"] == 4
        assert record["1"] == 1
        assert len([value for value in record.values() if value in (1, 2, 3)]) >= 3

    def test_none(self, handler: ZmqHandler, collector: Any) -> None:
        """No extra is no extra."""
        log.info("x", extra=None)
        log.info("y", extra={})
        assert [r["message"] for r in got(collector, 2)] == ["x", "y"]


class TestExceptionsAndLevels:
    @pytest.mark.parametrize("info", [True, False, None, (None, None, None), 0, ()])
    def test_exc_info_without_an_exception(self, handler: ZmqHandler, collector: Any, info: Any) -> None:
        """No exception is there to show, whatever form says so."""
        log.error("none", exc_info=info)
        (record,) = got(collector)
        assert not record["exc_info"]
        assert record["exc_text"] in (None, "NoneType: None")

    def test_own_levels(self, handler: ZmqHandler, collector: Any) -> None:
        """A custom level keeps its number and name; one without a name is called as the library calls it."""
        logging.addLevelName(25, "NOTICE é")
        try:
            log.log(25, "named")
            log.log(27, "nameless")
        finally:
            logging._levelToName.pop(25)  # type: ignore[attr-defined]
            logging._nameToLevel.pop("NOTICE é")  # type: ignore[attr-defined]
        found = [(r["levelno"], r["levelname"]) for r in got(collector, 2)]
        assert found == [(25, "NOTICE é"), (27, "Level 27")]

    @pytest.mark.parametrize(
        "msg",
        [7, 1.5, None, True, b"bytes", ["a", 1], {"a": 1}, ValueError("as message"), object],
        ids=lambda value: type(value).__name__,
    )
    def test_messages_that_are_no_text(self, handler: ZmqHandler, collector: Any, msg: Any) -> None:
        """The message is what ``str`` gives."""
        log.info(msg)
        assert got(collector)[0]["message"] == str(msg)

    def test_blank_and_unicode(self, handler: ZmqHandler, collector: Any) -> None:
        """An empty message is a message."""
        log.info("")
        log.info("☃ \N{PILE OF POO} ümläut")
        assert [r["message"] for r in got(collector, 2)] == ["", "☃ \N{PILE OF POO} ümläut"]

    def test_logger_names(self, handler: ZmqHandler, collector: Any) -> None:
        """Names in any alphabet, with spaces and dots."""
        names = ["\xab\xd7\xbb", "\u013f\xd6G", "a b", ".leading", "trailing."]
        for name in names:
            logging.getLogger(name).warning("x")
        assert [r["name"] for r in got(collector, 5)] == names


@pytest.mark.skipif(sys.version_info < (3, 12), reason="taskName came with 3.12")
class TestTaskNames:
    def test_of_the_record(self, handler: ZmqHandler, collector: Any) -> None:
        """The asyncio task's name, and null outside."""

        async def work() -> None:
            log.info("inside")

        async def main() -> None:
            await asyncio.create_task(work(), name="named task")

        asyncio.run(main())
        log.info("outside")
        assert [r["taskName"] for r in got(collector, 2)] == ["named task", None]

    def test_of_begin_and_end(self, handler: ZmqHandler, collector: Any) -> None:
        """Begin and end records carry the task they were made in."""

        async def main() -> None:
            with task("in a task"):
                pass

        async def named() -> None:
            await asyncio.create_task(main(), name="worker")

        asyncio.run(named())
        found = [r for r in collector.wait(3, settle=0.05) if r.get("goal", {}).get("title") == "in a task"]
        assert len(found) == 2
        assert {r["taskName"] for r in found} == {"worker"}


class TestFactories:
    def test_a_foreign_factory_set_later(self) -> None:
        """A factory that calls the one before it keeps goals; the record has both."""
        with capture() as captured, task("before"):
            before = logging.getLogRecordFactory()

            def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
                record = before(*args, **kwargs)
                record.custom = 0xDECAFBAD  # type: ignore[attr-defined]
                return record

            logging.setLogRecordFactory(factory)
            try:
                with to("after"):
                    log.info("both")
            finally:
                logging.setLogRecordFactory(before)
        (record,) = own(captured.records)
        assert record["custom"] == 0xDECAFBAD
        assert record["context"]["key"].startswith("1@")

    def test_a_factory_that_raises(self, handler: ZmqHandler, collector: Any) -> None:
        """A foreign factory's error is the caller's, as without us, and a goal around it ends."""
        before = logging.getLogRecordFactory()

        def broken(*_: Any, **__: Any) -> Any:
            raise ZeroDivisionError("in the factory")

        with pytest.raises(ZeroDivisionError), task("around it"):
            logging.setLogRecordFactory(broken)
            try:
                log.info("x")
            finally:
                logging.setLogRecordFactory(before)

    def test_make_log_record(self) -> None:
        """``makeLogRecord`` draws no number, in or outside a goal."""
        with capture() as captured, task("quiet"):
            for _ in range(5):
                logging.makeLogRecord({"msg": "x", "name": "n"})
            log.info("first")
        (record,) = own(captured.records)
        assert record["context"]["key"].startswith("1@")
