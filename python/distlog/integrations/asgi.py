"""Every request of an ASGI application is a goal, below the caller's if the caller has one.

::

    app = GoalMiddleware(app)                                  # around any application
    app.add_middleware(GoalMiddleware, exclude="/health*")     # Starlette, FastAPI

The goal ends when the body of the answer is done, or when the application has returned without it. Background tasks, which run
afterwards, do not prolong it: they are a goal of their own, linked to it. A websocket's goal lasts as long as the application serves it. Exceptions go on their way untouched.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, MutableMapping
from typing import Any, Callable, Union

from distlog.integrations.headers import Caller, comes_from_near
from distlog.integrations.served import SEEN, Exclude, Served, excluding

__all__ = ["GoalMiddleware"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]
Trust = Union[bool, Callable[[Scope], bool]]

#: Close codes of websockets by which a server tells of its own failure.
_FAILURES = frozenset({1011, 1012, 1013, 1014})


def trust_near(scope: Scope) -> bool:
    """The default: believe callers on this machine and on private networks, unless a proxy says that it speaks for somebody else."""
    client = scope.get("client")
    return comes_from_near(client[0] if client else None, _getter(scope))


class GoalMiddleware:
    """``trust``: whose ids to continue; others are only linked. ``exclude``: paths without a goal. ``title``: what a goal is called."""

    def __init__(
        self,
        app: Application,
        *,
        trust: Trust = trust_near,
        exclude: Exclude = (),
        title: Callable[[Scope], str] | None = None,
    ) -> None:
        self.app = app
        self._trust = trust
        self._excludes = excluding(exclude)
        self._title = title

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        kind = scope["type"]
        if kind not in ("http", "websocket") or SEEN in scope or self._excludes(scope.get("path", "")):
            await self.app(scope, receive, send)
            return
        # Of two of these around one application, the outer one counts.
        scope[SEEN] = True
        served = self._served(scope)
        exchange = _Http(served, receive, send) if kind == "http" else _Websocket(served, receive, send)
        served.begin(work_may_follow=True)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            served.afterwards.end(error)
            served.end(error, **exchange.fields)
            raise
        else:
            served.afterwards.end(None)
            served.end(**exchange.fields)
        finally:
            served.leave()

    def _served(self, scope: Scope) -> Served:
        trust, client = self._trust, scope.get("client")
        caller = Caller.of(_getter(scope), lambda: trust(scope) if callable(trust) else trust)
        method, path = scope.get("method", "WEBSOCKET"), scope.get("path", "")
        title = self._titled(scope) or f"{method} {_route(self.app, scope) or path}"
        fields = {"method": method, "path": path}
        if client:
            fields["client"] = client[0]
        return Served(caller.goal(title, **fields), title)

    def _titled(self, scope: Scope) -> str | None:
        try:
            return self._title(scope) if self._title is not None else None
        except Exception:
            return None


class _Http:
    """The messages of one request: which tell how it ends."""

    def __init__(self, served: Served, receive: Receive, send: Send) -> None:
        self._served, self._receive, self._send = served, receive, send
        self._has_trailers = False
        self.fields: dict[str, Any] = {}

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self._served.has_ended:
            self.fields["disconnected"] = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._served.status = message["status"]
            self._has_trailers = bool(message.get("trailers"))
        is_last = self._is_last(message)
        await self._send(message)
        if is_last:
            self._served.end(**self.fields)

    def _is_last(self, message: Message) -> bool:
        if message["type"] == "http.response.trailers":
            return not message.get("more_trailers")
        if message["type"] in ("http.response.body", "http.response.zerocopysend"):
            return not message.get("more_body") and not self._has_trailers
        return message["type"] == "http.response.pathsend" and not self._has_trailers


class _Websocket:
    """The messages of one websocket."""

    def __init__(self, served: Served, receive: Receive, send: Send) -> None:
        self._served, self._receive, self._send = served, receive, send
        self.fields: dict[str, Any] = {}

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self.fields.setdefault("code", message.get("code"))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "websocket.accept":
            self._served.status = 101
        elif message["type"] == "websocket.http.response.start":
            self._served.status = message["status"]
        elif message["type"] == "websocket.close":
            code = message.get("code", 1000)
            self.fields["code"] = code
            if self._served.status is None:
                # Closed before it was accepted: the server answers so.
                self._served.status = 403
            elif code in _FAILURES:
                self._served.status = 500
        await self._send(message)


def _getter(scope: Scope) -> Callable[[str], str | None]:
    def get(wanted: str) -> str | None:
        name = wanted.encode("latin-1")
        found = [value.decode("latin-1") for key, value in scope.get("headers") or () if key.lower() == name]
        return ",".join(found) if found else None

    return get


def _route(app: Any, scope: Scope) -> str | None:
    """The path with ``{names}`` for what varies, where Starlette's routes know it."""
    try:
        routes = getattr(scope.get("app") or app, "routes", None)
        return _matched(list(routes), dict(scope)) if routes else None
    except Exception:
        return None


def _matched(routes: list[Any], scope: dict[str, Any]) -> str | None:
    for route in routes:
        match, found = route.matches(scope)
        if getattr(match, "name", "") == "FULL":
            inner = getattr(route, "routes", None)
            if inner:
                below = _matched(list(inner), {**scope, **found})
                return None if below is None else f"{route.path}{below}"
            return re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)
    return None
