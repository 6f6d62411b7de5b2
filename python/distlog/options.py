"""What can be set from outside, and what happens when it is set wrongly.

A wrong argument is a mistake in a program: ``ValueError``, one line that names the argument and what it may be. A wrong variable is a
mistake of whoever starts the program, often at night: one line on stderr, once, and the default is used. Logging is no reason for
a service not to start.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, Callable, NamedTuple

__all__ = [
    "ACCELERATE",
    "ACKS",
    "ENDPOINT",
    "EXCEPTIONS",
    "KEEP_DEBUG",
    "LEVEL",
    "RATE_LIMIT",
    "REDACT",
    "SPOOL",
    "SYSTEM",
    "WARNINGS",
    "Option",
    "read_level",
]

_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
#: Variables that were complained about, with the value they had.
_told: set[tuple[str, str]] = set()


class Option(NamedTuple):
    """An argument of ``configure()`` that a variable can give as well."""

    name: str
    variable: str
    read: Callable[[Any], Any]
    allowed: str
    default: Any
    #: Whether what ``read`` raises says more than that.
    explains: bool = False

    def chosen(self, argument: Any) -> Any:
        """The argument, or else the variable's value, or else the default. ``ValueError`` for a wrong argument."""
        if argument is not None:
            try:
                return self.read(argument)
            except (ValueError, TypeError) as error:
                reason = f": {error}" if self.explains else f" is {self.allowed}, not {argument!r}"
                raise ValueError(self.name + reason) from None
        given = os.environ.get(self.variable, "").strip()
        if given:
            try:
                return self.read(given)
            except (ValueError, TypeError):
                self.ignored(given, f"it is {self.allowed}")
        return self.default

    def takes(self, value: Any) -> bool:
        """Whether this value is allowed."""
        try:
            self.read(value)
        except (ValueError, TypeError):
            return False
        return True

    def is_given(self) -> bool:
        """Whether the variable is there, with a value that it may have."""
        given = os.environ.get(self.variable, "").strip()
        return bool(given) and self.takes(given)

    def ignored(self, value: str, reason: str) -> None:
        """Tell once on stderr that the variable has no effect."""
        if (self.variable, value) in _told:
            return
        _told.add((self.variable, value))
        try:
            default = "nothing" if self.default is None else self.default
            sys.stderr.write(f"distlog: {self.variable}={value!r} is ignored: {reason}; {default} is used\n")
        except (AttributeError, OSError, ValueError):
            # Nobody is there to be told.
            pass


def read_level(value: Any) -> int:
    """A level by name, in any case, or number; levels that were added with ``logging.addLevelName`` count. ``ValueError`` if it is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    text = value.strip() if isinstance(value, str) else ""
    if text.lstrip("+-").isdecimal():
        return int(text)
    for name in (text, text.upper()):
        number: Any = logging.getLevelName(name)
        if isinstance(number, int):
            return number
    raise ValueError("no level")


def _endpoint(value: Any) -> Any:
    if not isinstance(value, str) and not callable(getattr(value, "send_multipart", None)):
        raise ValueError("no endpoint")
    return value


def _system(value: Any) -> str:
    if value not in ("T", "S", "P"):
        raise ValueError("no system")
    return str(value)


def _flag(value: Any) -> bool:
    if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in _YES + _NO:
        raise ValueError("neither yes nor no")
    return word in _YES


def _rate(value: Any) -> Any:
    """Records and seconds, or what is a filter already."""
    if callable(getattr(value, "filter", None)):
        return value
    number, _, unit = value.strip().partition("/") if isinstance(value, str) else (value, "", "s")
    records, seconds = float(number), {"": 1, "s": 1, "m": 60, "h": 3600}.get(unit.strip())
    if seconds is None or not 0 < records < float("inf") or isinstance(value, bool):
        raise ValueError("no rate")
    return records, seconds


def _count(value: Any) -> Any:
    if callable(getattr(value, "filter", None)):
        return value
    count = int(value)
    if count < 1 or isinstance(value, (bool, float)):
        raise ValueError("no count")
    return (count,)


def _redaction(value: Any) -> Any:
    """A word for yes or no, names, or what `distlog.redact.redaction` takes."""
    if isinstance(value, str) and value.strip().lower() in _YES + _NO:
        value = _flag(value)
    from distlog.redact import redaction

    return redaction(value)


_FLAG = "1 or 0 (true, false, yes, no, on, off)"

ENDPOINT = Option(
    "endpoint", "DISTLOG_ENDPOINT", _endpoint, "an address such as tcp://host:5010", "tcp://127.0.0.1:5011"
)
LEVEL = Option("level", "DISTLOG_LEVEL", read_level, "a level's name or number (DEBUG, INFO, 15, …)", logging.INFO)
SYSTEM = Option("system", "DISTLOG_SYSTEM", _system, "T, S or P (test, staging, production)", "P")
ACKS = Option("acks", "DISTLOG_ACKS", _flag, _FLAG, True)
SPOOL = Option("spool", "DISTLOG_SPOOL", os.fspath, "a folder's path", None)
ACCELERATE = Option("accelerate", "DISTLOG_ACCELERATE", _flag, _FLAG, False)
WARNINGS = Option("capture_warnings", "DISTLOG_CAPTURE_WARNINGS", _flag, _FLAG, False)
RATE_LIMIT = Option("rate_limit", "DISTLOG_RATE_LIMIT", _rate, "records a second above 0, or such as 600/m", None)
KEEP_DEBUG = Option("keep_debug", "DISTLOG_KEEP_DEBUG", _count, "a number of records above 0", None)
REDACT = Option("redact", "DISTLOG_REDACT", _redaction, "1, or names of fields", None, explains=True)
EXCEPTIONS = Option("capture_exceptions", "DISTLOG_CAPTURE_EXCEPTIONS", _flag, _FLAG, False)
