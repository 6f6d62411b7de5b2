"""Write the golden messages: what the clients of each release have sent.

A file is one message: its frames, each with its length in front (2 bytes, little endian).
The 2017 ones follow the two formatters of distlog 0.1: the record's own dict after formatting, with `args` and
`exc_info` emptied, line ends in tracebacks escaped, `json.dumps` with its defaults or pickle protocol 3.
"""

from __future__ import annotations

import json
import pathlib
import pickle
import struct
from typing import Any

HERE = pathlib.Path(__file__).parent

RECORD: dict[str, Any] = {
    "name": "shop.orders",
    "msg": "order %s failed für Ärger",
    "args": None,
    "levelname": "ERROR",
    "levelno": 40,
    "pathname": "/srv/shop/views.py",
    "filename": "views.py",
    "module": "views",
    "exc_info": None,
    "exc_text": 'Traceback (most recent call last):\\n  File "/srv/shop/views.py", line 42, in view\\nValueError: A-17',
    "stack_info": None,
    "lineno": 42,
    "funcName": "view",
    "created": 1500000000.1234567,
    "msecs": 123.45671653747559,
    "relativeCreated": 42.5,
    "thread": 140000000000001,
    "threadName": "MainThread",
    "processName": "MainProcess",
    "process": 4711,
    "context": {"key": "3@0f6f2a3c-1111-4222-8333-444455556666/2"},
    "message": "order A-17 failed für Ärger",
    "asctime": "2017-07-14 02:40:00,123",
    "hostname": "web-1",
}


def main() -> None:
    """Write all of them."""
    odd = RECORD | {"ratio": float("nan"), "file": "a\udc80"}
    messages = {
        "2017-json": (b"PLJ", json.dumps(RECORD).encode()),
        "2017-json-odd": (b"SLJ", json.dumps(odd).encode()),
        "2017-pickle": (b"PLP", pickle.dumps(RECORD, 3)),
        "2017-pickle-odd": (b"TLP", pickle.dumps(odd, 3)),
    }
    for name, frames in messages.items():
        content = b"".join(struct.pack("<H", len(frame)) + frame for frame in frames)
        (HERE / f"{name}.message").write_bytes(content)


if __name__ == "__main__":
    main()
