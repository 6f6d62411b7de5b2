"""Real servers on loopback, in threads of the test's process."""

from __future__ import annotations

import asyncio
import socket
import socketserver
import threading
import time
import wsgiref.simple_server
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from distlog.testing import Captured


@contextmanager
def uvicorn_serving(app: Any, **options: Any) -> Iterator[str]:
    """The address of an ASGI application under uvicorn."""
    config = uvicorn.Config(app, port=0, log_config=None, access_log=False, **{"lifespan": "on", **options})
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline and thread.is_alive():
        time.sleep(0.005)
    try:
        assert server.started
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)


class _Threaded(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True


class _Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def wsgiref_serving(app: Any) -> Iterator[str]:
    """The address of a WSGI application under the standard library's server."""
    server = wsgiref.simple_server.make_server("127.0.0.1", 0, app, _Threaded, _Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def nothing_serving() -> Iterator[str]:
    """An address at which connections are refused."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{place.getsockname()[1]}"


def ended(captured: Captured, count: int, timeout: float = 10) -> list[dict[str, Any]]:
    """Wait for so many end records; give all trees. The client may have its answer before the server's goal has ended."""
    deadline = time.monotonic() + timeout
    while len(ends(captured)) < count and time.monotonic() < deadline:
        time.sleep(0.005)
    assert len(ends(captured)) == count, [record["message"] for record in captured.records]
    return captured.trees()


def ends(captured: Captured) -> list[dict[str, Any]]:
    """The end records."""
    return [record for record in list(captured.records) if record.get("goal", {}).get("event") == "end"]
