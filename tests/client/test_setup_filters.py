"""Rate limits, and details only where a goal failed: what arrives, and what it says of what did not."""

from __future__ import annotations

import asyncio
import copy
import logging
import logging.config
import logging.handlers
import pickle
import queue
import threading
import time
from typing import Any

import pytest
from distlog import ZmqHandler, task, to
from distlog.filters import KeepDebug, RateLimit

log = logging.getLogger("app")


class Clock:
    """Time that passes when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("distlog.filters.time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stands still."""
    return Clock(monkeypatch)


def said(records: list[dict[str, Any]]) -> list[str]:
    """The messages; of end records, the status."""
    return [r["goal"].get("status", "begin") if "goal" in r else r["message"] for r in records]


def is_whole(records: list[dict[str, Any]]) -> bool:
    """Whether each goal's numbers are there without holes, the end record's last."""
    numbers: dict[str, list[int]] = {}
    for record in records:
        number, _, goal = record["context"]["key"].partition("@")
        numbers.setdefault(goal, []).append(int(number))
        if goal.count("/") and number == "0":
            parent, _, child = goal.rpartition("/")
            numbers.setdefault(parent, []).append(int(child))
    ends = {
        r["context"]["key"].partition("@")[2]: r["goal"]["count"] for r in records if r.get("goal", {}).get("count")
    }
    return all(sorted(found) == list(range(ends[goal])) for goal, found in numbers.items())


class TestRateLimit:
    def test_a_burst_then_the_rate(self, handler: ZmqHandler, collector: Any, clock: Clock) -> None:
        limit = RateLimit(2, 1.0, burst=3)
        handler.addFilter(limit)

        def flood(count: int) -> None:
            for _ in range(count):
                log.info("same %s", "place")

        flood(10)
        clock.now += 0.5
        flood(2)
        clock.now += 100
        flood(5)
        found = collector.wait(7, settle=0.1)
        assert [r.get("suppressed") for r in found] == [None, None, None, 7, 1, None, None]
        assert limit.suppressed == 10

    def test_call_sites_are_separate(self, handler: ZmqHandler, collector: Any, clock: Clock) -> None:
        handler.addFilter(RateLimit(1))
        for n in range(3):
            log.info("one %d", n)
            log.info("other %d", n)
            log.log(logging.INFO if n else logging.WARNING, "by level %d", n)
        assert said(collector.wait(4, settle=0.1)) == ["one 0", "other 0", "by level 0", "by level 1"]

    def test_goals_always_pass(self, handler: ZmqHandler, collector: Any, clock: Clock) -> None:
        handler.addFilter(RateLimit(1))
        with task("outer"):
            for _ in range(3):
                with to("inner"):
                    log.info("x")
        found = collector.wait(9, settle=0.1)
        assert said(found).count("begin") == 4 and said(found).count("x") == 1
        assert is_whole(found)

    def test_memory_is_bounded(self, clock: Clock) -> None:
        limit = RateLimit(1, sites=10)
        for line in range(100):
            assert limit.filter(logging.LogRecord("n", 20, "file", line, "m", (), None))
        assert len(limit._buckets) == 10
        # The one that is still remembered has used up what it may.
        assert not limit.filter(logging.LogRecord("n", 20, "file", 99, "m", (), None))

    def test_threads(self, clock: Clock) -> None:
        limit, passed = RateLimit(50, burst=50), []

        def flood() -> None:
            for _ in range(200):
                if limit.filter(logging.LogRecord("n", 20, "file", 1, "m", (), None)):
                    passed.append(1)

        threads = [threading.Thread(target=flood) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(passed), limit.suppressed) == (50, 750)

    def test_time_passes(self) -> None:
        limit = RateLimit(1, 0.05)
        record = logging.LogRecord("n", 20, "file", 1, "m", (), None)
        assert [limit.filter(record), limit.filter(record)] == [True, False]
        time.sleep(0.06)
        assert limit.filter(record) and record.suppressed == 1  # type: ignore[attr-defined]

    def test_of_dict_config(self, collector: Any, clock: Clock) -> None:
        logger = logging.getLogger("limited")
        settings = {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"calm": {"()": "distlog.filters.RateLimit", "records": 1, "seconds": 60, "burst": 2}},
            "handlers": {"z": {"class": "distlog.ZmqHandler", "endpoint": collector.endpoint, "filters": ["calm"]}},
            "loggers": {"limited": {"handlers": ["z"], "level": "INFO"}},
        }
        logging.config.dictConfig(settings)
        for n in range(5):
            logger.info("%d", n)
        assert said(collector.wait(2, settle=0.1)) == ["0", "1"]
        logger.handlers[0].close()
        logger.handlers.clear()

    @pytest.mark.parametrize(
        "arguments", [{"records": 0}, {"seconds": -1}, {"burst": "2"}, {"sites": None}, {"records": True}]
    )
    def test_wrong_arguments(self, arguments: dict[str, Any]) -> None:
        (name, value) = next(iter(arguments.items()))
        with pytest.raises(ValueError) as refused:
            RateLimit(**arguments)
        assert str(refused.value) == f"{name} is a number above 0, not {value!r}"

    def test_copies_in_other_processes(self) -> None:
        again = pickle.loads(pickle.dumps(RateLimit(3, 2.0, burst=5, sites=7)))
        assert (again.records, again.seconds, again.burst, again.sites) == (3, 2.0, 5, 7)


