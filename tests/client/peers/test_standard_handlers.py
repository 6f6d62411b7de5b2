"""What the standard library promises of its handlers, held for ours: sockets, queues, memory, configuration, shutdown, forks."""

from __future__ import annotations

import logging
import logging.config
import logging.handlers
import os
import queue
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from distlog import JSONFormatter, PickleFormatter, ZmqHandler, task, to

log = logging.getLogger("peers.handlers")


@pytest.fixture
def alone(collector: Any) -> Iterator[ZmqHandler]:
    """A handler that is attached nowhere."""
    made = ZmqHandler(collector.endpoint)
    yield made
    made.close()


def texts(records: list[dict[str, Any]]) -> list[str]:
    return [record["message"] for record in records]


class TestSocket:
    @pytest.mark.parametrize("formatter", [JSONFormatter, PickleFormatter])
    def test_output(self, handler: ZmqHandler, collector: Any, formatter: Any) -> None:
        """Two records arrive, in order."""
        handler.setFormatter(formatter())
        log.error("spam")
        log.debug("eggs")
        assert texts(collector.wait(2)) == ["spam", "eggs"]

    def test_no_server(self, make_collector: Any, free_port: int, capsys: pytest.CaptureFixture[str]) -> None:
        """Without a server nothing raises and nothing waits; when it is there, old and new records arrive."""
        made = ZmqHandler(f"tcp://127.0.0.1:{free_port}")
        log.addHandler(made)
        try:
            started = time.perf_counter()
            for number in range(3):
                log.error("missed %d", number)
            assert time.perf_counter() - started < 0.2
            late = make_collector(free_port)
            log.error("after")
            assert texts(late.wait(4, settle=0.05)) == ["missed 0", "missed 1", "missed 2", "after"]
        finally:
            log.removeHandler(made)
            made.close()
        assert capsys.readouterr().err == ""

    def test_server_comes_back(self, make_collector: Any, free_port: int) -> None:
        """A server that goes and comes again gets what is logged from then on."""
        made = ZmqHandler(f"tcp://127.0.0.1:{free_port}")
        log.addHandler(made)
        try:
            first = make_collector(free_port)
            log.error("first")
            first.wait(1)
            first.stop()
            for number in range(5):
                log.error("between %d", number)
            second = make_collector(free_port)
            assert made.flush(5)
            log.error("second")
            deadline = time.monotonic() + 5
            while "second" not in texts(second.records()) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert texts(second.records())[-1] == "second"
        finally:
            log.removeHandler(made)
            made.close()


class TestQueue:
    def test_formatting_in_front(self, alone: ZmqHandler, collector: Any) -> None:
        """Behind a queue that prepares records, message and traceback are there once each."""
        waiting: queue.Queue[Any] = queue.Queue()
        before = logging.handlers.QueueHandler(waiting)
        listener = logging.handlers.QueueListener(waiting, alone)
        log.addHandler(before)
        listener.start()
        try:
            try:
                raise ValueError("deep")
            except ValueError:
                log.exception("failed with %s", "x", stack_info=True)
        finally:
            log.removeHandler(before)
            listener.stop()
        (record,) = collector.wait(1)
        assert record["message"].splitlines()[0] == "failed with x"
        everything = str({name: value for name, value in record.items() if name not in ("msg", "message")})
        assert everything.count("ValueError: deep") <= 1
        assert "ValueError: deep" in (record["exc_text"] or record["message"])

    def test_levels_are_respected(self, alone: ZmqHandler, collector: Any) -> None:
        """A listener asked to respect levels asks ours."""
        waiting: queue.Queue[Any] = queue.Queue()
        before = logging.handlers.QueueHandler(waiting)
        alone.setLevel(logging.ERROR)
        listener = logging.handlers.QueueListener(waiting, alone, respect_handler_level=True)
        log.addHandler(before)
        listener.start()
        try:
            log.warning("low")
            log.critical("high")
        finally:
            log.removeHandler(before)
            listener.stop()
        assert texts(collector.wait(1, settle=0.05)) == ["high"]

    def test_through_a_queue_of_processes(self, run: Any, collector: Any) -> None:
        """Records pickled by another process keep the goal in which they were made."""
        done = run("""
            import logging.handlers
            def child(queue):
                root = logging.getLogger()
                root.handlers = [logging.handlers.QueueHandler(queue)]
                with task("in the child") as goal:
                    log.info("by way of %s", "the queue")
            if __name__ == "__main__":
                context = multiprocessing.get_context("fork")
                queue = context.Queue()
                listener = logging.handlers.QueueListener(queue, handler)
                process = context.Process(target=child, args=(queue,))
                process.start()
                listener.start()
                process.join()
                listener.stop()
                handler.flush()
        """)
        assert done.stderr == ""
        records = collector.wait(3, settle=0.05)
        assert [r["context"]["key"].split("@")[0] for r in records] == ["0", "1", "2"]
        assert texts(records)[1] == "by way of the queue"
        assert len({r["process"] for r in records}) == 1


