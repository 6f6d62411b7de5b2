"""structlog as a source of records.

With loggers of structlog's own, the processor `Deliver` stands before the renderer: what is printed stays as it is, and a record with the
same fields goes to the daemon::

    structlog.configure(processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        distlog.integrations.structlog.Deliver(),
        structlog.dev.ConsoleRenderer(),
    ])

With structlog's loggers of the standard library (``structlog.stdlib.LoggerFactory``) the record arrives there by itself, and `Deliver` leaves
it to that, so that nothing is sent twice. Where the last processor is ``ProcessorFormatter.wrap_for_formatter``, the fields
are in the record, and ``handler.setFormatter(distlog.integrations.structlog.Formatter())`` takes them out again; where it is
``render_to_log_kwargs``, nothing is needed at all. A renderer in that place makes text, and text is what arrives.

The goal, the time, the thread and the caller's place are those of the call, also with ``await logger.ainfo(…)``.
"""

from __future__ import annotations

import copy
import logging
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from types import FrameType
from typing import Any

from distlog.formatters import JSONFormatter
from distlog.integrations.records import deliver, exception, first_outside, foreign, level_number, receivers

__all__ = ["Deliver", "Formatter"]

#: What the record says in places of its own, or what structlog keeps for itself.
_PLACED = ("event", "level", "level_number", "logger", "exc_info", "stack_info", "_record", "_from_structlog")
#: What `CallsiteParameterAdder` adds: the record knows it.
_SITE = ("pathname", "filename", "module", "func_name", "lineno", "thread", "thread_name", "process", "process_name")


class Deliver:
    """A processor that sends a record of each entry to distlog's handlers, and hands the entry on unchanged.

    ``handler`` is the one to use; by default those that a record of the logger's name reaches in the standard library's tree. Errors
    stay inside.
    """

    def __init__(self, handler: logging.Handler | None = None) -> None:
        self.handler = handler

    def __call__(self, logger: Any, method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """The entry, as it came."""
        try:
            if not _comes_by_itself(logger, entry):
                self._deliver(logger, method, entry)
        except Exception:
            if logging.raiseExceptions and sys.stderr is not None:
                traceback.print_exc()
        return entry

    def _deliver(self, logger: Any, method: str, entry: Mapping[str, Any]) -> None:
        frame = first_outside(_caller(), ("structlog", "distlog"))
        name = entry.get("logger") or getattr(logger, "name", None) or (frame and frame.f_globals.get("__name__"))
        name = name if isinstance(name, str) else "root"
        level = _level(method, entry)
        handlers = receivers(name, self.handler)
        if not handlers or (self.handler is None and not logging.getLogger(name).isEnabledFor(level)):
            return
        site = ("(unknown file)", 0, "(unknown function)")
        if frame is not None:
            site = (frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_name)
        record = foreign(
            name, level, site, entry.get("event"), exception(entry.get("exc_info")), _fields(entry), _stack(entry)
        )
        if record.exc_info is None and isinstance(entry.get("exception"), str):
            record.exc_text = record.__dict__.pop("exception")
        deliver(record, handlers)


class Formatter(JSONFormatter):
    """A serializer for records that ``wrap_for_formatter`` made: their fields become the record's. Others stay as they are."""

    def format(self, record: logging.LogRecord) -> bytes:  # type: ignore[override]
        """The record's bytes."""
        entry = record.msg
        if isinstance(entry, dict) and "_logger" in record.__dict__ and "_name" in record.__dict__:
            record = _unwrapped(record, entry)
        return super().format(record)


def _unwrapped(record: logging.LogRecord, entry: dict[str, Any]) -> logging.LogRecord:
    fields = record.__dict__
    parts = foreign(record.name, record.levelno, ("", 0, ""), entry.get("event"), None, _fields(entry), _stack(entry))
    unwrapped = copy.copy(record)
    added = {name: value for name, value in parts.__dict__.items() if name not in fields}
    unwrapped.__dict__.update(
        added, msg=parts.msg, args=(), exc_info=exception(entry.get("exc_info")) or record.exc_info
    )
    if parts.stack_info:
        unwrapped.stack_info = parts.stack_info
    if unwrapped.exc_info is None and isinstance(entry.get("exception"), str):
        unwrapped.exc_text = unwrapped.__dict__.pop("exception")
    for name in ("_logger", "_name"):
        unwrapped.__dict__.pop(name, None)
    return unwrapped


def _comes_by_itself(logger: Any, entry: Mapping[str, Any]) -> bool:
    """Whether the standard library makes a record of it: then a handler has it, or one was asked to."""
    return isinstance(logger, (logging.Logger, logging.LoggerAdapter)) or "_record" in entry


def _level(method: str, entry: Mapping[str, Any]) -> int:
    number = entry.get("level_number")
    if isinstance(number, int):
        return number
    for name in (entry.get("level"), method):
        number = level_number(name)
        if number is not None:
            return number
    return logging.INFO


def _fields(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name not in _PLACED and name not in _SITE}


def _stack(entry: Mapping[str, Any]) -> str | None:
    """The stack as text, if the entry asks for it or has it rendered."""
    if entry.get("stack_info"):
        frame = first_outside(_caller(), ("structlog", "distlog"))
        return "Stack (most recent call last):\n" + "".join(traceback.format_stack(frame)).rstrip("\n")
    return None


def _caller() -> FrameType | None:
    """Where the entry was logged. Its asynchronous methods run processors in a thread, and keep the frame that called."""
    module = sys.modules.get("structlog.contextvars")
    kept = getattr(module, "_ASYNC_CALLING_STACK", None)
    frame: FrameType | None = None if kept is None else kept.get(None)
    return sys._getframe(1) if frame is None else frame
