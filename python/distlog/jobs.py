"""Goals follow work into other processes: each job that is handed over is a goal below the one that handed it over.

A process that is started, a call that is given to a process pool, and a chunk of a pool's ``map`` are jobs. A number is reserved when the job
is handed over, and its goal begins where it runs. A child that was spawned starts with an empty interpreter: it is told where records go.
Pools' own processes, which serve whoever comes, are started without a goal.
"""

from __future__ import annotations

import functools
import logging
import pickle
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Callable

from distlog.context import Task, _context, _Wrapped, import_task
from distlog.stamp import install

__all__ = ["Job", "carry"]

Change = Callable[[type, str, Callable[[Any], Any]], None]

#: Where the functions come from that a pool's processes run.
_MACHINERY = ("multiprocessing.", "concurrent.futures.", "loky.", "joblib.")


class Job:
    """A function on its way to another process, where its call is a goal. Picklable if the function is."""

    def __init__(self, function: Callable[..., Any], id: str | None, title: str) -> None:
        self.function = function
        self.id = id
        self.title = title
        self._calls = 0

    @classmethod
    def of(cls, function: Any, goal: Task | None, args: tuple[Any, ...] = ()) -> Any:
        """The function as a job of this goal; the function itself where there is none."""
        if goal is None or isinstance(function, _Wrapped):
            # A wrapped one takes its goal along by itself.
            return function
        return cls(function, goal.get_foreign_task(), title_of(function, args))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function as the goal that was reserved. Further calls are goals below that."""
        if self.id is None:
            return self.function(*args, **kwargs)
        id = f"{self.id}/{2**31 + self._calls}" if self._calls else self.id
        self._calls += 1
        with import_task(id, self.title):
            return self.function(*args, **kwargs)


class Run:
    """What a process runs in place of its ``run()``: that, as a goal, when records have somewhere to go."""

    def __init__(self, process: Any, goal: Task | None) -> None:
        self.process = process
        run = functools.partial(type(process).run, process)
        self.job = run if goal is None else Job(run, goal.get_foreign_task(), _name_of(process))
        self.setup: Setup | None = None

    def __getstate__(self) -> dict[str, Any]:
        """On the way to a process that has nothing yet."""
        return {**self.__dict__, "setup": Setup()}

    def __call__(self) -> None:
        """Run."""
        self.process.__dict__.pop("run", None)
        try:
            if self.setup is not None:
                self.setup.take_over()
        except Exception:
            # A job is done without records rather than not at all.
            pass
        self.job()


class Setup:
    """How this process logs, for a child that starts with an empty interpreter: handlers with all that belongs to them, and the level."""

    def __init__(self) -> None:
        root = logging.getLogger()
        self.level = root.level
        accelerate: Any = sys.modules.get("distlog.accelerate")
        self.is_accelerated = accelerate is not None and accelerate.is_on()
        self.handlers = [pickled for pickled in map(_pickled, root.handlers) if pickled is not None]

    def take_over(self) -> None:
        """Log as the parent does, unless the child has been set up by itself."""
        from distlog.handler import ZmqHandler
        from distlog.threads import propagate

        propagate()
        root = logging.getLogger()
        if not self.handlers or any(isinstance(handler, ZmqHandler) for handler in root.handlers):
            return
        for pickled in self.handlers:
            root.addHandler(pickle.loads(pickled))
        root.setLevel(self.level)
        install()
        if self.is_accelerated:
            from distlog import accelerate

            accelerate.start()


def carry(change: Change) -> None:
    """Change what hands work to processes; ``change(owner, name, how)`` does it so that it can be undone."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing.pool import Pool
    from multiprocessing.process import BaseProcess

    change(BaseProcess, "start", _start)
    change(ProcessPoolExecutor, "submit", _submit)
    change(Pool, "apply_async", _apply)
    # All kinds of `map` go through it.
    change(Pool, "_guarded_task_generation", _map)


def title_of(function: Any, args: tuple[Any, ...]) -> str:
    """What a job is called: as its function, and how often that is called."""
    if getattr(function, "__name__", "") in ("mapstar", "starmapstar") and args and len(args[0]) == 2:
        return f"{_called(args[0][0])} × {len(args[0][1])}"
    if isinstance(function, functools.partial):
        if function.func.__name__ == "_process_chunk" and function.args and args:
            return f"{_called(function.args[0])} × {len(args[0])}"
        return _called(function.func)
    return _called(function)


def _called(function: Any) -> str:
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(function).__qualname__


def _name_of(process: Any) -> str:
    target = getattr(process, "_target", None)
    return type(process).__qualname__ if target is None else title_of(target, ())


def _start(start: Any) -> Any:
    @functools.wraps(start)
    def start_with_goal(self: Any) -> Any:
        outer = _context.get()
        module = getattr(getattr(self, "_target", None), "__module__", None) or ""
        self.run = Run(self, None if module.startswith(_MACHINERY) else _context.current)
        # A fork would take the goal along as well.
        _context.push(None)
        try:
            return start(self)
        finally:
            _context.push(outer)
            self.__dict__.pop("run", None)

    return start_with_goal


def _submit(submit: Any) -> Any:
    @functools.wraps(submit)
    def submit_with_goal(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        job, outer = Job.of(fn, _context.current, args), _context.get()
        # The pool may start processes for this, which will serve others later.
        _context.push(None)
        try:
            return submit(self, job, *args, **kwargs)
        finally:
            _context.push(outer)

    return submit_with_goal


def _apply(apply: Any) -> Any:
    @functools.wraps(apply)
    def apply_with_goal(self: Any, func: Any, args: Any = (), *rest: Any, **kwargs: Any) -> Any:
        if not _has_processes(self):
            return apply(self, func, args, *rest, **kwargs)
        return apply(self, Job.of(func, _context.current), args, *rest, **kwargs)

    return apply_with_goal


def _map(generation: Any) -> Any:
    @functools.wraps(generation)
    def generation_with_goal(self: Any, result_job: Any, func: Any, iterable: Iterable[Any]) -> Any:
        tasks = generation(self, result_job, func, iterable)
        goal = _context.current
        return tasks if goal is None or not _has_processes(self) else _jobs(goal, func, tasks)

    return generation_with_goal


def _jobs(goal: Task, function: Any, tasks: Iterable[Any]) -> Iterator[Any]:
    for job, number, func, args, kwds in tasks:
        # What is not the function reports that the iterable has raised.
        yield job, number, Job.of(func, goal, args) if func is function else func, args, kwds


def _has_processes(pool: Any) -> bool:
    from multiprocessing.pool import ThreadPool

    return not isinstance(pool, ThreadPool)


def _pickled(handler: logging.Handler) -> bytes | None:
    """A handler of distlog's as bytes. One that cannot be pickled, as with a callback of its own, is rather left out than half there."""
    from distlog.handler import ZmqHandler

    try:
        return pickle.dumps(handler) if isinstance(handler, ZmqHandler) else None
    except Exception:
        return None
