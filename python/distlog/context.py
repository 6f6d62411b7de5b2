"""Structured logging: goals, and which one is current.

``task()`` opens a root goal, ``to()`` a goal below the current one, ``import_task()`` a goal below one in another process. Every record
that is logged meanwhile belongs to the innermost open goal. See ``docs/goals.md``.

What is current is kept in a context variable, and restored by comparison, never by its token: a goal may end in another context than
it began in (generators, tasks that are closed elsewhere). A plain ``with`` inside a generator does not
leak into the generator's caller either: a goal whose generator is suspended is not current.

Numbers: records and children of a goal draw from one sequence. The begin record is 0, the end record draws last and says how many
were drawn. Ids and numbers are drawn when they are first needed, so what no handler takes leaves no holes.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import sys
import threading
import time
import uuid
from contextvars import ContextVar
from types import CodeType, FrameType, MethodType, TracebackType
from typing import Any, Callable, TypeVar, cast

from distlog import _distlog, traceparent
from distlog.site import Site, caller, carried, guarded, log, made, reaches, site_of
from distlog.stamp import Fields, LogRecord, Stamp, factory, install
from distlog.steps import decorate

__all__ = ["LogContext", "LogRecord", "Task", "current_task", "factory", "import_task", "task", "to", "wrap"]

Function = TypeVar("Function", bound=Callable[..., Any])

#: An id longer than this is refused unread.
MAX_ID = 2048
#: The traceback itself, whatever a class of exceptions makes of the name.
_traceback_of = BaseException.__dict__["__traceback__"].__get__
_GENERATOR = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR

#: How often this process is a fork's child. A goal of another generation belongs to another process.
_generation = 0
#: Child numbers reserved for the processes that threads are about to fork.
_reserved: dict[int, tuple[Task, int]] = {}


class LogContext:
    """The goals that are open in this flow of execution (thread or asyncio task), innermost first."""

    def __init__(self) -> None:
        self._innermost: ContextVar[Task | _Carried | None] = ContextVar("distlog_goal", default=None)

    @property
    def current(self) -> Task | None:
        """The innermost open goal. One whose generator is suspended, or which ended out of order, is passed over."""
        goal: Task | _Carried | None = self._innermost.get()
        while goal is not None and goal._has_left():
            if self._innermost.get() is goal and goal.has_ended:
                self._innermost.set(goal._outer)
            goal = goal._outer
        return None if goal is None else goal._here()

    def get(self) -> Task | _Carried | None:
        """What was put there last, open or not."""
        return self._innermost.get()

    def push(self, goal: Task | _Carried | None) -> None:
        """Make this goal the innermost."""
        self._innermost.set(goal)

    def pop(self, goal: Task | _Carried | None, outer: Task | _Carried | None) -> None:
        """Go back to what was there before; a goal that is not the innermost is taken out from between the others."""
        inner = self._innermost.get()
        if inner is goal:
            self._innermost.set(outer)
        while inner is not None and inner is not goal:
            if inner._outer is goal:
                inner._outer = outer
                return
            inner = inner._outer


_context = LogContext()


class _Carried:
    """A goal that was taken elsewhere on purpose: it is current there even when it has ended."""

    has_ended = False

    def __init__(self, goal: Task) -> None:
        self._goal = goal
        self._outer: Task | _Carried | None = None

    def _has_left(self) -> bool:
        return False

    def _here(self) -> Task:
        return self._goal._here()


class Task:
    """A goal: a piece of work with an end, and the records that belong to it.

    It is a context manager (``with``, ``async with``) to be entered once, and a decorator: then each call is a goal of its own.
    """

    def __init__(self, msg: Any, /, *args: Any, **fields: Any) -> None:
        self.msg = msg
        self.args = args
        self._own = _renamed(fields)
        self._kind = "task"
        self._given: str | None = None
        self._link: str | None = None
        self._site: Site | None = None
        self._decorates = False
        self._state = "new"
        #: Who takes it out may enter the goal, or end it: one step that nothing can come between.
        self._entry, self._end = [True], [True]
        self._id: str | None = None
        self._number = _distlog.Number()
        self._parent: Task | None = None
        self._outer: Task | _Carried | None = None
        self._bound = self._own
        self._numbers = _distlog.Sequence()
        self._awaited: list[int] = []
        self._outcome: tuple[str, Any, tuple[Any, ...], Fields] | None = None
        self._began = 0.0
        self._begin: logging.LogRecord | None = None
        self._heard_by: dict[int, tuple[logging.Handler]] = {}
        self._frame: FrameType | None = None
        self._flow: tuple[int, int] = (0, 0)
        self._generation = _generation
        self._in_child: Task | None = None

    @property
    def id(self) -> str:
        """``<uuid>``, or ``<uuid>/2/1`` below a root."""
        if self._id is None:
            if self._kind == "to" and self._state == "new":
                raise RuntimeError(f"goal {self._title()!r} has no id before it is entered")
            parent = self._parent
            if parent is None:
                self._id = self._given or str(uuid.uuid4())
            else:
                self._id = f"{parent.id}/{self._number.of(parent._numbers)}"
        return self._id

    @property
    def parent(self) -> str | None:
        """The id of the goal above, or ``None`` for a root."""
        return self.id.rpartition("/")[0] or None

    @property
    def context(self) -> Fields:
        """The fields that records of this goal carry: its own, those bound, and those inherited when it began."""
        return dict(self._bound)

    @property
    def has_ended(self) -> bool:
        """Whether its end record was written."""
        return self._state == "ended"

    @property
    def traceparent(self) -> str:
        """A W3C header that names a new child of this goal; each reading reserves one, as ``get_foreign_task`` does."""
        return traceparent.encode(self.get_foreign_task())

    def get_foreign_task(self) -> str:
        """Reserve a child for work elsewhere; its id is for ``import_task`` there, once."""
        here = self._here()
        return f"{here.id}/{here._reserve()}"

    def bind(self, /, **fields: Any) -> None:
        """Add fields to the goal's later records, and to the goals that begin below it from now on."""
        here = self._here()
        here._bound = {**here._bound, **_renamed(fields)}

    def unbind(self, /, *names: str) -> None:
        """Take fields away again."""
        here = self._here()
        here._bound = {name: value for name, value in here._bound.items() if name not in names}

    def success(self, msg: Any, /, *args: Any, **fields: Any) -> None:
        """Say what the end record says when the block ends well."""
        self._decide("succeeded", msg, args, fields)

    def fail(self, msg: Any, /, *args: Any, **fields: Any) -> None:
        """Make the goal a failed one, without an exception; ``goal.error`` of the end record is this message."""
        self._decide("failed", msg, args, fields)

    def __enter__(self) -> Task:
        self._enter(sys._getframe(1))
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        self._exit(error, sys._getframe(1))

    async def __aenter__(self) -> Task:
        self._enter(sys._getframe(1))
        return self

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        self._exit(error, sys._getframe(1))

    def __call__(self, function: Function) -> Function:
        """Decorate a function, coroutine function, generator or asynchronous generator."""
        if self._state != "new":
            raise RuntimeError(f"goal {self._title()!r} was entered, and cannot decorate any more")
        code: CodeType | None = getattr(inspect.unwrap(getattr(function, "__func__", function)), "__code__", None)
        site = None
        if code is not None:
            module = getattr(function, "__module__", None) or "__main__"
            site = Site(module, code.co_filename, code.co_firstlineno, code.co_name)
        return cast("Function", decorate(function, functools.partial(self._again, site), _context))

    def __repr__(self) -> str:
        return f"<Task {self._title()!r} {self._id or self._given or ''} {self._state}>"

    def _again(self, site: Site | None) -> Task:
        """A new goal of the same making, for one call of a decorated function."""
        goal = Task(self.msg, *self.args)
        goal._own = goal._bound = self._own
        goal._kind, goal._given, goal._link = self._kind, self._given, self._link
        goal._site, goal._decorates = site, site is not None
        if self._kind == "import" and not _taken(self._entry):
            # One id is one goal: later calls are goals of their own that say where they come from.
            goal._kind, goal._given, goal._link = "task", None, self._given
        return goal

    def _enter(self, frame: FrameType | None) -> None:
        if not _taken(self._entry):
            raise RuntimeError(f"goal {self._title()!r} was entered already")
        install()
        self._outer = _context.get()
        self._generation = _generation
        if self._kind == "to":
            self._parent = _context.current
            if self._parent is not None:
                self._bound = {**self._parent._bound, **self._own}
        if self._parent is None and self._id is None:
            self._id = self._given or str(uuid.uuid4())
        frame = caller(frame)
        if frame is not None and frame.f_code.co_flags & _GENERATOR:
            self._frame = frame
        self._flow = _flow()
        self._began = time.perf_counter()
        self._state = "open"
        _context.push(self)
        self._log_begin(self._site or site_of(frame))

    def _log_begin(self, site: Site) -> None:
        self._site = site
        goal: Fields = {"event": "begin", "title": self._title()}
        if self._link is not None:
            goal["link"] = self._link
        mark = Stamp(self, self._bound, goal)
        self._begin = log(site, logging.INFO, self.msg, self.args, None, mark)

    def _exit(self, error: BaseException | None, frame: FrameType | None = None) -> None:
        if self._state == "new" or not _taken(self._end):
            raise RuntimeError(
                f"goal {self._title()!r} {'was not entered' if self._state == 'new' else 'ended already'}"
            )
        self._state = "ended"
        here = self
        if self._generation != _generation:
            # The block was entered before a fork: its end is the parent's to tell. Here ends what this process did of it.
            here, self._in_child = self._in_child or self, None
            _context.pop(here, self._outer)
        self._frame = here._frame = None
        _context.pop(self, self._outer)
        if here._generation == _generation:
            here._state = "ended"
            here._log_end(error, None if here._decorates else caller(frame))

    def _log_end(self, error: BaseException | None, frame: FrameType | None) -> None:
        status, level, reason, note = _ending(error)
        msg, args, fields = self.msg, self.args, self._bound
        if self._outcome is not None:
            decided, its_msg, its_args, its_fields = self._outcome
            fields = {**fields, **its_fields}
            if decided == "failed":
                status, level, reason = "failed", max(level, logging.ERROR), _distlog.render(its_msg, its_args)
            elif status == "succeeded":
                msg, args = its_msg, its_args
        goal: Fields = {"event": "end", "title": self._title(), "status": status}
        goal["duration"] = time.perf_counter() - self._began
        for name, value in (("error", reason), ("note", note), ("awaited", list(self._awaited))):
            if value:
                goal[name] = value
        info = None
        if status == "failed":
            msg = "FAILED " + (msg if isinstance(msg, str) else _distlog.render(msg, ()))
            info = None if error is None else (type(error), error, _traceback_of(error))
        site = self._site if frame is None or self._begin is None else site_of(frame)
        mark = Stamp(self, fields, goal)
        record = log(site or site_of(None), level, msg, args, info, mark)
        if record is not None:
            carriers = carried(record) if self._heard_by else False
            for (handler,) in [*self._heard_by.values()]:
                # A handler that saw the goal begin sees it end, whatever the levels say. What stands behind a queue gets it from there.
                if id(handler) not in mark.taken_by and not (carriers and not reaches(record, handler)):
                    guarded(handler.handle, record)

    def _announce(self, handler: logging.Handler) -> None:
        """Send this handler the begin records of this goal and of those above that it has not seen, the outermost first."""
        unheard: list[Task] = []
        goal: Task | None = self
        while goal is not None and id(handler) not in goal._heard_by:
            unheard.append(goal)
            goal = goal._parent
        for goal in reversed(unheard):
            claim = (handler,)
            if goal._heard_by.setdefault(id(handler), claim) is claim and goal._begin is not None:
                guarded(handler.handle, goal._begin)

    def _decide(self, status: str, msg: Any, args: tuple[Any, ...], fields: Fields) -> None:
        here = self._here()
        if self._state != "open":
            raise RuntimeError(f"goal {self._title()!r} {'has ended' if self._state == 'ended' else 'was not entered'}")
        if here._outcome is not None:
            raise RuntimeError(f"goal {self._title()!r} was decided already: {here._outcome[0]}")
        here._outcome = (status, msg, args, _renamed(fields))

    def _reserve(self) -> int:
        number = self._numbers.draw()
        self._awaited.append(number)
        return number

    def _title(self) -> str:
        args: Any = self.args
        if len(args) == 1 and isinstance(args[0], dict) and args[0]:
            args = args[0]
        return _distlog.render(self.msg, args)

    def _has_left(self) -> bool:
        """Whether the flow that entered the goal is not inside it now, although the context variable says so."""
        frame = self._frame
        if frame is None and self._state == "open":
            return False
        suspended = frame is not None and frame.f_back is None
        if suspended and frame is not None and frame.f_code.co_flags & inspect.CO_GENERATOR:
            return True
        # A thread or asyncio task that inherited the goal may outlive it, and still belongs to it. It may also have been
        # started inside an asynchronous generator, which waits meanwhile.
        return (suspended or self.has_ended) and self._flow == _flow()

    def _here(self) -> Task:
        """This goal; in a forked child, what the child does of it."""
        if self._generation == _generation:
            return self
        if self._in_child is None:
            goal = Task("%s, in forked process %d", self._title(), os.getpid())
            whose, number = _reserved.get(threading.get_ident(), (None, 0))
            if whose is self:
                goal._id = f"{self._id}/{number}"
            else:
                goal._link = self._id
            goal._bound = self._bound
            goal._state, goal._flow, goal._began = "open", _flow(), time.perf_counter()
            # Before its begin record is made, which asks for the current goal.
            self._in_child = goal
            goal._site = site = self._site or site_of(None)
            begin: Fields = {"event": "begin", "title": goal._title()}
            if goal._link is not None:
                begin["link"] = goal._link
            goal._begin = guarded(made, site, logging.INFO, goal.msg, goal.args, None, Stamp(goal, goal._bound, begin))
        return self._in_child


