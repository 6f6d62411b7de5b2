"""Goals in random programs: threads, asyncio tasks and generators, beside a model that knows what must come out.

And what other libraries test of their contexts: eliot's actions, coroutines and generators, loguru's and structlog's bound fields.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from distlog import Task, current_task, task, to, wrap
from distlog.testing import Captured, capture

log = logging.getLogger("app.model")


class Model:
    """What a random program is to leave behind: the goals by their path, each with what it logged, in order."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.logged: dict[str, list[str]] = {}
        self.parents: dict[str, str | None] = {}
        self.lock = threading.Lock()
        self.wrong: list[str] = []

    def begin(self, goal: Task, name: str, parent: str | None) -> None:
        """The goal is open, and current."""
        with self.lock:
            self.logged[name] = []
            self.parents[name] = parent
        self.expect(goal)

    def expect(self, goal: Task | None) -> None:
        """This one is current."""
        if current_task() is not goal:
            self.wrong.append(f"{current_task()!r} is current, not {goal!r}")

    def record(self, name: str) -> None:
        """One record in the goal of this name."""
        with self.lock:
            text = f"record {len(self.logged[name])} of {name}"
            self.logged[name].append(text)
        log.log(self.dice.choice([10, 20, 40]), text)


def grow(model: Model, goal: Task, name: str, depth: int) -> None:
    """Something random inside this goal."""
    for number in range(model.dice.randrange(1, 4)):
        kind = model.dice.choice(["record", "goal", "thread", "generator", "tasks", "failure"])
        below = f"{name}.{number}"
        if kind == "record" or depth > 2:
            model.record(name)
        elif kind in ("goal", "failure"):
            try:
                with to("%s", below) as child:
                    model.begin(child, below, name)
                    grow(model, child, below, depth + 1)
                    if kind == "failure":
                        raise KeyError(below)
            except KeyError:
                pass
        elif kind == "thread":
            thread = threading.Thread(target=wrap(in_thread), args=(model, below, name, depth))
            thread.start()
            thread.join()
        elif kind == "generator":
            steps = in_generator(model, below, name, depth)
            for _ in steps:
                model.expect(goal)
                model.record(name)
                if model.dice.random() < 0.3:
                    break
            steps.close()
        else:
            asyncio.run(in_tasks(model, below, name, depth))
        model.expect(goal)


def in_thread(model: Model, below: str, name: str, depth: int) -> None:
    with to("%s", below) as child:
        model.begin(child, below, name)
        grow(model, child, below, depth + 1)


def in_generator(model: Model, below: str, name: str, depth: int) -> Iterator[int]:
    with to("%s", below) as child:
        model.begin(child, below, name)
        for number in range(3):
            yield number
            model.expect(child)
            model.record(below)


async def in_tasks(model: Model, below: str, name: str, depth: int) -> None:
    async def one(number: int) -> None:
        async with to("%s", f"{below}:{number}") as child:
            model.begin(child, f"{below}:{number}", name)
            for _ in range(2):
                model.record(f"{below}:{number}")
                await asyncio.sleep(0)
                model.expect(child)

    await asyncio.gather(*[one(number) for number in range(3)])


def found(tree: dict[str, Any], parent: str | None, logged: dict[str, list[str]], parents: dict[str, Any]) -> None:
    """What a tree says, in the model's words."""
    name = tree["title"]
    logged[name] = [r["message"] for r in tree["own_records"] if r["message"].startswith("record ")]
    parents[name] = parent
    for child in tree["children"]:
        found(child, name, logged, parents)


def numbers_are_dense(captured: Captured) -> None:
    """In each goal every number from 0 on is there once: a record's or a child's."""
    drawn: dict[str, list[int]] = {}
    for record in captured.records:
        number, _, goal = record["context"]["key"].partition("@")
        drawn.setdefault(goal, []).append(int(number))
    for goal in list(drawn):
        parent, _, number = goal.rpartition("/")
        if parent:
            drawn[parent].append(int(number))
    for goal, numbers in drawn.items():
        assert sorted(numbers) == list(range(len(numbers))), goal


@pytest.mark.parametrize("seed", range(25))
def test_random_programs(seed: int) -> None:
    model = Model(seed)
    with capture() as captured, task("%s", "root") as root:
        model.begin(root, "root", None)
        grow(model, root, "root", 0)
    assert current_task() is None
    assert model.wrong == []
    logged: dict[str, list[str]] = {}
    parents: dict[str, Any] = {}
    tree = captured.tree()
    found(tree, None, logged, parents)
    assert parents == model.parents
    assert logged == model.logged
    numbers_are_dense(captured)
    assert tree["missing"] == []


@pytest.mark.parametrize("level", [20, 30, 40])
@pytest.mark.parametrize("seed", range(5))
def test_random_programs_of_which_a_part_is_heard(seed: int, level: int) -> None:
    """Whatever the level hides: no orphans, no holes."""
    model = Model(seed)
    with capture(level=level) as captured, task("%s", "root") as root:
        model.begin(root, "root", None)
        grow(model, root, "root", 0)
    assert model.wrong == []
    begun = {r["context"]["key"].split("@")[1] for r in captured.records if r.get("goal", {}).get("event") == "begin"}
    assert begun == {r["context"]["key"].split("@")[1] for r in captured.records}
    numbers_are_dense(captured)


