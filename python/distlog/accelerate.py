"""Logging calls without the standard library's frames: ``configure(accelerate=True)``.

``start()`` puts two classes below ``logging.Logger`` and ``logging.RootLogger`` whose ``debug`` … ``log`` are native. New loggers are of
them, and those that are there change their class; loggers of other classes stay as they are. ``stop()`` changes everything back.

What a call does is the standard library's business still: the native methods leave every call to it that is not as nearly all
calls are (see ``docs/accelerate.md``).
"""

from __future__ import annotations

import logging
from typing import Any, cast

from distlog import _distlog
from distlog.handler import ZmqHandler

__all__ = ["is_on", "start", "stop"]

_METHODS = ("debug", "info", "warning", "error", "exception", "critical", "fatal", "log")


def _set(logger: logging.Logger, name: str, value: object) -> None:
    object.__setattr__(logger, name, value)
    _distlog.forget_logger(logger)


def _delete(logger: logging.Logger, name: str) -> None:
    object.__delattr__(logger, name)
    _distlog.forget_logger(logger)


def _below(above: type[logging.Logger], *further: type, **members: Any) -> type[logging.Logger]:
    # Named as the one above it, for `repr(logger)`.
    members.update(__module__=__name__, __qualname__=above.__name__, __doc__=above.__doc__)
    return cast("type[logging.Logger]", type(above.__name__, (above, *further), members))


# `logging.Logger` comes first: its instances can change to a class that is laid out as theirs. Its methods would win, so these are copied.
# Most attributes of loggers never change, so they are read once; whoever changes one says so.
Logger = _below(
    logging.Logger,
    _distlog.Levels,
    **{method: vars(_distlog.Levels)[method] for method in _METHODS},
    __setattr__=_set,
    __delattr__=_delete,
)
RootLogger = _below(logging.RootLogger, Logger)
_FAST = {logging.Logger: Logger, logging.RootLogger: RootLogger}
_STANDARD = {fast: standard for standard, fast in _FAST.items()}
_MADE_WITH = frozenset(vars(Logger))


def start() -> None:
    """Accelerate all loggers that are of the standard library's own classes, and those to come. May be called again."""
    _distlog.register_loggers(Logger, RootLogger, ZmqHandler)
    if logging.getLoggerClass() is logging.Logger:
        logging.setLoggerClass(Logger)
    _change(_FAST)


def stop() -> None:
    """Let all loggers be of the standard library's classes again."""
    if logging.getLoggerClass() is Logger:
        logging.setLoggerClass(logging.Logger)
    # Methods that a program added to `logging.getLoggerClass()` are still wanted.
    for name in vars(Logger).keys() - _MADE_WITH:
        setattr(logging.Logger, name, vars(Logger)[name])
    _change(_STANDARD)


def is_on() -> bool:
    """Whether loggers to come are accelerated, unless a program sets a class of its own."""
    return logging.getLoggerClass() is Logger


def _change(classes: dict[type[logging.Logger], type[logging.Logger]]) -> None:
    loggers = [one for one in logging.Logger.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    for logger in [logging.root, *loggers]:
        to = classes.get(type(logger))
        if to is not None:
            logger.__class__ = to
            _distlog.forget_logger(logger)
