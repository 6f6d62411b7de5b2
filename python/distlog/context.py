"""Structured logging: goals, and which one is current.

``task()`` opens a root goal, ``to()`` a goal below the current one, ``import_task()`` a goal below one in another process. Every record
that is logged meanwhile belongs to the innermost open goal. See ``docs/goals.md``.

What is current is kept in a context variable, and restored by comparison, never by its token: a goal may end in another context than
it began in (generators, tasks that are closed elsewhere). A plain ``with`` inside a generator does not
leak into the generator's caller either: a goal whose generator is suspended is not current.

Goals themselves are native: entering and leaving one costs what a logging call costs.
"""

from __future__ import annotations

import functools
import os
import sys
from types import MethodType
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from distlog import _distlog, traceparent
from distlog._distlog import Task, current_task, task, to
from distlog.stamp import LogRecord, factory

if TYPE_CHECKING:
    from typing import Union

    Innermost = Union[Task, _distlog.Carried, _distlog.Later, None]

__all__ = ["LogContext", "LogRecord", "Task", "current_task", "factory", "import_task", "task", "to", "wrap"]

Function = TypeVar("Function", bound=Callable[..., Any])

#: An id longer than this is refused unread.
MAX_ID = 2048


class LogContext:
    """The goals that are open in this flow of execution (thread or asyncio task), innermost first."""

    @property
    def current(self) -> Task | None:
        """The innermost open goal. One whose generator is suspended, or which ended out of order, is passed over."""
        return current_task()

    def get(self) -> Innermost:
        """What was put there last, open or not."""
        return _distlog.innermost()

    def push(self, goal: Innermost) -> None:
        """Make this goal the innermost."""
        _distlog.push(goal)

    def pop(self, goal: Innermost, outer: Innermost) -> None:
        """Go back to what was there before; a goal that is not the innermost is taken out from between the others."""
        _distlog.pop(goal, outer)


_context = LogContext()


def import_task(id: str, msg: Any, /, *args: Any, trust: bool = True, **fields: Any) -> Task:
    """The goal that another process reserved: ``id`` is from ``get_foreign_task()``, or a W3C ``traceparent``.

    With ``trust=False`` it becomes a root of its own that only names the other as its ``goal.link``: for ids from people
    who shall not write into your trees. ``ValueError`` if the id is none.
    """
    return _distlog.imported(_parsed(id), bool(trust), msg, args, fields)


def wrap(function: Function) -> Function:
    """The same function, which takes the goal that is current now to wherever it is called.

    Given to another process, its call there is a goal below the current one.
    """
    import inspect

    current = _context.current
    goal = None if current is None else _distlog.Carried(current)
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def carried_coroutine(*args: Any, **kwargs: Any) -> Any:
            outer = _context.get()
            _context.push(goal)
            try:
                return await function(*args, **kwargs)
            finally:
                _context.pop(goal, outer)

        return carried_coroutine  # type: ignore[return-value]

    return _Wrapped(function, goal)  # type: ignore[return-value]


class _Wrapped:
    """A function with the goal that it takes along. Pickled, it is a job for another process: a goal below that one."""

    def __init__(self, function: Callable[..., Any], goal: _distlog.Carried | None) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._goal = goal

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        outer = _context.get()
        _context.push(self._goal)
        try:
            return self._function(*args, **kwargs)
        finally:
            _context.pop(self._goal, outer)

    def __get__(self, owner: Any, _: type | None = None) -> Any:
        return self if owner is None else MethodType(self, owner)

    def __reduce__(self) -> tuple[Any, ...]:
        from distlog.jobs import Job, title_of

        goal = None if self._goal is None else self._goal._here()
        return Job, (self._function, goal and goal.get_foreign_task(), title_of(self._function, ()))


def _parsed(id: Any) -> str:
    # A UUID can only be there if its module is.
    uuid = sys.modules.get("uuid")
    text = str(id) if isinstance(id, str) or (uuid is not None and isinstance(id, uuid.UUID)) else ""
    try:
        if not text or len(text) > MAX_ID:
            raise ValueError("it is too long" if text else "it is no text")
        return _distlog.parse_goal(traceparent.decode(text) if traceparent.looks_like_one(text) else text)
    except ValueError as error:
        shown = repr(id)
        raise ValueError(f"{shown[:100] + '…' if len(shown) > 100 else shown} is no goal's id: {error}") from None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_distlog.before_fork,
        after_in_parent=functools.partial(_distlog.after_fork, False),
        after_in_child=functools.partial(_distlog.after_fork, True),
    )