def task(msg: Any, /, *args: Any, **fields: Any) -> Task:
    """A root goal."""
    return Task(msg, *args, **fields)


def to(msg: Any, /, *args: Any, **fields: Any) -> Task:
    """A goal below the one that is current when it is entered; a root where there is none."""
    goal = Task(msg, *args, **fields)
    goal._kind = "to"
    return goal


def import_task(id: str, msg: Any, /, *args: Any, trust: bool = True, **fields: Any) -> Task:
    """The goal that another process reserved: ``id`` is from ``get_foreign_task()``, or a W3C ``traceparent``.

    With ``trust=False`` it becomes a root of its own that only names the other as its ``goal.link``: for ids from people
    who shall not write into your trees. ``ValueError`` if the id is none.
    """
    goal_id = _parsed(id)
    goal = Task(msg, *args, **fields)
    if trust:
        goal._kind, goal._given = "import", goal_id
    else:
        goal._link = goal_id
    return goal


def current_task() -> Task | None:
    """The innermost open goal, or ``None``."""
    return _context.current


def wrap(function: Function) -> Function:
    """The same function, which takes the goal that is current now to wherever it is called.

    Given to another process, its call there is a goal below the current one.
    """
    current = _context.current
    goal = None if current is None else _Carried(current)
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

    def __init__(self, function: Callable[..., Any], goal: _Carried | None) -> None:
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


