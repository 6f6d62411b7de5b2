"""structlog and loguru as sources, the real ones: their entries arrive as records, once, with what they say as data."""

from __future__ import annotations

import asyncio
import io
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from distlog import JSONFormatter, ZmqHandler, task
from distlog.testing import capture

structlog = pytest.importorskip("structlog")
loguru = pytest.importorskip("loguru")
from distlog.integrations import loguru as of_loguru  # noqa: E402
from distlog.integrations.structlog import Deliver, Formatter  # noqa: E402


def this_line() -> int:
    """The caller's."""
    return sys._getframe(1).f_lineno


class Colour:
    def __repr__(self) -> str:
        return "Colour"


@pytest.fixture
def printed() -> Iterator[io.StringIO]:
    """What structlog prints, as it is set up here: with its own loggers."""
    stream = io.StringIO()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.StackInfoRenderer(),
            Deliver(),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    yield stream
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


class TestStructlog:
    def test_fields_are_data(self, handler: ZmqHandler, collector: Any, printed: io.StringIO) -> None:
        structlog.contextvars.bind_contextvars(request="r-7")
        log = structlog.get_logger().bind(user="ann")
        log.warning("paid %s", amount := 3, items=[1, {"a": 2}], name="taken", lineno=-1)
        line = this_line() - 1
        (record,) = collector.wait(1, settle=0.1)
        assert (record["message"], record["levelname"], record["levelno"]) == (f"paid {amount}", "WARNING", 30)
        assert (record["request"], record["user"], record["items"]) == ("r-7", "ann", [1, {"a": 2}])
        assert (record["name"], record["name_"]) == (__name__, "taken")
        assert (record["pathname"], record["lineno"], record["funcName"]) == (__file__, line, "test_fields_are_data")
        assert "event" not in record and "level" not in record
        # What is printed is what was printed before.
        assert printed.getvalue().startswith("event='paid 3' user='ann'") and "request='r-7'" in printed.getvalue()

    def test_exceptions(self, handler: ZmqHandler, collector: Any, printed: io.StringIO) -> None:
        log = structlog.get_logger()
        error = KeyError("kept")
        try:
            raise ValueError("boom")
        except ValueError:
            log.exception("by word")
            log.error("by flag", exc_info=True)
        log.error("by hand", exc_info=error)
        log.error("none", exc_info=None)
        found = collector.wait(4, settle=0.1)
        assert [r["levelname"] for r in found] == ["ERROR"] * 4
        assert [r["exc_info"] and r["exc_info"]["type"] for r in found] == [
            "ValueError",
            "ValueError",
            "KeyError",
            None,
        ]
        assert found[0]["exc_info"]["frames"][-1]["function"] == "test_exceptions"
        assert "Traceback" in printed.getvalue()

    def test_goals(self, handler: ZmqHandler, collector: Any, printed: io.StringIO) -> None:
        with task("work") as goal:
            structlog.get_logger().info("inside")
        record = collector.wait(3)[1]
        assert (record["message"], record["context"]["key"]) == ("inside", f"1@{goal.id}")

    def test_asynchronous(self, handler: ZmqHandler, collector: Any, printed: io.StringIO) -> None:
        async def main() -> None:
            with task("work"):
                await structlog.get_logger().ainfo("inside", n=1)

        asyncio.run(main())
        (record,) = (r for r in collector.wait(3, settle=0.1) if r["message"] == "inside")
        assert (record["context"]["key"][:2], record["funcName"]) == ("1@", "main")

    def test_levels(self, handler: ZmqHandler, collector: Any, printed: io.StringIO) -> None:
        log = structlog.get_logger()
        for method in ("debug", "info", "warn", "warning", "error", "critical", "fatal"):
            getattr(log, method)(method)
        found = {r["message"]: r["levelno"] for r in collector.wait(7, settle=0.1)}
        expected = {"debug": 10, "info": 20, "warn": 30, "warning": 30, "error": 40, "critical": 50, "fatal": 50}
        assert found == expected

    def test_levels_of_ones_own(self, handler: ZmqHandler, collector: Any) -> None:
        logging.addLevelName(25, "SUCCESS")
        deliver = Deliver()
        entry = {"event": "done", "level": "success", "n": 1}
        assert deliver(None, "success", entry) is entry and entry == {"event": "done", "level": "success", "n": 1}
        deliver(None, "info", {"event": "by number", "level_number": 18})
        found = [(r["message"], r["levelno"], r["levelname"]) for r in collector.wait(2, settle=0.1)]
        assert found == [("done", 25, "SUCCESS"), ("by number", 18, "Level 18")]

    def test_levels_of_loggers_and_handlers_count(
        self, handler: ZmqHandler, collector: Any, printed: io.StringIO
    ) -> None:
        quiet = logging.getLogger("structured.quiet")
        quiet.setLevel(logging.ERROR)
        log = structlog.get_logger().bind(logger="structured.quiet")
        log.warning("low")
        log.error("high")
        handler.setLevel(logging.CRITICAL)
        log.error("not high enough")
        assert [(r["message"], r["name"]) for r in collector.wait(1, settle=0.1)] == [("high", "structured.quiet")]
        assert len(printed.getvalue().splitlines()) == 3

    def test_the_rest_of_the_standard_library_hears_nothing(
        self, handler: ZmqHandler, collector: Any, printed: io.StringIO, caplog: pytest.LogCaptureFixture
    ) -> None:
        structlog.get_logger().error("once")
        assert len(collector.wait(1, settle=0.1)) == 1
        assert caplog.records == []

    def test_a_given_handler(self, collector: Any, printed: io.StringIO) -> None:
        one = ZmqHandler(collector.endpoint)
        Deliver(one)(None, "info", {"event": "direct"})
        assert [r["message"] for r in collector.wait(1, settle=0.1)] == ["direct"]
        one.close()

    def test_stacks_and_what_was_rendered_before(self, handler: ZmqHandler, collector: Any) -> None:
        chain = structlog.PrintLogger(io.StringIO())
        log = structlog.wrap_logger(
            chain,
            processors=[
                structlog.processors.CallsiteParameterAdder(
                    [structlog.processors.CallsiteParameter.FUNC_NAME, structlog.processors.CallsiteParameter.THREAD]
                ),
                structlog.processors.TimeStamper(fmt="iso"),
                structlog.processors.format_exc_info,
                Deliver(),
                structlog.processors.JSONRenderer(default=repr),
            ],
        )
        log.info("site", stack_info=True)
        try:
            1 / 0
        except ZeroDivisionError:
            log.exception("rendered")
        first, second = collector.wait(2, settle=0.1)
        assert first["funcName"] == "test_stacks_and_what_was_rendered_before"
        assert "test_setup_sources.py" in first["stack_info"] and "func_name" not in first
        assert "timestamp" in first
        assert second["exc_text"].endswith("ZeroDivisionError: division by zero") and "exception" not in second

    def test_nothing_comes_out(
        self, handler: ZmqHandler, printed: io.StringIO, capsys: pytest.CaptureFixture[str]
    ) -> None:
        class Odd(dict):  # type: ignore[type-arg]
            def items(self) -> Any:
                raise RuntimeError("odd")

        entry = Odd(event="x")
        assert Deliver()(None, "info", entry) is entry
        assert "RuntimeError: odd" in capsys.readouterr().err

    def test_captured(self, printed: io.StringIO) -> None:
        with capture() as captured:
            structlog.get_logger().info("seen", n=1)
        assert captured.messages() == ["seen"] and captured.records[0]["n"] == 1


