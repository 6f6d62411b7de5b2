"""``python -m orders.web FOLDER``: takes orders by HTTP and leaves the work to a worker. Prints its address, serves until SIGTERM."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, make_server

import distlog
from distlog.integrations.wsgi import GoalMiddleware

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger("orders.web")


class Orders:
    """``POST /orders`` with ``{"sku", "count"}``: 202, or 400 if it is no order."""

    def __init__(self, jobs: Path) -> None:
        self.jobs = jobs

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request. The middleware has opened its goal."""
        try:
            order = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
            number = self.accept(order["sku"], int(order["count"]))
        except (ValueError, KeyError) as mistake:
            log.warning("no order: %r", mistake)
            start_response("400 Bad Request", [])
            return [b"no order\n"]
        start_response("202 Accepted", [("Content-Type", "application/json")])
        return [json.dumps({"order": number}).encode()]

    def accept(self, sku: str, count: int) -> str:
        """Write the job down; the worker will find it."""
        number = uuid.uuid4().hex[:8]
        goal = distlog.current_task()
        job = {"order": number, "sku": sku, "count": count, "goal": goal.get_foreign_task() if goal else None}
        written = self.jobs / f"{number}.new"
        written.write_text(json.dumps(job))
        written.rename(self.jobs / f"{number}.json")
        log.info("order %s accepted", number, extra={"sku": sku, "count": count})
        return number


class Quiet(WSGIRequestHandler):
    """No lines on stderr: the goals say more."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def main() -> None:
    """Serve on a free port of the loopback."""
    distlog.configure()
    server = make_server("127.0.0.1", 0, GoalMiddleware(Orders(Path(sys.argv[1]))), handler_class=Quiet)
    # Not by an exception: a request may be in the middle.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
