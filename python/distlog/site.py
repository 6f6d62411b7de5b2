"""Begin and end records: where they come from, and how they are logged without disturbing anybody."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from distlog import _distlog

if TYPE_CHECKING:
    from distlog.stamp import Stamp

#: Modules that stand between a program and its goals.
_PASSED_OVER = frozenset({"distlog.context", "distlog.steps", "contextlib"})


class Site(NamedTuple):
    """Where a goal begins or ends: what its records name."""

    module: str
    file: str
    line: int
    function: str


def caller(frame: FrameType | None) -> FrameType | None:
    while frame is not None and frame.f_globals.get("__name__") in _PASSED_OVER:
        frame = frame.f_back
    return frame


def site_of(frame: FrameType | None) -> Site:
    if frame is None:
        return Site("root", "(unknown file)", 0, "(unknown function)")
    return Site(*_distlog.site_of(frame))


def log(site: Site, level: int, msg: Any, args: Any, info: Any, mark: Stamp) -> logging.LogRecord | None:
    """Log through the caller's own logger, as if the caller had. Never raises."""
    record: logging.LogRecord | None = guarded(made, site, level, msg, args, info, mark)
    if record is not None:
        logger = logging.getLogger(site.module)
        if logger.isEnabledFor(level):
            guarded(logger.handle, record)
    return record


def made(site: Site, level: int, msg: Any, args: Any, info: Any, mark: Stamp) -> logging.LogRecord:
    logger = logging.getLogger(site.module)
    record = logger.makeRecord(logger.name, level, site.file, site.line, msg, args, info, site.function)
    record.__setattr__("_distlog", mark)
    return record


def carried(record: logging.LogRecord) -> bool:
    """Whether one of the record's handlers took it to hand it on later (``QueueHandler``, ``MemoryHandler``)."""
    handlers = sys.modules.get("logging.handlers")
    if handlers is None or not logging.getLogger(record.name).isEnabledFor(record.levelno):
        return False
    carriers = (handlers.QueueHandler, handlers.MemoryHandler)
    return any(isinstance(one, carriers) and record.levelno >= one.level for one in _handlers(record))


def reaches(record: logging.LogRecord, handler: logging.Handler) -> bool:
    """Whether the handler is one of those that the record's logger asks itself."""
    return any(one is handler for one in _handlers(record))


def _handlers(record: logging.LogRecord) -> Iterator[logging.Handler]:
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None:
        yield from logger.handlers
        logger = logger.parent if logger.propagate else None


def guarded(function: Callable[..., Any], *args: Any) -> Any:
    """Call it; what it raises goes where the standard library's handlers put their errors."""
    try:
        return function(*args)
    except Exception:
        if logging.raiseExceptions and sys.stderr is not None:
            traceback.print_exc()
        return None
