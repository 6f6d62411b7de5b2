"""The records every daemon is fed: JSON as the Python client sends it, about 600 bytes each.

Every record differs from every other, as real ones do: a seeded generator draws time, thread, line, goal and message.
A store that compresses would look too good on a thousand lines sent over and over.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from pathlib import Path

LEVELS = (("DEBUG", 10, 29), ("INFO", 20, 69), ("WARNING", 30, 1), ("ERROR", 40, 1))
SERVICES = ("web", "cart", "payment", "stock", "search", "mail", "auth", "ship")
METHODS = ("card", "invoice", "voucher")
STATES = (200, 200, 200, 404, 500)


def make(count: int, seed: int = 17) -> Iterator[bytes]:
    """The records, each one line of JSON without its newline."""
    draw = random.Random(seed)
    created = 1_790_000_000.0
    goals = [str(uuid.UUID(int=draw.getrandbits(128), version=4)) for _ in range(64)]
    for number in range(count):
        created += draw.expovariate(2_000)
        if draw.random() < 0.02:
            goals[draw.randrange(len(goals))] = str(uuid.UUID(int=draw.getrandbits(128), version=4))
        yield _record(draw, created, number, draw.choice(goals))


def write(path: Path, count: int) -> None:
    """The records as a JSONL file; what is there already is kept if it has as many lines."""
    if path.exists() and sum(block.count(b"\n") for block in _blocks(path)) == count:
        return
    with path.open("wb") as file:
        for record in make(count):
            file.write(record + b"\n")


def _record(draw: random.Random, created: float, number: int, goal: str) -> bytes:
    service = draw.choice(SERVICES)
    level = draw.choices(LEVELS, [weight for _, _, weight in LEVELS])[0]
    template, args = _message(draw)
    line = draw.randrange(20, 60) * 7
    pid = 2_000 + SERVICES.index(service)
    record = {
        "name": f"shop.{service}.views",
        "msg": template,
        "args": args,
        "levelname": level[0],
        "levelno": level[1],
        "pathname": f"/srv/shop/{service}/views.py",
        "filename": "views.py",
        "module": "views",
        "exc_info": None,
        "exc_text": None,
        "stack_info": None,
        "lineno": line,
        "funcName": f"handle_{line}",
        "created": round(created, 7),
        "msecs": float(int(created * 1000) % 1000),
        "relativeCreated": round((created - 1_790_000_000.0) * 1000, 4),
        "thread": 140_000_000_000_000 + 4096 * draw.randrange(8),
        "threadName": f"worker-{draw.randrange(8)}",
        "processName": "MainProcess",
        "process": pid,
        "message": template % tuple(args),
        "hostname": "node-3",
        "request": f"{draw.getrandbits(48):012x}",
        "context": {"key": f"{number % 40}@{goal}/{draw.randrange(1, 5)}/{draw.randrange(1, 4)}"},
    }
    return json.dumps(record, separators=(",", ":")).encode()


def _message(draw: random.Random) -> tuple[str, list[str | int | float]]:
    kind = draw.randrange(4)
    if kind == 0:
        return "order %s paid with %s in %d ms", [
            f"{draw.getrandbits(40):010x}",
            draw.choice(METHODS),
            draw.randrange(900),
        ]
    if kind == 1:
        return "GET /api/items/%d -> %d (%d bytes)", [
            draw.randrange(90_000),
            draw.choice(STATES),
            draw.randrange(40_000),
        ]
    if kind == 2:
        return "cache %s for user %d", [draw.choice(("hit", "hit", "miss")), draw.randrange(5_000)]
    return "select took %.2f ms, %d rows", [round(draw.expovariate(0.2), 2), draw.randrange(300)]


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            yield block
