"""Every request of a WSGI application is a goal, below the caller's if the caller has one.

::

    app = GoalMiddleware(app)                     # around any application
    app.wsgi_app = GoalMiddleware(app.wsgi_app)   # Flask

The goal ends when the body has been taken by the server, or when the server closes it. It is current while the application computes the
answer or a part of it, and not in between, when the server may serve others. Exceptions go on their way untouched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Callable, Union

from distlog.integrations.headers import Caller, comes_from_near
from distlog.integrations.served import SEEN, Exclude, Served, excluding

__all__ = ["GoalMiddleware"]

Environ = dict[str, Any]
Application = Callable[[Environ, Any], Iterable[bytes]]
Trust = Union[bool, Callable[[Environ], bool]]


def trust_near(environ: Environ) -> bool:
    """The default: believe callers on this machine and on private networks, unless a proxy says that it speaks for somebody else."""
    return comes_from_near(environ.get("REMOTE_ADDR"), _getter(environ))


class GoalMiddleware:
    """``trust``: whose ids to continue; others are only linked. ``exclude``: paths without a goal. ``title``: what a goal is called."""

    def __init__(
        self,
        app: Application,
        *,
        trust: Trust = trust_near,
        exclude: Exclude = (),
        title: Callable[[Environ], str] | None = None,
    ) -> None:
        self.app = app
        self._trust = trust
        self._excludes = excluding(exclude)
        self._title = title

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        if SEEN in environ or self._excludes(_path(environ)):
            return self.app(environ, start_response)
        # Of two of these around one application, the outer one counts.
        environ[SEEN] = True
        served = self._served(environ)

        def start_in_goal(status: str, *rest: Any) -> Any:
            code = status[:3]
            served.status = int(code) if code.isdigit() else None
            return start_response(status, *rest)

        served.begin()
        try:
            return _ended_with(self.app(environ, start_in_goal), served, environ)
        except BaseException as error:
            served.end(error)
            raise
        finally:
            served.leave()

    def _served(self, environ: Environ) -> Served:
        trust = self._trust
        caller = Caller.of(_getter(environ), lambda: trust(environ) if callable(trust) else trust)
        method, path = environ.get("REQUEST_METHOD", ""), _path(environ)
        title = self._titled(environ) or f"{method} {_route(self.app, environ) or path}"
        fields = {"method": method, "path": path}
        if environ.get("REMOTE_ADDR"):
            fields["client"] = environ["REMOTE_ADDR"]
        return Served(caller.goal(title, **fields), title)

    def _titled(self, environ: Environ) -> str | None:
        try:
            return self._title(environ) if self._title is not None else None
        except Exception:
            return None


class _Body:
    """The body on its way out: each part is computed inside the goal."""

    def __init__(self, body: Any, served: Served) -> None:
        self._body = body
        self._served = served
        self._parts: Iterator[bytes] | None = None
        self._was_taken = False

    def __iter__(self) -> _Body:
        return self

    def __next__(self) -> bytes:
        served = self._served
        with served:
            try:
                if self._parts is None:
                    self._parts = iter(self._body)
                part = next(self._parts)
                self._was_taken = True
                return part
            except StopIteration:
                if not hasattr(self._body, "close"):
                    served.end()
                self._was_taken = False
                raise
            except BaseException as error:
                served.end(error)
                raise

    def close(self) -> None:
        """Called by the server in any case."""
        # With a part taken and no end seen, the client has gone.
        fields: dict[str, Any] = {"disconnected": True} if self._was_taken else {}
        _closed(getattr(self._body, "close", None), self._served, fields)


def _ended_with(body: Any, served: Served, environ: Environ) -> Iterable[bytes]:
    """The body, or what stands for it, such that its end is the goal's."""
    if isinstance(body, (list, tuple)):
        # It is all there; and servers count its parts, to tell its length.
        served.end()
        return body
    wrapper = environ.get("wsgi.file_wrapper")
    if isinstance(wrapper, type) and isinstance(body, wrapper):
        # Servers send such a file without reading it, if they see that it is one.
        close = getattr(body, "close", None)
        try:
            body.close = lambda: _closed(close, served, {})  # type: ignore[attr-defined]
            return body  # type: ignore[return-value]
        except AttributeError:
            pass
    return _Body(body, served)


def _closed(close: Callable[[], Any] | None, served: Served, fields: dict[str, Any]) -> None:
    with served:
        try:
            if close is not None:
                close()
        except BaseException as error:
            served.end(error, **fields)
            raise
        served.end(**fields)


def _getter(environ: Environ) -> Callable[[str], str | None]:
    return lambda name: environ.get("HTTP_" + name.upper().replace("-", "_"))


def _path(environ: Environ) -> str:
    path = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"
    # PEP 3333: the bytes of the path, one character each.
    return path.encode("latin-1", "replace").decode("utf-8", "replace") or "/"


def _route(app: Any, environ: Environ) -> str | None:
    """The path with ``{names}`` for what varies, where Flask's map of addresses knows it."""
    rules = getattr(getattr(app, "__self__", app), "url_map", None)
    if rules is None:
        return None
    try:
        rule, _ = rules.bind_to_environ(environ).match(return_rule=True)
        return re.sub(r"<(?:[^:<>]*:)?([^<>]*)>", r"{\1}", rule.rule)
    except Exception:
        return None