class TestMemory:
    def test_flushed_by_level_and_capacity(self, alone: ZmqHandler, collector: Any) -> None:
        """Nothing leaves a MemoryHandler before it is full or something is bad; then all does, in order."""
        memory = logging.handlers.MemoryHandler(4, logging.WARNING, alone)
        log.addHandler(memory)
        log.setLevel(logging.DEBUG)
        try:
            log.debug("1")
            log.info("2")
            alone.flush()
            assert collector.records() == []
            log.warning("3")
            assert texts(collector.wait(3)) == ["1", "2", "3"]
            for number in range(4, 8):
                log.debug("%d", number)
            assert texts(collector.wait(7)) == [str(number) for number in range(1, 8)]
            log.debug("8")
            memory.close()
            assert texts(collector.wait(8))[-1] == "8"
        finally:
            log.removeHandler(memory)
            log.setLevel(logging.NOTSET)

    def test_goals_kept_until_something_is_bad(self, alone: ZmqHandler, collector: Any) -> None:
        """A buffered goal is whole when it comes out: begin, records and end, numbered as they were made."""
        memory = logging.handlers.MemoryHandler(100, logging.ERROR, alone)
        log.parent.addHandler(memory) if log.parent else None
        root = logging.getLogger()
        before = root.level
        root.setLevel(logging.DEBUG)
        try:
            with pytest.raises(KeyError), task("fragile"):
                log.debug("a detail")
                raise KeyError("gone")
        finally:
            root.setLevel(before)
            log.parent.removeHandler(memory) if log.parent else None
        keys = [r["context"]["key"].split("@")[0] for r in collector.wait(3, settle=0.05)]
        assert keys == ["0", "1", "2"]


class TestConfiguration:
    @pytest.fixture(autouse=True)
    def restored(self) -> Iterator[None]:
        """The root logger is put back as it was."""
        root = logging.getLogger()
        before, level = root.handlers[:], root.level
        yield
        for one in root.handlers:
            if one not in before:
                one.close()
        root.handlers[:] = before
        root.setLevel(level)
        log.disabled = False

    @pytest.mark.parametrize("made_by", ["class", "()", "callable"])
    def test_ways_to_name_it(self, collector: Any, made_by: str) -> None:
        """By class, as a factory by name, and as a callable."""
        maker: Any = ZmqHandler if made_by == "callable" else "distlog.ZmqHandler"
        key = "()" if made_by == "callable" else made_by
        wire = {key: maker, "endpoint": collector.endpoint, "system": "T", "formatter": "wire"}
        logging.config.dictConfig(
            {
                "version": 1,
                "disable_existing_loggers": False,
                "formatters": {"wire": {"()": "distlog.PickleFormatter"}},
                "handlers": {"wire": wire},
                "root": {"level": "DEBUG", "handlers": ["wire"]},
            }
        )
        log.info("configured")
        (record,) = collector.wait(1)
        assert (record["topic"], record["message"]) == ("TLP", "configured")

    def test_a_wrong_argument_is_named(self) -> None:
        """A configuration with an argument that is none fails as it does for every handler."""
        with pytest.raises(ValueError, match="wire"):
            logging.config.dictConfig(
                {"version": 1, "handlers": {"wire": {"class": "distlog.ZmqHandler", "hots": "x"}}}
            )

    def test_behind_a_memory_handler(self, collector: Any) -> None:
        """A MemoryHandler names ours as its target."""
        logging.config.dictConfig(
            {
                "version": 1,
                "disable_existing_loggers": False,
                "handlers": {
                    "wire": {"class": "distlog.ZmqHandler", "endpoint": collector.endpoint},
                    "buffer": {
                        "class": "logging.handlers.MemoryHandler",
                        "capacity": 2,
                        "target": "wire",
                    },
                },
                "root": {"level": "DEBUG", "handlers": ["buffer"]},
            }
        )
        log.info("one")
        log.info("two")
        assert texts(collector.wait(2)) == ["one", "two"]

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="dictConfig knows QueueHandler since 3.12")
    def test_behind_a_configured_queue(self, collector: Any) -> None:
        """3.12's own wiring of QueueHandler and listener."""
        logging.config.dictConfig(
            {
                "version": 1,
                "disable_existing_loggers": False,
                "handlers": {
                    "wire": {"class": "distlog.ZmqHandler", "endpoint": collector.endpoint},
                    "queue": {"class": "logging.handlers.QueueHandler", "handlers": ["wire"]},
                },
                "root": {"level": "DEBUG", "handlers": ["queue"]},
            }
        )
        listener = logging.getHandlerByName("queue").listener  # type: ignore[attr-defined]
        listener.start()
        try:
            log.info("queued")
        finally:
            listener.stop()
        assert texts(collector.wait(1)) == ["queued"]

    def test_a_stream_of_configurations(self, collector: Any) -> None:
        """Configured again and again, the former handler is closed and sends what it had."""
        for number in range(20):
            logging.config.dictConfig(
                {
                    "version": 1,
                    "disable_existing_loggers": False,
                    "handlers": {"wire": {"class": "distlog.ZmqHandler", "endpoint": collector.endpoint}},
                    "root": {"level": "DEBUG", "handlers": ["wire"]},
                }
            )
            log.info("%d", number)
        records = collector.wait(20, settle=0.05)
        assert sorted(map(int, texts(records))) == list(range(20))

    def test_received_over_a_socket(self, collector: Any) -> None:
        """``logging.config.listen`` takes a configuration that names ours."""
        import json
        import socket
        import struct

        server = logging.config.listen(0)
        server.start()
        server.ready.wait()  # type: ignore[attr-defined]
        port = server.port  # type: ignore[attr-defined]
        try:
            sent = json.dumps(
                {
                    "version": 1,
                    "disable_existing_loggers": False,
                    "handlers": {"wire": {"class": "distlog.ZmqHandler", "endpoint": collector.endpoint}},
                    "root": {"level": "INFO", "handlers": ["wire"]},
                }
            ).encode()
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(struct.pack(">L", len(sent)) + sent)
            server.ready.wait(2)  # type: ignore[attr-defined]
            root = logging.getLogger()
            deadline = time.monotonic() + 5
            while not any(isinstance(one, ZmqHandler) for one in root.handlers) and time.monotonic() < deadline:
                time.sleep(0.01)
            log.info("from afar")
            assert texts(collector.wait(1)) == ["from afar"]
        finally:
            logging.config.stopListening()
            server.join(5)