def test_goals_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """In threads, tasks and generators, with and without a failure: when all is over nothing holds a goal."""
    # The handlers of pytest keep what they get.
    monkeypatch.setattr(logging.getLogger(__name__), "propagate", False)
    monkeypatch.setattr(logging, "lastResort", None)
    goals: list[Any] = []

    def work() -> None:
        with to("work") as goal:
            goals.append(weakref.ref(goal))
            list(steps())

    def steps() -> Iterator[int]:
        with to("steps") as goal:
            goals.append(weakref.ref(goal))
            yield 1

    async def main() -> None:
        async with to("main") as goal:
            goals.append(weakref.ref(goal))
            await asyncio.to_thread(work) if hasattr(asyncio, "to_thread") else work()

    for _ in range(10):
        with ThreadPoolExecutor(2) as pool:
            pool.submit(wrap(work)).result()
        asyncio.run(main())
        next(steps())
        try:
            with task("fails") as goal:
                goals.append(weakref.ref(goal))
                raise ValueError("x")
        except ValueError:
            pass
        del goal
    gc.collect()
    assert [one() for one in goals if one() is not None] == []


class TestAsEliot:
    """Its test_action, test_coroutines and test_generators, by what they say."""

    def test_an_exception_whose_text_raises(self) -> None:
        class BadError(Exception):
            def __str__(self) -> str:
                raise TypeError("no text")

        with capture() as captured, pytest.raises(BadError), task("work"):
            raise BadError
        assert captured.records[-1]["goal"]["status"] == "failed"
        assert "BadError" in captured.records[-1]["goal"]["error"]

    def test_ended_many_times(self) -> None:
        goal = task("work")
        with capture() as captured:
            with goal:
                pass
            for _ in range(3):
                with pytest.raises(RuntimeError, match="work"):
                    goal.__exit__(None, None, None)
        assert len(captured.records) == 2

    def test_each_thread_its_own(self) -> None:
        seen: dict[int, Any] = {}

        def work(number: int) -> None:
            with task("thread %d", number) as goal:
                barrier.wait()
                seen[number] = current_task() is goal

        barrier = threading.Barrier(5)
        threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert seen == dict.fromkeys(range(5), True)

    def test_interleaved_coroutines(self) -> None:
        async def work(name: str) -> list[bool]:
            seen = []
            with task(name) as goal:
                for _ in range(3):
                    await asyncio.sleep(0)
                    seen.append(current_task() is goal)
                with to("deeper") as deeper:
                    await asyncio.sleep(0)
                    seen.append(current_task() is deeper)
            return seen

        async def main() -> list[list[bool]]:
            return list(await asyncio.gather(work("one"), work("two")))

        assert asyncio.run(main()) == [[True] * 4] * 2

    def test_yield_inside_nested_actions(self) -> None:
        def steps() -> Iterator[None]:
            with to("outer"), to("inner"):
                yield
                log.info("inside")

        with capture() as captured, task("caller") as caller:
            for _ in steps():
                assert current_task() is caller
                log.info("outside")
        (outer,) = captured.tree()["children"]
        (inner,) = outer["children"]
        assert "inside" in [r["message"] for r in inner["own_records"]]
        assert "outside" in [r["message"] for r in captured.tree()["own_records"]]

    def test_concurrent_and_nested_generators(self) -> None:
        def numbers(name: str) -> Iterator[str]:
            with to(name) as goal:
                for _ in range(2):
                    yield name
                    assert current_task() is goal

        def nested() -> Iterator[str]:
            with to("nested") as goal:
                for value in numbers("below"):
                    assert current_task() is goal
                    yield value

        with task("caller") as caller:
            for values in zip(numbers("one"), numbers("two"), nested()):
                assert values == ("one", "two", "below")
                assert current_task() is caller
            gc.collect()
            assert current_task() is caller


class TestBoundFields:
    """loguru's contextualize and structlog's contextvars: fields hold inside, in nested work, and not beyond."""

    def test_nested_and_undone(self) -> None:
        with capture() as captured, task("a", user="ann"):
            log.info("one")
            with to("b", user="bob", more=1):
                log.info("two")
            log.info("three")
        fields = {r["message"]: {k: v for k, v in r["context"].items() if k != "key"} for r in captured.records}
        assert fields["one"] == fields["three"] == {"user": "ann"}
        assert fields["two"] == {"user": "bob", "more": 1}

    def test_parallel_binds(self) -> None:
        async def work(number: int) -> None:
            with to("work", number=number) as goal:
                await asyncio.sleep(0)
                goal.bind(bound=number * 10)
                await asyncio.sleep(0)
                log.info("of %d", number)

        async def main() -> None:
            with task("all"):
                await asyncio.gather(*[work(number) for number in range(20)])

        with capture() as captured:
            asyncio.run(main())
        told = {r["message"]: r["context"] for r in captured.records if r["message"].startswith("of ")}
        for number in range(20):
            assert (told[f"of {number}"]["number"], told[f"of {number}"]["bound"]) == (number, number * 10)

    def test_values_are_those_of_the_time(self) -> None:
        """A list that grows is told as it is when the record is sent."""
        items: list[int] = []
        with capture() as captured, task("a", items=items):
            for number in range(3):
                items.append(number)
                log.info("now")
        assert [r["context"]["items"] for r in captured.records if r["message"] == "now"] == [[0], [0, 1], [0, 1, 2]]
