"""The life of the process around the handlers: fork, the workers of multiprocessing, and every way to end.

Handlers are known here only as `Leaving`: how many records wait in them, and a flush. A handler that lives is registered, one that was
closed is forgotten; neither keeps it alive.

Processes that end without the interpreter's exit hooks send what they have first, if a daemon answers: those that call
``os._exit``, as a fork's child does, or ``os.exec…``, within half a second; workers of a ``multiprocessing.Pool``, which a signal ends at any
time, record by record. The end of the process has one deadline for all handlers together.

multiprocessing is watched, and never imported.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import sys
import time
import weakref
from typing import Any, Callable, NoReturn, Protocol

from distlog import _distlog

__all__ = [
    "EXIT_SECONDS",
    "ends_suddenly",
    "forget",
    "keep_until_sent",
    "let_leave",
    "register",
    "within_exit",
    "within_shutdown",
]

#: Seconds that the end of the process may wait for records to leave, all handlers together.
EXIT_SECONDS = 2.0
#: Seconds that ``os._exit`` and ``os.exec…`` may wait for records to leave.
HARD_EXIT_SECONDS = 0.5
#: Seconds that a record of a pool's worker may wait to leave, and seconds without waiting after one that did not.
WORKER_SECONDS, WORKER_PAUSE = 0.05, 1.0

#: A `logging.shutdown` so many seconds after another's time was over is one of its own.
SHUTDOWN_PAUSE = 1.0
#: Seconds that the end waits for threads to come out of a call.
THREAD_SECONDS = 0.5

#: Whether a signal may end this process at any time without it being a fault; ``None`` if that is to be found out. As long as it is not
#: ``False``, a handler calls `let_leave` after each record.
ends_suddenly: bool | None = None


class Leaving(Protocol):
    """What a handler is here. Compared by identity."""

    def flush(self, timeout: float | None = None) -> Any:
        """Wait until what was logged so far has left; falsy if ``timeout`` seconds were not enough. Without one: `within_exit`."""

    def stats(self) -> dict[str, Any]:
        """``queued``: how many records wait. ``failing_seconds``: ``None`` while there is hope that they leave."""


_alive: weakref.WeakSet[Any] = weakref.WeakSet()
#: What handlers that were collected had still to send.
_left: list[_Left] = []
#: The time before which a handler's records are not waited for.
_waits_from: weakref.WeakKeyDictionary[Any, float] = weakref.WeakKeyDictionary()
_exit_deadline: float | None = None
#: Until when `logging.shutdown` may wait, which goes through all handlers.
_shutdown_deadline = 0.0
_parent = 0
#: The time before which an end that is not announced waits for nothing.
_hopeless_until = 0.0


def register(handler: Leaving) -> None:
    """From now on, the process does not end before this handler had its time."""
    _alive.add(handler)
    _at_exit()
    _watch_multiprocessing()


def forget(handler: Leaving) -> None:
    """The handler is closed."""
    _alive.discard(handler)


class _Left:
    """The sender of a handler that nobody holds any more."""

    def __init__(self, sender: Any) -> None:
        self.sender = sender

    def flush(self, timeout: float | None = None) -> Any:
        return self.sender.flush(within_exit(EXIT_SECONDS) if timeout is None else timeout)

    def stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = self.sender.stats()
        return stats


def keep_until_sent(sender: Any) -> None:
    """The handler was collected and never closed: its sender stays until all has left."""
    _left[:] = [one for one in _left if one.stats()["queued"]]
    if sender.stats()["queued"]:
        _left.append(_Left(sender))


def within_exit(seconds: float) -> float:
    """So many seconds; or what is left of the process's time to end, if that is less. Never negative."""
    if _exit_deadline is not None:
        seconds = min(seconds, _exit_deadline - time.monotonic())
    return max(seconds, 0.0)


def within_shutdown(seconds: float) -> float:
    """As `within_exit`, for `logging.shutdown`: all handlers together have as long as one."""
    global _shutdown_deadline
    now = time.monotonic()
    if now > _shutdown_deadline + SHUTDOWN_PAUSE:
        _shutdown_deadline = now + EXIT_SECONDS
    return within_exit(min(seconds, _shutdown_deadline - now))


