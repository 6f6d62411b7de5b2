"""Filters for handlers: how much of the same is said, and details only where something failed.

Both are plain ``logging.Filter`` classes of plain arguments, so ``dictConfig`` builds them::

    "filters": {"calm": {"()": "distlog.filters.RateLimit", "records": 10}, "details": {"()": "distlog.filters.KeepDebug", "last": 200}},
    "handlers": {"central": {"class": "distlog.ZmqHandler", "filters": ["calm", "details"]}},

The begin and end records of goals always pass, so trees stay whole. A record that is held back has drawn no number in its goal yet, and leaves
no hole in the goal's sequence.
"""

from __future__ import annotations

import copy
import logging
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Callable, Union

from distlog import _distlog
from distlog.options import read_level

if TYPE_CHECKING:
    from distlog.context import Task

__all__ = ["KeepDebug", "RateLimit"]

#: Values that stay as they are.
_CONSTANT = (str, int, float, bool, bytes, type(None))
_lock = threading.RLock()
Send = Callable[[logging.LogRecord], Any]


class RateLimit(logging.Filter):
    """At most ``records`` of one call site in ``seconds``, after a first ``burst`` of as many (or what is given).

    A call site is a file, a line and a level. The first record that passes after others were suppressed says how many: its field
    ``suppressed``. No more than ``sites`` call sites are remembered; those that were quiet for longest are forgotten first.
    """

    def __init__(
        self, records: float = 10, seconds: float = 1.0, *, burst: float | None = None, sites: int = 4096
    ) -> None:
        super().__init__()
        burst = records if burst is None else burst
        for name, value in (("records", records), ("seconds", seconds), ("burst", burst), ("sites", sites)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                raise ValueError(f"{name} is a number above 0, not {value!r}")
        self.records, self.seconds, self.burst, self.sites = records, seconds, max(burst, 1), int(sites)
        #: How many records were suppressed so far.
        self.suppressed = 0
        #: Of each call site, that of the longest quiet one first: how many may pass, when that was so, how many were suppressed since.
        self._buckets: dict[tuple[str, int, int], tuple[float, float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it may pass."""
        if _goal_of(record) is not None:
            return True
        site, now = (record.pathname, record.lineno, record.levelno), time.monotonic()
        with _lock:
            tokens, before, suppressed = self._buckets.pop(site, (self.burst, now, 0))
            tokens = min(self.burst, tokens + (now - before) * self.records / self.seconds)
            passes = tokens >= 1
            if passes and suppressed:
                record.__dict__["suppressed"] = suppressed
            if not passes:
                self.suppressed += 1
            self._buckets[site] = (tokens - 1, now, 0) if passes else (tokens, now, suppressed + 1)
            if len(self._buckets) > self.sites:
                del self._buckets[next(iter(self._buckets))]
        return passes

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process begins anew."""
        return _remade, (type(self), (self.records, self.seconds), {"burst": self.burst, "sites": self.sites})


class KeepDebug(logging.Filter):
    """Records below ``level`` are sent only where they help: when their goal fails.

    Until a goal ends its ``last`` such records are kept. If it fails, they are sent before its end record, in their order and with their
    true times, and so is what was kept until then of the goals above it; if it succeeds, they are dropped. The end record says how many are
    gone: its field ``withheld``. Outside any goal such records are dropped, unless ``outside`` is true.

    It belongs on a handler; the loggers' level must let through what shall be kept. At most ``goals`` goals have records kept at a
    time; beyond that, those of the oldest are dropped.
    """

    def __init__(
        self, last: int = 100, level: int | str = logging.INFO, *, outside: bool = False, goals: int = 1000
    ) -> None:
        super().__init__()
        for name, value in (("last", last), ("goals", goals)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is a number above 0, not {value!r}")
        try:
            self.level = read_level(level)
        except ValueError:
            raise ValueError(f"level is a level's name or number, not {level!r}") from None
        self.last, self.outside, self.goals = last, outside, goals
        #: How many records were dropped so far.
        self.withheld = 0
        self._kept: dict[int, _Kept] = {}
        self._process = os.getpid()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is sent now."""
        stamp = _distlog.stamp_of(record)
        # A pair is what comes from another process: its number is drawn, and it would be missed.
        if isinstance(stamp, tuple):
            return True
        if stamp is None:
            return record.levelno >= self.level or self.outside
        if stamp.goal is None:
            if record.levelno >= self.level:
                return True
            self._keep(stamp.task, record)
            return False
        if stamp.goal["event"] == "end":
            if stamp.goal["status"] == "failed":
                self._release(stamp.task, record)
            else:
                self._drop(stamp.task, record)
        return True

    def _keep(self, goal: Task, record: logging.LogRecord) -> None:
        with _lock:
            if self._process != os.getpid():
                # What is there is the parent's to send.
                self._kept, self._process = {}, os.getpid()
            kept = self._kept.get(id(goal))
            if kept is None:
                kept = self._kept[id(goal)] = _Kept(goal, self.last)
                if len(self._kept) > self.goals:
                    oldest = self._kept.pop(next(iter(self._kept)))
                    self.withheld += len(oldest.records)
            if not kept.records or kept.records[-1][1] is not record:
                self.withheld += kept.add((time.monotonic_ns(), record, _frozen(record)))

    def _release(self, goal: Task, end: logging.LogRecord) -> None:
        """Send what was kept of this goal and of those above it."""
        withheld, one = 0, goal
        records: list[Entry] = []
        with _lock:
            while one is not None:
                kept = self._kept.pop(id(one), None)
                if kept is not None:
                    records += kept.records
                    withheld += kept.dropped
                one = getattr(one, "_parent", None)  # type: ignore[assignment]
        if withheld:
            end.__dict__["withheld"] = withheld
        sends = list(_sends(self, end.name)) if records else []
        for _, _, record in sorted(records, key=_order):
            for send in sends:
                send(record)

    def _drop(self, goal: Task, end: logging.LogRecord) -> None:
        with _lock:
            kept = self._kept.pop(id(goal), None)
            if kept is not None:
                self.withheld += len(kept.records)
                end.__dict__["withheld"] = kept.dropped + len(kept.records)

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process begins anew."""
        return _remade, (type(self), (self.last, self.level), {"outside": self.outside, "goals": self.goals})


Entry = tuple[int, logging.LogRecord, logging.LogRecord]


class _Kept:
    """What is kept of a goal: when it came, the record, and the record as it was then. Holds the goal, so its ``id()`` stays its own."""

    def __init__(self, goal: Task, last: int) -> None:
        self.goal = goal
        self.last = last
        self.records: deque[Entry] = deque()
        self.dropped = 0

    def add(self, entry: Entry) -> int:
        """Keep it; gives how many had to go for that."""
        self.records.append(entry)
        if len(self.records) <= self.last:
            return 0
        self.records.popleft()
        self.dropped += 1
        return 1


def _order(entry: Entry) -> int:
    return entry[0]


def _goal_of(record: logging.LogRecord) -> Any:
    """The ``goal`` field of begin and end records. Draws no number."""
    stamp = _distlog.stamp_of(record)
    return stamp[1] if isinstance(stamp, tuple) else None if stamp is None else stamp.goal


def _sends(condition: logging.Filter, name: str) -> list[Send]:
    """Ways to where the filter stands: handlers that have it, past their filters, and loggers that have it."""
    handlers: dict[int, logging.Handler] = {}
    sends: list[Send] = []
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None:
        if condition in logger.filters:
            sends.append(logger.callHandlers)
        handlers.update((id(one), one) for one in logger.handlers)
        logger = logger.parent if logger.propagate else None
    # Those that get their records from a queue are on no logger.
    for reference in list(logging._handlerList):  # type: ignore[attr-defined]
        handler = reference()
        if handler is not None:
            handlers.setdefault(id(handler), handler)
    return sends + [_emitting(one) for one in handlers.values() if condition in one.filters]


def _emitting(handler: logging.Handler) -> Send:
    def emit(record: logging.LogRecord) -> None:
        handler.acquire()
        try:
            handler.emit(record)
        except Exception:
            handler.handleError(record)
        finally:
            handler.release()

    return emit


def _frozen(record: logging.LogRecord) -> logging.LogRecord:
    """The record as it is now: what its arguments and fields become later does not show."""
    changes: dict[str, Any] = {}
    args = record.args
    if type(record.msg) is not str or not _is_constant(args):
        text = _distlog.render(record.msg, args)
        constant = _constant(args)
        if type(record.msg) is str and _distlog.render(record.msg, constant) == text:
            changes["args"] = constant
        else:
            changes.update(msg=text, args=())
    for name, value in record.__dict__.items():
        if type(value) in (dict, list, set) and name != "args":
            try:
                changes[name] = copy.deepcopy(value)
            except Exception:
                changes[name] = _distlog.render("%r", (value,))
    if not changes:
        return record
    frozen = copy.copy(record)
    frozen.__dict__.update(changes)
    return frozen


Arguments = Union[tuple[Any, ...], dict[Any, Any], None, Any]


def _is_constant(args: Arguments) -> bool:
    values = args.values() if isinstance(args, dict) else args or ()
    return type(args) in (tuple, dict, type(None)) and all(type(value) in _CONSTANT for value in values)


def _constant(args: Arguments) -> Arguments:
    """The same with texts instead of values that may change; numbers and the like stay."""

    def text(value: Any) -> Any:
        return value if type(value) in _CONSTANT else _distlog.render("%s", (value,))

    if isinstance(args, dict):
        return {name: text(value) for name, value in args.items()}
    return tuple(text(value) for value in args) if isinstance(args, tuple) else text(args)


def _remade(kind: type[logging.Filter], args: tuple[Any, ...], named: dict[str, Any]) -> logging.Filter:
    return kind(*args, **named)


def _after_fork_in_child() -> None:
    # The thread that had it may not be here.
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
