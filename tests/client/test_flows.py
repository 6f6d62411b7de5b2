"""Which goal is current: threads, asyncio, generators, pools. Nothing leaks, nothing is mixed up, nothing raises."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from typing import Any

import pytest
from distlog import current_task, propagate, task, to, wrap
from distlog.testing import capture

log = logging.getLogger("app.flows")


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    """No test leaves a goal behind."""
    yield
    assert current_task() is None


@pytest.fixture
def propagation() -> Iterator[None]:
    propagate()
    yield
    propagate(False)


def title() -> str | None:
    goal = current_task()
    return None if goal is None else str(goal.msg)


class TestThreads:
    def test_no_cross_talk(self) -> None:
        """B5"""

        def work(name: str) -> None:
            for _ in range(50):
                with task("outer %s", name), to("inner %s", name):
                    log.info("%s", name)

        with capture() as captured:
            threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(8)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
        trees = captured.trees()
        assert len(trees) == 400
        for tree in trees:
            (inner,) = tree["children"]
            name = tree["title"].split()[1]
            assert inner["title"] == f"inner {name}"
            assert [r["message"] for r in inner["own_records"]] == [f"inner {name}", name, f"inner {name}"]

    def test_threads_start_without_a_goal(self) -> None:
        """B8, off"""
        seen: list[Any] = []
        with task("outer"):
            thread = threading.Thread(target=lambda: seen.append(title()))
            thread.start()
            thread.join()
            with ThreadPoolExecutor(1) as pool:
                seen.append(pool.submit(title).result())
        assert seen == [None, None]

    def test_wrap(self) -> None:
        with task("outer"):
            carried = wrap(title)
        assert carried() == "outer"
        with task("other"):
            assert carried() == "outer"
            assert title() == "other"
        assert wrap(title)() is None

    def test_propagation(self, propagation: None) -> None:
        """B8, on"""
        seen: list[Any] = []
        with task("outer"):
            thread = threading.Thread(target=lambda: seen.append(title()))
            thread.start()
            thread.join()
            with ThreadPoolExecutor(1) as pool:
                seen.append(pool.submit(title).result())
                with to("deeper"):
                    seen.append(pool.submit(title).result())
            with ThreadPool(1) as threads:
                seen += threads.map(lambda _: title(), [1])
                seen += threads.imap(lambda _: title(), [1])
                seen.append(threads.apply(title))
            assert title() == "outer"
        assert seen == ["outer", "outer", "deeper", "outer", "outer", "outer"]

    def test_a_pool_thread_keeps_no_goal(self, propagation: None) -> None:
        with ThreadPoolExecutor(1) as pool:
            with task("first"):
                assert pool.submit(title).result() == "first"
            assert pool.submit(title).result() is None
            assert pool._work_queue.empty()

    def test_propagation_twice_and_undone(self) -> None:
        before = threading.Thread.start, ThreadPoolExecutor.submit, ThreadPool.imap
        propagate()
        once = threading.Thread.start
        propagate()
        assert threading.Thread.start is once
        propagate(False)
        propagate(False)
        assert (threading.Thread.start, ThreadPoolExecutor.submit, ThreadPool.imap) == before

    def test_threads_are_freed(self, propagation: None) -> None:
        import weakref

        with task("outer"):
            thread = threading.Thread(target=title)
            thread.start()
            thread.join()
        gone = weakref.ref(thread)
        gc.disable()
        try:
            del thread
            assert gone() is None
        finally:
            gc.enable()


class TestAsyncio:
    def test_a_hundred_tasks(self) -> None:
        """B6"""

        async def work(number: int) -> None:
            async with to("work %d", number):
                for _ in range(3):
                    await asyncio.sleep(0)
                    log.info("record of %d", number)
                    async with to("part of %d", number):
                        await asyncio.sleep(0)

        async def main() -> None:
            with task("all"):
                await asyncio.gather(*[work(number) for number in range(100)])

        with capture() as captured:
            asyncio.run(main())
        tree = captured.tree()
        assert tree["missing"] == []
        assert len(tree["children"]) == 100
        for child in tree["children"]:
            number = child["title"].split()[1]
            assert {r["message"] for r in child["own_records"]} == {f"work {number}", f"record of {number}"}
            assert [part["title"] for part in child["children"]] == [f"part of {number}"] * 3

    def test_to_thread_and_executor(self, propagation: None) -> None:
        async def main() -> list[Any]:
            with task("outer"):
                loop = asyncio.get_running_loop()
                return [await asyncio.to_thread(title), await loop.run_in_executor(None, title)]

        assert asyncio.run(main()) == ["outer", "outer"]

    def test_cancelled(self) -> None:
        async def main() -> None:
            async def work() -> None:
                with task("work"):
                    await asyncio.sleep(10)

            running = asyncio.create_task(work())
            await asyncio.sleep(0)
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

        with capture() as captured:
            asyncio.run(main())
        end = captured.records[-1]
        assert (end["levelname"], end["goal"]["status"], end["goal"]["error"]) == ("WARNING", "failed", "cancelled")

    def test_work_that_outlives_its_goal_stays_in_it(self) -> None:
        async def main() -> None:
            go = asyncio.Event()

            async def background() -> None:
                await go.wait()
                log.info("late")

            with task("request"):
                running = asyncio.create_task(background())
                await asyncio.sleep(0)
            go.set()
            await running

        with capture() as captured:
            asyncio.run(main())
        assert [r["message"] for r in captured.records if "context" in r] == ["request", "request", "late"]

    def test_decorated_coroutine(self) -> None:
        @to("decorated %s", "coroutine")
        async def work(number: int) -> int:
            await asyncio.sleep(0)
            log.info("inside")
            return number

        async def main() -> list[int]:
            with task("all"):
                return list(await asyncio.gather(work(1), work(2)))

        with capture() as captured:
            assert asyncio.run(main()) == [1, 2]
        assert [child["records"] for child in captured.tree()["children"]] == [3, 3]
        assert {r["funcName"] for r in captured.records if r.get("goal", {}).get("title") == "decorated coroutine"} == {
            "work"
        }

    def test_wrapped_coroutine(self) -> None:
        async def work() -> str | None:
            await asyncio.sleep(0)
            return title()

        with task("outer"):
            carried = wrap(work)
        assert asyncio.run(carried()) == "outer"


def plain() -> Iterator[str | None]:
    """A plain ``with`` inside a generator."""
    with to("in generator"):
        yield title()
        yield title()


@to("in generator")
def decorated() -> Iterator[str | None]:
    """A decorated generator."""
    yield title()
    with to("deeper"):
        yield title()


@pytest.mark.parametrize("make", [plain, decorated])
class TestGenerators:
    """B7"""

    def test_suspended(self, make: Any) -> None:
        steps = make()
        assert next(steps) == "in generator"
        assert title() is None
        with task("outside"):
            assert title() == "outside"
        assert title() is None
        list(steps)

    def test_left_by_break(self, make: Any) -> None:
        with capture() as captured, task("outer"):
            for _ in make():
                break
            log.info("after")
        after = next(r for r in captured.records if r["message"] == "after")
        assert after["context"]["key"].count("/") == 0
        assert captured.tree()["children"][0]["status"] == "succeeded"

    def test_kept_and_closed_inside_another_goal(self, make: Any) -> None:
        steps = make()
        next(steps)
        with capture() as captured, task("other"):
            log.info("before")
            steps.close()
            log.info("after")
            assert title() == "other"
        tree = captured.tree(
            next(r for r in captured.records if r["message"] == "before")["context"]["key"].split("@")[1]
        )
        assert [r["message"] for r in tree["own_records"]] == ["other", "before", "after", "other"]

    def test_interleaved(self, make: Any) -> None:
        first, second = make(), make()
        for _ in range(2):
            next(first)
            assert title() is None
            next(second)
            assert title() is None
        first.close()
        second.close()

    def test_collected(self, make: Any) -> None:
        steps = make()
        next(steps)
        cycle = [steps]
        cycle.append(cycle)  # type: ignore[arg-type]
        with task("outer"):
            del steps, cycle
            gc.collect()
            assert title() == "outer"

    def test_moved_to_another_thread(self, make: Any) -> None:
        steps = make()
        next(steps)
        seen: list[Any] = []

        def rest() -> None:
            with task("there"):
                seen.extend(steps)
                seen.append(title())

        thread = threading.Thread(target=rest)
        thread.start()
        thread.join()
        assert seen[-1] == "there"
        assert title() is None


class TestDecoratedGenerators:
    def test_is_a_goal_of_its_own_for_each_call(self) -> None:
        with capture() as captured:
            assert list(decorated()) == ["in generator", "deeper"]
            assert list(decorated()) == ["in generator", "deeper"]
        assert [tree["title"] for tree in captured.trees()] == ["in generator"] * 2

    def test_values_exceptions_and_results_pass(self) -> None:
        @to("echo")
        def echo() -> Any:
            heard = []
            while True:
                try:
                    heard.append((yield len(heard)))
                except KeyError as error:
                    heard.append(error)
                if len(heard) == 3:
                    return heard

        steps = echo()
        assert next(steps) == 0
        assert steps.send("a") == 1
        error = KeyError()
        assert steps.throw(error) == 2
        with pytest.raises(StopIteration) as stop:
            steps.send("b")
        assert stop.value.value == ["a", error, "b"]

    def test_an_error_inside_fails_it(self) -> None:
        @to("broken")
        def broken() -> Iterator[int]:
            yield 1
            raise ValueError("inside")

        with capture() as captured, pytest.raises(ValueError, match="inside"):
            list(broken())
        assert captured.tree()["status"] == "failed"


async def plain_async() -> AsyncIterator[str | None]:
    with to("in generator"):
        yield title()
        await asyncio.sleep(0)
        yield title()


@to("in generator")
async def decorated_async() -> AsyncIterator[str | None]:
    yield title()
    await asyncio.sleep(0)
    yield title()


@pytest.mark.parametrize("make", [plain_async, decorated_async])
class TestAsyncGenerators:
    """B7"""

    def test_suspended(self, make: Any) -> None:
        async def main() -> None:
            steps = make()
            assert await steps.__anext__() == "in generator"
            assert title() is None
            assert await steps.__anext__() == "in generator"
            with pytest.raises(StopAsyncIteration):
                await steps.__anext__()

        asyncio.run(main())

    def test_closed_from_another_task(self, make: Any, caplog: pytest.LogCaptureFixture) -> None:
        async def main() -> None:
            steps = make()
            await steps.__anext__()

            async def close() -> str | None:
                with task("closing"):
                    await steps.aclose()
                    return title()

            assert await asyncio.create_task(close()) == "closing"
            assert title() is None

        with capture() as captured:
            asyncio.run(main())
        assert not [r for r in captured.records if r["levelno"] > 20]
        assert len(captured.trees()) == 2

    def test_forgotten(self, make: Any) -> None:
        async def main() -> None:
            async for _ in make():
                break
            gc.collect()
            await asyncio.sleep(0)
            assert title() is None

        with capture() as captured:
            asyncio.run(main())
        assert not [r for r in captured.records if r["levelno"] > 20]


def test_tasks_created_inside_a_generator_inherit() -> None:
    """The suspended generator's goal is not current for its consumer, but it is for what was started inside."""

    async def steps() -> AsyncIterator[Any]:
        with to("inside"):
            await asyncio.sleep(0)
            yield asyncio.create_task(child())
            yield None

    async def child() -> str | None:
        await asyncio.sleep(0)
        return title()

    async def main() -> None:
        generator = steps()
        running = await generator.__anext__()
        assert title() is None
        assert await running == "inside"
        await generator.aclose()

    asyncio.run(main())


def test_exit_stacks() -> None:
    with capture() as captured, contextlib.ExitStack() as stack:
        stack.enter_context(task("outer"))
        stack.enter_context(to("inner"))
        assert title() == "inner"
    assert {r["pathname"] for r in captured.records} == {__file__}
    assert title() is None
    assert sys.exc_info() == (None, None, None)


def test_goals_ended_out_of_order() -> None:
    outer, inner = task("outer"), to("inner")
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    assert title() == "inner"
    inner.__exit__(None, None, None)
    assert title() is None
