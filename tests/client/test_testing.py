"""What users' tests see: captured records and goals, the pytest fixture, and the standard tools beside them."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import threading
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distlog import ZmqHandler, current_task, import_task, propagate, task, to
from distlog.testing import Captured, capture

pytest_plugins = ["pytester"]
PAGE = Path(__file__).resolve().parents[2] / "docs/testing.md"
log = logging.getLogger("app.testing")


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """No capture leaves anything at the loggers."""
    root = logging.getLogger()
    before = root.level, list(root.handlers), log.level, list(log.handlers), log.propagate
    yield
    assert (root.level, list(root.handlers), log.level, list(log.handlers), log.propagate) == before


def order(number: int, stock: bool = True) -> None:
    with task("order %d", number, customer="ann smith") as goal:
        log.info("got %s", "it")
        with to("reserve", sku="A1") as below:
            below.bind(shelf=7)
            log.debug("asking\nthe warehouse")
            if not stock:
                raise ValueError("no stock")
        goal.success("order %d accepted", number)


class TestCaptured:
    def test_text(self) -> None:
        """Text is the same for the same work, and says level, fields, failure and what follows the first line."""
        texts = []
        for _ in range(2):
            with capture() as captured:
                log.warning("before")
                order(1)
                with pytest.raises(ValueError, match="no stock"):
                    order(2, stock=False)
                try:
                    raise KeyError("k")
                except KeyError:
                    log.exception("after")
            texts.append(captured.text())
        assert texts[0] == texts[1] == str(captured)
        assert texts[0].splitlines() == [
            "WARNING before",
            '✓ order 1  customer="ann smith"',
            "  INFO got it",
            "  ✓ reserve  shelf=7 sku=A1",
            "    DEBUG asking",
            "      the warehouse",
            '✗ order 2: ValueError: no stock  customer="ann smith"',
            "  INFO got it",
            "  ✗ reserve: ValueError: no stock  shelf=7 sku=A1",
            "    DEBUG asking",
            "      the warehouse",
            "ERROR after",
            "  KeyError: 'k'",
        ]
        assert "sku" not in captured.text(fields=False)

    def test_text_of_what_is_not_whole(self) -> None:
        """Open, awaited and unheard-of goals have their signs."""
        with task("outside") as outside, to("between") as between, capture(level=logging.ERROR) as captured:
            with import_task(between.get_foreign_task(), "elsewhere"):
                log.error("there")
            log.error("here")
            with to("below"):
                log.error("below")
        lines = ["⟳ outside", "  ⟳ between", "    ✓ elsewhere", "      ERROR there", "    ERROR here", "    ✓ below"]
        assert captured.text().splitlines() == [*lines, "      ERROR below"]
        assert captured.goal("outside").id == outside.id
        # Begin records may be lost.
        captured.records = [r for r in captured.records if r.get("goal", {}).get("event") != "begin"]
        assert captured.text().splitlines()[1:] == [
            "  ✓ elsewhere",
            "    ERROR there",
            "  ERROR here",
            "  ✓ below",
            "    ERROR below",
        ]
        assert [goal.id for goal in captured.goals(status="unknown")] == [between.id]
        with capture() as captured:
            with task("waits") as goal:
                goal.get_foreign_task()
        assert captured.text() == "✓ waits\n  … awaited"

    def test_goals(self) -> None:
        """A goal is found by its title, and tells what it is."""
        with capture() as captured, pytest.raises(ValueError, match="no stock"):
            order(3, stock=False)
        goal = captured.goal("reserve")
        assert (goal.status, goal.error) == ("failed", "ValueError: no stock")
        assert goal.fields == {"customer": "ann smith", "sku": "A1", "shelf": 7}
        assert goal.messages() == goal.messages("app.testing") == ["asking\nthe warehouse"]
        assert goal.messages("elsewhere") == []
        assert goal.begin is not None
        assert goal.begin["goal"]["title"] == "reserve"
        assert 0 <= (goal.duration or -1) < 5
        parent = captured.goal(re.compile(r"^order \d"))
        assert [child.id for child in parent.children] == [goal.id]
        assert goal.id.startswith(parent.id)
        assert captured.goals(status="succeeded") == []
        assert [g.title for g in captured.goals()] == ["order 3", "reserve"]
        assert repr(goal) == "<✗ goal 'reserve' failed: 1 records, 0 goals below>"

    def test_outline(self) -> None:
        """Records and goals stand in the order of their numbers, whichever handler heard them when."""
        with capture() as captured:
            log.info("alone")
            order(4)
        assert captured.outline() == ["alone", {"order 4": ["got it", {"reserve": ["asking\nthe warehouse"]}]}]
        with capture() as several, task("several"):
            for number in range(3):
                log.info("%d", number)
        several.records.reverse()
        assert several.goal("several").messages() == ["0", "1", "2"]
        captured.records.reverse()
        assert captured.goal("order 4").outline() == {"order 4": ["got it", {"reserve": ["asking\nthe warehouse"]}]}

    def test_select(self) -> None:
        """Records by logger, level and fields, their own before those of the goal."""
        with capture() as captured:
            order(5)
            log.error("loud", extra={"sku": "B2"})
            logging.getLogger("other").info("quiet")
        assert [r["message"] for r in captured.select(sku="A1")] == ["asking\nthe warehouse"]
        assert [r["message"] for r in captured.select(sku="B2", levelname="ERROR")] == ["loud"]
        assert captured.messages("other") == captured.messages(level="info")[-1:] == ["quiet"]
        assert captured.messages(level=logging.ERROR) == ["loud"]
        assert captured.select(nothing=1) == []
        with pytest.raises(ValueError, match="'lout'"):
            captured.select(level="lout")

    def test_errors_show_what_was_captured(self) -> None:
        """Whoever asks for the wrong goal sees the right ones."""
        with capture() as captured:
            order(6)
            order(6)
        for ask in (lambda: captured.goal("ordr 6"), lambda: captured.goal("order 6"), captured.tree):
            with pytest.raises(LookupError, match="✓ order 6"):
                ask()
        with pytest.raises(LookupError, match="nothing"):
            Captured().goal("x")

    def test_quiet(self) -> None:
        """Loud records and failed goals are named; quiet ones are none."""
        with capture() as captured:
            order(7)
            captured.assert_quiet()
            with task("fails") as goal:
                goal.fail("because")
        with pytest.raises(AssertionError, match="✗ fails: because"):
            captured.assert_quiet()
        captured.clear()
        captured.assert_quiet()
        assert captured.text() == ""
        with capture() as captured:
            log.warning("careful")
        with pytest.raises(AssertionError, match="WARNING careful"):
            captured.assert_quiet()
        captured.assert_quiet("ERROR")

    def test_one_logger_and_levels_by_name(self) -> None:
        """Only what is below the logger, only from the level on; nested captures each have their own."""
        with capture() as everything, capture("app", "warning") as some:
            log.info("low")
            log.warning("high")
            logging.getLogger("elsewhere").error("other")
        assert some.messages() == ["high"]
        assert everything.messages() == ["high", "other"]

    def test_loggers_that_do_not_propagate(self) -> None:
        """They are heard too, once."""
        apart = logging.getLogger("app.apart")
        apart.propagate = False
        apart.setLevel(logging.DEBUG)
        try:
            with capture() as captured, capture("app.apart") as own, capture("other") as other:
                apart.info("heard")
                logging.getLogger("app.apart.below").info("below")
            assert captured.messages() == own.messages() == ["heard", "below"]
            assert other.messages() == []
            assert apart.handlers == []
        finally:
            apart.propagate = True
            apart.setLevel(logging.NOTSET)

    def test_threads_and_tasks(self) -> None:
        """Everything is captured, wherever it runs."""
        propagate()
        try:
            with capture() as captured, task("root"):
                threads = [threading.Thread(target=order, args=(n,)) for n in range(4)]
                [thread.start() for thread in threads]
                [thread.join() for thread in threads]

                async def main() -> None:
                    with to("async"):
                        await asyncio.gather(*(asyncio.to_thread(log.info, "%d", n) for n in range(3)))

                asyncio.run(main())
        finally:
            propagate(False)
        assert len(captured.goals(re.compile("^order"))) == 4
        assert sorted(captured.goal("async").messages("app.testing")) == ["0", "1", "2"]


class TestBesideOthers:
    @pytest.mark.parametrize("sends", [True, False])
    def test_caplog(self, caplog: pytest.LogCaptureFixture, collector: Any, sends: bool) -> None:
        """``caplog`` sees records, begins and ends, with their levels, with and without our handler on root."""
        made = ZmqHandler(collector.endpoint)
        if sends:
            logging.getLogger().addHandler(made)
        try:
            with caplog.at_level(logging.DEBUG), capture() as captured:
                order(8)
        finally:
            logging.getLogger().removeHandler(made)
            made.close()
        assert caplog.messages == [
            "order 8",
            "got it",
            "reserve",
            "asking\nthe warehouse",
            "reserve",
            "order 8 accepted",
        ]
        assert [r.levelname for r in caplog.records] == ["INFO", "INFO", "INFO", "DEBUG", "INFO", "INFO"]
        assert (log.name, logging.INFO, "got it") in caplog.record_tuples
        assert caplog.records[1].args == ("it",)
        assert captured.goal("reserve").status == "succeeded"
        caplog.clear()
        assert caplog.records == []
        if sends:
            assert len(collector.wait(6)) == 6

    def test_caplog_levels_and_filters(self, caplog: pytest.LogCaptureFixture) -> None:
        """A level for the test hides begin records from ``caplog`` too, and a goal that nobody hears of sends it nothing."""
        with caplog.at_level(logging.WARNING):
            with task("quiet"):
                log.info("low")
            with task("loud"):
                log.warning("high")
        assert caplog.messages == ["high"]

    def test_assert_logs(self) -> None:
        """``assertLogs`` sees what is logged in goals, and gives the loggers back."""
        case = unittest.TestCase()
        with task("outer") as outer:
            with case.assertLogs("app.testing", "DEBUG") as seen:
                log.info("in %s", "it")
                with to("inner"):
                    log.debug("deeper")
        assert seen.output == ["INFO:app.testing:in it", "DEBUG:app.testing:deeper"]
        assert seen.records[0].context["key"] == f"1@{outer.id}"  # type: ignore[attr-defined]
        with case.assertLogs(__name__, "INFO") as seen, task("own"):
            pass
        assert [r.getMessage() for r in seen.records] == ["own", "own"]

    def test_assert_logs_that_fails(self) -> None:
        """It still fails when nothing was logged."""
        case = unittest.TestCase()
        with pytest.raises(AssertionError, match="no logs"), task("x"), case.assertLogs("app.testing", "INFO"):
            log.debug("low")

    @pytest.mark.skipif(sys.version_info < (3, 10), reason="assertNoLogs came with 3.10")
    def test_assert_no_logs(self) -> None:
        """``assertNoLogs`` holds while a goal is open, and sees records and begins as what they are."""
        case = unittest.TestCase()
        with task("outer"):
            with case.assertNoLogs("app.testing"):  # type: ignore[attr-defined]
                current_task().bind(a=1)  # type: ignore[union-attr]
            with pytest.raises(AssertionError, match="Unexpected logs found"), case.assertNoLogs("app.testing"):  # type: ignore[attr-defined]
                log.info("x")
            with pytest.raises(AssertionError, match="Unexpected logs found"), case.assertNoLogs(__name__):  # type: ignore[attr-defined]
                with to("begins"):
                    pass
            with case.assertNoLogs(__name__, "WARNING"), to("begins"):  # type: ignore[attr-defined]
                pass

    def test_nested_in_each_other(self, caplog: pytest.LogCaptureFixture, distlog_capture: Captured) -> None:
        """All of them at once."""
        with (
            caplog.at_level(logging.INFO),
            capture("app") as inner,
            unittest.TestCase().assertLogs("other", "INFO") as logs,
        ):
            with task("work"):
                log.info("here")
                logging.getLogger("other").info("there")
        assert inner.messages() == ["here"]
        assert [r.getMessage() for r in logs.records] == ["there"]
        assert caplog.messages == ["work", "here", "work"]
        assert distlog_capture.messages() == ["here"]
        assert distlog_capture.goal("work").status == "succeeded"


SUITE = """
import logging, pytest
from distlog import task
log = logging.getLogger("app")

