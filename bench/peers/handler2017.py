"""Stands for the client of 2017, written from its description: what a handler on pyzmq and `json` or `pickle` costs.

It completes the record in place (message, time, host, traceback on one line), serialises all of the record's dict and sends
two frames on a PUSH socket under the handler's lock.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
from typing import Any

import zmq


class Completing(logging.Formatter):
    """The record's dict with everything a receiver wants to read."""

    def completed(self, record: logging.LogRecord) -> dict[str, Any]:
        """Changes the record, as it was done then."""
        record.message = record.getMessage()
        record.asctime = self.formatTime(record)
        record.hostname = os.uname().nodename
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info).replace("\n", "\\n")
        record.args = record.exc_info = None
        return record.__dict__


class Json(Completing):
    """One JSON object."""

    topic = b"PLJ"

    def format(self, record: logging.LogRecord) -> bytes:  # type: ignore[override]
        """The message's second frame."""
        return json.dumps(self.completed(record)).encode("utf-8")


class Pickle(Completing):
    """One pickled dict."""

    topic = b"PLP"

    def format(self, record: logging.LogRecord) -> bytes:  # type: ignore[override]
        """The message's second frame."""
        return pickle.dumps(self.completed(record), protocol=3)


class Handler2017(logging.Handler):
    """A PUSH socket for every record."""

    def __init__(self, endpoint: str, formatter: Json | Pickle) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.topic = formatter.topic
        self.socket = zmq.Context.instance().socket(zmq.PUSH)
        # Its default of 1,000 messages makes the program wait for the receiver; here it never does.
        self.socket.set(zmq.SNDHWM, 0)
        self.socket.connect(endpoint)

    def emit(self, record: logging.LogRecord) -> None:
        """Formats and sends."""
        self.socket.send_multipart([self.topic, self.format(record)])
