"""The handler: what it takes, what arrives, and what happens when nobody listens. It never blocks and never raises."""

from __future__ import annotations

import copy
import gc
import logging
import logging.config
import logging.handlers
import os
import pickle
import queue
import resource
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any, Callable

import distlog
import pytest
import zmq
from distlog import JSONFormatter, PickleFormatter, Serializer, ZmqHandler, configure, task, to

log = logging.getLogger("app.delivery")


def test_names() -> None:
    """A1"""
    names = "ZmqHandler JSONFormatter PickleFormatter Serializer task to import_task Task LogContext LogRecord"
    more = "current_task propagate wrap configure __version__"
    assert set(distlog.__all__) == {*names.split(), *more.split()}
    assert all(hasattr(distlog, name) for name in distlog.__all__)


class TestConstruction:
    """A2, A4, A5"""

    def test_forms(self, collector: Any) -> None:
        for made in (
            ZmqHandler(),
            ZmqHandler(collector.endpoint, None, "T"),
            ZmqHandler(
                endpoint=collector.endpoint, context=zmq.Context.instance(), system="S", level="ERROR", queue_bytes=1000
            ),
        ):
            assert made.lock is None
            made.close()
        assert made.level == logging.ERROR

    @pytest.mark.parametrize("system", ["", "TS", "X", "p", None, 1])
    def test_bad_systems(self, system: Any) -> None:
        with pytest.raises(ValueError, match="'T', 'S', 'P'"):
            ZmqHandler("tcp://127.0.0.1:5010", None, system)

    @pytest.mark.parametrize("endpoint", ["", "localhost:5010", "udp://a:1", "tcp://127.0.0.1", "tcp://*:5010"])
    def test_bad_endpoints(self, endpoint: str) -> None:
        with pytest.raises(ValueError, match="bad endpoint"):
            ZmqHandler(endpoint)

    def test_things_that_are_no_endpoints(self) -> None:
        with pytest.raises(TypeError, match="neither"):
            ZmqHandler(7)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="queue_bytes"):
            ZmqHandler(queue_bytes=0)

    def test_sockets_of_the_program_give_no_answers(self) -> None:
        with pytest.raises(TypeError, match="acks=True needs an address"):
            ZmqHandler(SimpleNamespace(send_multipart=print), acks=True)

    def test_formatters(self, handler: ZmqHandler, collector: Any) -> None:
        with pytest.raises(TypeError, match="Serializer"):
            handler.setFormatter(logging.Formatter())
        handler.setFormatter(PickleFormatter())
        log.info("one")
        handler.setFormatter(JSONFormatter())
        log.info("two")

        class Own(Serializer):
            encoding = "J"

            def format(self, record: logging.LogRecord) -> bytes:  # type: ignore[override]
                return b'{"own": true}'

        handler.setFormatter(Own())
        log.info("three")
        handler.setFormatter(None)
        log.info("four")
        records = collector.wait(4)
        assert [r["topic"] for r in records] == ["PLP", "PLJ", "PLJ", "PLJ"]
        assert [r.get("message") for r in records] == ["one", "two", None, "four"]
        assert records[2]["own"] is True

    def test_dict_config(self, collector: Any) -> None:
        settings = {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"pickle": {"class": "distlog.PickleFormatter"}, "json": {"()": "distlog.JSONFormatter"}},
            "handlers": {
                "daemon": {
                    "class": "distlog.ZmqHandler",
                    "endpoint": collector.endpoint,
                    "system": "S",
                    "level": "INFO",
                    "formatter": "pickle",
                }
            },
            "loggers": {"app.configured": {"handlers": ["daemon"], "level": "DEBUG"}},
        }
        logging.config.dictConfig(settings)
        logger = logging.getLogger("app.configured")
        logger.debug("hidden")
        logger.info("shown")
        (record,) = collector.wait(1)
        assert (record["topic"], record["message"]) == ("SLP", "shown")
        logger.handlers.pop().close()

    def test_pickled(self, collector: Any) -> None:
        made = ZmqHandler(collector.endpoint, None, "T", level=30, queue_bytes=5000)
        made.setFormatter(PickleFormatter())
        other = pickle.loads(pickle.dumps(made))
        assert (other.endpoint, other.system, other.level) == (collector.endpoint, "T", 30)
        assert isinstance(other.formatter, PickleFormatter)
        other.handle(logging.makeLogRecord({"msg": "from the copy"}))
        assert collector.wait(1)[0]["topic"] == "TLP"
        other.close()
        made.close()