def let_leave(handler: Leaving) -> None:
    """In a process that may end at any time: wait for the record to leave, unless waiting was in vain a moment ago."""
    if _finds_sudden_end() and time.monotonic() >= _waits_from.get(handler, 0.0) and not handler.flush(WORKER_SECONDS):
        _waits_from[handler] = time.monotonic() + WORKER_PAUSE


def _at_exit() -> None:
    """Once: the end of the process has one deadline for all handlers."""
    if not getattr(_at_exit, "done", False):
        _at_exit.done = True  # type: ignore[attr-defined]
        # Registered after logging's own hook, so it runs before it.
        atexit.register(_begin_exit)
        # The others of their kind, in `os` and in multiprocessing, call these.
        for name in ("_exit", "execv", "execve"):
            end: Callable[..., NoReturn] = getattr(os, name)
            ending = _ending(end)
            setattr(os, name, ending)
            if end in os.supports_fd:
                os.supports_fd.add(ending)


def _ending(end: Callable[..., NoReturn]) -> Callable[..., NoReturn]:
    """The same end of the program, after what is queued has left."""

    @functools.wraps(end)
    def end_when_all_left(*args: Any, **kwargs: Any) -> NoReturn:
        try:
            _let_all_leave()
        finally:
            end(*args, **kwargs)

    return end_when_all_left


def _let_all_leave() -> None:
    """Wait for what is queued to leave, as long as there is hope; not again at once, since a program is looked for in many places."""
    global _hopeless_until
    now = time.monotonic()
    if now < _hopeless_until:
        return
    deadline = now + HARD_EXIT_SECONDS
    for handler in [*_alive, *_left]:
        stats = handler.stats()
        while stats["queued"] and stats.get("failing_seconds") is None:
            if time.monotonic() >= deadline:
                _hopeless_until = deadline + HARD_EXIT_SECONDS
                return
            handler.flush(0.02)
            stats = handler.stats()


def _begin_exit() -> None:
    global _exit_deadline
    _exit_deadline = time.monotonic() + EXIT_SECONDS
    for one in list(_left):
        one.flush()


def _flush_all() -> None:
    _begin_exit()
    for handler in list(_alive):
        handler.flush()


def _end_threads() -> None:
    """Let no other thread into the native core any more: up to Python 3.13, one that calls Python from there at the end takes the process along."""
    if logging.getLogRecordFactory() is _distlog.make_record:
        # It has to give something to whoever calls it.
        logging.setLogRecordFactory(_distlog.chained_factory() or logging.LogRecord)
    deadline = time.monotonic() + THREAD_SECONDS
    while _distlog.end_begins() and time.monotonic() < deadline:
        time.sleep(0.0005)


#: Before those of all handlers, so it runs after them: what they wait for may have to log.
atexit.register(_end_threads)


class _Anchor:
    """What multiprocessing's registry holds on to."""


_anchor = _Anchor()
_watching = False


def _watch_multiprocessing() -> None:
    """Children of multiprocessing end without the interpreter's exit hooks: flush in theirs."""
    global _watching
    util = sys.modules.get("multiprocessing.util")
    if util is None:
        return
    if not _watching:
        _watching = True
        util.register_after_fork(_anchor, _in_child)
    if sys.modules["multiprocessing.process"].parent_process() is not None:
        _in_child(_anchor)


def _finds_sudden_end() -> bool:
    global ends_suddenly
    processes = sys.modules.get("multiprocessing.process")
    if ends_suddenly is None:
        process = None if processes is None else processes.current_process()
        if getattr(process, "_inheriting", False):
            # A spawned child that is being prepared does not know yet what it is.
            return False
        # Daemonic ones are pool workers and their like: their parent ends them with SIGTERM.
        ends_suddenly = process is not None and bool(process.daemon)
        if processes is not None and processes.parent_process() is not None:
            _in_child(_anchor)
    return ends_suddenly


def _before_fork() -> None:
    global _parent
    _parent = os.getpid()
    _watch_multiprocessing()


def _begin_child() -> None:
    global ends_suddenly
    if os.getpid() == _parent:
        # Both are process 1 of their namespaces, say. A new id shows by itself, and a hook that ran before this one may have logged.
        _distlog.forked()
    _distlog.settled(False)
    ends_suddenly = None
    # The parent sends them.
    _left.clear()


def _in_child(_: object) -> None:
    sys.modules["multiprocessing.util"].Finalize(None, _flush_all, exitpriority=10)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_begin_child)