class TestShutdown:
    @pytest.mark.parametrize("name", ["close", "flush", "acquire"])
    @pytest.mark.parametrize("error", [OSError, ValueError])
    def test_errors_while_shutting_down(self, collector: Any, name: str, error: type[Exception]) -> None:
        """``logging.shutdown`` passes over a handler of ours that a subclass has broken."""
        import weakref

        class Broken(ZmqHandler):
            pass

        def broken(*_: Any) -> None:
            raise error

        made = Broken(collector.endpoint)
        setattr(Broken, name, broken)
        try:
            logging.shutdown([weakref.ref(made)])
        finally:
            delattr(Broken, name)
        made.close()

    def test_flush_after_close_and_close_after_close(self, alone: ZmqHandler) -> None:
        """Each may come at any time, and gives no error."""
        logging.shutdown([lambda: alone])  # type: ignore[list-item]
        alone.flush()
        alone.close()
        logging.shutdown([lambda: alone])  # type: ignore[list-item]

    @pytest.mark.parametrize("accelerated", ["", "from distlog import accelerate; accelerate.start()"])
    def test_logging_at_shutdown(self, run: Any, collector: Any, accelerated: str) -> None:
        """What ``__del__`` logs while the interpreter ends hurts nobody, and what came before is there."""
        program = """
            class A:
                def __del__(self):
                    try: raise ValueError("some error")
                    except Exception: logging.exception("exception in __del__")
            a = A()
            log.info("before")
        """
        done = run(f"            {accelerated}\n{program}")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert "before" in texts(collector.wait(1, settle=0.1))

    def test_logging_at_shutdown_from_main(self, run: Any, collector: Any) -> None:
        """A record of ``__del__`` that runs before the handlers are closed arrives."""
        run("""
            class A:
                def __del__(self): log.error("log in __del__")
            a = A()
            del a
        """)
        assert texts(collector.wait(1)) == ["log in __del__"]

    def test_recursion_error(self, run: Any, collector: Any) -> None:
        """A program that logs at the end of its stack ends as it would without us."""
        done = run(
            """
            def rec():
                log.error("foo")
                rec()
            rec()
            """,
            check=False,
        )
        assert done.returncode == 1
        assert "RecursionError" in done.stderr
        assert "Cannot recover from stack overflow" not in done.stderr
        assert texts(collector.wait(50))[:50] == ["foo"] * 50


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
class TestFork:
    def test_locks_held_by_another_thread(self, run: Any, collector: Any) -> None:
        """The logging module's lock and a handler's are held at the fork; the child logs through ours and ends."""
        done = run("""
            class Outer(logging.Handler):
                def emit(self, record):
                    handler.acquire()
                    try: handler.emit(record)
                    finally: handler.release()
            outer = Outer()
            outer.name = "with a name"
            log.addHandler(outer)
            log.propagate = False
            held, forked = threading.Event(), threading.Event()
            lock = logging._lock
            def hold():
                with lock:
                    outer.acquire()
                    try:
                        held.set()
                        forked.wait(0.3)
                    finally: outer.release()
            holder = threading.Thread(target=hold)
            holder.start()
            held.wait()
            pid = os.fork()
            if pid == 0:
                log.info("child")
                os._exit(0)
            forked.set()
            log.info("parent")
            holder.join()
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended: break
                time.sleep(0.01)
            else:
                os.kill(pid, 9)
                print("hangs")
            handler.flush()
        """)
        assert (done.stdout, done.stderr) == ("", "")
        assert sorted(texts(collector.wait(2, settle=0.1))) == ["child", "parent"]


