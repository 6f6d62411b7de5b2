"""Sends records as fast as a socket takes them. The 0MQ protocol is written out beforehand: no library is measured.

Usage: producer.py HOST PORT RECORDS COUNT SLICE SLICES FRAMES

It connects as a PUSH socket (ZMTP 3.1, no security), builds the frames of its slice of the records in memory, prints
one line of JSON ({"records", "bytes", "wire"}: what it is going to send, as lines and with frames), waits for a line on
stdin, sends, prints one more line ({"seconds", "cpu"}), and stays connected, answering heartbeats, until stdin closes.

Greeting: 0xFF, 8 zero bytes, 0x7F, version 3.1, mechanism "NULL" padded to 20 bytes, 0 (not a server), 31 zero bytes.
Frame: flags (1 more, 2 long, 4 command), length in 1 byte or, if long, 8 bytes big-endian, body.
FRAMES is 2 (topic "PLJ", then the record: what distlog's clients send) or 1 (the record alone).
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from itertools import cycle, islice
from typing import NamedTuple

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x05READY" + b"\x0bSocket-Type" + (4).to_bytes(4, "big") + b"PUSH"
TOPIC = b"\x01\x03PLJ"
BUFFER_BYTES = 256 * 1024


class Buffer(NamedTuple):
    """Whole messages, ready for the wire."""

    wire: bytes
    records: int
    bytes: int


def frame(body: bytes, flags: int = 0) -> bytes:
    """One ZMTP frame."""
    if len(body) < 256:
        return bytes((flags, len(body))) + body
    return bytes((flags | 2,)) + len(body).to_bytes(8, "big") + body


def gather(bodies: list[bytes], frames: int) -> list[Buffer]:
    """The messages of these records, in buffers of about BUFFER_BYTES."""
    topic = TOPIC if frames == 2 else b""
    buffers, parts, size, first = [], [], 0, 0
    for number, body in enumerate(bodies, 1):
        parts.append(topic + frame(body))
        size += len(parts[-1])
        if size >= BUFFER_BYTES or number == len(bodies):
            written = sum(len(one) + 1 for one in bodies[first:number])
            buffers.append(Buffer(b"".join(parts), number - first, written))
            parts, size, first = [], 0, number
    return buffers


def plan(bodies: list[bytes], count: int, frames: int) -> list[Buffer]:
    """Buffers that hold `count` records: all of `bodies`, as often as needed, without copying them."""
    whole, rest = divmod(count, len(bodies))
    every = gather(bodies, frames)
    return list(islice(cycle(every), whole * len(every))) + gather(bodies[:rest], frames)


class Connection:
    """A PUSH socket's side of one ZMTP connection."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), timeout=10)
        self.socket.sendall(GREETING)
        self._read(64)
        self.socket.sendall(frame(READY, 4))
        self._read_frame()
        self.socket.settimeout(None)

    def send(self, wire: bytes) -> None:
        """Sends whole messages; blocks while the daemon does not read."""
        self.socket.sendall(wire)
        self.answer()

    def answer(self) -> None:
        """Answers the heartbeats that have come."""
        while select.select([self.socket], [], [], 0)[0]:
            body = self._read_frame()
            if body.startswith(b"\x04PING"):
                self.socket.sendall(frame(b"\x04PONG" + body[7:], 4))

    def _read_frame(self) -> bytes:
        flags = self._read(1)[0]
        return self._read(int.from_bytes(self._read(8 if flags & 2 else 1), "big"))

    def _read(self, size: int) -> bytes:
        received = b""
        while len(received) < size:
            more = self.socket.recv(size - len(received))
            if not more:
                raise SystemExit("the daemon closed the connection")
            received += more
        return received


def main() -> None:
    """Sends one producer's share."""
    host, port, path, *numbers = sys.argv[1:]
    count, part, parts, frames = map(int, numbers)
    with open(path, "rb") as file:
        bodies = file.read().splitlines()[part::parts]
    buffers = plan(bodies, count, frames)
    connection = Connection(host, int(port))
    sizes = {
        "records": sum(one.records for one in buffers),
        "bytes": sum(one.bytes for one in buffers),
        "wire": sum(len(one.wire) for one in buffers),
    }
    print(json.dumps(sizes), flush=True)
    sys.stdin.readline()
    began, cpu = time.perf_counter(), time.process_time()
    for one in buffers:
        connection.send(one.wire)
    took = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}
    print(json.dumps(took), flush=True)
    while sys.stdin not in select.select([sys.stdin, connection.socket], [], [])[0]:
        connection.answer()


if __name__ == "__main__":
    main()
