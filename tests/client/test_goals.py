"""Goals: ids, numbers, begin and end records, and what they say."""

from __future__ import annotations

import asyncio
import itertools
import logging
import sys
import threading
import uuid
from typing import Any

import pytest
from distlog import Task, _distlog, current_task, import_task, task, to, traceparent
from distlog.testing import Captured, capture

log = logging.getLogger("app.goals")


def keys(captured: Captured) -> list[str]:
    """The record keys, the root's id left out."""
    found = []
    for record in captured.records:
        number, _, path = record["context"]["key"].partition("@")
        found.append(number + "@" + "/".join(path.split("/")[1:]))
    return found


def ends(captured: Captured) -> list[dict[str, Any]]:
    return [record for record in captured.records if record.get("goal", {}).get("event") == "end"]


def test_one_sequence_for_records_and_children() -> None:
    """A7, and the finding that two counters tell no order: numbers are one sequence, and the end says how many."""
    with capture() as captured, task("root"):
        log.info("one")
        with to("first"):
            log.info("inside")
        log.info("two")
        with to("second"):
            pass
    assert keys(captured) == ["0@", "1@", "0@2", "1@2", "2@2", "3@", "0@4", "1@4", "5@"]
    assert [end["goal"]["count"] for end in ends(captured)] == [3, 2, 6]
    assert captured.tree()["missing"] == []


def test_what_begin_and_end_say() -> None:
    with capture() as captured, task("order %s", 42, customer="ann") as goal:
        goal.bind(total=9)
    begin, end = captured.records
    assert begin["goal"] == {"event": "begin", "title": "order 42"}
    assert begin["context"] == {"key": f"0@{goal.id}", "customer": "ann"}
    assert (begin["msg"], begin["args"], begin["message"]) == ("order %s", [42], "order 42")
    assert end["goal"]["status"] == "succeeded"
    assert end["goal"]["title"] == "order 42"
    assert 0 <= end["goal"]["duration"] < 1
    assert end["context"] == {"key": f"1@{goal.id}", "customer": "ann", "total": 9}
    assert (end["levelname"], end["message"]) == ("INFO", "order 42")


def test_success_decides_the_end_record() -> None:
    """A6"""
    with capture() as captured, task("order %s", 42) as goal:
        goal.success("order %s accepted", 42, price=12)
    assert captured.records[-1]["message"] == "order 42 accepted"
    assert captured.records[-1]["context"]["price"] == 12
    assert captured.records[-1]["goal"]["status"] == "succeeded"


def test_failure_is_an_error_with_traceback_and_goes_on() -> None:
    """A6"""
    with capture() as captured:
        with pytest.raises(KeyError) as raised, task("order %s", 42):
            raise KeyError("stock")
        assert raised.value.args == ("stock",)
    end = captured.records[-1]
    assert (end["levelname"], end["message"]) == ("ERROR", "FAILED order 42")
    assert (end["goal"]["status"], end["goal"]["error"]) == ("failed", "KeyError: 'stock'")
    assert end["exc_info"]["type"] == "KeyError"
    assert end["exc_text"].startswith("Traceback") and end["exc_text"].endswith("KeyError: 'stock'")


def test_fail_without_exception() -> None:
    with capture() as captured, task("order") as goal:
        goal.fail("no %s left", "stock", sku="A1")
    end = captured.records[-1]
    assert (end["levelname"], end["message"], end["goal"]["error"]) == ("ERROR", "FAILED order", "no stock left")
    assert end["context"]["sku"] == "A1"


class Cancelled(BaseException):
    """As trio's."""


@pytest.mark.parametrize(
    ("error", "ending", "status", "level", "message", "reason"),
    [
        (SystemExit(), "exited", "succeeded", "INFO", "work", None),
        (SystemExit(0), "exited", "succeeded", "INFO", "work", None),
        (SystemExit(3), "exited", "failed", "ERROR", "FAILED work", "SystemExit: 3"),
        (SystemExit("no"), "exited", "failed", "ERROR", "FAILED work", "SystemExit: no"),
        (KeyboardInterrupt(), "interrupted", "failed", "ERROR", "FAILED work", "interrupted"),
        (GeneratorExit(), "closed", "succeeded", "INFO", "work", None),
        (Cancelled(), "cancelled", "failed", "WARNING", "CANCELLED work", "cancelled"),
        (asyncio.CancelledError(), "cancelled", "failed", "WARNING", "CANCELLED work", "cancelled"),
        (ValueError("x"), "raised", "failed", "ERROR", "FAILED work", "ValueError: x"),
    ],
)
def test_how_a_block_is_left(
    error: BaseException, ending: str, status: str, level: str, message: str, reason: str | None
) -> None:
    """B10"""
    with capture() as captured:
        with pytest.raises(type(error)), task("work"):
            raise error
    end = captured.records[-1]
    goal = end["goal"]
    assert (goal["ending"], goal["status"], goal.get("error")) == (ending, status, reason)
    assert (end["levelname"], end["message"]) == (level, message)
    assert goal.get("note") == ("closed before its end" if ending == "closed" else None)


