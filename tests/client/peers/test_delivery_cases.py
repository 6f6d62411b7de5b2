"""What other senders' suites ask of theirs: batches, ends, retries, counted losses, recursion, sockets; asked of ours."""

from __future__ import annotations

import collections
import logging
import logging.handlers
import threading
import time
import warnings
from typing import Any

import pytest
import zmq
from distlog import JSONFormatter, Serializer, ZmqHandler, task

log = logging.getLogger("peers.delivery")


def record(text: str, level: int = logging.INFO) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": text, "levelno": level, "levelname": logging.getLevelName(level)})


def texts(records: list[dict[str, Any]]) -> list[str]:
    return [one["message"] for one in records]


class TestBatches:
    def test_many_at_once(self, collector: Any) -> None:
        """A thousand at once are there within a second, in order; nothing waits for a timer."""
        made = ZmqHandler(collector.endpoint)
        started = time.monotonic()
        for number in range(1000):
            made.handle(record(str(number)))
        found = texts(collector.wait(1000))
        assert time.monotonic() - started < 1.5
        assert found == [str(number) for number in range(1000)]
        made.close()

    def test_one_alone(self, collector: Any) -> None:
        """A single record is there at once, without flush, although others might follow."""
        made = ZmqHandler(collector.endpoint)
        made.handle(record("first"))
        collector.wait(1)
        started = time.monotonic()
        made.handle(record("second"))
        collector.wait(2)
        assert time.monotonic() - started < 0.5
        made.close()

    def test_sent_before_the_end_and_dropped_after_it(self, collector: Any) -> None:
        """``close`` sends what is there; what comes later is dropped and counted."""
        made = ZmqHandler(collector.endpoint)
        made.handle(record("before"))
        made.close()
        made.handle(record("after"))
        made.flush()
        assert texts(collector.wait(1, settle=0.1)) == ["before"]
        stats = made.stats()
        assert (stats["sent"], stats["dropped"]["closed"], stats["queued"]) == (1, 1, 0)

    def test_flush_gives_true_and_false(self, collector: Any, free_port: int) -> None:
        """True when all has left, false when it has not within the time."""
        there, nobody = ZmqHandler(collector.endpoint), ZmqHandler(f"tcp://127.0.0.1:{free_port}", flush_timeout=0.1)
        for made in (there, nobody):
            made.handle(record("x"))
        assert there.flush(5) is True
        started = time.monotonic()
        assert nobody.flush(0.2) is False
        assert 0.15 < time.monotonic() - started < 1.0
        there.close()
        nobody.close()

    def test_the_end_is_bounded_while_somebody_flushes(self, free_port: int) -> None:
        """``close`` ends within its time although other threads wait for the same queue."""
        made = ZmqHandler(f"tcp://127.0.0.1:{free_port}", flush_timeout=0.3)
        for number in range(100):
            made.handle(record(str(number)))
        waiting = [threading.Thread(target=made.flush, args=(1.0,)) for _ in range(4)]
        [one.start() for one in waiting]
        started = time.monotonic()
        made.close()
        assert time.monotonic() - started < 1.0
        [one.join(5) for one in waiting]
        assert not any(one.is_alive() for one in waiting)

    def test_a_flush_does_not_hold_others_up(self, free_port: int) -> None:
        """While a thread waits in ``flush``, others log and run Python."""
        made = ZmqHandler(f"tcp://127.0.0.1:{free_port}", flush_timeout=0.1)
        made.handle(record("x"))
        flusher = threading.Thread(target=made.flush, args=(0.6,))
        flusher.start()
        started = time.monotonic()
        for number in range(1000):
            made.handle(record(str(number)))
        assert time.monotonic() - started < 0.5
        flusher.join()
        made.close()

    def test_one_that_is_too_large_costs_only_itself(self, collector: Any) -> None:
        """A record that no queue could hold is refused and counted; those around it arrive."""
        made = ZmqHandler(collector.endpoint, queue_bytes=200_000)
        made.handle(record("before"))
        made.handle(record("x" * 150_000))
        made.handle(record("after"))
        assert made.flush(5)
        stats = made.stats()
        lost = sum(stats["dropped"].values())
        found = [text[:10] for text in texts(collector.wait(3 - lost, settle=0.05))]
        assert found[0] == "before"
        assert found[-1] == "after"
        assert len(found) == 3 - lost
        made.close()