#: structlog finds its caller only with loggers of its own class: no other test may have made this one before.
NAME = "shop.of.structlog"


class TestStructlogOnTheStandardLibrary:
    @pytest.fixture
    def set_up(self) -> Iterator[Any]:
        def configure(*last: Any) -> None:
            structlog.configure(
                processors=[
                    structlog.stdlib.add_log_level,
                    structlog.stdlib.add_logger_name,
                    structlog.stdlib.PositionalArgumentsFormatter(),
                    Deliver(),
                    *last,
                ],
                wrapper_class=structlog.stdlib.BoundLogger,
                logger_factory=structlog.stdlib.LoggerFactory(),
            )

        yield configure
        structlog.reset_defaults()

    def test_wrapped_for_a_formatter(
        self, handler: ZmqHandler, collector: Any, set_up: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        set_up(structlog.stdlib.ProcessorFormatter.wrap_for_formatter)
        handler.setFormatter(Formatter())
        with task("work"):
            try:
                raise ValueError("boom")
            except ValueError:
                structlog.get_logger(NAME).bind(user="ann").exception(
                    "paid %d", 3, amount=1.5, msg="taken", stack_info=True
                )
            logging.getLogger("plain").info("as %s", "ever", extra={"n": 1})
        _, record, plain, _ = collector.wait(4, settle=0.1)
        assert (record["message"], record["levelname"], record["name"]) == ("paid 3", "ERROR", NAME)
        assert (record["user"], record["amount"], record["msg_"]) == ("ann", 1.5, "taken")
        assert record["exc_info"]["type"] == "ValueError" and record["context"]["key"].startswith("1@")
        assert record["funcName"] == "test_wrapped_for_a_formatter" and record["stack_info"].startswith("Stack")
        assert "_logger" not in record and "event" not in record
        assert (plain["message"], plain["n"], plain["msg"]) == ("as ever", 1, "as %s")
        # Other handlers have the entry as it was.
        assert isinstance(caplog.records[1].msg, dict)

    def test_rendered_to_arguments(self, handler: ZmqHandler, collector: Any, set_up: Any) -> None:
        set_up(structlog.stdlib.render_to_log_kwargs)
        structlog.get_logger(NAME).warning("paid", amount=3)
        (record,) = collector.wait(1, settle=0.1)
        assert (record["message"], record["amount"], record["name"]) == ("paid", 3, NAME)
        assert record["funcName"] == "test_rendered_to_arguments"

    def test_rendered_to_text(self, handler: ZmqHandler, collector: Any, set_up: Any) -> None:
        set_up(structlog.processors.JSONRenderer())
        structlog.get_logger(NAME).warning("paid", amount=3)
        (record,) = collector.wait(1, settle=0.1)
        assert '"amount": 3' in record["message"]


@pytest.fixture
def logger() -> Iterator[Any]:
    """loguru's logger, connected to distlog and to nothing else."""
    one = loguru.logger
    one.remove()
    one.add(of_loguru.deliver, level=0, format="{message}", catch=False)
    yield one
    one.remove()


class TestLoguru:
    def test_fields_are_data(self, handler: ZmqHandler, collector: Any, logger: Any) -> None:
        with logger.contextualize(request="r-7"):
            logger.bind(user="ann", name="taken", colour=Colour()).warning("paid {} {what}", 3, what="coins")
        line = this_line() - 1
        (record,) = collector.wait(1, settle=0.1)
        assert (record["message"], record["levelname"], record["levelno"]) == ("paid 3 coins", "WARNING", 30)
        assert (record["request"], record["user"], record["what"]) == ("r-7", "ann", "coins")
        assert (record["name"], record["name_"], record["colour"]) == (__name__, "taken", "Colour")
        assert (record["pathname"], record["lineno"], record["funcName"]) == (__file__, line, "test_fields_are_data")
        assert (record["filename"], record["threadName"]) == ("test_setup_sources.py", "MainThread")

    def test_percent_signs(self, handler: ZmqHandler, collector: Any, logger: Any) -> None:
        logger.info("100% {{}} %s")
        assert collector.wait(1)[0]["message"] == "100% {{}} %s"

    def test_levels(self, handler: ZmqHandler, collector: Any, logger: Any) -> None:
        handler.setLevel(0)
        logging.getLogger().setLevel(1)
        try:
            logger.level("Gossip", no=17)
        except (TypeError, ValueError):
            # It is there: levels of loguru are for ever.
            pass
        for level in ("TRACE", "SUCCESS", "Gossip", 33):
            logger.log(level, str(level))
        found = [(r["message"], r["levelname"], r["levelno"]) for r in collector.wait(4, settle=0.1)]
        assert found == [
            ("TRACE", "TRACE", 5),
            ("SUCCESS", "SUCCESS", 25),
            ("Gossip", "Gossip", 17),
            ("33", "Level 33", 33),
        ]

    def test_exceptions(self, handler: ZmqHandler, collector: Any, logger: Any) -> None:
        try:
            raise ValueError("boom")
        except ValueError:
            logger.exception("caught")

        @logger.catch
        def work() -> None:
            1 / 0

        work()
        logger.opt(exception=KeyError("given")).error("by hand")
        found = collector.wait(3, settle=0.1)
        assert [r["exc_info"]["type"] for r in found] == ["ValueError", "ZeroDivisionError", "KeyError"]
        assert found[1]["exc_info"]["frames"][-1]["function"] == "work"
        assert "ValueError: boom" in found[0]["exc_text"]

    def test_goals_and_threads(self, handler: ZmqHandler, collector: Any, logger: Any) -> None:
        with task("work") as goal:
            logger.info("inside")
            thread = threading.Thread(target=logger.info, args=("elsewhere",), name="other")
            thread.start()
            thread.join()
        found = {r["message"]: r for r in collector.wait(4)}
        assert found["inside"]["context"]["key"] == f"1@{goal.id}"
        assert "context" not in found["elsewhere"] and found["elsewhere"]["threadName"] == "other"

    def test_levels_of_loggers_count(self, handler: ZmqHandler, collector: Any, logger: Any) -> None:
        logging.getLogger(__name__).setLevel(logging.ERROR)
        logger.warning("low")
        logger.error("high")
        logging.getLogger(__name__).setLevel(0)
        assert [r["message"] for r in collector.wait(1, settle=0.1)] == ["high"]

    def test_intercepted_records_come_once(self, handler: ZmqHandler, collector: Any, logger: Any) -> None:
        class Intercept(logging.Handler):
            """As loguru's own documentation has it, in short."""

            def emit(self, record: logging.LogRecord) -> None:
                frame, depth = logging.currentframe(), 2
                while frame is not None and frame.f_code.co_filename == logging.__file__:
                    frame, depth = frame.f_back, depth + 1
                loguru.logger.opt(depth=depth, exception=record.exc_info).log(record.levelname, record.getMessage())

        intercept = Intercept()
        alone = logging.getLogger("alone")
        logging.getLogger().addHandler(intercept)
        alone.addHandler(intercept)
        try:
            logging.getLogger("app").warning("standard")
            logger.warning("loguru")
            alone.propagate = False
            alone.warning("not ours by itself")
        finally:
            logging.getLogger().removeHandler(intercept)
            alone.removeHandler(intercept)
            alone.propagate = True
        found = [r["message"] for r in collector.wait(3, settle=0.1)]
        assert found == ["standard", "loguru", "not ours by itself"]

    def test_connect(self, collector: Any, logger: Any) -> None:
        logger.remove()
        one = ZmqHandler(collector.endpoint)
        one.setFormatter(JSONFormatter())
        number = of_loguru.connect(one, level="INFO")
        logger.debug("low")
        logger.info("high")
        logger.remove(number)
        logger.info("gone")
        assert [r["message"] for r in collector.wait(1, settle=0.1)] == ["high"]
        one.close()

    def test_a_serialised_form_changes_nothing(self, handler: ZmqHandler, collector: Any, logger: Any) -> None:
        logger.remove()
        logger.add(of_loguru.deliver, serialize=True)
        logger.info("plain", n=1)
        (record,) = collector.wait(1, settle=0.1)
        assert (record["message"], record["n"]) == ("plain", 1)