def _taken(token: list[bool]) -> bool:
    """Whether this call was the one to take it out."""
    try:
        return token.pop()
    except IndexError:
        return False


def _parsed(id: Any) -> str:
    text = str(id) if isinstance(id, (str, uuid.UUID)) else ""
    try:
        if not text or len(text) > MAX_ID:
            raise ValueError("it is too long" if text else "it is no text")
        return _distlog.parse_goal(traceparent.decode(text) if traceparent.looks_like_one(text) else text)
    except ValueError as error:
        shown = repr(id)
        raise ValueError(f"{shown[:100] + '…' if len(shown) > 100 else shown} is no goal's id: {error}") from None


def _renamed(fields: Fields) -> Fields:
    """A field may have any name; ``key`` is the record's own in its context."""
    if "key" not in fields:
        return fields
    return {"key_" if name == "key" else name: value for name, value in fields.items()}


def _ending(error: BaseException | None) -> tuple[str, int, str | None, str | None]:
    """Status, level, ``goal.error`` and ``goal.note`` of a block that this exception left."""
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return "succeeded", logging.INFO, None, None
    if isinstance(error, GeneratorExit):
        return "succeeded", logging.INFO, None, "closed before its end"
    if not isinstance(error, Exception) and "Cancel" in type(error).__name__:
        return "failed", logging.WARNING, "cancelled", None
    return "failed", logging.ERROR, _distlog.describe(error), None


def _flow() -> tuple[int, int]:
    """The thread, and the asyncio task in it."""
    asyncio = sys.modules.get("asyncio")
    running = None
    if asyncio is not None and asyncio._get_running_loop() is not None:
        running = asyncio.current_task()
    return threading.get_ident(), id(running) if running is not None else 0


def _stamp() -> Stamp | None:
    goal = _context.current
    return None if goal is None else Stamp(goal, goal._bound)


_distlog.register_context(LogRecord, _stamp)


def _before_fork() -> None:
    """The child's records must not draw the parent's numbers: reserve a child goal for what it does of the current one."""
    goal = _context.current
    if goal is not None:
        goal.id  # noqa: B018 - drawn now, so that both processes have the same
        _reserved[threading.get_ident()] = goal, goal._reserve()


def _after_fork_in_parent() -> None:
    _reserved.pop(threading.get_ident(), None)


def _after_fork_in_child() -> None:
    global _generation
    _generation += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
