"""Threads, pools and asyncio as other libraries test theirs: goals go where they are meant to, and stay where they belong."""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing.pool
import queue
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from distlog import ZmqHandler, current_task, propagate, task, to, wrap
from distlog.testing import capture

log = logging.getLogger("peers.threads")


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    """No test leaves a goal behind, nor propagation on."""
    yield
    propagate(False)
    assert current_task() is None


def title() -> str | None:
    goal = current_task()
    return None if goal is None else str(goal.msg)


def in_thread(function: Any) -> Any:
    """What the function gives in a thread of its own."""
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(function()))
    thread.start()
    thread.join()
    return got[0]


class TestThreads:
    @pytest.mark.parametrize("propagated", [True, False])
    def test_threads(self, propagated: bool) -> None:
        """A thread has the goal of whoever starts it if propagation is on, and none if it is off."""
        propagate(propagated)
        with task("outer"):
            assert in_thread(title) == ("outer" if propagated else None)

    @pytest.mark.parametrize("propagated", [True, False])
    def test_pools(self, propagated: bool) -> None:
        """The same for executors, and for the jobs of a pool whose thread served another goal before."""
        propagate(propagated)
        with ThreadPoolExecutor(1) as pool:
            seen = []
            for name in ("first", "second"):
                with task(name):
                    seen.append(pool.submit(title).result())
            seen.append(pool.submit(title).result())
        assert seen == (["first", "second", None] if propagated else [None] * 3)

    def test_bound_fields_do_not_leak(self) -> None:
        """What a thread binds to a goal of its own is not seen by the others, nor by whoever started it."""
        propagate()
        with capture() as captured, task("outer", shared=1) as goal:

            def work(name: str) -> None:
                with to("inner", name=name) as inner:
                    inner.bind(private=name)
                    time.sleep(0.005)
                    log.info("%s", name)

            threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(8)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
            assert "private" not in goal.context
        for record in captured.records:
            if "goal" not in record:
                assert record["context"]["private"] == record["message"] == record["context"]["name"]
                assert record["context"]["shared"] == 1

    def test_circular_references_are_freed(self) -> None:
        """A thread that was started with propagation keeps neither itself nor its target alive."""
        propagate()

        class Target:
            def run(self) -> None:
                log.debug("x")

        target = Target()
        gone = weakref.ref(target)
        with task("outer"):
            thread = threading.Thread(target=target.run)
            thread.start()
            thread.join()
        thread_gone = weakref.ref(thread)
        del target, thread
        gc.collect()
        assert gone() is None
        assert thread_gone() is None

    def test_switched_on_twice(self) -> None:
        """Twice on is once on, and one off is off."""
        before = threading.Thread.start
        propagate()
        once = threading.Thread.start
        propagate()
        assert threading.Thread.start is once
        propagate(False)
        assert threading.Thread.start is before

    def test_patched_by_somebody_else_as_well(self) -> None:
        """Another library's patch of ``Thread.start`` before ours goes on working, with and after it."""
        original, calls = threading.Thread.start, []

        def foreign(self: threading.Thread) -> None:
            calls.append(self.name)
            original(self)

        threading.Thread.start = foreign  # type: ignore[method-assign]
        try:
            propagate()
            with task("outer"):
                assert in_thread(title) == "outer"
            propagate(False)
            assert in_thread(title) is None
            assert len(calls) == 2
        finally:
            threading.Thread.start = original  # type: ignore[method-assign]

    def test_subclasses_that_override_run(self) -> None:
        """A thread class with a ``run`` of its own, and one with a ``start`` of its own."""
        propagate()
        seen = []

        class Runs(threading.Thread):
            def run(self) -> None:
                seen.append(title())

        class Starts(Runs):
            def start(self) -> None:
                super().start()

        with task("outer"):
            for kind in (Runs, Starts):
                thread = kind()
                thread.start()
                thread.join()
        assert seen == ["outer", "outer"]

    def test_errors_in_threads_are_their_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An error in a thread reaches ``threading.excepthook``, and the goal outside does not fail for it."""
        propagate()
        caught = []
        monkeypatch.setattr(threading, "excepthook", lambda arguments: caught.append(arguments.exc_type))

        def fails() -> None:
            with to("fails"):
                raise ZeroDivisionError

        with capture() as captured, task("outer"):
            thread = threading.Thread(target=fails)
            thread.start()
            thread.join()
        tree = captured.tree()
        assert caught == [ZeroDivisionError]
        assert (tree["status"], tree["children"][0]["status"]) == ("succeeded", "failed")

    def test_a_wrapped_function_may_be_called_often(self) -> None:
        """Many times, by many threads at once, and after the goal has ended."""
        with task("outer"):
            carried = wrap(title)
            pool = multiprocessing.pool.ThreadPool(4)
        with pool:
            assert pool.map(lambda _: carried(), range(50)) == ["outer"] * 50
        assert title() is None


class TestHandlersAndThreads:
    def test_added_and_removed_while_others_log(self, collector: Any) -> None:
        """Handlers come and go under ten threads; what never left hears each record once."""
        stays = ZmqHandler(collector.endpoint, None, "T")
        stays.queue = None  # type: ignore[attr-defined]
        logger = logging.getLogger("peers.busy")
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        logger.addHandler(stays)
        stopping = threading.Event()

        def come_and_go() -> None:
            while not stopping.is_set():
                guest = ZmqHandler(collector.endpoint)
                logger.addHandler(guest)
                logger.removeHandler(guest)
                guest.close()

        def work(name: int) -> None:
            for number in range(100):
                with task("work %d", name):
                    logger.info("%d.%d", name, number)

        goer = threading.Thread(target=come_and_go)
        workers = [threading.Thread(target=work, args=(n,)) for n in range(10)]
        goer.start()
        [one.start() for one in workers]
        [one.join() for one in workers]
        stopping.set()
        goer.join()
        assert stays.flush(5)
        stays.close()
        logger.handlers.clear()
        time.sleep(0.1)
        heard = [r["message"] for r in collector.records() if r["topic"][0] == "T" and "goal" not in r]
        assert sorted(heard) == sorted(f"{n}.{k}" for n in range(10) for k in range(100))

    def test_stopping_loses_nothing(self, collector: Any) -> None:
        """``close()`` right after the last record: all of them are there."""
        for _ in range(10):
            made = ZmqHandler(collector.endpoint)
            for number in range(100):
                made.handle(logging.makeLogRecord({"msg": str(number), "levelno": 20}))
            made.close()
            assert made.stats()["sent"] == 100
        assert len(collector.wait(1000)) == 1000

    def test_umlauts_and_three_messages(self, collector: Any) -> None:
        """Three messages with umlauts make the round trip, over an address and over a socket of the program's own."""
        import zmq

        socket = zmq.Context.instance().socket(zmq.PUSH)
        socket.connect(collector.endpoint)
        for endpoint in (collector.endpoint, socket):
            made = ZmqHandler(endpoint)
            logger = logging.Logger("Test-Logger")
            logger.addHandler(made)
            sent = ["Logging something", "Something with umlauts äöü", "Something else for good measure"]
            for text in sent:
                logger.warning(text)
            made.flush()
            records = collector.wait(3)
            assert [(r["message"], r["name"]) for r in records] == [(text, "Test-Logger") for text in sent]
            collector.messages.clear()
            made.close()
        socket.close(0)

    def test_a_handler_used_up_to_its_end(self, collector: Any) -> None:
        """One thread closes while others log: no error, and each record either arrived or was counted."""
        made = ZmqHandler(collector.endpoint)
        done = threading.Barrier(5)
        attempts: queue.Queue[int] = queue.Queue()

        def work() -> None:
            done.wait()
            for _ in range(300):
                made.handle(logging.makeLogRecord({"msg": "x", "levelno": 20}))
            attempts.put(300)

        workers = [threading.Thread(target=work) for _ in range(4)]
        [one.start() for one in workers]
        done.wait()
        time.sleep(0.002)
        made.close()
        [one.join() for one in workers]
        stats = made.stats()
        assert stats["sent"] + sum(stats["dropped"].values()) + stats["queued"] == 1200
        assert len(collector.wait(stats["sent"], settle=0.05)) == stats["sent"]


