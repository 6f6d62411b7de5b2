"""loguru as a source of records.

::

    from loguru import logger
    from distlog.integrations.loguru import deliver

    logger.add(deliver, level=0, format="{message}")

``connect()`` does the same. Each message becomes a record of distlog's handlers: fields of ``bind()``, ``contextualize()`` and keyword
arguments as data, levels of any name, the exception with its structure, and the place, time, thread and process of the call.

What the standard library logs and an intercepting handler passes on to loguru is sent once: distlog's handlers have it already.
``enqueue=True`` is not needed, since nothing waits here; with it, records have lost their goal.
"""

from __future__ import annotations

import logging
import sys
from types import FrameType
from typing import Any

from distlog.integrations import records

__all__ = ["connect", "deliver", "delivering"]


def deliver(message: Any) -> None:
    """Send a record of it to distlog's handlers: those that a record of the module's logger would reach."""
    _deliver(message, None)


def delivering(handler: logging.Handler) -> Any:
    """The same, to this handler only."""

    def deliver_to_handler(message: Any) -> None:
        _deliver(message, handler)

    return deliver_to_handler


def connect(handler: logging.Handler | None = None, level: int | str = 0) -> int:
    """Add it to loguru's logger; gives the number that ``logger.remove`` takes."""
    from loguru import logger

    target = deliver if handler is None else delivering(handler)
    return logger.add(target, level=level, format="{message}", backtrace=False, diagnose=False)


def _deliver(message: Any, handler: logging.Handler | None) -> None:
    entry: dict[str, Any] = message.record
    name, level = entry["name"] or "root", entry["level"]
    handlers = records.receivers(name, handler)
    if not handlers or (handler is None and not logging.getLogger(name).isEnabledFor(level.no)):
        return
    if handler is None and _comes_by_itself():
        return
    info = entry["exception"]
    site = (entry["file"].path, entry["line"], entry["function"])
    record = records.foreign(
        name, level.no, site, entry["message"], info and records.exception(tuple(info)), dict(entry["extra"])
    )
    record.levelname = level.name
    record.created = entry["time"].timestamp()
    record.msecs = entry["time"].microsecond / 1000
    record.thread, record.threadName = entry["thread"].id, entry["thread"].name
    record.process, record.processName = entry["process"].id, entry["process"].name
    records.deliver(record, handlers)


def _comes_by_itself() -> bool:
    """Whether a handler of the standard library passed it on, and the record reaches distlog's handlers there."""
    frame: FrameType | None = records.first_outside(sys._getframe(2), ("loguru", "distlog"))
    for _ in range(8):
        if frame is None:
            return False
        if frame.f_globals.get("__name__") == "logging" and frame.f_code.co_name in ("handle", "callHandlers"):
            passed_on = frame.f_locals.get("record")
            return isinstance(passed_on, logging.LogRecord) and bool(records.receivers(passed_on.name, None))
        frame = frame.f_back
    return False
