"""Stands for the 2017 daemon: PULL socket, json.loads, ask the plugins, write a file. Nothing is synced.

Smaller and faster than the original, which also built a LogRecord for each message: a floor for what Python does here.
"""

from __future__ import annotations

import json
import sys
from typing import Any, BinaryIO

import zmq


class ToFile:
    """A plugin of the 2017 form."""

    def __init__(self, file: BinaryIO) -> None:
        self.write = file.write

    def match(self, record: dict[str, Any]) -> bool:
        """Every record of level DEBUG or higher."""
        return bool(record["levelno"] >= 10)

    def handle(self, body: bytes) -> None:
        """Writes the record as it came."""
        self.write(body + b"\n")


def main() -> None:
    """daemon2017.py ENDPOINT FILE"""
    endpoint, path = sys.argv[1:]
    socket = zmq.Context().socket(zmq.PULL)
    socket.bind(endpoint)
    with open(path, "wb", buffering=1 << 20) as file:
        plugins = [ToFile(file)]
        while True:
            if not socket.poll(20):
                file.flush()
                socket.poll()
            topic, body = socket.recv_multipart()
            if topic[1:] != b"LJ":
                continue
            record = json.loads(body)
            for plugin in plugins:
                if plugin.match(record):
                    plugin.handle(body)


if __name__ == "__main__":
    main()
