"""Set-up in one line.

========================== ======================================================= ==========================
variable                   meaning                                                 default
========================== ======================================================= ==========================
``DISTLOG_ENDPOINT``       where the daemon is: its acked port, or its PULL port   ``tcp://127.0.0.1:5011``
``DISTLOG_LEVEL``          the root logger's level, by name or number              ``INFO``
``DISTLOG_SYSTEM``         ``T``, ``S`` or ``P``: test, staging, production        ``P``
``DISTLOG_ACKS``           ``1``: only with acknowledgements; ``0``: without       with, if the port gives them
``DISTLOG_SPOOL``          folder for records that wait for the daemon             none
``DISTLOG_ACCELERATE``     ``1`` is ``accelerate=True``                            ``0``
``DISTLOG_REDACT``         ``1`` hides secrets; or more names of fields            ``0``
========================== ======================================================= ==========================

and ``DISTLOG_CAPTURE_WARNINGS``, ``DISTLOG_CAPTURE_EXCEPTIONS``, ``DISTLOG_RATE_LIMIT``, ``DISTLOG_KEEP_DEBUG`` for the arguments of these names. A variable with a value that it cannot have is
told about once on stderr, and its default is used; a wrong argument is a ``ValueError``.

This version keeps what has no acknowledgement in memory, not in a spool: ``spool`` is checked, and has no effect yet.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any, Callable

from distlog import options
from distlog.handler import ACKED, ENDPOINT, ZmqHandler
from distlog.stamp import install

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from distlog.filters import KeepDebug, RateLimit
    from distlog.redact import Redaction

__all__ = ["configure"]

#: What `configure` made last, and of what arguments.
_configured: ZmqHandler | None = None
_arguments: dict[str, Any] = {}
#: The filters that `configure` made, and of what.
_limits: dict[str, tuple[Any, Any]] = {}
_lock = threading.RLock()


class Place:
    """Where the handler goes: to the root logger."""

    #: The handler's class.
    kind: type[ZmqHandler] = ZmqHandler
    logger: logging.Logger = logging.getLogger()

    def set_level(self, handler: ZmqHandler, level: int, argument: object) -> None:
        """Log from this level on; ``argument`` is what `configure` was called with."""
        self.logger.setLevel(level)


#: `distlog.run` has another one.
place = Place()


def configure(
    endpoint: str | None = None,
    level: int | str | None = None,
    accelerate: bool = False,
    *,
    system: str | None = None,
    acks: bool | None = None,
    spool: str | os.PathLike[str] | None = None,
    queue_bytes: int | None = None,
    flush_timeout: float | None = None,
    capture_warnings: bool | None = None,
    capture_exceptions: bool | None = None,
    rate_limit: float | str | RateLimit | None = None,
    keep_debug: int | KeepDebug | None = None,
    redact: bool | str | Iterable[str] | Mapping[str, Any] | Redaction | None = None,
) -> ZmqHandler:
    """Send everything that is logged from ``level`` on to the daemon, and return the handler that does.

    What is not given comes from the environment, and what is not there either has a default. Calling it again sets everything anew: what is
    the same stays, and there is never a second handler. A handler for the same endpoint that the root logger has already is taken over.
    Other handlers stay as they are. Threads may call it at the same time.

    ``accelerate`` gives loggers native methods; see ``docs/accelerate.md``.
    ``queue_bytes`` and ``flush_timeout`` are those of ``ZmqHandler``. ``capture_warnings`` and ``capture_exceptions`` also log what
    ``warnings.warn`` shows and what nobody catches. ``rate_limit`` is how many records a second one call site may send (``100``, ``"600/m"``), and
    ``keep_debug`` how many records below INFO each goal keeps for the case that it fails, instead of sending them; both also take the
    filters of `distlog.filters`, which explain themselves. ``redact`` hides what nobody shall read before it is sent: ``True``, names of fields,
    or what `distlog.redact.Redaction` takes. ``ValueError`` says in one line which argument is wrong and what it may be.
    """
    wanted = options.LEVEL.chosen(level)
    arguments = {**_way(endpoint, acks), "system": options.SYSTEM.chosen(system)}
    arguments.update(
        (n, v) for n, v in (("queue_bytes", queue_bytes), ("flush_timeout", flush_timeout)) if v is not None
    )
    if redact is not False:
        arguments["redact"] = options.REDACT.chosen(redact)
    options.SPOOL.chosen(spool)
    native_methods = options.ACCELERATE.chosen(accelerate or None)
    hooks = {options.WARNINGS: capture_warnings, options.EXCEPTIONS: capture_exceptions}
    switches = {option.name: option.chosen(argument) for option, argument in hooks.items()}
    limits = {"RateLimit": options.RATE_LIMIT.chosen(rate_limit), "KeepDebug": options.KEEP_DEBUG.chosen(keep_debug)}
    with _lock:
        handler = _attached(arguments, given=endpoint is not None)
        place.set_level(handler, wanted, level)
        install()
        _limit(handler, limits)
        _switch(**switches)
        _accelerate(native_methods)
    return handler


def _way(endpoint: str | None, acks: bool | None) -> dict[str, Any]:
    """Where to send, and whether with acknowledgements: always, never, or (``None``), where nobody said anything, if the port gives them."""
    chosen, where = options.ACKS.chosen(acks), options.ENDPOINT.chosen(endpoint)
    if not chosen and where == ACKED and endpoint is None and not options.ENDPOINT.is_given():
        where = ENDPOINT
    is_said = acks is not None or options.ACKS.is_given()
    return {"endpoint": where, "acks": chosen if is_said else None}


def _attached(arguments: dict[str, Any], given: bool) -> ZmqHandler:
    """The handler of these arguments, in its place."""
    global _configured, _arguments
    logger = place.logger
    old = _configured if _configured in logger.handlers else None
    if old is not None and arguments == _arguments:
        return old
    found = _same(logger, arguments) if old is None else None
    if found is not None and found.redaction != arguments.get("redact"):
        old, found = found, None
    handler = found or _made(arguments, given)
    if old is not None:
        _replace(logger, old, handler)
    elif found is None:
        logger.addHandler(handler)
    _configured, _arguments = handler, arguments
    return handler


def _same(logger: logging.Logger, arguments: dict[str, Any]) -> ZmqHandler | None:
    """A handler that sends to the same place already, made by somebody else."""
    for one in logger.handlers:
        if isinstance(one, ZmqHandler) and leads_to(one, arguments["endpoint"], arguments["system"]):
            return one
    return None


def leads_to(handler: ZmqHandler, endpoint: object, system: str) -> bool:
    """Whether the handler sends there already. A daemon with its usual ports has two."""
    ports = (ENDPOINT, ACKED)
    is_there = handler.endpoint == endpoint or (handler.endpoint in ports and endpoint in ports)
    return is_there and handler.system == system


def _made(arguments: dict[str, Any], given: bool) -> ZmqHandler:
    try:
        return place.kind(**arguments)
    except ValueError as error:
        default = options.ENDPOINT.default
        if given or arguments["endpoint"] == default:
            raise
        options.ENDPOINT.ignored(arguments["endpoint"], str(error))
        return place.kind(**{**arguments, "endpoint": default})


def _replace(logger: logging.Logger, old: ZmqHandler, new: ZmqHandler) -> None:
    """Put the new one where the old one is, in one step: no record goes to both or to none."""
    logger.handlers[:] = [new if one is old else one for one in logger.handlers]
    for condition in old.filters:
        new.addFilter(condition)
    new.setLevel(old.level)
    old.close()


def _limit(handler: ZmqHandler, limits: dict[str, Any]) -> None:
    """Filters of these arguments instead of those that were made before; where the arguments are the same, they stay as they are."""
    for name, wanted in limits.items():
        before, condition = _limits.pop(name, (None, None))
        if before != wanted or condition not in handler.filters:
            if condition is not None:
                handler.removeFilter(condition)
            condition = None
        if wanted is not None:
            if condition is None:
                from distlog import filters

                condition = getattr(filters, name)(*wanted) if isinstance(wanted, tuple) else wanted
                handler.addFilter(condition)
            _limits[name] = wanted, condition


def _switch(capture_warnings: bool, capture_exceptions: bool) -> None:
    hooks: list[tuple[str, bool]] = [("capture_warnings", capture_warnings), ("capture_exceptions", capture_exceptions)]
    for name, enabled in hooks:
        if enabled or name in _switched:
            from distlog import uncaught

            switch: Callable[[bool], None] = getattr(uncaught, name)
            switch(enabled)
            _switched.add(name)


def _accelerate(enabled: bool) -> None:
    if enabled or "accelerate" in _switched:
        from distlog import accelerate

        (accelerate.start if enabled else accelerate.stop)()
        _switched.add("accelerate")


_switched: set[str] = set()


def _after_fork_in_child() -> None:
    # The thread that had it may not be here.
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