@pytest.mark.parametrize("number", range({count}))
def test_passes(distlog_capture, caplog, number):
    caplog.set_level("INFO")
    with task("work %d", number): log.info("number %d", number)
    assert distlog_capture.messages() == [f"number {{number}}"]
    assert distlog_capture.goal(f"work {{number}}").status == "succeeded"
    assert len(caplog.messages) == 3

def test_fails(distlog_capture):
    with task("work that fails", order=7) as goal:
        log.info("first")
        goal.fail("no stock")
    assert False

def test_fails_without(caplog):
    assert False
"""


class TestPlugin:
    @pytest.mark.parametrize("processes", [(), ("-n", "2", "-p", "xdist")], ids=["alone", "xdist"])
    def test_fixture_and_report(self, pytester: pytest.Pytester, processes: tuple[str, ...]) -> None:
        """The fixture is there without being named, and a failure shows the tree, once, where it was used."""
        pytester.makepyfile(SUITE.format(count=10))
        result = pytester.runpytest_subprocess(*processes)
        result.assert_outcomes(passed=10, failed=2)
        result.stdout.fnmatch_lines(["*Captured goals*", "✗ work that fails: no stock*order=7", "  INFO first"])
        assert result.stdout.str().count("Captured goals") == 1

    def test_programs_without_it_do_not_import_us(self, pytester: pytest.Pytester) -> None:
        """A suite that uses no fixture of ours runs without our handlers, factory and native module."""
        pytester.makepyfile("""
            import logging, sys
            def test_it():
                assert logging.getLogRecordFactory() is logging.LogRecord
                assert "distlog.testing" not in sys.modules
        """)
        pytester.runpytest_subprocess().assert_outcomes(passed=1)

    def test_examples_of_the_page(self, pytester: pytest.Pytester) -> None:
        """The page's blocks are one program, whose tests pass."""
        blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
        pytester.makepyfile(test_page="\n".join(blocks))
        pytester.runpytest_subprocess().assert_outcomes(passed=2)
