"""The mailer, process ``mail-1``: a plain program that gets the goal's id on its command line."""

from __future__ import annotations

import logging
import sys

from distlog import import_task

from . import log_to_daemon

log = logging.getLogger("shop.mail")


def main() -> None:
    """Write to one customer."""
    parent, cart = sys.argv[2:]
    log_to_daemon("mail-1")
    with import_task(parent, "tell the customer about cart %s", cart):
        log.info("mail queued", extra={"template": "payment-refused"})
