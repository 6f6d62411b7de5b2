"""The life of a goal as action libraries test theirs: across processes over HTTP, badly behaved exceptions, contexts, decorators."""

from __future__ import annotations

import contextvars
import copy
import functools
import inspect
import logging
import pickle
import re
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distlog import current_task, import_task, task, to, wrap
from distlog.testing import Captured, capture

log = logging.getLogger("peers.goals")

SERVER = """
import http.server, logging, os, sys, time
from distlog import ZmqHandler, import_task, to

logging.basicConfig(level=logging.INFO, handlers=[ZmqHandler(os.environ["ENDPOINT"])])
log = logging.getLogger("server")

class Divides(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with import_task(self.headers["Goal-Id"], "handle %s", self.path) as goal:
            try:
                if self.path.startswith("/slow"): time.sleep(0.4)
                with to("divide"):
                    x, y = map(int, self.path.split("?")[1].split("/"))
                    answer, code = str(x / y), 200
            except ZeroDivisionError as error:
                answer, code = str(error), 500
                goal.fail("answered %d", code)
            log.info("answer %s", answer)
        try:
            self.send_response(code); self.end_headers(); self.wfile.write(answer.encode())
        except OSError: pass
    def log_message(self, *_): pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Divides)
print(server.server_port, flush=True)
server.serve_forever()
"""

CLIENT = """
import urllib.error, urllib.request
url = f"http://127.0.0.1:{sys.argv[1]}"
with task("client") as goal:
    for path in sys.argv[2:]:
        with to("request %s", path) as inner:
            request = urllib.request.Request(url + path, headers={"Goal-Id": inner.get_foreign_task()})
            try: log.info("got %s", urllib.request.urlopen(request, timeout=0.2 if "slow" in path else 10).read().decode())
            except urllib.error.HTTPError as error: log.error("status %d", error.code)
            except OSError: log.warning("gave up")
"""


@pytest.fixture
def server(collector: Any, tmp_path: Path) -> Iterator[int]:
    """A real HTTP server in a process of its own; its port."""
    import os

    program = tmp_path / "server.py"
    program.write_text(SERVER)
    environment = {**os.environ, "ENDPOINT": collector.endpoint}
    process = subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    yield int(process.stdout.readline())
    process.terminate()
    process.wait(10)


def made_of(collector: Any, done: str, count: int) -> Captured:
    """What arrived, once that message is there."""
    deadline = time.monotonic() + 10
    while done not in str(collector.records()) and time.monotonic() < deadline:
        time.sleep(0.01)
    captured = Captured()
    captured.records = [{k: v for k, v in r.items() if k != "topic"} for r in collector.wait(count, settle=0.1)]
    return captured


class TestOverHttp:
    def test_one_tree_of_two_processes(self, run: Any, collector: Any, server: int) -> None:
        """A request's goal in the server stands below the client's, in whatever order records arrive."""
        run(CLIENT, str(server), "/divide?8/2", "/divide?8/0")
        captured = made_of(collector, "answer division", 2 + 2 * 3 + 2 * 5)
        tree = captured.tree()
        assert (tree["status"], tree["missing"], len(tree["processes"])) == ("succeeded", [], 2)
        assert captured.text() == textwrap.dedent("""\
            ✓ client
              ✓ request /divide?8/2
                ✓ handle /divide?8/2
                  ✓ divide
                  INFO answer 4.0
                INFO got 4.0
              ✓ request /divide?8/0
                ✗ handle /divide?8/0: answered 500
                  ✗ divide: ZeroDivisionError: division by zero
                  INFO answer division by zero
                ERROR status 500""")

    def test_a_server_that_outlives_its_client(self, run: Any, collector: Any, server: int) -> None:
        """The client gives up and ends; the server's part still joins the tree, which is whole."""
        run(CLIENT, str(server), "/slow?6/3")
        captured = made_of(collector, "answer 2.0", 2 + 3 + 5)
        assert captured.tree()["missing"] == []
        handled = captured.goal(re.compile("handle"))
        request = captured.goal(re.compile("request"))
        assert request.messages() == ["gave up"]
        assert [child.id for child in request.children] == [handled.id]
        assert handled.end["created"] > captured.goal("client").end["created"]  # type: ignore[index]

    def test_a_header_from_a_stranger(self, server: int, collector: Any) -> None:
        """An id that is none is refused before anything is logged; the server lives on."""
        import urllib.error
        import urllib.request

        for header in ("", "x" * 5000, "not-an-id", f"{uuid.uuid4()}/../1", "00-0-0-0"):
            request = urllib.request.Request(f"http://127.0.0.1:{server}/divide?1/1", headers={"Goal-Id": header})
            with pytest.raises(OSError):
                urllib.request.urlopen(request, timeout=5)
        good = f"{uuid.uuid4()}/1"
        request = urllib.request.Request(f"http://127.0.0.1:{server}/divide?1/1", headers={"Goal-Id": good})
        assert urllib.request.urlopen(request, timeout=5).read() == b"1.0"
        assert {r["context"]["key"].split("@")[1].split("/")[0] for r in collector.wait(5)} == {good.split("/")[0]}