class TestKeepDebug:
    def test_a_goal_that_succeeds(self, handler: ZmqHandler, collector: Any) -> None:
        kept = KeepDebug()
        handler.addFilter(kept)
        with task("work"):
            for n in range(5):
                log.debug("detail %d", n)
            log.info("said")
        found = collector.wait(3, settle=0.1)
        assert said(found) == ["begin", "said", "succeeded"]
        assert is_whole(found)
        assert (found[-1]["withheld"], kept.withheld) == (5, 5)

    def test_a_goal_that_fails(self, handler: ZmqHandler, collector: Any) -> None:
        handler.addFilter(KeepDebug(last=3))
        with pytest.raises(ValueError), task("work"):
            for n in range(5):
                log.debug("detail %d", n)
            log.info("said")
            raise ValueError("boom")
        found = collector.wait(6, settle=0.1)
        assert said(found) == ["begin", "said", "detail 2", "detail 3", "detail 4", "failed"]
        assert is_whole(found)
        assert found[-1]["withheld"] == 2
        # With their true times, which were before that of what was sent at once.
        assert [r["created"] for r in found[2:5]] == sorted(r["created"] for r in found[2:5])
        assert found[4]["created"] <= found[1]["created"]

    def test_by_word(self, handler: ZmqHandler, collector: Any) -> None:
        handler.addFilter(KeepDebug())
        with task("work") as goal:
            log.debug("detail")
            goal.fail("not today")
        assert said(collector.wait(3, settle=0.1)) == ["begin", "detail", "failed"]

    def test_a_sub_goal_fails(self, handler: ZmqHandler, collector: Any) -> None:
        """Its details are sent, and those of the goals above up to then; later ones only if these fail too."""
        handler.addFilter(KeepDebug())
        with task("outer"):
            log.debug("outer 1")
            with pytest.raises(ValueError), to("inner"):
                log.debug("inner 1")
                raise ValueError
            log.debug("outer 2")
        found = collector.wait(6, settle=0.1)
        assert said(found) == ["begin", "begin", "outer 1", "inner 1", "failed", "succeeded"]
        assert is_whole(found)
        assert found[-1]["withheld"] == 1

    def test_a_sub_goal_succeeded_before(self, handler: ZmqHandler, collector: Any) -> None:
        handler.addFilter(KeepDebug(last=3))
        with pytest.raises(ValueError), task("outer"):
            log.debug("outer 1")
            with to("inner"):
                log.debug("inner 1")
                log.debug("inner 2")
            log.debug("outer 2")
            raise ValueError
        found = collector.wait(6, settle=0.1)
        assert said(found) == ["begin", "begin", "succeeded", "outer 1", "outer 2", "failed"]
        assert is_whole(found)
        assert (found[2]["withheld"], "withheld" in found[-1]) == (2, False)

    def test_goals_beside_each_other(self, handler: ZmqHandler, collector: Any) -> None:
        handler.addFilter(KeepDebug())

        async def work(n: int) -> None:
            with to("work %d", n):
                log.debug("detail %d", n)
                await asyncio.sleep(0.01)
                if n == 1:
                    raise ValueError

        async def main() -> None:
            await asyncio.gather(*(work(n) for n in range(3)), return_exceptions=True)

        asyncio.run(main())
        found = collector.wait(7, settle=0.1)
        assert [r["message"] for r in found if "detail" in r["message"]] == ["detail 1"]

    @pytest.mark.parametrize("outside", [False, True])
    def test_outside_goals(self, handler: ZmqHandler, collector: Any, outside: bool) -> None:
        handler.addFilter(KeepDebug(outside=outside))
        log.debug("detail")
        log.info("said")
        assert said(collector.wait(1 + outside, settle=0.1)) == ["detail", "said"][1 - outside :]

    def test_what_changes_later(self, handler: ZmqHandler, collector: Any) -> None:
        handler.addFilter(KeepDebug())
        basket, fields, number = ["apple"], {"n": [1]}, 7
        with pytest.raises(ValueError), task("work"):
            log.debug("has %s", basket, extra={"fields": fields})
            log.debug("has %r and %d", basket, number)
            log.debug("has %(n)s", {"n": basket})
            basket.append("pear")
            fields["n"].append(2)
            raise ValueError
        first, second, third = (r for r in collector.wait(5) if "goal" not in r)
        assert (first["message"], first["msg"], first["fields"]) == ("has ['apple']", "has %s", {"n": [1]})
        assert second["message"] == "has ['apple'] and 7"
        assert third["message"] == "has ['apple']"

    def test_other_handlers_see_records_as_they_are(self, handler: ZmqHandler, collector: Any) -> None:
        handler.addFilter(KeepDebug())
        seen: list[logging.LogRecord] = []
        other = logging.Handler()
        other.emit = lambda record: seen.append(copy.copy(record))  # type: ignore[method-assign]
        log.addHandler(other)
        basket = ["apple"]
        with task("work"):
            log.debug("has %s", basket)
        log.removeHandler(other)
        assert seen[0].args is not None and seen[0].args[0] is basket  # type: ignore[index]

    def test_two_handlers_with_one_filter(self, handler: ZmqHandler, collector: Any, make_collector: Any) -> None:
        other = make_collector()
        second, kept = ZmqHandler(other.endpoint), KeepDebug()
        log.addHandler(second)
        for one in (handler, second):
            one.addFilter(kept)
        with pytest.raises(ValueError), task("work"):
            log.debug("detail")
            raise ValueError
        log.removeHandler(second)
        for place in (collector, other):
            assert [m for m in said(place.wait(2, settle=0.1)) if m == "detail"] == ["detail"]
        second.close()

    def test_behind_a_queue(self, collector: Any) -> None:
        waiting: queue.Queue[Any] = queue.Queue()
        target, source = ZmqHandler(collector.endpoint), logging.handlers.QueueHandler(waiting)
        target.addFilter(KeepDebug())
        listener = logging.handlers.QueueListener(waiting, target)
        logger = logging.getLogger("queued")
        logger.setLevel(logging.DEBUG)
        logger.addHandler(source)
        listener.start()
        root = logging.getLogger()
        root.addHandler(source)
        logger.propagate = False
        with pytest.raises(ValueError), task("work"):
            logger.debug("detail")
            raise ValueError
        listener.stop()
        root.removeHandler(source)
        logger.removeHandler(source)
        assert "detail" in said(collector.wait(2, settle=0.1))
        target.close()

    def test_other_filters_are_asked_once(self, handler: ZmqHandler, collector: Any, clock: Clock) -> None:
        limit = RateLimit(1)
        handler.addFilter(limit)
        handler.addFilter(KeepDebug())
        with pytest.raises(ValueError), task("work"):
            for n in range(3):
                log.debug("detail %d", n)
            raise ValueError
        assert said(collector.wait(3, settle=0.1)) == ["begin", "detail 0", "failed"]
        assert limit.suppressed == 2

    def test_memory_is_bounded(self, handler: ZmqHandler, collector: Any) -> None:
        kept = KeepDebug(goals=2)
        handler.addFilter(kept)
        goals = [task("work %d", n) for n in range(4)]
        for goal in goals:
            goal.__enter__()
            log.debug("detail")
        assert len(kept._kept) == 2 and kept.withheld == 2
        for goal in reversed(goals):
            goal.__exit__(None, None, None)
        assert not kept._kept and kept.withheld == 4

    def test_a_forked_child_sends_nothing_of_its_parents(self, run: Any, collector: Any) -> None:
        run(
            """
            from distlog.filters import KeepDebug
            handler.addFilter(KeepDebug())
            try:
                with task("work"):
                    log.debug("parent")
                    if os.fork() == 0:
                        log.debug("child")
                        raise ValueError
                    os.wait()
                    raise ValueError
            except ValueError:
                pass
            """
        )
        found = [r["message"] for r in collector.wait(4, settle=0.3)]
        assert (found.count("parent"), found.count("child")) == (1, 1)

    @pytest.mark.parametrize("arguments", [{"last": 0}, {"goals": 1.5}, {"last": True}])
    def test_wrong_numbers(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="is a number above 0, not"):
            KeepDebug(**arguments)

    def test_wrong_level(self) -> None:
        with pytest.raises(ValueError, match="level is a level's name or number, not 'LOUD'"):
            KeepDebug(level="LOUD")

    def test_copies_in_other_processes(self) -> None:
        again = pickle.loads(pickle.dumps(KeepDebug(5, "WARNING", outside=True, goals=3)))
        assert (again.last, again.level, again.outside, again.goals) == (5, 30, True, 3)