class TestOthers:
    def test_captured_warnings(self, handler: ZmqHandler, collector: Any) -> None:
        """``captureWarnings`` brings them, with the file that warned."""
        logging.captureWarnings(True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always")
                logging.captureWarnings(False)
                logging.captureWarnings(True)
                warnings.warn("I'm warning you...", UserWarning, stacklevel=1)
        finally:
            logging.captureWarnings(False)
        (record,) = collector.wait(1)
        assert (record["name"], record["levelname"]) == ("py.warnings", "WARNING")
        assert "I'm warning you..." in record["message"]
        assert "test_standard_handlers.py" in record["message"]

    def test_cyrillic(self, handler: ZmqHandler, collector: Any) -> None:
        """Text is text, in every alphabet, in message, arguments, extra and exceptions."""
        text = "\u0434\u043e \u0441\u0432\u0438\u0434\u0430\u043d\u0438\u044f"
        for formatter in (JSONFormatter(), PickleFormatter()):
            handler.setFormatter(formatter)
            try:
                raise ValueError(text)
            except ValueError:
                log.exception("%s", text, extra={text: text})
        for record in collector.wait(2):
            assert (record["message"], record[text]) == (text, text)
            assert f"ValueError: {text}" in record["exc_text"]

    def test_adapter(self, handler: ZmqHandler, collector: Any) -> None:
        """An adapter's extra is on the wire, nested adapters as they merge it."""
        logging.LoggerAdapter(log, {"request": "r-1"}).info("adapted %s", "x")
        logging.LoggerAdapter(logging.LoggerAdapter(log, {"request": "r-1"}), {"user": "ann"}).info("twice")
        first, second = collector.wait(2)
        assert (first["message"], first["request"]) == ("adapted x", "r-1")
        assert second["request" if sys.version_info < (3, 8) else "message"] == "twice"
        assert first["funcName"] == "test_adapter"

    def test_exceptions_in_extra_and_hooks(self, handler: ZmqHandler, collector: Any) -> None:
        """``exc_info`` as flag, as exception and as triple gives the same structure."""
        try:
            raise RuntimeError("deliberate mistake")
        except RuntimeError as error:
            log.error("flag", exc_info=True)
            log.error("exception", exc_info=error)
            log.error("triple", exc_info=(type(error), error, error.__traceback__))
        shapes = [record["exc_info"] for record in collector.wait(3)]
        assert shapes[0] == shapes[1] == shapes[2]
        assert shapes[0]["message"] == "deliberate mistake"

    def test_filters_that_replace_records(self, handler: ZmqHandler, collector: Any) -> None:
        """3.12 lets a filter give another record; before, a true value only lets it pass."""
        import copy

        def replaced(record: logging.LogRecord) -> Any:
            other = copy.copy(record)
            other.msg = "replaced"
            return other

        handler.addFilter(replaced)
        with task("work"):
            log.info("original")
        handler.removeFilter(replaced)
        got = texts(collector.wait(3))[1]
        assert got == ("replaced" if sys.version_info >= (3, 12) else "original")

    def test_handlers_by_name(self, alone: ZmqHandler) -> None:
        """A named handler is in the registry, and leaves it when it is closed."""
        alone.set_name("wire")
        assert logging._handlers["wire"] is alone  # type: ignore[attr-defined]
        assert alone.name == "wire"
        alone.close()
        assert "wire" not in logging._handlers  # type: ignore[attr-defined]

    def test_a_timer_signal_in_the_middle(self, handler: ZmqHandler, collector: Any) -> None:
        """A signal handler that logs in the middle of a call adds its own records and breaks none."""
        ticks = []

        def on_alarm(*_: Any) -> None:
            ticks.append(1)
            with to("tick"):
                log.info("tick")

        before = signal.signal(signal.SIGALRM, on_alarm)
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
        try:
            end, count = time.monotonic() + 0.2, 0
            while time.monotonic() < end and count < 3000:
                log.info("main %s", {"count": count})
                count += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        handler.flush(5)
        got = texts(collector.wait(count + 3 * len(ticks)))
        assert got.count("tick") == 3 * len(ticks)
        assert sum(text.startswith("main") for text in got) == count
        assert threading.active_count() < 50
