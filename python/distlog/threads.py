"""Goals follow work into threads and pools, everywhere in the process.

Python starts threads without their creator's context. ``propagate()`` changes that for the current goal, and only for it, in
``threading.Thread``, ``concurrent.futures.ThreadPoolExecutor`` (and with it ``loop.run_in_executor``) and ``multiprocessing.pool.ThreadPool``.
What is handed to processes is a goal of its own: see ``jobs.py``.
"""

from __future__ import annotations

import functools
import threading
from typing import Any

from distlog.context import _context, wrap

__all__ = ["propagate"]

#: What was changed: class, name, and what was there before (``None``: only inherited).
_changed: list[tuple[type, str, Any]] = []
_changing = threading.Lock()


def propagate(enabled: bool = True) -> None:
    """Make threads and thread pools take over the goal that is current where work is handed to them; ``False`` undoes it.

    What is handed to processes (``multiprocessing.Process`` and ``Pool``, ``ProcessPoolExecutor``, however they start) becomes a goal
    below the current one; and spawned processes send their records to where this one does.
    """
    with _changing:
        if enabled and not _changed:
            _change_all()
        elif not enabled:
            while _changed:
                owner, name, before = _changed.pop()
                if before is None:
                    delattr(owner, name)
                else:
                    setattr(owner, name, before)


def _change_all() -> None:
    from concurrent.futures import ThreadPoolExecutor
    from multiprocessing.pool import ThreadPool

    from distlog import jobs

    jobs.carry(_change)
    _change(threading.Thread, "start", _start)
    _change(ThreadPoolExecutor, "submit", _submit)
    for name in ("apply_async", "_map_async", "imap", "imap_unordered"):
        _change(ThreadPool, name, _submit)


def _change(owner: type, name: str, change: Any) -> None:
    _changed.append((owner, name, owner.__dict__.get(name)))
    setattr(owner, name, change(getattr(owner, name)))


def _start(start: Any) -> Any:
    @functools.wraps(start)
    def start_with_goal(self: threading.Thread) -> None:
        if _context.current is not None:
            run = wrap(self.run)

            def run_once() -> None:
                # The thread must not hold on to itself.
                self.__dict__.pop("run", None)
                run()

            self.run = run_once  # type: ignore[method-assign]
        start(self)

    return start_with_goal


def _submit(submit: Any) -> Any:
    @functools.wraps(submit)
    def submit_with_goal(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        carried = wrap(fn)
        # The pool may start a thread for this, which will serve others later: it has no goal of its own.
        outer = _context.get()
        _context.push(None)
        try:
            return submit(self, carried, *args, **kwargs)
        finally:
            _context.push(outer)

    return submit_with_goal