def test_what_was_decided_is_no_ending() -> None:
    """``ending`` says how the block was left, whatever it was told to say."""
    with capture() as captured:
        with task("fine") as goal:
            goal.fail("not at all")
        with pytest.raises(asyncio.CancelledError), task("cancelled") as goal:
            goal.fail("before that")
            raise asyncio.CancelledError
        with task("well") as goal:
            goal.success("very well")
    found = [(r["goal"]["ending"], r["goal"]["status"], r["levelname"], r["message"]) for r in ends(captured)]
    assert found == [
        ("returned", "failed", "ERROR", "FAILED fine"),
        ("cancelled", "failed", "ERROR", "FAILED cancelled"),
        ("returned", "succeeded", "INFO", "very well"),
    ]


def test_a_goal_is_entered_once() -> None:
    """B12"""
    goal = task("order %d", 7)
    with goal:
        with pytest.raises(RuntimeError, match="order 7"), goal:
            pass
        assert current_task() is goal
    with pytest.raises(RuntimeError, match="order 7"), goal:
        pass
    with pytest.raises(RuntimeError, match="order 7"):
        goal.__exit__(None, None, None)
    with pytest.raises(RuntimeError, match="not entered"):
        task("new").__exit__(None, None, None)
    assert current_task() is None


def test_a_goal_is_entered_once_by_threads() -> None:
    """B12: of many threads, one enters."""
    goal, entered, refused = task("shared"), [], []
    barrier = threading.Barrier(8)

    def enter() -> None:
        barrier.wait()
        try:
            goal.__enter__()
            entered.append(1)
        except RuntimeError:
            refused.append(1)

    threads = [threading.Thread(target=enter) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert (len(entered), len(refused)) == (1, 7)


def test_a_goal_is_decided_once() -> None:
    with task("order 7") as goal:
        goal.success("fine")
        with pytest.raises(RuntimeError, match="order 7"):
            goal.success("again")
        with pytest.raises(RuntimeError, match="order 7"):
            goal.fail("again")
    with pytest.raises(RuntimeError, match="order 7"):
        goal.success("late")


def test_foreign_ids_are_new_children() -> None:
    """B2"""
    with task("root") as root:
        first, second = root.get_foreign_task(), root.get_foreign_task()
        with to("child") as child:
            third = child.get_foreign_task()
    assert (first, second) == (f"{root.id}/1", f"{root.id}/2")
    assert (child.id, third) == (f"{root.id}/3", f"{root.id}/3/1")
    assert child.parent == root.id
    assert root.parent is None
    uuid.UUID(root.id)


def test_reserved_children_are_awaited() -> None:
    with capture() as captured, task("root") as root:
        reserved = root.get_foreign_task()
    assert captured.records[-1]["goal"]["awaited"] == [1]
    assert [child["status"] for child in captured.tree()["children"]] == ["awaited"]
    with capture() as elsewhere, import_task(reserved, "remote"):
        pass
    captured.records += elsewhere.records
    tree = captured.tree()
    assert [(child["title"], child["status"]) for child in tree["children"]] == [("remote", "succeeded")]
    assert tree["missing"] == []


def test_import_inside_a_goal_stands_for_itself() -> None:
    """B3"""
    foreign = f"{uuid.uuid4()}/4/2"
    with capture() as captured, task("local", a=1) as local:
        with import_task(foreign, "remote") as remote:
            log.info("there")
            assert current_task() is remote
        assert current_task() is local
    assert remote.id == foreign
    assert [r["context"] for r in captured.records if r["message"] == "there"] == [{"key": f"1@{foreign}"}]


def test_to_without_a_goal_is_a_root() -> None:
    """B4"""
    with to("alone") as goal:
        uuid.UUID(goal.id)
    assert goal.parent is None


def test_task_is_always_a_root() -> None:
    with task("outer"), task("inner") as inner:
        assert inner.parent is None


@pytest.mark.parametrize(
    "bad", ["", "nonsense", "../../x", str(uuid.uuid4()) + "/x", str(uuid.uuid4()) + "/1" * 5000, None, 7, "00-zz"]
)
def test_bad_ids_are_named(bad: Any) -> None:
    with pytest.raises(ValueError, match="is no goal's id") as raised:
        import_task(bad, "work")
    assert repr(bad)[:40] in str(raised.value)
    assert len(str(raised.value)) < 300


def test_untrusted_ids_become_links() -> None:
    foreign = f"{uuid.uuid4()}/4"
    with capture() as captured, import_task(foreign, "work", trust=False) as goal:
        pass
    assert goal.parent is None
    assert foreign not in goal.id
    assert captured.records[0]["goal"]["link"] == foreign


def test_traceparent_goes_there_and_back() -> None:
    paths = [[], [1], [7], [8], [63, 64], [1] * 14, [511, 5, 4095], [2**32 - 1, 3]]
    for path in paths:
        goal_id = "/".join([str(uuid.uuid4()), *map(str, path)])
        header = traceparent.encode(goal_id)
        assert len(header) == 55
        assert traceparent.decode(header) == goal_id
    with task("root") as root:
        first, second = root.traceparent, root.traceparent
    assert first != second
    with import_task(first, "remote") as remote:
        assert remote.id == f"{root.id}/1"


def test_foreign_traceparents_are_below_their_trace() -> None:
    header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with import_task(header, "served") as goal:
        assert goal.id == "0af76519-16cd-43dd-8448-eb211c80319c/3081595761/1763717937"
    deep = "/".join([str(uuid.uuid4()), *["9"] * 40])
    assert traceparent.decode(traceparent.encode(deep)).split("/")[0] == deep.split("/")[0]
    for bad in ("00-" + "0" * 32 + "-b7ad6b7169203331-01", "ff" + header[2:], header + "-x", header[:-1]):
        with pytest.raises(ValueError, match="no goal's id"):
            import_task(bad, "served")


def test_fields_are_bound_inherited_and_taken_away() -> None:
    with capture() as captured, task("root", a=1) as root:
        with to("early", own=2) as early:
            root.bind(b=3)
            log.info("in early")
        root.unbind("a", "nobody")
        with to("late"):
            log.info("in late")
        assert early.context == {"a": 1, "own": 2}
    contexts = {r["message"]: {k: v for k, v in r["context"].items() if k != "key"} for r in captured.records}
    assert contexts["in early"] == {"a": 1, "own": 2}
    assert contexts["in late"] == {"b": 3}


def test_fields_may_have_any_name() -> None:
    with capture() as captured, task("x", msg=1, key=2, self=3, args=4, id=5, fields=6, trust=7) as goal:
        goal.bind(self=8, key=9)
        log.info("y")
    context = captured.records[1]["context"]
    assert context == {
        "key": f"1@{goal.id}",
        "msg": 1,
        "key_": 9,
        "self": 8,
        "args": 4,
        "id": 5,
        "fields": 6,
        "trust": 7,
    }


def test_begin_and_end_name_the_caller(capsys: pytest.CaptureFixture[str]) -> None:
    with capture() as captured:
        line = sys._getframe().f_lineno + 1
        with task("work"):
            pass
    begin, end = captured.records
    for record in (begin, end):
        assert record["pathname"] == __file__
        assert record["funcName"] == "test_begin_and_end_name_the_caller"
        assert record["name"] == __name__
    assert begin["lineno"] == line
    assert capsys.readouterr() == ("", "")


def test_decorated_functions_are_named_themselves() -> None:
    @task("decorated", kind="function")
    def work(number: int) -> int:
        return number + 1

    with capture() as captured:
        assert [work(1), work(2)] == [2, 3]
    assert {r["funcName"] for r in captured.records} == {"work"}
    assert {r["name"] for r in captured.records} == {__name__}
    assert len({r["context"]["key"] for r in captured.records}) == 4
    assert work.__name__ == "work"


def test_decorated_methods() -> None:
    class Shop:
        @to("plain")
        def plain(self) -> str:
            return type(self).__name__

        @staticmethod
        @to("static")
        def static() -> int:
            return 1

        @to("class")
        @classmethod
        def of_class(cls) -> str:
            return cls.__name__

    with capture() as captured:
        assert (Shop().plain(), Shop.static(), Shop.of_class()) == ("Shop", 1, "Shop")
    assert len(ends(captured)) == 3


def test_a_decorated_import_never_collides() -> None:
    foreign = f"{uuid.uuid4()}/1"

    @import_task(foreign, "job")
    def job() -> None: ...

    with capture() as captured:
        job()
        job()
    first, _, second, _ = captured.records
    assert first["context"]["key"] == f"0@{foreign}"
    assert second["goal"]["link"] == foreign


class TestLevels:
    """B11: a level that hides the begin record makes no orphans and no holes."""

    def test_lazily_begun(self) -> None:
        with capture(level=logging.WARNING) as captured:
            with task("quiet"):
                with to("middle"), to("inner"):
                    log.info("hidden")
                    log.error("boom")
                with to("unheard of"):
                    log.info("hidden")
        assert [r["message"] for r in captured.records] == [
            "quiet",
            "middle",
            "inner",
            "boom",
            "inner",
            "middle",
            "quiet",
        ]
        created = [r["created"] for r in captured.records[:4]]
        assert created == sorted(created)
        tree = captured.tree()
        assert (tree["status"], tree["missing"], tree["records"]) == ("succeeded", [], 7)
        assert [child["title"] for child in tree["children"]] == ["middle"]

    def test_silent_goals_send_nothing(self) -> None:
        with capture(level=logging.WARNING) as captured, task("quiet"):
            log.info("hidden")
        assert captured.records == []

    def test_failure_brings_the_begin_record(self) -> None:
        with capture(level=logging.WARNING) as captured:
            with pytest.raises(ValueError, match="x"), task("quiet"):
                raise ValueError("x")
        assert [(r["message"], r["goal"]["event"]) for r in captured.records] == [
            ("quiet", "begin"),
            ("FAILED quiet", "end"),
        ]

    def test_each_handler_has_whole_goals(self) -> None:
        everything, errors = Captured(), Captured()
        errors.setLevel(logging.ERROR)
        root = logging.getLogger()
        with capture():
            root.addHandler(everything)
            root.addHandler(errors)
            with task("work"):
                log.info("one")
                log.error("two")
            root.removeHandler(everything)
            root.removeHandler(errors)
        assert [r["context"]["key"].split("@")[0] for r in everything.records] == ["0", "1", "2", "3"]
        assert [r["message"] for r in errors.records] == ["work", "two", "work"]
        assert everything.records[2] == errors.records[1]


def test_numbers_agree_between_handlers_and_threads() -> None:
    with capture() as one, capture() as two, task("root"):
        threads = [threading.Thread(target=in_goal(current_task(), 200)) for _ in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    numbers = sorted(int(r["context"]["key"].split("@")[0]) for r in one.records)
    assert numbers == list(range(1602))
    assert {r["context"]["key"]: r["message"] for r in one.records} == {
        r["context"]["key"]: r["message"] for r in two.records
    }


def in_goal(goal: Task | None, count: int) -> Any:
    """A thread's work inside a goal that was opened elsewhere."""
    from distlog import wrap

    assert goal is current_task()

    def work() -> None:
        for number in range(count):
            log.info("%s %d", threading.get_ident(), number)

    return wrap(work)


def test_random_nesting_makes_complete_trees() -> None:
    """Whatever is opened and logged, each number is there once."""
    import random

    for seed in range(30):
        dice = random.Random(seed)

        def work(depth: int, dice: random.Random = dice) -> None:
            for _ in range(dice.randrange(4)):
                if dice.random() < 0.5:
                    log.log(dice.choice([10, 20, 30, 40]), "record")
                elif depth < 5:
                    with to("child"):
                        work(depth + 1)

        level = dice.choice([1, 30])
        with capture(level=level) as captured, task("root"):
            work(0)
        for tree in captured.trees():
            assert incomplete(tree) == [], seed


def incomplete(tree: dict[str, Any]) -> list[str]:
    """What is missing anywhere in a tree."""
    below = itertools.chain.from_iterable(incomplete(child) for child in tree["children"])
    return [*tree["missing"], *below, *([] if tree["status"] == "succeeded" else [tree["id"]])]


def test_task_says_what_it_is() -> None:
    goal = task("order %s", 1)
    assert repr(goal) == "<Task 'order 1'  new>"
    with goal:
        assert goal.id in repr(goal)
    assert _distlog.parse_goal(goal.id.upper()) == goal.id