class TestLosses:
    def test_each_drop_is_counted(self, free_port: int) -> None:
        """What was given is what waits and what was dropped, to the record."""
        made = ZmqHandler(f"tcp://127.0.0.1:{free_port}", queue_bytes=20_000, flush_timeout=0.05)
        for number in range(500):
            made.handle(record(str(number)))
        stats = made.stats()
        assert stats["dropped"]["full"] > 100
        assert stats["queued"] + stats["dropped"]["full"] == 500
        made.close()
        stats = made.stats()
        assert stats["queued"] + sum(stats["dropped"].values()) == 500

    def test_important_ones_have_room(self, make_collector: Any, free_port: int) -> None:
        """When chatter has filled the queue, an error still gets in."""
        made = ZmqHandler(f"tcp://127.0.0.1:{free_port}", queue_bytes=50_000)
        for number in range(500):
            made.handle(record(str(number), logging.DEBUG))
        assert made.stats()["dropped"]["full"] > 0
        made.handle(record("important", logging.ERROR))
        late = make_collector(free_port)
        assert made.flush(5)
        deadline = time.monotonic() + 5
        while "important" not in texts(late.records()) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "important" in texts(late.records())
        made.close()

    def test_retries_while_the_daemon_is_away(self, make_collector: Any, free_port: int) -> None:
        """What is logged while nobody is there arrives in order, once, as soon as somebody is."""
        made = ZmqHandler(f"tcp://127.0.0.1:{free_port}")
        for number in range(50):
            made.handle(record(str(number)))
            time.sleep(0.002)
        late = make_collector(free_port)
        assert texts(late.wait(50, settle=0.05)) == [str(number) for number in range(50)]
        made.close()

    def test_close_while_it_retries(self, free_port: int) -> None:
        """Closing in the middle of retries ends them, and a second close and a later record are harmless."""
        made = ZmqHandler(f"tcp://127.0.0.1:{free_port}", flush_timeout=0.1)
        made.handle(record("lost"))
        time.sleep(0.3)
        started = time.monotonic()
        made.close()
        made.close()
        made.handle(record("late"))
        assert time.monotonic() - started < 0.5
        assert made.stats()["dropped"]["closed"] == 2


