"""Requests of ``aiohttp``'s client carry the goal that they are made for.

::

    install()                                                      # sessions made from now on; uninstall() undoes it
    aiohttp.ClientSession(trace_configs=[goal_tracing()])          # or one session

Redirects are requests of their own, with headers of their own or none.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp

from distlog.integrations.headers import Hosts, Rule
from distlog.integrations.patching import Patches
from distlog.integrations.sent import Sent

__all__ = ["goal_tracing", "install", "uninstall"]

_patches = Patches()


def goal_tracing(*, only: Hosts = None, except_: Hosts = (), goal: bool = False) -> aiohttp.TraceConfig:
    """What to give to a ``ClientSession`` in ``trace_configs``."""
    rule = Rule(only, except_, goal)
    tracing = aiohttp.TraceConfig()

    async def start(_: Any, notes: SimpleNamespace, request: aiohttp.TraceRequestStartParams) -> None:
        url = request.url
        notes.sent = Sent(rule, request.method, url.scheme, url.host, url.explicit_port, url.path).__enter__()
        notes.added = rule.headers(url.host, request.headers)
        request.headers.update(notes.added)

    async def redirect(_: Any, notes: SimpleNamespace, request: aiohttp.TraceRequestRedirectParams) -> None:
        for name in notes.added:
            request.headers.pop(name, None)
        answer = request.response.headers
        place = answer.get("Location") or answer.get("URI") or ""
        notes.added = rule.headers(urlsplit(urljoin(str(request.url), place)).hostname, request.headers)
        request.headers.update(notes.added)

    async def end(_: Any, notes: SimpleNamespace, request: aiohttp.TraceRequestEndParams) -> None:
        notes.sent.answered(request.response.status)
        notes.sent.__exit__(None, None, None)

    async def fail(_: Any, notes: SimpleNamespace, request: aiohttp.TraceRequestExceptionParams) -> None:
        notes.sent.__exit__(type(request.exception), request.exception, None)

    tracing.on_request_start.append(start)
    tracing.on_request_redirect.append(redirect)
    tracing.on_request_end.append(end)
    tracing.on_request_exception.append(fail)
    return tracing


def install(*, only: Hosts = None, except_: Hosts = (), goal: bool = False) -> None:
    """Do it for all sessions that are made from now on. A second call changes nothing."""
    tracing = goal_tracing(only=only, except_=except_, goal=goal)

    def make(original: Any, self: Any, *args: Any, **kwargs: Any) -> None:
        kwargs["trace_configs"] = [*(kwargs.get("trace_configs") or ()), tracing]
        original(self, *args, **kwargs)

    _patches.install([(aiohttp.ClientSession, "__init__", make)])


def uninstall() -> None:
    """Undo ``install()``; sessions that were made meanwhile keep it."""
    _patches.uninstall()
