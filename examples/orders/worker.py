"""``python -m orders.worker FOLDER [--once]``: packs what was ordered; each job is a goal below the request that asked for it."""

from __future__ import annotations

import json
import logging
import signal
import sys
import time
from pathlib import Path
from typing import Any

import distlog
from distlog import import_task, task, to

log = logging.getLogger("orders.worker")
SHELVES = {"A-17": 12, "C-4": 1}


class SoldOut(Exception):
    """There is less than was ordered."""


def pack(sku: str, count: int) -> None:
    """Take it from the shelf, or fail."""
    with to("take %d of %s", count, sku) as goal:
        left = SHELVES.get(sku, 0) - count
        if left < 0:
            raise SoldOut(f"{-left} of {sku} are missing")
        SHELVES[sku] = left
        goal.success("%d of %s left", left, sku, left=left)


def work(job: dict[str, Any]) -> None:
    """One job, whatever becomes of it: the worker goes on."""
    words, order = "pack order %s", job["order"]
    goal = import_task(job["goal"], words, order) if job["goal"] else task(words, order)
    try:
        with goal:
            pack(job["sku"], job["count"])
            log.info("parcel is on its way", extra={"weight": 0.4 * job["count"]})
    except SoldOut:
        # The goal has said so, with the traceback.
        pass


def main() -> None:
    """Look for jobs until SIGTERM; with ``--once``, until there are no more."""
    distlog.configure()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    jobs, once = Path(sys.argv[1]), "--once" in sys.argv
    while True:
        for file in sorted(jobs.glob("*.json")):
            work(json.loads(file.read_text()))
            file.unlink()
        if once:
            return
        time.sleep(0.2)


if __name__ == "__main__":
    main()
