"""The warehouse, process ``stock-1``: started by ``multiprocessing`` for one reservation."""

from __future__ import annotations

import logging
import time

from distlog import import_task

from . import log_to_daemon

log = logging.getLogger("shop.stock")


def put_aside(parent: str, sku: str, count: int) -> None:
    """Put goods aside, as a sub-goal of the goal that asked for it."""
    log_to_daemon("stock-1")
    with import_task(parent, "put aside %d of %s", count, sku):
        log.debug("looking at shelf %s", "7-B")
        time.sleep(0.03)
        log.info("%d of %s put aside", count, sku, extra={"left": 5})
