"""A shop of four processes, and one checkout that fails deep inside one of them.

``web-1`` takes the order. It starts ``stock-1`` with ``multiprocessing`` (spawn), calls the HTTP service ``pay-1``
with the goal's id in a header, and runs ``mail-1`` as a plain subprocess with the id on the command line.
Only stdlib ``logging`` is used to log; distlog ties the records of all four together.
"""

from __future__ import annotations

import logging
import multiprocessing
import os

from distlog import ZmqHandler

HEADER = "X-Distlog-Task"


def log_to_daemon(process: str) -> None:
    """Name this process and send all its records to distlogd."""
    multiprocessing.current_process().name = process
    handler = ZmqHandler(os.environ.get("DISTLOG_ENDPOINT", "tcp://127.0.0.1:5010"))
    logging.basicConfig(level=logging.DEBUG, handlers=[handler])
