"""Takes what the clients send and throws it away, counting bytes. A process of its own, so that receiving costs the client nothing.

receiver.py KIND FILE: prints its port. The file's first 8 bytes are the number of bytes received so far. Kinds:

pull  says hello as a 0MQ PULL socket, then reads
tcp   reads
http  answers every POST with 200 and nothing
"""

from __future__ import annotations

import mmap
import selectors
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from discard import GREETING, READY


class Counter:
    """Bytes so far, in a file that others map."""

    def __init__(self, path: str) -> None:
        Path(path).write_bytes(bytes(8))
        with open(path, "r+b") as file:
            self.shared = mmap.mmap(file.fileno(), 8)
        self.bytes = 0

    def add(self, size: int) -> None:
        """So many more."""
        self.bytes += size
        self.shared[:] = self.bytes.to_bytes(8, "little")


def read(counter: Counter, hello: bytes) -> None:
    """Reads from whoever connects, for ever."""
    waiting = selectors.DefaultSelector()
    listener = socket.create_server(("127.0.0.1", 0))
    waiting.register(listener, selectors.EVENT_READ)
    print(listener.getsockname()[1], flush=True)
    space = bytearray(1 << 20)
    while True:
        for key, _ in waiting.select():
            if key.fileobj is listener:
                connection, _ = listener.accept()
                connection.sendall(hello)
                waiting.register(connection, selectors.EVENT_READ, connection)
                continue
            try:
                size = key.data.recv_into(space)
            except ConnectionError:
                size = 0
            if size == 0:
                waiting.unregister(key.data)
                key.data.close()
            counter.add(size)


def answer(counter: Counter) -> None:
    """Takes POST requests for ever."""

    class Request(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Reads the body, says nothing."""
            counter.add(len(self.rfile.read(int(self.headers.get("Content-Length", 0)))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """No lines on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Request)
    print(server.server_address[1], flush=True)
    server.serve_forever()


def main() -> None:
    """Receives until it is ended."""
    kind, path = sys.argv[1:]
    counter = Counter(path)
    if kind == "http":
        answer(counter)
    read(counter, GREETING + READY if kind == "pull" else b"")


if __name__ == "__main__":
    main()