class TestAsyncio:
    def test_two_tasks_a_hundred_times(self) -> None:
        """Two tasks that take turns a hundred times keep their goals and their fields."""

        async def work(name: str) -> None:
            for number in range(100):
                with task(name, number=number) as goal:
                    goal.bind(more=name)
                    await asyncio.sleep(0)
                    log.info("%s %d", name, number)
                    await asyncio.sleep(0)
                    assert current_task() is goal

        async def main() -> None:
            await asyncio.gather(work("a"), work("b"))

        with capture() as captured:
            asyncio.run(main())
        found = [r for r in captured.records if r["name"] == log.name]
        assert len(found) == 200
        for record in found:
            name, number = record["message"].split()
            fields = {"number": int(number), "more": name}
            assert {key: record["context"][key] for key in fields} == fields

    def test_parallel_binds(self) -> None:
        """Tasks that were started in one goal bind to goals of their own; the one outside sees nothing of it."""

        async def work(number: int, both: asyncio.Barrier | Any) -> dict[str, Any]:
            with to("branch %d", number) as goal:
                goal.bind(branch=number)
                await both.wait()
                found = current_task()
                assert found is goal
                return found.context

        class Both:
            """A barrier for interpreters without one."""

            def __init__(self) -> None:
                self.waiting = 0
                self.opened = asyncio.Event()

            async def wait(self) -> None:
                self.waiting += 1
                if self.waiting == 2:
                    self.opened.set()
                await self.opened.wait()

        async def main() -> None:
            both = Both()
            with task("outer", shared=1) as outer:
                found = await asyncio.gather(work(1, both), work(2, both))
                assert found == [{"shared": 1, "branch": 1}, {"shared": 1, "branch": 2}]
                assert outer.context == {"shared": 1}

        asyncio.run(main())

    def test_nested_binds(self) -> None:
        """What an awaited coroutine binds to the same goal stays bound, since it is the same goal."""

        async def inner() -> None:
            goal = current_task()
            assert goal is not None
            goal.bind(nested=2)

        async def main() -> dict[str, Any]:
            with task("outer", first=1) as goal:
                await inner()
                log.info("after")
                return goal.context

        with capture() as captured:
            assert asyncio.run(main()) == {"first": 1, "nested": 2}
        (record,) = (r for r in captured.records if r["name"] == log.name)
        assert (record["context"]["first"], record["context"]["nested"]) == (1, 2)

    @pytest.mark.skipif(sys.version_info < (3, 11), reason="TaskGroup came with 3.11")
    def test_task_groups(self) -> None:
        """A group's tasks are below the goal in which the group was entered; one that fails fails only its own goal and those above."""

        async def work(number: int) -> None:
            with to("branch %d", number):
                await asyncio.sleep(0)
                if number == 1:
                    raise ValueError("one")
                await asyncio.sleep(5)

        async def main() -> None:
            with task("outer"):
                async with asyncio.TaskGroup() as group:
                    for number in range(3):
                        group.create_task(work(number))

        with capture() as captured, pytest.raises(BaseException, match="unhandled errors"):
            asyncio.run(main())
        tree = captured.tree()
        assert tree["status"] == "failed"
        assert len(tree["children"]) == 3
        errors = {
            r["goal"]["title"]: r["goal"].get("error") for r in captured.records if r.get("goal", {}).get("status")
        }
        assert "one" in errors["branch 1"]
        assert "cancelled" in str(errors["branch 0"])


