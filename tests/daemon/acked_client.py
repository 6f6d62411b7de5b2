"""A client of the acked endpoint, written from ``docs/protocol.md`` alone: pyzmq and the standard library.

It keeps every record until the daemon has answered for it, and sends again what was not answered after each reconnection.
"""

from __future__ import annotations

import json
import os
import struct
import time
from collections import deque
from typing import Any

import zmq

HEADER = struct.Struct(">3sc16sQQI")
#: Records a batch, and batches without an answer.
BATCH, WINDOW = 100, 16
#: Seconds without an answer after which the connection is made anew.
PATIENCE = 3.0


class Taken(Exception):
    """Somebody else speaks for this producer."""


class Refused(Exception):
    """The daemon does not take this, and says why."""


class AckedClient:
    """One producer. ``log`` numbers a record; ``work`` sends, reads answers, and goes back where it is told to."""

    def __init__(self, endpoint: str, producer: bytes | None = None, epoch: int = 0, first: int = 0) -> None:
        self.endpoint = endpoint
        self.producer = producer or os.urandom(16)
        self.epoch = epoch
        #: The lowest number without an answer; ``waiting`` begins with it.
        self.answered = first
        self.waiting: deque[bytes] = deque()
        #: How far the present connection has got; ``None`` until its hello was answered.
        self.sent: int | None = None
        self.socket: Any = None
        self.heard = 0.0
        self.connect()

    def connect(self) -> None:
        """A new connection begins with a hello."""
        self.close()
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(self.endpoint)
        self.hello()

    def hello(self) -> None:
        """Say where this producer begins."""
        self.sent = None
        self.heard = time.monotonic()
        self.socket.send(self.header(b"H", self.answered, 0))

    def header(self, kind: bytes, number: int, count: int) -> bytes:
        """The first frame."""
        return HEADER.pack(b"DL1", kind, self.producer, self.epoch, number, count)

    def log(self, **record: Any) -> int:
        """Take a record in; its number."""
        body = json.dumps(record).encode()
        self.waiting.append(b"PLJ" + struct.pack(">I", len(body)) + body)
        return self.answered + len(self.waiting) - 1

    def work(self, timeout: float = 0.0) -> None:
        """Send what the window allows, then read the answers that come within ``timeout`` seconds."""
        while self.sent is not None and self.sent < self.answered + min(len(self.waiting), BATCH * WINDOW):
            at = self.sent - self.answered
            records = [self.waiting[place] for place in range(at, min(at + BATCH, len(self.waiting)))]
            self.socket.send_multipart([self.header(b"B", self.sent, len(records)), b"".join(records)])
            self.sent += len(records)
        if self.socket.poll(int(timeout * 1000)):
            while self.socket.poll(0):
                self.read(self.socket.recv_multipart())
        elif self.waiting and time.monotonic() - self.heard > PATIENCE:
            self.connect()

    def read(self, frames: list[bytes]) -> None:
        """One answer."""
        magic, kind, producer, _epoch, number, _count = HEADER.unpack(frames[0])
        assert (magic, producer in (self.producer, bytes(16))) == (b"DL1", True)
        self.heard = time.monotonic()
        if kind == b"R":
            raise Refused(frames[1].decode())
        if kind == b"T":
            raise Taken
        if kind == b"N":
            if self.sent is not None:
                self.hello()
            return
        assert kind == b"A"
        assert number <= self.answered + len(self.waiting), "an answer for what was never sent"
        while self.answered < number:
            self.waiting.popleft()
            self.answered += 1
        self.sent = max(self.sent or 0, self.answered)

    def finish(self, timeout: float = 20) -> None:
        """Work until everything is answered."""
        deadline = time.monotonic() + timeout
        while (self.waiting or self.sent is None) and time.monotonic() < deadline:
            self.work(0.02)
        assert not self.waiting, f"{len(self.waiting)} records without an answer"

    def close(self) -> None:
        """Leave. What has no answer stays in ``waiting``."""
        if self.socket is not None:
            self.socket.close(0)