class Socket:
    """A socket of the program's own."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.fails: Exception | None = None

    def send_multipart(self, frames: list[bytes], flags: int = 0) -> None:
        assert flags == zmq.NOBLOCK
        if self.fails is not None:
            raise self.fails
        self.sent.append(frames)


class TestSocketsOfTheProgram:
    """A2"""

    def test_a_real_one(self, collector: Any) -> None:
        socket = zmq.Context.instance().socket(zmq.PUSH)
        socket.connect(collector.endpoint)
        made = ZmqHandler(socket)
        made.handle(logging.makeLogRecord({"msg": "through pyzmq"}))
        assert collector.wait(1)[0]["message"] == "through pyzmq"
        assert made.stats()["sent"] == 1
        made.close()
        socket.close(0)

    def test_nobody_listens(self) -> None:
        socket = zmq.Context.instance().socket(zmq.PUSH)
        made = ZmqHandler(socket)
        made.handle(logging.makeLogRecord({"msg": "nowhere"}))
        assert made.stats()["dropped"]["full"] == 1
        socket.close(0)

    def test_errors_go_where_handlers_put_them(self, capsys: pytest.CaptureFixture[str]) -> None:
        socket = Socket()
        made = ZmqHandler(socket)
        socket.fails = OSError("closed")
        made.handle(logging.makeLogRecord({"msg": "lost"}))
        assert "OSError: closed" in capsys.readouterr().err
        with pytest.raises(TypeError):
            pickle.dumps(made)


def test_what_arrives(handler: ZmqHandler, collector: Any) -> None:
    """A3"""
    with task("work") as goal:
        log.warning("user %s", "ann", extra={"request": 7, "context": 1})
    assert handler.flush(5)
    begin, record, end = collector.wait(3)
    assert record["topic"] == "PLJ"
    assert record["context"] == {"key": f"1@{goal.id}"}
    assert (record["request"], record["context_"]) == (7, 1)
    assert set(logging.makeLogRecord({}).__dict__) <= set(record)
    assert (begin["goal"]["event"], end["goal"]["event"]) == ("begin", "end")
    stats = handler.stats()
    assert (stats["queued"], stats["sent"], stats["acked"]) == (0, 3, 0)
    assert stats["bytes"] > 1000
    assert set(stats["dropped"].values()) == {0}


def test_line_breaks_survive(handler: ZmqHandler, collector: Any) -> None:
    """D6"""
    for text in ("a\nb", "a\\nb", "a\rb", "a\r\nb"):
        log.info(text)
    assert [r["message"] for r in collector.wait(4)] == ["a\nb", "a\\nb", "a\rb", "a\r\nb"]


def test_other_handlers_see_the_record_untouched(handler: ZmqHandler, collector: Any) -> None:
    """D1"""
    after = logging.handlers.BufferingHandler(10)
    logger = logging.getLogger("app.untouched")
    logger.propagate = False
    logger.handlers = [handler, after]
    try:
        raise ValueError("boom")
    except ValueError:
        logger.exception("hello %s", "x")
    (record,) = after.buffer
    assert "boom" in collector.wait(1)[0]["exc_text"]
    assert (record.msg, record.args) == ("hello %s", ("x",))
    assert record.exc_info[0] is ValueError
    assert record.exc_text is None
    assert set(record.__dict__) == set(logging.makeLogRecord({}).__dict__)


def test_behind_a_queue(handler: ZmqHandler, collector: Any) -> None:
    """The goal is the one in which the record was made, not the one in which it is sent."""
    logging.getLogger().removeHandler(handler)
    waiting: queue.Queue[Any] = queue.Queue()
    before = logging.handlers.QueueHandler(waiting)
    logging.getLogger().addHandler(before)
    with task("work") as goal:
        log.info("one %s", "x")
    logging.getLogger().removeHandler(before)
    listener = logging.handlers.QueueListener(waiting, handler)
    with task("elsewhere"):
        listener.start()
        listener.stop()
    keys = [r["context"]["key"] for r in collector.wait(3)]
    assert keys == [f"{n}@{goal.id}" for n in range(3)]


def test_records_are_copied_and_pickled_with_their_goal() -> None:
    with task("work", a=1) as goal:
        record = logging.getLogRecordFactory()("app", 20, "f", 1, "m", (), None)
        copied, pickled = copy.copy(record), pickle.loads(pickle.dumps(record))
    assert b"distlog.stamp" not in pickle.dumps(record)
    assert type(pickled) is logging.LogRecord
    import json

    for each in (record, copied, pickled):
        assert json.loads(JSONFormatter().format(each))["context"] == {"key": f"1@{goal.id}", "a": 1}
    assert record.context == {"key": f"1@{goal.id}", "a": 1}  # type: ignore[attr-defined]


class TestNoDaemon:
    def test_a_hundred_thousand_records(self, free_port: int) -> None:
        """C1"""
        made = ZmqHandler(f"tcp://127.0.0.1:{free_port}", queue_bytes=4 << 20, flush_timeout=0.2)
        record = logging.makeLogRecord({"msg": "x" * 500, "levelno": 20})
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started, slowest = time.perf_counter(), 0.0
        for _ in range(100_000):
            begun = time.perf_counter()
            made.handle(record)
            slowest = max(slowest, time.perf_counter() - begun)
        assert time.perf_counter() - started < 10
        assert slowest < 0.5
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        assert grown < 40 << 20
        stats = made.stats()
        assert stats["dropped"]["full"] > 90_000
        assert stats["queued"] + stats["dropped"]["full"] == 100_000
        started = time.perf_counter()
        assert not made.flush(0.3)
        assert 0.25 < time.perf_counter() - started < 1
        made.close()
        made.close()
        assert time.perf_counter() - started < 2

    def test_a_late_daemon(self, make_collector: Callable[..., Any], free_port: int) -> None:
        """C2"""
        made = ZmqHandler(f"tcp://127.0.0.1:{free_port}")
        for number in range(500):
            made.handle(logging.makeLogRecord({"msg": "%d", "args": (number,)}))
        time.sleep(3)
        records = make_collector(free_port).wait(500)
        assert [r["message"] for r in records] == [str(n) for n in range(500)]
        made.close()

    def test_the_gap_is_told(self, make_collector: Callable[..., Any], free_port: int) -> None:
        """What had to be dropped is counted, and one record says so."""
        made = ZmqHandler(f"tcp://127.0.0.1:{free_port}", None, "S", queue_bytes=50_000)
        for _ in range(1_000):
            made.handle(logging.makeLogRecord({"msg": "x" * 100, "levelno": 20}))
        lost = made.stats()["dropped"]["full"]
        assert lost > 500
        collector = make_collector(free_port)
        records = collector.wait(1_000 - lost + 1)
        (gap,) = [r for r in records if r["name"] == "distlog"]
        assert (gap["topic"], gap["levelname"], gap["message"]) == (
            "SLJ",
            "WARNING",
            f"{lost} records dropped (queue full)",
        )
        assert gap["distlog_dropped"]["records"] == lost
        assert gap["process"] == os.getpid()
        made.close()


class TestClosing:
    """C10"""

    def test_after_close(self, collector: Any, capsys: pytest.CaptureFixture[str]) -> None:
        made = ZmqHandler(collector.endpoint)
        made.handle(logging.makeLogRecord({"msg": "before"}))
        made.close()
        made.handle(logging.makeLogRecord({"msg": "after"}))
        assert made.flush(1) in (True, False)
        made.close()
        assert len(collector.wait(1, settle=0.1)) == 1
        assert made.stats()["dropped"]["closed"] == 1
        assert capsys.readouterr() == ("", "")

    def test_handlers_come_and_go_while_others_log(self, collector: Any) -> None:
        stopping = threading.Event()
        logger = logging.getLogger("app.busy")
        logger.propagate = False
        logger.setLevel(10)

        def work() -> None:
            while not stopping.is_set():
                logger.info("busy")

        threads = [threading.Thread(target=work) for _ in range(4)]
        [thread.start() for thread in threads]
        for _ in range(20):
            made = ZmqHandler(collector.endpoint)
            logger.addHandler(made)
            time.sleep(0.001)
            logger.removeHandler(made)
            made.close()
        stopping.set()
        [thread.join(10) for thread in threads]
        assert not any(thread.is_alive() for thread in threads)


def test_many_threads(handler: ZmqHandler, collector: Any) -> None:
    def work(name: int) -> None:
        for number in range(500):
            log.info("%d %d", name, number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    messages = [r["message"] for r in collector.wait(4000)]
    assert len(set(messages)) == 4000
    for name in range(8):
        mine = [int(m.split()[1]) for m in messages if m.startswith(f"{name} ")]
        assert mine == sorted(mine)


def test_logging_while_garbage_is_collected(handler: ZmqHandler, collector: Any) -> None:
    """C11"""

    class Cycle:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            log.info("collected %s", {"n": 1})

    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for number in range(100):
            Cycle()
            log.info("number %d", number, extra={"value": [number, {"a": str(number)}]})
    finally:
        gc.set_threshold(*threshold)
    assert handler.flush(5)
    assert sum(r["message"].startswith("number") for r in collector.wait(100, settle=0.1)) == 100


class TestOtherFactories:
    def test_chained_and_replaced(self, handler: ZmqHandler, collector: Any) -> None:
        from distlog import stamp

        class Mine(logging.LogRecord):
            pass

        previous = logging.getLogRecordFactory()
        try:
            stamp.uninstall()
            logging.setLogRecordFactory(Mine)
            with task("chained"):
                assert type(logging.getLogRecordFactory()("a", 1, "f", 1, "m", (), None)) is Mine
                log.info("chained")
            # Somebody who keeps nothing of what was there.
            logging.setLogRecordFactory(logging.LogRecord)
            with task("replaced"):
                log.info("replaced")
        finally:
            logging.setLogRecordFactory(stamp.factory)
            stamp.uninstall()
            logging.setLogRecordFactory(previous)
        keys = [r["context"]["key"].split("@")[0] for r in collector.wait(6)]
        assert keys == ["0", "1", "2"] * 2


def test_configure(collector: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    level, before = root.level, list(root.handlers)
    monkeypatch.setenv("DISTLOG_ENDPOINT", collector.endpoint)
    monkeypatch.setenv("DISTLOG_LEVEL", "warning")
    monkeypatch.setenv("DISTLOG_SYSTEM", "T")
    try:
        first = configure()
        assert configure() is first
        assert root.level == logging.WARNING
        log.warning("configured")
        assert collector.wait(1)[0]["topic"] == "TLJ"
        second = configure(level=10, system="S")
        assert [h for h in root.handlers if h not in before] == [second]
        assert second is not first
        assert root.level == 10
    finally:
        root.setLevel(level)
        root.handlers[:] = before
        second.close()


def test_importing_changes_nothing(run: Any) -> None:
    """Import has no side effects on logging."""
    done = run("""
        assert type(logging.getLogRecordFactory()) is type, logging.getLogRecordFactory()
        assert "asyncio" not in sys.modules and "zmq" not in sys.modules
        with task("x"): pass
        assert logging.getLogRecordFactory().__name__ == "make_record"
    """)
    assert (done.stdout, done.stderr) == ("", "")


def test_goals_set_up_no_handlers(run: Any) -> None:
    done = run("""
        root = logging.getLogger()
        root.handlers.clear()
        with task("x"), to("y"): pass
        assert root.handlers == []
    """)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="taskName came with 3.12")
def test_task_names(handler: ZmqHandler, collector: Any) -> None:
    import asyncio

    async def main() -> None:
        log.info("inside")

    asyncio.run(main())
    assert next(r for r in collector.wait(1) if r["message"] == "inside")["taskName"].startswith("Task-")
    with to("again"):
        pass


@pytest.mark.parametrize("chain", ["queue", "memory"])
def test_begin_and_end_come_once_and_in_order_through_a_chain(collector: Any, chain: str) -> None:
    """Behind a QueueHandler or a MemoryHandler, a goal's end is not sent a second time around it."""
    handler = ZmqHandler(collector.endpoint)
    waiting: queue.Queue[Any] = queue.Queue()
    listener = logging.handlers.QueueListener(waiting, handler)
    first = (
        logging.handlers.QueueHandler(waiting)
        if chain == "queue"
        else logging.handlers.MemoryHandler(3, target=handler, flushLevel=100)
    )
    root = logging.getLogger()
    root.addHandler(first)
    root.setLevel(logging.INFO)
    try:
        listener.start()
        with distlog.task("work"):
            logging.info("one")
            logging.info("two")
            time.sleep(0.05)
            logging.info("three")
        listener.stop()
    finally:
        root.removeHandler(first)
        first.close()
        handler.close()
    records = collector.wait(5, settle=0.1)
    assert [record["message"] for record in records] == ["work", "one", "two", "three", "work"]


def test_a_socket_like_endpoint_need_not_know_flags() -> None:
    """``send_multipart`` may take the frames alone, or flags by name."""

    class Plain:
        def __init__(self) -> None:
            self.taken: list[list[bytes]] = []

        def send_multipart(self, frames: list[bytes]) -> None:
            self.taken.append(frames)

    class ByName(Plain):
        def send_multipart(self, frames: list[bytes], *, flags: int = 0) -> None:
            assert flags
            self.taken.append(frames)

    for kind in (Plain, ByName):
        endpoint = kind()
        handler = ZmqHandler(endpoint)
        handler.handle(logging.makeLogRecord({"msg": "hello"}))
        assert [frames[0] for frames in endpoint.taken] == [b"PLJ"]
        assert handler.stats()["sent"] == 1