class TestEnds:
    def test_undone_when_it_raises(self) -> None:
        """The goal outside is current again, whatever left the inner one."""
        with task("outer") as outer:
            for error in (ValueError(), KeyboardInterrupt(), SystemExit(3), GeneratorExit()):
                with pytest.raises(type(error)), to("inner"):
                    raise error
                assert current_task() is outer
        assert current_task() is None

    @pytest.mark.parametrize("kind", [Exception, BaseException])
    def test_exceptions_that_raise_when_shown(self, kind: type[BaseException]) -> None:
        """Its ``str`` raises; the goal ends as failed, naming its type, and the exception goes on."""

        class Bad(kind):  # type: ignore[misc, valid-type]
            def __str__(self) -> str:
                raise TypeError("bad str")

            __repr__ = __str__

        with capture() as captured:
            try:
                with task("bad"):
                    raise Bad
            except Bad:
                pass
        assert captured.goal("bad").status == "failed"
        assert "Bad" in str(captured.goal("bad").error)

    def test_ended_again(self) -> None:
        """A second end is refused by name, and logs nothing."""
        goal = task("once")
        with capture() as captured:
            with goal:
                pass
            with pytest.raises(RuntimeError, match="'once'"):
                goal.__exit__(None, None, None)
            with pytest.raises(RuntimeError, match="'once'"):
                goal.success("late")
        assert len(captured.records) == 2

    def test_success_and_failure_fields(self) -> None:
        """Fields of ``success`` are on the end record, not if an exception came after it."""
        with capture() as captured, pytest.raises(ValueError, match="too late"):
            with task("one") as goal:
                goal.success("well", result=1)
            with task("two") as goal:
                goal.success("well", result=2)
                raise ValueError("too late")
        one, two = captured.goal("one"), captured.goal("two")
        assert (one.status, two.status) == ("succeeded", "failed")
        assert one.fields == {"result": 1}
        assert one.end is not None
        assert two.end is not None
        assert one.end["message"] == "well"
        assert two.end["message"] == "FAILED two"
        assert two.error == "ValueError: too late"

    def test_the_end_survives_what_hands_it_on(self) -> None:
        """A handler or filter that raises at the end record does not keep the goal from ending."""

        class Raises(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                raise ZeroDivisionError

        raises = Raises()
        logging.getLogger(__name__).addHandler(raises)
        before, logging.raiseExceptions = logging.raiseExceptions, False
        try:
            with task("outer"):
                pass
            assert current_task() is None
        finally:
            logging.raiseExceptions = before
            logging.getLogger(__name__).removeHandler(raises)


class TestIds:
    @pytest.mark.parametrize("kind", [str, bytes])
    def test_forms(self, kind: type) -> None:
        """An id is text; bytes, as a header may come, are refused or understood, and never half."""
        with task("here") as goal:
            foreign: Any = goal.get_foreign_task()
        if kind is bytes:
            try:
                imported = import_task(foreign.encode(), "there")
            except (TypeError, ValueError):
                return
        else:
            imported = import_task(foreign, "there")
        with imported as there:
            assert there.id == foreign

    @pytest.mark.parametrize("bad", [None, 7, "", "x", [], object()])
    def test_an_id_is_needed(self, bad: Any) -> None:
        """Nothing else opens a goal."""
        with pytest.raises((TypeError, ValueError)):
            import_task(bad, "x")

    def test_ids_are_reserved_in_order_with_records(self) -> None:
        """A reserved child has its place among the records: what was logged before stands before it."""
        with capture() as captured, task("root") as root:
            log.info("one")
            foreign = root.get_foreign_task()
            log.info("two")
            with import_task(foreign, "elsewhere"):
                log.info("inside")
        assert captured.outline() == [{"root": ["one", {"elsewhere": ["inside"]}, "two"]}]

    def test_many_threads_reserve(self) -> None:
        """A thousand reservations by ten threads are a thousand different ids."""
        with task("root") as root:
            found: list[str] = []

            def reserve() -> None:
                for _ in range(100):
                    found.append(root.get_foreign_task())

            threads = [threading.Thread(target=reserve) for _ in range(10)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
        assert len(set(found)) == 1000


class TestCarried:
    def test_wrap_without_a_goal(self) -> None:
        """Where there is no goal, the function has none either, even if it is called inside one."""
        carried = wrap(current_task)
        with task("somewhere else"):
            assert carried() is None

    def test_wrap_passes_everything(self) -> None:
        """Arguments, results and exceptions pass, and the function looks like itself."""

        def function(a: int, *more: int, b: int = 2, **others: int) -> Any:
            """Says so."""
            if b == 0:
                raise ZeroDivisionError
            return a, more, b, others

        with task("x"):
            carried = wrap(function)
        assert carried(1, 2, 3, b=4, c=5) == (1, (2, 3), 4, {"c": 5})
        with pytest.raises(ZeroDivisionError):
            carried(1, b=0)
        assert (carried.__name__, carried.__doc__) == ("function", "Says so.")

    def test_copied_contexts(self) -> None:
        """A copied context has the goal; what begins in it stays in it."""
        with task("outer") as outer:
            copied = contextvars.copy_context()

            def inside() -> Any:
                assert current_task() is outer
                return to("inner").__enter__()

            inner = copied.run(inside)
            assert current_task() is outer
            assert copied.run(current_task) is inner
            copied.run(inner.__exit__, None, None, None)
            assert copied.run(current_task) is outer

    def test_goals_are_not_copied_or_pickled(self) -> None:
        """A goal is one thing in one process: a copy either is the goal, or is refused."""
        with task("one") as goal:
            for make in (copy.copy, copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))):
                try:
                    other = make(goal)
                except Exception:
                    continue
                if other is not goal:
                    with pytest.raises(RuntimeError):
                        other.__enter__()
            assert current_task() is goal
        assert goal.has_ended


