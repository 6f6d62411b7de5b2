"""Set-up: `configure()`, the environment, and the standard library's own ways, each seen at the socket."""

from __future__ import annotations

import json
import logging
import logging.config
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import distlog
import pytest
from distlog import ZmqHandler
from distlog.filters import RateLimit


@pytest.fixture(autouse=True)
def same_after_as_before() -> Iterator[None]:
    """Set-up is for the whole process: each test finds it as it was."""
    root = logging.getLogger()
    handlers, level, known = root.handlers[:], root.level, logging._handlerList[:]  # type: ignore[attr-defined]
    disabled = {name: one.disabled for name, one in root.manager.loggerDict.items() if isinstance(one, logging.Logger)}
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:], root.level = handlers, level
    logging._handlerList[:] = known  # type: ignore[attr-defined]
    for name, was in disabled.items():
        logging.getLogger(name).disabled = was
    for logger in ("app", "app.db", "elsewhere"):
        one = logging.getLogger(logger)
        one.handlers[:], one.level, one.propagate, one.disabled = [], 0, True, False
    root.manager._clear_cache()  # type: ignore[attr-defined]


def ours() -> list[logging.Handler]:
    """The root logger's handlers of distlog."""
    return [one for one in logging.getLogger().handlers if isinstance(one, ZmqHandler)]


def messages(collector: Any, count: int, settle: float = 0.1) -> list[str]:
    """What arrived."""
    return [record["message"] for record in collector.wait(count, settle=settle)]