class TestExceptionsPass:
    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError, ValueError])
    def test_nothing_is_swallowed(self, kind: type[BaseException]) -> None:
        """Whatever leaves the block goes on, the same object, with no context added."""
        error = kind("x")
        with pytest.raises(kind) as raised, task("outer"), to("inner"):
            raise error
        assert raised.value is error
        assert raised.value.__context__ is None

    def test_a_value_that_raises_base_exceptions(self, handler: ZmqHandler, collector: Any) -> None:
        """KeyboardInterrupt in an argument's ``__str__`` is the user's: it is not lost, and the next record arrives."""

        class Interrupts:
            def __str__(self) -> str:
                raise KeyboardInterrupt

        before, logging.getLogger().handlers = logging.getLogger().handlers, [handler]
        try:
            try:
                log.info("%s", Interrupts())
            except KeyboardInterrupt:
                pass
            log.info("after")
        finally:
            logging.getLogger().handlers = before
        assert collector.wait(1, settle=0.05)[-1]["message"] == "after"

    @pytest.mark.parametrize("attribute", ["__str__", "__repr__", "args", "__cause__", "__notes__", "__traceback__"])
    def test_exceptions_that_cannot_be_shown(self, attribute: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """An exception that raises when it is looked at fails its goal and goes on."""

        def broken(self: Any, *_: Any) -> Any:
            raise RuntimeError("cannot be shown")

        value = broken if attribute in ("__str__", "__repr__") else property(broken)
        kind = type("Unprintable", (Exception,), {attribute: value})
        error, caught = kind(), False
        # Neither pytest's handlers nor its report could show it.
        monkeypatch.setattr(logging.getLogger(), "handlers", [])
        with capture() as captured:
            try:
                with task("shown"):
                    raise error
            except BaseException as raised:
                caught = raised is error
        assert caught
        (end,) = (r for r in captured.records if r["goal"].get("status"))
        assert end["goal"]["status"] == "failed"
        assert "Unprintable" in str(end["goal"]["error"])
