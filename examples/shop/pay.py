"""The payment service, process ``pay-1``: HTTP, one request a charge. It prints its address and serves until SIGTERM."""

from __future__ import annotations

import json
import logging
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from distlog import import_task, to

from . import HEADER, log_to_daemon

log = logging.getLogger("shop.pay")


class CardDeclined(Exception):
    """The bank does not want to pay."""


def ask_bank(amount: float) -> str:
    """Two attempts; the second is refused. This is where the checkout really fails."""
    with to("ask bank", bank="First Example"):
        time.sleep(0.2)
        log.warning("attempt %d timed out", 1, extra={"timeout": 0.2})
        time.sleep(0.1)
        raise CardDeclined(f"card declined (code=51) for {amount:.2f}")


class Charges(BaseHTTPRequestHandler):
    """``POST /charge`` with ``{"cart", "amount"}``."""

    def do_POST(self) -> None:
        """Charge under the goal the caller named in its header."""
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            with import_task(self.headers[HEADER], "charge cart %s", order["cart"], amount=order["amount"]):
                with to("check fraud rules"):
                    log.debug("12 rules passed")
                status, text = 200, ask_bank(order["amount"])
        except CardDeclined as declined:
            status, text = 402, str(declined)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Requests go to the log as well."""
        logging.getLogger("shop.pay.http").debug(format, *args)


def main() -> None:
    """Serve on a free port of the loopback."""
    log_to_daemon("pay-1")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Charges)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