class TestConfigure:
    def test_one_line(self, collector: Any) -> None:
        handler = distlog.configure(collector.endpoint, system="T")
        logging.getLogger("app").info("hello %s", "world")
        logging.getLogger("app").debug("not this")
        record, *more = collector.wait(1, settle=0.1)
        assert (record["message"], record["topic"], more) == ("hello world", "TLJ", [])
        assert handler is ours()[0]

    def test_again_is_the_same(self, collector: Any) -> None:
        first = distlog.configure(collector.endpoint)
        assert [distlog.configure(collector.endpoint) for _ in range(3)] == [first] * 3
        logging.warning("once")
        assert messages(collector, 1) == ["once"]

    def test_again_with_another_endpoint(self, collector: Any, make_collector: Any) -> None:
        distlog.configure(collector.endpoint)
        logging.warning("to one")
        other = make_collector()
        distlog.configure(other.endpoint, level="debug")
        logging.debug("to the other")
        assert messages(collector, 1) == ["to one"]
        assert messages(other, 1) == ["to the other"]
        assert len(ours()) == 1

    def test_filters_and_level_of_the_handler_stay(self, collector: Any, make_collector: Any) -> None:
        handler = distlog.configure(collector.endpoint)
        handler.setLevel(logging.ERROR)
        handler.addFilter(lambda record: "secret" not in record.getMessage())
        other = make_collector()
        distlog.configure(other.endpoint)
        for text in ("secret", "plain"):
            logging.error(text)
        logging.warning("low")
        assert messages(other, 1) == ["plain"]

    def test_a_handler_that_is_there_already_is_taken_over(self, collector: Any) -> None:
        mine = ZmqHandler(collector.endpoint)
        logging.getLogger().addHandler(mine)
        assert distlog.configure(collector.endpoint) is mine
        logging.warning("once")
        assert messages(collector, 1) == ["once"]

    def test_both_usual_ports_are_one_daemon(self) -> None:
        mine = ZmqHandler(flush_timeout=0.0)
        logging.getLogger().addHandler(mine)
        assert distlog.configure() is mine
        assert distlog.configure(system="T", flush_timeout=0.0) is not mine

    def test_other_handlers_stay(self, collector: Any) -> None:
        other = logging.NullHandler()
        logging.getLogger().addHandler(other)
        distlog.configure(collector.endpoint)
        assert other in logging.getLogger().handlers

    def test_by_threads_at_once(self, collector: Any, make_collector: Any) -> None:
        endpoints = [collector.endpoint, make_collector().endpoint]
        barrier = threading.Barrier(8)

        def set_up(number: int) -> None:
            barrier.wait()
            for turn in range(5):
                distlog.configure(endpoints[(number + turn) % 2])

        threads = [threading.Thread(target=set_up, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(ours()) == 1

    def test_while_others_log(self, collector: Any, make_collector: Any) -> None:
        other, done, count = make_collector(), threading.Event(), 0

        def log_on() -> None:
            nonlocal count
            while not done.is_set():
                logging.warning("%d", count)
                count += 1
                time.sleep(0.0002)

        distlog.configure(collector.endpoint)
        thread = threading.Thread(target=log_on)
        thread.start()
        for turn in range(20):
            distlog.configure((other, collector)[turn % 2].endpoint)
            time.sleep(0.005)
        done.set()
        thread.join()
        assert ours()[0].flush()  # type: ignore[attr-defined]
        time.sleep(0.2)
        numbers = [int(r["message"]) for one in (collector, other) for r in one.records()]
        # A record may be on its way into a handler just when that is closed, and is counted there.
        assert len(numbers) == len(set(numbers))
        assert count - 20 <= len(numbers) <= count

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({"endpoint": 5}, "endpoint is an address such as tcp://host:5010, not 5"),
            ({"endpoint": "nowhere"}, 'bad endpoint "nowhere": it must start with tcp:// or ipc://'),
            ({"level": "LOUD"}, "level is a level's name or number (DEBUG, INFO, 15, …), not 'LOUD'"),
            ({"level": 2.5}, "level is a level's name or number (DEBUG, INFO, 15, …), not 2.5"),
            ({"level": True}, "level is a level's name or number (DEBUG, INFO, 15, …), not True"),
            ({"system": "X"}, "system is T, S or P (test, staging, production), not 'X'"),
            ({"system": "TS"}, "system is T, S or P (test, staging, production), not 'TS'"),
            ({"acks": "perhaps"}, "acks is 1 or 0 (true, false, yes, no, on, off), not 'perhaps'"),
            ({"spool": 7}, "spool is a folder's path, not 7"),
            ({"accelerate": "very"}, "accelerate is 1 or 0 (true, false, yes, no, on, off), not 'very'"),
            ({"rate_limit": "fast"}, "rate_limit is records a second above 0, or such as 600/m, not 'fast'"),
            ({"rate_limit": 0}, "rate_limit is records a second above 0, or such as 600/m, not 0"),
            ({"keep_debug": -1}, "keep_debug is a number of records above 0, not -1"),
            ({"redact": 7}, "redact: it is True, names of fields, a Redaction or a mapping of its arguments, not 7"),
            (
                {"redact": {"patterns": ["("]}},
                "redact: patterns are regular expressions, and '(' is none: missing ), unterminated subpattern at position 0",
            ),
            ({"queue_bytes": 0}, "queue_bytes is a number of bytes above 0, not 0"),
        ],
    )
    def test_wrong_arguments(self, arguments: dict[str, Any], said: str) -> None:
        before = logging.getLogger().level
        with pytest.raises(ValueError) as refused:
            distlog.configure(**arguments)
        assert str(refused.value) == said
        assert (ours(), logging.getLogger().level) == ([], before)

    def test_levels(self, collector: Any) -> None:
        logging.addLevelName(17, "Notice")
        for given, number in (("debug", 10), ("WARN", 30), (5, 5), ("15", 15), ("Notice", 17), (logging.ERROR, 40)):
            distlog.configure(collector.endpoint, given)
            assert logging.getLogger().level == number, given

    def test_limits(self, collector: Any) -> None:
        for rate in (5, "5/m", RateLimit(5, 60), None):
            handler = distlog.configure(collector.endpoint, "DEBUG", rate_limit=rate, keep_debug=2)
            made = handler.filters[:]
            assert distlog.configure(collector.endpoint, "DEBUG", rate_limit=rate, keep_debug=2).filters == made
            assert len(made) == (1 if rate is None else 2)
        with distlog.task("fine"):
            logging.getLogger("app").debug("detail")
        assert [r["levelname"] for r in collector.wait(2, settle=0.1)] == ["INFO", "INFO"]
        assert distlog.configure(collector.endpoint).filters == []


