"""Requests of ``urllib.request`` carry the goal that they are made for.

::

    install()                                                  # all openers of this process; uninstall() undoes it
    opener = urllib.request.build_opener(GoalHandler())        # or one opener

Redirects are requests of their own, with headers of their own or none.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit
from urllib.request import BaseHandler, HTTPHandler, HTTPSHandler, Request

from distlog.integrations.headers import Hosts, Rule
from distlog.integrations.patching import Patches
from distlog.integrations.sent import Sent, Written

__all__ = ["GoalHandler", "install", "uninstall"]

_patches = Patches()
#: The attribute in which a request has its ``Written``.
_NOTE = "_distlog"


class GoalHandler(BaseHandler):
    """What to give to ``build_opener``: it adds the headers to each request."""

    def __init__(self, *, only: Hosts = None, except_: Hosts = ()) -> None:
        self._rule = Rule(only, except_)

    def http_request(self, request: Request) -> Request:
        """Add the headers."""
        _write(self._rule, request)
        return request

    https_request = http_request


def install(*, only: Hosts = None, except_: Hosts = (), goal: bool = False) -> None:
    """Do it for all openers of this process, ``urlopen`` included. A second call changes nothing."""
    rule = Rule(only, except_, goal)

    def send(original: Any, self: Any, request: Request) -> Any:
        before: Written | None = request.__dict__.get(_NOTE)
        if before is not None and before.serves(request):
            before.is_fresh = False
            return original(self, request)
        address = urlsplit(request.full_url)
        method = request.get_method()
        with Sent(rule, method, address.scheme, address.hostname, address.port, address.path) as sent:
            _write(rule, request).is_fresh = False
            response = original(self, request)
            sent.answered(response.status)
            return response

    _patches.install([(HTTPHandler, "http_open", send), (HTTPSHandler, "https_open", send)])


def uninstall() -> None:
    """Undo ``install()``."""
    _patches.uninstall()


def _write(rule: Rule, request: Request) -> Written:
    before: Written | None = request.__dict__.get(_NOTE)
    for name, value in before.added.items() if before is not None else ():
        if request.unredirected_hdrs.get(name.capitalize()) == value:
            del request.unredirected_hdrs[name.capitalize()]
    present = {name.lower() for name, _ in request.header_items()}
    written = Written(request, rule.headers(urlsplit(request.full_url).hostname, present))
    for name, value in written.added.items():
        # These go with this request only, and not with one that it is redirected to.
        request.add_unredirected_header(name, value)
    request.__dict__[_NOTE] = written
    return written
