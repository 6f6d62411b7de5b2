"""A request that is being made: which headers were written to it, and, for those who want that (``goal=True``), a goal of its own."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from distlog.context import Task, to

if TYPE_CHECKING:
    from distlog.integrations.headers import Rule

__all__ = ["Sent", "Written", "write"]


class Written:
    """The headers that were written to one request. An id is for one sending, so they do not serve a second time."""

    def __init__(self, request: Any, added: dict[str, str]) -> None:
        self._request = weakref.ref(request)
        self.added = added
        #: Until it is sent, or its headers are written again.
        self.is_fresh = True

    def serves(self, request: Any) -> bool:
        """Whether this very request has its headers already: of two that write them, the outer one counts."""
        return self.is_fresh and self._request() is request


def write(rule: Rule, request: Any, host: str | None, headers: Any, before: Written | None) -> Written:
    """Add the headers to a request, in place of those of an earlier sending or of the request that was redirected to this one."""
    if before is not None:
        for name, value in before.added.items():
            if headers.get(name) == value:
                del headers[name]
    added = rule.headers(host, headers)
    headers.update(added)
    return Written(request, added)


class Sent:
    """A sub-goal that ends when the headers of the answer are there; nothing at all if it is not wanted.

    What is logged of the address is without user, password and query.
    """

    def __init__(self, rule: Rule, method: Any, scheme: Any, host: Any, port: Any, path: Any) -> None:
        self._goal: Task | None = None
        if rule.goal and host:
            name = f"[{host}]" if ":" in host else host
            place = f"{name}:{port}" if port else name
            self._title = f"{method} {scheme}://{place}{path or '/'}"
            self._goal = to(self._title, method=str(method), host=str(host))

    def __enter__(self) -> Sent:
        if self._goal is not None:
            self._goal.__enter__()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self._goal is not None:
            self._goal.__exit__(kind, error, trace)

    def answered(self, status: int) -> None:
        """The answer's status: from 500 on the goal has failed."""
        if self._goal is not None:
            self._goal.bind(status=status)
            if status >= 500:
                self._goal.fail("status %d", status)
            else:
                self._goal.success("%s → %d", self._title, status)
