"""Record logging: a record's bytes, with all its fields.

A serializer turns a record into the body of a message and names its encoding. It never raises and never changes the record. They
are formatters of the standard library as well, so any handler that writes bytes can use them.
"""

from __future__ import annotations

import logging
from typing import Any

from distlog import _distlog

__all__ = ["JSONFormatter", "PickleFormatter", "Serializer"]


class Serializer(logging.Formatter):
    """What ``ZmqHandler`` takes as a formatter. Subclasses name their ``encoding`` and give ``bytes``."""

    #: The letter that stands for the encoding on the wire: ``J`` or ``P``.
    encoding = ""

    def __init__(
        self, fmt: str | None = None, datefmt: str | None = None, style: str = "%", validate: bool = True, **_: Any
    ) -> None:
        """Takes the arguments that ``logging.config`` passes, and needs none: all fields are serialized."""
        super().__init__()

    def format(self, record: logging.LogRecord) -> bytes:  # type: ignore[override]
        """The record's bytes."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to serialize")


class JSONFormatter(Serializer):
    """One JSON object in UTF-8."""

    encoding = "J"

    def format(self, record: logging.LogRecord) -> bytes:  # type: ignore[override]
        """The record's bytes."""
        return _distlog.encode_json(record)


class PickleFormatter(Serializer):
    """A pickled dict of builtins: reading it needs no classes and runs no code."""

    encoding = "P"

    def format(self, record: logging.LogRecord) -> bytes:  # type: ignore[override]
        """The record's bytes."""
        return _distlog.encode_pickle(record)
