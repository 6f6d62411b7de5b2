"""Short bursts of log calls, each between two bursts of the standard library with a NullHandler in the same process.

A shared machine changes its speed by a factor from one moment to the next. A ratio to what the same process did a few
milliseconds before and after does not see that. The reference is a second, private copy of the `logging` module: nothing
that distlog or a peer does to `logging` (factories, classes, handlers on the root) reaches it.
"""

from __future__ import annotations

import importlib.util
import logging
import statistics
import threading
import time
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any, Callable, NamedTuple

NAME, WHAT, REQUEST = "ann", "login", "r-7f3a"

Burst = Callable[[int], Any]


class Case(NamedTuple):
    """What is measured."""

    burst: Burst
    """Makes so many calls."""
    drain: Callable[[], object]
    """Waits until all that was logged is with the receiver."""
    arrived: Callable[[], int]
    """Bytes that the receiver has so far."""
    dropped: Callable[[], int] = lambda: 0
    """Records that were given up."""
    unit: int = 1
    """Log calls in one call of the burst."""


class Took(NamedTuple):
    """One burst, in seconds per call."""

    thread: float
    """Processor time of the calling thread."""
    wall: float
    """Until the last call returned."""
    total: float
    """Processor time of the whole process until all was drained."""
    null: float
    """Processor time of the reference, before and after."""


def private_logging() -> ModuleType:
    """A copy of the standard library's module that nobody else has."""
    spec = importlib.util.spec_from_file_location("logging_reference", logging.__file__)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def calls(log: Any, count: int) -> None:
    """The call that all stdlib-like loggers are measured with."""
    name, what, request = NAME, WHAT, REQUEST
    for _ in range(count):
        log.info("user %s did %s", name, what, extra={"request_id": request})


def bound(function: Callable[[Any, int], Any], log: Any) -> Burst:
    """The function for this logger, as a copy, because the interpreter adapts code to the types it sees."""
    own = FunctionType(function.__code__.replace(), function.__globals__)
    return lambda count: own(log, count)


def reference() -> Burst:
    """The call with the private logging and its NullHandler."""
    private = private_logging()
    log = private.getLogger("bench.reference")
    log.addHandler(private.NullHandler())
    log.setLevel(private.INFO)
    log.propagate = False
    return bound(calls, log)


def seconds(burst: Burst, count: int) -> float:
    """Processor time of this thread, per call."""
    began = time.thread_time()
    burst(count)
    return (time.thread_time() - began) / count


def fitting(burst: Burst, drain: Callable[[], object], length: float, warm: float = 0.15) -> int:
    """How many calls take so long, found while warming up."""
    count, began = 1, time.thread_time()
    while True:
        took = seconds(burst, count)
        drain()
        if took * count >= length / 2 and time.thread_time() - began >= warm:
            return max(1, round(length / took))
        count = min(count * 2, max(1, round(length / took)))


def measured(case: Case, bursts: int, length: float) -> Iterator[Took]:
    """Burst by burst, each about `length` seconds long."""
    null = reference()
    nulls = fitting(null, lambda: None, length)
    count = fitting(case.burst, case.drain, length)
    for _ in range(bursts):
        before = seconds(null, nulls)
        process, thread, wall = time.process_time(), time.thread_time(), time.perf_counter()
        case.burst(count)
        thread, wall = time.thread_time() - thread, time.perf_counter() - wall
        case.drain()
        total = time.process_time() - process
        after = seconds(null, nulls)
        made = count * case.unit
        yield Took(thread / made, wall / made, total / made, (before + after) / 2)


def summary(case: Case, bursts: int, length: float) -> dict[str, float]:
    """Medians over the bursts, as multiples of the reference; and what arrived."""
    made = 0

    def counting(count: int) -> None:
        nonlocal made
        made += count * case.unit
        case.burst(count)

    took = list(measured(case._replace(burst=counting), bursts, length))
    figures = {
        name: statistics.median(getattr(one, name) / one.null for one in took) for name in ("thread", "wall", "total")
    }
    figures["null_ns"] = statistics.median(one.null for one in took) * 1e9
    figures["ns"] = statistics.median(one.thread for one in took) * 1e9
    return {**figures, "bytes": case.arrived() / made, "dropped": case.dropped()}


def together(burst: Burst, threads: int, count: int) -> float:
    """Calls per second, wall time, of so many threads that each make `count` calls."""
    start = threading.Barrier(threads + 1)

    def work() -> None:
        start.wait()
        burst(count)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    began = time.perf_counter()
    start.wait()
    for worker in workers:
        worker.join()
    return threads * count / (time.perf_counter() - began)


def crowd(case: Case, bursts: int, length: float, threads: int = 4) -> dict[str, float]:
    """Throughput of several threads beside that of one, and beside as many with a NullHandler."""
    null = reference()
    nulls, count = fitting(null, lambda: None, length * 4), fitting(case.burst, case.drain, length * 4)
    one, many, null_many = [], [], []
    for _ in range(bursts):
        null_many.append(together(null, threads, nulls))
        one.append(together(case.burst, 1, count))
        case.drain()
        many.append(together(case.burst, threads, count))
        case.drain()
    return {
        "one": statistics.median(one),
        "many": statistics.median(many),
        "over_one": statistics.median(b / a for a, b in zip(one, many)),
        "over_null": statistics.median(b / a for a, b in zip(null_many, many)),
        "dropped": case.dropped(),
    }