class TestWhoLogsWhileWeSend:
    def test_a_loop_through_another_handler(self, handler: ZmqHandler, collector: Any) -> None:
        """Another handler that logs for each record it gets ends where it says; ours adds nothing to the loop."""

        class Repeats(logging.Handler):
            depth = 0

            def emit(self, one: logging.LogRecord) -> None:
                if self.depth < 3:
                    self.depth += 1
                    log.info("again %d", self.depth)
                    self.depth -= 1

        repeats = Repeats()
        log.addHandler(repeats)
        try:
            log.info("first")
        finally:
            log.removeHandler(repeats)
        found = collections.Counter(texts(collector.wait(4, settle=0.05)))
        assert found == {"first": 1, "again 1": 1, "again 2": 1, "again 3": 1}

    def test_nothing_of_ours_logs(self, handler: ZmqHandler, collector: Any, free_port: int) -> None:
        """Whatever goes wrong inside, no logger of ours says so through logging: there is none."""
        away = ZmqHandler(f"tcp://127.0.0.1:{free_port}", flush_timeout=0.05, queue_bytes=1000)
        before = set(logging.root.manager.loggerDict)
        with task("x"):
            for _ in range(50):
                away.handle(record("x"))
        away.close()
        new = set(logging.root.manager.loggerDict) - before
        assert not [name for name in new if name.split(".")[0] == "distlog"]

    def test_warnings_made_while_encoding(self, handler: ZmqHandler, collector: Any) -> None:
        """A value that warns, with warnings captured into logging, gives two records and no loop."""

        class Warns:
            def __str__(self) -> str:
                warnings.warn("from a value", stacklevel=1)
                return "value"

        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(True)
            try:
                log.info("%s", Warns())
            finally:
                logging.captureWarnings(False)
        names = {one["name"] for one in collector.wait(2, settle=0.05)}
        assert names == {log.name, "py.warnings"}

    def test_a_filter_that_raises(self, handler: ZmqHandler, collector: Any) -> None:
        """A handler's filter that raises does so as with any handler; the next record arrives."""

        def broken(_: logging.LogRecord) -> bool:
            raise ZeroDivisionError

        handler.addFilter(broken)
        with pytest.raises(ZeroDivisionError):
            log.info("lost")
        handler.removeFilter(broken)
        log.info("kept")
        assert texts(collector.wait(1, settle=0.05)) == ["kept"]

    @pytest.mark.parametrize("gives", [ZeroDivisionError("x"), None, 7])
    def test_a_serializer_that_fails(
        self, handler: ZmqHandler, collector: Any, gives: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """One that raises, or gives no bytes, costs this record, is told on stderr, and raises nothing."""

        class Broken(Serializer):
            encoding = "J"

            def format(self, one: logging.LogRecord) -> Any:
                if isinstance(gives, Exception):
                    raise gives
                return gives

        handler.setFormatter(Broken())
        log.info("lost")
        handler.setFormatter(JSONFormatter())
        log.info("kept")
        assert texts(collector.wait(1, settle=0.05)) == ["kept"]
        assert "Logging error" in capsys.readouterr().err


class TestWhatIsOnARecord:
    def test_attributes_of_the_user(self, handler: ZmqHandler, collector: Any) -> None:
        """Extra of every kind is data at the top of the record."""
        extra = {
            "http.status_code": 200,
            "flag": False,
            "nothing": None,
            "list": [1, "a", None],
            "nested": {"a": {"b": 1}},
        }
        log.warning("attributes", extra=extra)
        (one,) = collector.wait(1)
        assert {name: one[name] for name in extra} == extra

    def test_exceptions_in_cycles(self, handler: ZmqHandler, collector: Any) -> None:
        """An exception that is its own cause, by two steps, is told once, and arrives."""
        first, second = ValueError("first"), KeyError("second")
        first.__cause__, second.__cause__ = second, first
        log.error("cycle", exc_info=first)
        recursive = RuntimeError("own")
        recursive.args = (recursive,)
        log.error("own", exc_info=recursive)
        found = collector.wait(2)
        assert texts(found) == ["cycle", "own"]
        assert found[0]["exc_info"]["type"] == "ValueError"

    def test_an_exception_with_objects_inside(self, handler: ZmqHandler, collector: Any) -> None:
        """Arguments of an exception may be anything."""

        class Custom(Exception):
            def __str__(self) -> str:
                return "C" * 10

        try:
            raise Custom({"a": object()}, lock := threading.Lock())
        except Custom:
            log.exception("payload %s", lock)
        (one,) = collector.wait(1)
        assert one["exc_info"]["message"] == "C" * 10

    def test_a_goal_is_on_every_record_of_it(self, handler: ZmqHandler, collector: Any) -> None:
        """Records of any logger and level inside have its id; those before and after have none."""
        log.info("before")
        with task("work") as goal:
            logging.getLogger("elsewhere").debug("inside")
        log.info("after")
        found = {one["message"]: one.get("context") for one in collector.wait(5)}
        assert found["inside"]["key"] == f"1@{goal.id}"
        assert (found["before"], found["after"]) == (None, None)

    def test_a_logger_that_is_disabled(self, handler: ZmqHandler, collector: Any) -> None:
        """A disabled logger, and ``logging.disable``, hide records from us as from everybody."""
        quiet = logging.getLogger("peers.quiet")
        quiet.disabled = True
        quiet.critical("hidden")
        quiet.disabled = False
        logging.disable(logging.CRITICAL)
        try:
            log.critical("hidden")
        finally:
            logging.disable(logging.NOTSET)
        log.info("seen")
        assert texts(collector.wait(1, settle=0.05)) == ["seen"]


class TestSockets:
    """As pyzmq's own handler takes them."""

    def test_from_an_address(self, collector: Any) -> None:
        """An address and a context of pyzmq's, which is not needed."""
        made = ZmqHandler(collector.endpoint, zmq.Context.instance())
        made.handle(record("by address"))
        assert texts(collector.wait(1)) == ["by address"]
        made.close()

    @pytest.mark.parametrize("text", ["", " ", "\n", "\0", "ünïcodé ☃", "b" * 60_000])
    def test_blank_and_strange_messages(self, collector: Any, text: str) -> None:
        """Over a socket of the program's own, any text is one message of two frames."""
        socket = zmq.Context.instance().socket(zmq.PUSH)
        socket.connect(collector.endpoint)
        made = ZmqHandler(socket)
        made.handle(record(text))
        (one,) = collector.wait(1)
        assert one["message"] == text
        assert [len(frames) for frames in collector.messages] == [2]
        made.close()
        socket.close(0)

    def test_a_serializer_of_ones_own(self, collector: Any) -> None:
        """Its letter is in the topic and its bytes are the body."""

        class Upper(Serializer):
            encoding = "U"

            def format(self, one: logging.LogRecord) -> bytes:
                return one.getMessage().upper().encode()

        made = ZmqHandler(collector.endpoint, None, "S")
        made.setFormatter(Upper())
        made.handle(record("quiet"))
        while not collector.messages:
            time.sleep(0.005)
        assert collector.messages == [[b"SLU", b"QUIET"]]
        made.close()

    def test_the_socket_stays_the_programs(self, collector: Any) -> None:
        """Closing the handler does not close it."""
        socket = zmq.Context.instance().socket(zmq.PUSH)
        socket.connect(collector.endpoint)
        made = ZmqHandler(socket)
        made.close()
        assert not socket.closed
        socket.send_multipart([b"PLJ", b'{"message":"mine"}'])
        assert texts(collector.wait(1)) == ["mine"]
        socket.close(0)

    def test_other_transports(self, tmp_path: Any) -> None:
        """A Unix socket does as well."""
        receiver = zmq.Context.instance().socket(zmq.PULL)
        endpoint = f"ipc://{tmp_path}/pull"
        receiver.bind(endpoint)
        made = ZmqHandler(endpoint)
        made.handle(record("over ipc"))
        assert receiver.poll(5000)
        assert b"over ipc" in receiver.recv_multipart()[1]
        made.close()
        receiver.close(0)
