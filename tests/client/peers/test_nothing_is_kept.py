"""What was logged is let go: arguments, exceptions, frames and goals are not kept alive, and memory does not grow with use."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from distlog import JSONFormatter, PickleFormatter, ZmqHandler, current_task, task, to, wrap

log = logging.getLogger("peers.kept")
STATM = Path("/proc/self/statm")


class Value:
    """Something that can be watched."""

    def __str__(self) -> str:
        return "a value"

    __repr__ = __str__


@pytest.fixture
def alone(handler: ZmqHandler, monkeypatch: pytest.MonkeyPatch) -> Callable[[], ZmqHandler]:
    """To be called by the test itself, since pytest adds its handlers, which keep records, after the fixtures."""

    def only_ours() -> ZmqHandler:
        for logger in (log, logging.getLogger(__name__)):
            monkeypatch.setattr(logger, "propagate", False)
            monkeypatch.setattr(logger, "handlers", [handler])
        return handler

    return only_ours


class TestLetGo:
    @pytest.mark.parametrize("formatter", [JSONFormatter, PickleFormatter])
    @pytest.mark.parametrize("inside", [False, True])
    def test_arguments_and_extra(self, alone: Callable[[], ZmqHandler], formatter: Any, inside: bool) -> None:
        """As soon as the call is over, also while the record waits for a daemon."""
        alone().setFormatter(formatter())
        values = [Value() for _ in range(4)]
        watched = [weakref.ref(value) for value in values]

        def say() -> None:
            log.info("%s %r", values[0], {"deep": [values[1]]}, extra={"value": values[2], "more": (values[3],)})

        if inside:
            with task("inside"):
                say()
        else:
            say()
        values.clear()
        assert [one() for one in watched] == [None] * 4

    def test_fields_of_goals(self, alone: Callable[[], ZmqHandler]) -> None:
        """What was bound to a goal goes with it."""
        alone()
        watched = []

        def work() -> None:
            value, later = Value(), Value()
            watched.extend([weakref.ref(value), weakref.ref(later)])
            with task("work %s", value, field=value) as goal:
                goal.bind(later=later)
                log.info("x")
                goal.success("done", result=later)

        work()
        gc.collect()
        assert [one() for one in watched] == [None, None]

    def test_exceptions_and_their_frames(self, alone: Callable[[], ZmqHandler]) -> None:
        """A logged exception, and one that ended a goal, with the locals of its frames."""
        alone()
        watched = []

        def fail() -> None:
            local = Value()
            watched.append(weakref.ref(local))
            raise ValueError("x")

        for _ in range(3):
            try:
                with task("fails"):
                    fail()
            except ValueError:
                log.exception("failed")
        gc.collect()
        assert [one() for one in watched] == [None] * 3

    def test_wrapped_functions(self) -> None:
        """A wrapped function goes when nobody holds it."""

        def function() -> Any:
            return current_task()

        with task("x"):
            carried = wrap(function)
        watched = weakref.ref(function)
        del function, carried
        gc.collect()
        assert watched() is None

    def test_generators_in_the_middle(self) -> None:
        """A decorated generator that is dropped half-way ends its goal and is gone."""

        @to("steps")
        def steps(value: Value) -> Iterator[int]:
            yield 1
            yield 2
            assert value

        value = Value()
        watched = weakref.ref(value)
        running = steps(value)
        next(running)
        del running, value
        gc.collect()
        assert watched() is None
        assert current_task() is None


USES = {
    "records": "log.info('%s %d %r', 'text', number, {'a': [1, 2.5, None]}, extra={'x': number, 'y': str(number)})",
    "exceptions": "try: 1 / 0\n        except ZeroDivisionError: log.exception('failed %d', number)",
    "stranger values": "log.info('%s', Stranger(), extra={'s': Stranger(), 'b': b'x', 'set': {number}})",
    "goals": "with task('outer %d', number, n=number) as g:\n            with to('inner'): log.info('x'); g.bind(m=number)",
    "failed goals": "try:\n            with task('outer'): 1 / 0\n        except ZeroDivisionError: pass",
    "quiet goals": "with task('quiet'): quiet.debug('x')",
    "foreign ids": "with task('x') as g:\n            with import_task(g.get_foreign_task(), 'y'): g.traceparent",
    "decorated": "decorated(number)",
    "contexts": "contextvars.copy_context().run(decorated, number)",
    "handlers": "if number % 20 == 0:\n            one = ZmqHandler(os.environ['ENDPOINT']); one.handle(logging.makeLogRecord({'msg': 'x'})); one.close()",
    "dropped": "full.handle(logging.makeLogRecord({'msg': 'x' * 100, 'levelno': 20}))",
}
PROGRAM = """
import contextvars, gc
from distlog.testing import capture
quiet = logging.getLogger("quiet")
quiet.setLevel(logging.ERROR)
full = ZmqHandler("tcp://127.0.0.1:9", queue_bytes=10_000, flush_timeout=0.0)
class Stranger:
    def __str__(self): return "s" * 50
@to("decorated %s", "function")
def decorated(number): log.debug("x %d", number)

def use(count):
    for number in range(count):
        {use}
        if number % 200 == 0: handler.flush()
    handler.flush()
    gc.collect()

def memory(): return int(open("/proc/self/statm").read().split()[1]) * 4096

use(2000)
objects, before = len(gc.get_objects()), memory()
use(6000)
print(len(gc.get_objects()) - objects, memory() - before)
"""


@pytest.mark.skipif(not STATM.exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("use", USES)
def test_memory_does_not_grow(run: Any, collector: Any, use: str) -> None:
    """After two thousand uses, six thousand more leave no objects behind, and no memory."""
    done = run(PROGRAM.replace("{use}", USES[use]))
    assert "Traceback" not in done.stderr
    objects, grown = map(int, done.stdout.split())
    assert objects < 100, f"{objects} objects more"
    assert grown < 1 << 20, f"{grown / 6000:.0f} bytes for each use"