class TestEnvironment:
    def test_variables(self, run: Any, collector: Any) -> None:
        source = "handler.close(); logging.getLogger().handlers.clear(); configure(); log.log(15, 'here')"
        given = {"DISTLOG_ENDPOINT": collector.endpoint, "DISTLOG_LEVEL": "15", "DISTLOG_SYSTEM": "S"}
        done = run(source, **given, DISTLOG_ACKS="off", DISTLOG_SPOOL="/tmp", DISTLOG_ACCELERATE="0")
        assert done.stderr == ""
        record = collector.wait(1)[0]
        assert (record["message"], record["levelno"], record["topic"]) == ("here", 15, "SLJ")

    def test_arguments_go_before(self, run: Any, collector: Any) -> None:
        run(
            "logging.getLogger().handlers.clear(); configure(os.environ['ENDPOINT'], 'ERROR', system='T'); log.warning('no'); log.error('yes')",
            DISTLOG_ENDPOINT="tcp://127.0.0.1:1",
            DISTLOG_LEVEL="DEBUG",
            DISTLOG_SYSTEM="S",
        )
        assert [(r["message"], r["topic"]) for r in collector.wait(1, settle=0.1)] == [("yes", "TLJ")]

    @pytest.mark.parametrize(
        ("name", "value", "rest"),
        [
            ("LEVEL", "LOUD", "it is a level's name or number (DEBUG, INFO, 15, …); 20 is used"),
            ("SYSTEM", "prod", "it is T, S or P (test, staging, production); P is used"),
            ("ACKS", "maybe", "it is 1 or 0 (true, false, yes, no, on, off); True is used"),
            ("RATE_LIMIT", "5/x", "it is records a second above 0, or such as 600/m; nothing is used"),
            ("KEEP_DEBUG", "1.5", "it is a number of records above 0; nothing is used"),
            ("CAPTURE_WARNINGS", "2", "it is 1 or 0 (true, false, yes, no, on, off); False is used"),
        ],
    )
    def test_a_wrong_variable_kills_no_service(
        self, run: Any, collector: Any, name: str, value: str, rest: str
    ) -> None:
        source = "handler.close(); logging.getLogger().handlers.clear(); configure(); configure(); log.info('alive'); log.debug('low')"
        done = run(source, DISTLOG_ENDPOINT=collector.endpoint, **{f"DISTLOG_{name}": value})
        assert done.stderr == f"distlog: DISTLOG_{name}={value!r} is ignored: {rest}\n"
        assert [(r["message"], r["topic"]) for r in collector.wait(1, settle=0.1)] == [("alive", "PLJ")]

    def test_a_wrong_endpoint(self, run: Any) -> None:
        done = run(
            "handler.close(); h = configure(); configure(); print(h.endpoint); os._exit(0)",
            DISTLOG_ENDPOINT="logs:5010",
        )
        assert done.stdout == "tcp://127.0.0.1:5011\n"
        assert done.stderr == (
            "distlog: DISTLOG_ENDPOINT='logs:5010' is ignored: bad endpoint \"logs:5010\": "
            "it must start with tcp:// or ipc://; tcp://127.0.0.1:5011 is used\n"
        )

    def test_without_stderr(self, run: Any) -> None:
        done = run("sys.stderr = None; configure(); print('alive'); os._exit(0)", DISTLOG_LEVEL="LOUD")
        assert done.stdout == "" or "alive" in done.stdout
        assert done.returncode == 0


