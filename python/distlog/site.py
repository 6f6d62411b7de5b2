"""End records for whoever saw their goal begin, and errors of handlers, where they do not disturb anybody."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator


def send_end(record: logging.LogRecord, handlers: list[logging.Handler]) -> None:
    """Send an end record to handlers that saw the goal begin and did not get it, whatever the levels say.

    What stands behind a queue gets it from there.
    """
    carriers = _carried(record)
    for handler in handlers:
        if carriers and not any(one is handler for one in _handlers(record)):
            continue
        try:
            handler.handle(record)
        except Exception as error:
            report(error)


def report(error: BaseException) -> None:
    """Say it where the standard library's handlers say their errors."""
    if logging.raiseExceptions and sys.stderr is not None:
        try:
            traceback.print_exception(type(error), error, error.__traceback__)
        except (OSError, ValueError):
            # Nobody is there to be told.
            pass


def _carried(record: logging.LogRecord) -> bool:
    """Whether one of the record's handlers took it to hand it on later (``QueueHandler``, ``MemoryHandler``)."""
    handlers = sys.modules.get("logging.handlers")
    if handlers is None or not logging.getLogger(record.name).isEnabledFor(record.levelno):
        return False
    carriers = (handlers.QueueHandler, handlers.MemoryHandler)
    return any(isinstance(one, carriers) and record.levelno >= one.level for one in _handlers(record))


def _handlers(record: logging.LogRecord) -> Iterator[logging.Handler]:
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None:
        yield from logger.handlers
        logger = logger.parent if logger.propagate else None
