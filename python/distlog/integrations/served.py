"""A request that is being answered, as a goal: what the ASGI and the WSGI middleware have in common."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from typing import Any, Callable, Union

from distlog import _distlog
from distlog.context import Task, _context, import_task

__all__ = ["SEEN", "Exclude", "Served", "excluding"]

#: What a scope or an environ has when its request is a goal already.
SEEN = "distlog.goal"

Exclude = Union[str, Iterable[str], Callable[[str], bool]]


class Served:
    """The goal of one request. It is current while ``with`` is inside, which may be more than once, and ends once."""

    def __init__(self, goal: Task, title: str) -> None:
        self.goal = goal
        self.title = title
        self.status: int | None = None
        self.has_ended = False
        self._outer: Any = None
        self._inside: Any = goal
        #: What goes on when the goal has ended, and the application has not returned.
        self.afterwards = Afterwards(goal, title)

    def begin(self, work_may_follow: bool = False) -> None:
        """Log the begin record, and be inside."""
        self._outer = _context.get()
        if work_may_follow:
            self.afterwards.lie_below()
        self.goal.__enter__()
        # What is said about the headers is said once.
        self.goal.unbind("ignored_headers", "parent_span")

    def __enter__(self) -> Served:
        self._outer = _context.get()
        _context.push(self._inside)
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Make what was current before current again, without ending. What is open inside stays open, for the next time."""
        self._inside = _context.get()
        _context.push(self._outer)

    def end(self, error: BaseException | None = None, **fields: Any) -> None:
        """Log the end record, the first time: failed with an exception, from status 500 on, and if there was no answer at all."""
        if self.has_ended:
            return
        self.has_ended = True
        if self.status is not None:
            fields["status"] = self.status
        if fields:
            self.goal.bind(**fields)
        try:
            if self.status is None:
                if error is None and "disconnected" not in fields:
                    self.goal.fail("no answer was given")
            elif self.status >= 500:
                self.goal.fail("status %d", self.status)
            else:
                self.goal.success("%s → %d", self.title, self.status)
        except RuntimeError:
            # The application has decided it itself.
            pass
        self.goal.__exit__(None if error is None else type(error), error, None)
        self.afterwards.come()


class Afterwards:
    """What an application does when its answer is complete: a goal of its own, linked to the request's.

    It lies below the request's goal, comes to light when that has ended, and begins when it is asked for: with the first record, or
    with an exception.
    """

    def __init__(self, goal: Task, title: str) -> None:
        self._request: Task | None = goal
        self._title = title
        self._after: Task | None = None
        self._may_begin = False

    def lie_below(self) -> None:
        """Be in the place in which the request's goal is about to be put."""
        _context.push(_distlog.Later(self._current, _context.get()))

    def come(self) -> None:
        """The request's goal has ended, its end record is logged."""
        self._may_begin = True

    def end(self, error: BaseException | None) -> None:
        """The application has returned, or has raised."""
        if error is not None:
            self._current()
        self._may_begin = False
        after, self._after, self._request = self._after, None, None
        if after is not None:
            after.__exit__(None if error is None else type(error), error, None)

    def _current(self) -> Task | None:
        if self._may_begin and self._request is not None:
            self._may_begin = False
            self._after = import_task(self._request.id, f"after {self._title}", trust=False)
            self._after.__enter__()
        return self._after


def excluding(exclude: Exclude) -> Callable[[str], Any]:
    """Whether a path is excluded: a path, paths with ``*`` in them, or a function of the path."""
    if callable(exclude):
        return exclude
    patterns = [exclude] if isinstance(exclude, str) else list(exclude)
    return lambda path: any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)
