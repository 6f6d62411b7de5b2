"""Requests of ``httpx`` carry the goal that they are made for, in synchronous and asynchronous clients.

::

    install()                                                         # all clients of this process; uninstall() undoes it
    httpx.Client(event_hooks={"request": [goal_headers()]})           # or one client; the same hook serves AsyncClient
    httpx.Client(transport=GoalTransport(goal=True))                  # or one client, each request a goal of its own
    httpx.AsyncClient(transport=AsyncGoalTransport())

Redirects are requests of their own, with headers of their own or none.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Callable

import httpx

from distlog.integrations.headers import Hosts, Rule
from distlog.integrations.patching import Patches
from distlog.integrations.sent import Sent, Written, write

__all__ = ["AsyncGoalTransport", "GoalTransport", "goal_headers", "install", "uninstall"]

_patches = Patches()
#: The extension in which a request has its ``Written``; a redirect's request has that of the one before, and its headers.
_NOTE = "distlog"


class _Done:
    """What a hook gives: an asynchronous client waits for it, and a synchronous one passes it over."""

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


def goal_headers(*, only: Hosts = None, except_: Hosts = ()) -> Callable[[httpx.Request], Any]:
    """A request hook that adds the headers."""
    rule = Rule(only, except_)

    def add_headers(request: httpx.Request) -> _Done:
        _write(rule, request)
        return _Done()

    return add_headers


class GoalTransport(httpx.BaseTransport):
    """Another transport (by default ``HTTPTransport()``), which adds the headers."""

    def __init__(
        self,
        transport: httpx.BaseTransport | None = None,
        *,
        only: Hosts = None,
        except_: Hosts = (),
        goal: bool = False,
    ) -> None:
        self._transport = httpx.HTTPTransport() if transport is None else transport
        self._rule = Rule(only, except_, goal)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        return _sent(self._rule, request, lambda: self._transport.handle_request(request))

    def close(self) -> None:
        """Close the other transport."""
        self._transport.close()


class AsyncGoalTransport(httpx.AsyncBaseTransport):
    """Another transport (by default ``AsyncHTTPTransport()``), which adds the headers."""

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        only: Hosts = None,
        except_: Hosts = (),
        goal: bool = False,
    ) -> None:
        self._transport = httpx.AsyncHTTPTransport() if transport is None else transport
        self._rule = Rule(only, except_, goal)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        return await _sent_later(self._rule, request, lambda: self._transport.handle_async_request(request))

    async def aclose(self) -> None:
        """Close the other transport."""
        await self._transport.aclose()


def install(*, only: Hosts = None, except_: Hosts = (), goal: bool = False) -> None:
    """Do it for all clients of this process that use the network. A second call changes nothing."""
    rule = Rule(only, except_, goal)

    def send(original: Any, self: Any, request: httpx.Request) -> Any:
        return _sent(rule, request, lambda: original(self, request))

    def send_later(original: Any, self: Any, request: httpx.Request) -> Any:
        return _sent_later(rule, request, lambda: original(self, request))

    _patches.install(
        [
            (httpx.HTTPTransport, "handle_request", send),
            (httpx.AsyncHTTPTransport, "handle_async_request", send_later),
        ]
    )


def uninstall() -> None:
    """Undo ``install()``."""
    _patches.uninstall()


def _sent(rule: Rule, request: httpx.Request, send: Callable[[], httpx.Response]) -> httpx.Response:
    if _is_written(request):
        return send()
    with _goal(rule, request) as sent:
        written = _write(rule, request)
        try:
            response = send()
        finally:
            written.is_fresh = False
        sent.answered(response.status_code)
        return response


async def _sent_later(rule: Rule, request: httpx.Request, send: Callable[[], Any]) -> httpx.Response:
    if _is_written(request):
        response: httpx.Response = await send()
        return response
    with _goal(rule, request) as sent:
        written = _write(rule, request)
        try:
            response = await send()
        finally:
            written.is_fresh = False
        sent.answered(response.status_code)
        return response


def _goal(rule: Rule, request: httpx.Request) -> Sent:
    url = request.url
    return Sent(rule, request.method, url.scheme, url.host, url.port, url.path)


def _is_written(request: httpx.Request) -> bool:
    written: Written | None = request.extensions.get(_NOTE)
    return written is not None and written.serves(request)


def _write(rule: Rule, request: httpx.Request) -> Written:
    written = write(rule, request, request.url.host, request.headers, request.extensions.get(_NOTE))
    request.extensions[_NOTE] = written
    return written