class TestDecorators:
    def test_signatures_stay(self) -> None:
        """Name, signature, annotations and attributes are those of the function."""

        @to("decorated")
        def function(a: int, b: str = "x", *c: int, d: float, **e: Any) -> list[int]:
            """Doc."""
            return [a]

        assert (
            str(inspect.signature(function))
            == "(a: 'int', b: 'str' = 'x', *c: 'int', d: 'float', **e: 'Any') -> 'list[int]'"
        )
        assert function.__doc__ == "Doc."
        assert function(1, d=2.0) == [1]

    def test_recursion(self) -> None:
        """A decorated function that calls itself makes goals below goals."""

        @to("level")
        def recurse(depth: int) -> int:
            return depth if depth == 0 else recurse(depth - 1)

        with capture() as captured:
            assert recurse(3) == 0
        assert captured.outline() == [{"level": [{"level": [{"level": [{"level": []}]}]}]}]

    def test_partials_and_callables(self) -> None:
        """``functools.partial`` and objects with ``__call__`` are decorated as well."""

        class Adds:
            def __call__(self, x: int) -> int:
                return x + 1

        with capture() as captured:
            assert to("partial")(functools.partial(int, base=2))("101") == 5
            assert to("object")(Adds())(1) == 2
        assert captured.outline() == [{"partial": []}, {"object": []}]

    def test_stacked(self) -> None:
        """Two decorators make two goals, the upper one outside."""

        @task("outer")
        @to("inner")
        def work() -> None:
            log.info("x")

        with capture() as captured:
            work()
            work()
        assert captured.outline() == [{"outer": [{"inner": ["x"]}]}] * 2

    def test_in_threads_at_once(self) -> None:
        """One decorated function, ten threads: a hundred goals, each whole."""

        @task("work")
        def work(name: str) -> None:
            with to("inner"):
                log.info("%s", name)

        with capture() as captured:
            threads = [threading.Thread(target=lambda n=n: [work(str(n)) for _ in range(10)]) for n in range(10)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
        goals = captured.goals("work")
        assert len(goals) == 100
        assert all(len(goal.children) == 1 and goal.status == "succeeded" for goal in goals)
