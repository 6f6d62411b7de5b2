"""No daemon at all: says hello as a PULL socket, reads, throws away. How fast the producers and the loopback are.

discard.py PORT FILE: the file's first 8 bytes are the number of bytes read so far (after the greetings).
"""

from __future__ import annotations

import mmap
import selectors
import socket
import sys
from pathlib import Path

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PULL"
HELLO_BYTES = len(GREETING) + len(READY)


def main() -> None:
    """Reads for ever."""
    port, path = sys.argv[1:]
    Path(path).write_bytes(bytes(8))
    with open(path, "r+b") as file:
        counter = mmap.mmap(file.fileno(), 8)
    waiting = selectors.DefaultSelector()
    listener = socket.create_server(("127.0.0.1", int(port)))
    waiting.register(listener, selectors.EVENT_READ)
    space = bytearray(1 << 20)
    total = 0
    while True:
        for key, _ in waiting.select():
            if key.fileobj is listener:
                connection, _ = listener.accept()
                connection.sendall(GREETING + READY)
                total -= HELLO_BYTES
                waiting.register(connection, selectors.EVENT_READ, connection)
                continue
            size = key.data.recv_into(space)
            if size == 0:
                waiting.unregister(key.data)
            total += size
            counter[:] = max(total, 0).to_bytes(8, "little")


if __name__ == "__main__":
    main()
