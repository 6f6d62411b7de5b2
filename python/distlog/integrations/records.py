"""Records that other logging libraries make, on their way to distlog's handlers.

They go to the handlers of distlog only, those that a record of the standard library's logger of the same name would reach. Other handlers
have nothing to do with them: the library that made the record shows it where it is told to.
"""

from __future__ import annotations

import logging
import sys
from types import FrameType, TracebackType
from typing import Any

from distlog.handler import ZmqHandler

__all__ = ["deliver", "exception", "foreign", "level_number", "receivers"]

#: Names that a record has itself.
_TAKEN = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {"message", "asctime", "taskName"}
_NOTHING = (None, None, None)


def receivers(name: str, given: logging.Handler | None) -> list[logging.Handler]:
    """The handler that was given, or else the handlers of distlog that a record of this logger reaches."""
    if given is not None:
        return [given]
    found: list[logging.Handler] = []
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None:
        found += [one for one in logger.handlers if isinstance(one, ZmqHandler) or _is_ours(one)]
        logger = logger.parent if logger.propagate else None
    return found


def _is_ours(handler: logging.Handler) -> bool:
    """The handlers for tests."""
    return type(handler).__module__.partition(".")[0] == "distlog"


def foreign(
    name: str,
    level: int,
    site: tuple[str, int, str],
    msg: Any,
    info: Any,
    fields: dict[str, Any],
    stack: str | None = None,
) -> logging.LogRecord:
    """A record of the standard library with these parts; fields whose names it has itself get a ``_`` at their end."""
    path, line, function = site
    record = logging.getLogger(name).makeRecord(name, level, path, line, msg, (), info, function, None, stack)
    for field, value in fields.items():
        text = str(field)
        record.__dict__[f"{text}_" if text in _TAKEN else text] = value
    return record


def deliver(record: logging.LogRecord, handlers: list[logging.Handler]) -> None:
    """Give it to each handler whose level lets it through."""
    if record.levelno <= logging.getLogger().manager.disable:
        return
    for handler in handlers:
        if record.levelno >= handler.level:
            handler.handle(record)


def exception(given: Any) -> tuple[type[BaseException], BaseException, TracebackType | None] | None:
    """What ``exc_info`` stands for: true, an exception, or the three parts of one."""
    if isinstance(given, BaseException):
        return type(given), given, given.__traceback__
    if isinstance(given, tuple) and len(given) == 3:
        parts: Any = given
    else:
        parts = sys.exc_info() if given else _NOTHING
    return parts if isinstance(parts[1], BaseException) else None


def level_number(name: Any) -> int | None:
    """A level's number by its name, in any case, if there is such a level."""
    for known in (str(name), str(name).upper()):
        number: Any = logging.getLevelName(known)
        if isinstance(number, int):
            return number
    return {"warn": logging.WARNING, "fatal": logging.CRITICAL, "exception": logging.ERROR}.get(str(name).lower())


def first_outside(frame: FrameType | None, packages: tuple[str, ...]) -> FrameType | None:
    """The first frame that is none of these packages' own."""
    while frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in packages:
        frame = frame.f_back
    return frame
