"""Requests of the ``requests`` library carry the goal that they are made for.

::

    install()                                    # all sessions of this process; uninstall() undoes it
    session.mount("http://", GoalAdapter())      # or one session

Redirects are requests of their own, with a header of their own or none.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from distlog.integrations.headers import Hosts, Rule
from distlog.integrations.patching import Patches
from distlog.integrations.sent import Sent, Written, write

__all__ = ["GoalAdapter", "install", "uninstall"]

_patches = Patches()
#: The attribute in which a request has its ``Written``; copies do not have it.
_NOTE = "_distlog"


class _Own(str):
    """A header's value that was written here: a redirect's request has it too, as a copy."""


class GoalAdapter(HTTPAdapter):
    """The ordinary adapter, which adds the headers; all other arguments are ``HTTPAdapter``'s."""

    def __init__(self, *args: Any, only: Hosts = None, except_: Hosts = (), goal: bool = False, **kwargs: Any) -> None:
        self._rule = Rule(only, except_, goal)
        super().__init__(*args, **kwargs)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send one request."""
        send = super().send
        response: requests.Response = _sent(self._rule, request, lambda: send(request, *args, **kwargs))
        return response


def install(*, only: Hosts = None, except_: Hosts = (), goal: bool = False) -> None:
    """Do it for all sessions of this process. A second call changes nothing."""
    rule = Rule(only, except_, goal)

    def send(original: Any, self: Any, request: Any, **kwargs: Any) -> Any:
        return _sent(rule, request, lambda: original(self, request, **kwargs))

    _patches.install([(requests.Session, "send", send)])


def uninstall() -> None:
    """Undo ``install()``."""
    _patches.uninstall()


def _sent(rule: Rule, request: Any, send: Any) -> Any:
    before: Written | None = request.__dict__.get(_NOTE)
    if before is not None and before.serves(request):
        return send()
    address = urlsplit(request.url or "")
    for name in [name for name, value in request.headers.items() if isinstance(value, _Own)]:
        del request.headers[name]
    with Sent(rule, request.method, address.scheme, address.hostname, address.port, address.path) as sent:
        written = write(rule, request, address.hostname, request.headers, None)
        request.headers.update({name: _Own(value) for name, value in written.added.items()})
        request.__dict__[_NOTE] = written
        try:
            response = send()
        finally:
            written.is_fresh = False
        sent.answered(response.status_code)
        return response