class TestStandardLibrary:
    """`basicConfig`, `dictConfig`, `fileConfig` and `listen` build the handler of plain values."""

    def test_basic_config(self, run: Any, collector: Any) -> None:
        run(
            "logging.basicConfig(force=True, level='INFO', handlers=[ZmqHandler(os.environ['ENDPOINT'])]); log.info('x')"
        )
        assert messages(collector, 1) == ["x"]

    def test_dict_config(self, collector: Any) -> None:
        logging.config.dictConfig(
            {
                "version": 1,
                "disable_existing_loggers": False,
                "formatters": {"json": {"class": "distlog.JSONFormatter"}, "pickle": {"()": "distlog.PickleFormatter"}},
                "filters": {"app": {"name": "app"}},
                "handlers": {
                    "one": {
                        "class": "distlog.ZmqHandler",
                        "endpoint": collector.endpoint,
                        "system": "S",
                        "formatter": "json",
                        "filters": ["app"],
                        "level": "WARNING",
                        "queue_bytes": 100_000,
                    },
                    "two": {"()": "distlog.ZmqHandler", "endpoint": collector.endpoint, "formatter": "pickle"},
                },
                "root": {"level": "DEBUG", "handlers": ["one", "two"]},
            }
        )
        logging.getLogger("app").info("two only")
        logging.getLogger("app.db").error("both")
        logging.getLogger("elsewhere").error("two only")
        found = sorted((r["message"], r["topic"]) for r in collector.wait(4, settle=0.1))
        assert found == [("both", "PLP"), ("both", "SLJ"), ("two only", "PLP"), ("two only", "PLP")]

    def test_a_formatter_that_makes_text_is_refused(self, collector: Any) -> None:
        with pytest.raises(ValueError, match="handler") as refused:
            logging.config.dictConfig(
                {
                    "version": 1,
                    "formatters": {"text": {"format": "%(message)s"}},
                    "handlers": {
                        "z": {"class": "distlog.ZmqHandler", "endpoint": collector.endpoint, "formatter": "text"}
                    },
                }
            )
        assert "takes a Serializer" in str(refused.value.__cause__)

    def test_incremental(self, collector: Any) -> None:
        handler = {"class": "distlog.ZmqHandler", "endpoint": collector.endpoint}
        logging.config.dictConfig(
            {"version": 1, "handlers": {"z": handler}, "root": {"level": "INFO", "handlers": ["z"]}}
        )
        logging.config.dictConfig(
            {"version": 1, "incremental": True, "handlers": {"z": {"level": "ERROR"}}, "root": {"level": "DEBUG"}}
        )
        logging.warning("low")
        logging.error("high")
        assert messages(collector, 1) == ["high"]

    @pytest.mark.parametrize("disable", [True, False])
    def test_a_later_configuration_that_does_not_name_the_root(self, collector: Any, disable: bool) -> None:
        """It closes all handlers there are, and takes none of them away."""
        handler = distlog.configure(collector.endpoint)
        logger = logging.getLogger("app")
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": disable, "loggers": {"elsewhere": {}}})
        logger.warning("of a logger that was there")
        logging.getLogger("elsewhere").warning("of a named one")
        logging.warning("of the root")
        expected = ["of a logger that was there", "of a named one", "of the root"][disable:]
        assert messages(collector, len(expected)) == expected
        assert distlog.configure(collector.endpoint) is handler

    def test_a_later_configuration_of_the_root_replaces_it(self, collector: Any) -> None:
        distlog.configure(collector.endpoint)
        logging.warning("before")
        logging.config.dictConfig({"version": 1, "root": {"level": "INFO"}})
        assert messages(collector, 1) == ["before"]
        assert ours() == []
        distlog.configure(collector.endpoint)
        logging.warning("after")
        assert messages(collector, 2) == ["before", "after"]

    def test_what_was_queued_leaves_before_a_replacement(self, collector: Any) -> None:
        for turn in range(10):
            handler = {"class": "distlog.ZmqHandler", "endpoint": collector.endpoint}
            logging.config.dictConfig(
                {
                    "version": 1,
                    "disable_existing_loggers": False,
                    "handlers": {"z": handler},
                    "root": {"handlers": ["z"]},
                }
            )
            for number in range(20):
                logging.warning("%d", 20 * turn + number)
        assert sorted(messages(collector, 200), key=int) == [str(number) for number in range(200)]

    def test_reconfiguration_while_others_log(self, collector: Any) -> None:
        """Of some ten thousand records, at most those go astray that were inside a handler when it was taken away."""
        handler = {"class": "distlog.ZmqHandler", "endpoint": collector.endpoint}
        settings = {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"z": handler},
            "root": {"handlers": ["z"]},
        }
        done, counts = threading.Event(), [0] * 4

        def log_on(number: int) -> None:
            while not done.is_set():
                logging.getLogger("app").warning("%d", number)
                counts[number] += 1
                time.sleep(0.001)

        logging.config.dictConfig(settings)
        threads = [threading.Thread(target=log_on, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(15):
            logging.config.dictConfig(settings)
            time.sleep(0.01)
        done.set()
        for thread in threads:
            thread.join(10)
        assert not any(thread.is_alive() for thread in threads)
        ours()[0].flush()  # type: ignore[attr-defined]
        time.sleep(0.2)
        # Between the two halves of a configuration the root has no handlers at all: that is the standard library's.
        assert sum(counts) * 0.5 < len(collector.messages) <= sum(counts)
        logging.warning("still there")
        assert messages(collector, len(collector.messages) + 1)[-1] == "still there"

    def test_file_config(self, collector: Any, tmp_path: Path) -> None:
        text = f"""
            [loggers]
            keys=root
            [handlers]
            keys=central
            [formatters]
            keys=json
            [logger_root]
            level=INFO
            handlers=central
            [handler_central]
            class=distlog.ZmqHandler
            level=WARNING
            formatter=json
            args=("{collector.endpoint}", None, "T")
            kwargs={{"queue_bytes": 65536}}
            [formatter_json]
            class=distlog.JSONFormatter
            """
        path = tmp_path / "logging.ini"
        path.write_text("\n".join(line.strip() for line in text.split("\n")))
        logging.config.fileConfig(path, disable_existing_loggers=False)
        logging.info("low")
        logging.warning("high")
        assert [(r["message"], r["topic"]) for r in collector.wait(1, settle=0.1)] == [("high", "TLJ")]

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="dictConfig knows queues since 3.12")
    def test_queue_handler(self, collector: Any) -> None:
        settings = {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {
                "z": {"class": "distlog.ZmqHandler", "endpoint": collector.endpoint},
                "queue": {"class": "logging.handlers.QueueHandler", "handlers": ["z"], "respect_handler_level": True},
            },
            "root": {"level": "INFO", "handlers": ["queue"]},
        }
        logging.config.dictConfig(settings)
        queue: Any = logging.getHandlerByName("queue")  # type: ignore[attr-defined,unused-ignore]
        queue.listener.start()
        with distlog.task("queued"):
            logging.info("inside %d", 1)
        queue.listener.stop()
        found = collector.wait(3, settle=0.1)
        assert [r["message"] for r in found] == ["queued", "inside 1", "queued"]
        assert [r["context"]["key"][0] for r in found] == ["0", "1", "2"]

    def test_listen(self, collector: Any) -> None:
        server = logging.config.listen(0)
        server.start()
        assert server.ready.wait(5)  # type: ignore[attr-defined]
        try:
            handler = {"class": "distlog.ZmqHandler", "endpoint": collector.endpoint}
            settings = {"version": 1, "disable_existing_loggers": False, "handlers": {"z": handler}}
            body = json.dumps({**settings, "root": {"level": "INFO", "handlers": ["z"]}}).encode()
            with socket.create_connection(("127.0.0.1", server.port), 5) as connection:  # type: ignore[attr-defined]
                connection.sendall(struct.pack(">L", len(body)) + body)
            deadline = time.monotonic() + 5
            while not ours() and time.monotonic() < deadline:
                time.sleep(0.01)
            logging.info("set up from elsewhere")
            assert messages(collector, 1) == ["set up from elsewhere"]
        finally:
            logging.config.stopListening()
            server.join(5)


class TestUncaught:
    def run(self, source: str, endpoint: str, **more: str) -> subprocess.CompletedProcess[str]:
        prologue = "import os, sys, threading, warnings, logging, distlog\ndistlog.configure(os.environ['AT'], **ON)\n"
        prologue = prologue.replace("ON", "dict(capture_warnings=True, capture_exceptions=True)")
        environment = {**os.environ, "AT": endpoint, **more}
        command = [sys.executable, "-c", prologue + source]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)

    def test_the_program(self, collector: Any) -> None:
        source = "def work():\n    raise ValueError('boom')\nwork()"
        done = self.run(source, collector.endpoint)
        (record,) = collector.wait(1, settle=0.1)
        assert (done.returncode, record["levelname"], record["message"]) == (1, "CRITICAL", "uncaught ValueError: boom")
        assert (record["name"], record["funcName"], record["lineno"]) == ("distlog.uncaught", "work", 4)
        assert record["exc_info"]["type"] == "ValueError"
        assert record["hook"] == "sys.excepthook"
        # And what stood on stderr before, stands there still.
        assert (
            done.stderr.startswith("Traceback (most recent call last)") and done.stderr.count("\nValueError: boom") == 1
        )

    def test_interrupts_and_exits_are_none(self, collector: Any) -> None:
        assert self.run("raise SystemExit(3)", collector.endpoint).returncode == 3
        source = "import signal; signal.signal(2, signal.default_int_handler); signal.raise_signal(2)"
        assert self.run(source, collector.endpoint).returncode == -2
        self.run("logging.warning('last')", collector.endpoint)
        assert messages(collector, 1) == ["last"]

    def test_threads(self, collector: Any) -> None:
        source = """
def work(): raise KeyError('k')
def leave(): raise SystemExit
for target in (work, leave):
    thread = threading.Thread(target=target, name='worker'); thread.start(); thread.join()
"""
        done = self.run(source, collector.endpoint)
        (record,) = collector.wait(1, settle=0.1)
        assert (record["levelname"], record["message"]) == ("ERROR", "uncaught in thread: KeyError: 'k'")
        assert (record["threadName"], record["in_thread"], record["funcName"]) == ("worker", "worker", "work")
        assert (done.returncode, done.stderr.count("\nKeyError: 'k'")) == (0, 1)

    def test_unraisable(self, collector: Any) -> None:
        source = "class Odd:\n    def __del__(self): raise OSError('late')\nodd = Odd()\ndel odd"
        done = self.run(source, collector.endpoint)
        (record,) = collector.wait(1, settle=0.1)
        assert (record["levelname"], record["message"]) == ("ERROR", "unraisable OSError: late")
        assert "Odd.__del__" in record["object"]
        assert done.stderr.count("OSError: late") == 1

    def test_warnings(self, collector: Any) -> None:
        done = self.run("warnings.warn('old', FutureWarning)", collector.endpoint)
        (record,) = collector.wait(1, settle=0.1)
        assert (record["levelname"], record["message"]) == ("WARNING", "FutureWarning: old")
        assert (record["name"], record["lineno"], record["category"]) == ("py.warnings", 3, "builtins.FutureWarning")
        assert done.stderr.count("FutureWarning: old") == 1

    def test_warnings_that_the_standard_library_captures_come_once(self, collector: Any) -> None:
        for source in (
            "logging.captureWarnings(True); warnings.warn('x')",
            "distlog.configure(os.environ['AT'], capture_warnings=False); logging.captureWarnings(True);"
            "distlog.configure(os.environ['AT'], capture_warnings=True); warnings.warn('x')",
        ):
            before = len(collector.messages)
            self.run(source, collector.endpoint)
            assert len(messages(collector, before + 1)) == before + 1

    def test_by_the_environment(self, collector: Any) -> None:
        more = {"DISTLOG_CAPTURE_EXCEPTIONS": "1", "DISTLOG_CAPTURE_WARNINGS": "1"}
        self.run("pass", collector.endpoint)
        source = "import distlog, os, warnings; distlog.configure(os.environ['AT']); warnings.warn('w'); 1/0"
        environment = {**os.environ, "AT": collector.endpoint, **more}
        subprocess.run([sys.executable, "-c", source], env=environment, capture_output=True, timeout=30, check=False)
        assert len(messages(collector, 2)) == 2

    def test_hooks_that_stand_before_and_behind(self, collector: Any) -> None:
        source = """
calls = []
def behind(*a): calls.append('behind')
distlog.configure(os.environ['AT'], capture_exceptions=False)
sys.excepthook = behind
distlog.configure(os.environ['AT'], capture_exceptions=True)
ours = sys.excepthook
def before(*a): calls.append('before'); ours(*a)
sys.excepthook = before
distlog.configure(os.environ['AT'], capture_exceptions=True)
assert sys.excepthook is before
sys.excepthook(ValueError, ValueError('x'), None)
assert calls == ['before', 'behind'], calls
distlog.configure(os.environ['AT'], capture_exceptions=False)
sys.excepthook(ValueError, ValueError('y'), None)
assert calls == ['before', 'behind'] * 2, calls
sys.excepthook = ours
distlog.configure(os.environ['AT'], capture_exceptions=True)
distlog.configure(os.environ['AT'], capture_exceptions=False)
assert sys.excepthook is behind
"""
        done = self.run(source, collector.endpoint)
        assert done.returncode == 0, done.stderr
        assert messages(collector, 1) == ["uncaught ValueError: x"]

    def test_what_fails_while_a_hook_logs_is_not_logged_again(self, collector: Any) -> None:
        source = """
class Odd(Exception):
    def __str__(self): raise RuntimeError('inner')
class Handler(logging.Handler):
    def handle(self, record): raise RuntimeError('broken handler')
logging.getLogger().addHandler(Handler())
raise Odd
"""
        done = self.run(source, collector.endpoint)
        assert done.returncode == 1 and "Odd" in done.stderr and "broken handler" not in done.stderr
        assert len(messages(collector, 1)) == 1
