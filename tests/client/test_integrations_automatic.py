"""All integrations at once, in programs that know nothing of distlog; and what happens with libraries that are not there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

import pytest
from distlog import _distlog

PROGRAM = """
import logging, sys, threading, wsgiref.simple_server

assert not {"requests", "httpx", "aiohttp", "flask", "starlette", "celery"} & sys.modules.keys()
import flask, requests, urllib.request, httpx
import aiohttp, asyncio
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

app = flask.Flask("shop")

@app.get("/orders/<int:number>")
def order(number):
    logging.getLogger("shop").info("packing %d", number)
    return "done"

class Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_): pass

server = wsgiref.simple_server.make_server("127.0.0.1", 0, app, handler_class=Quiet)
threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
address = f"http://127.0.0.1:{server.server_port}/orders/"

async def main():
    async with aiohttp.ClientSession() as session, session.get(address + "4") as answer:
        assert await answer.text() == "done"
    inner = Starlette(routes=[Route("/{item}", lambda request: PlainTextResponse("ok"))])
    application = Starlette(routes=[Mount("/items", app=inner)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://items") as client:
        assert (await client.get("/items/hat")).text == "ok"

logging.getLogger().setLevel(logging.INFO)
for name in ("httpx", "asyncio"):
    logging.getLogger(name).setLevel(logging.WARNING)
assert requests.get(address + "1", timeout=10).text == "done"
assert urllib.request.urlopen(address + "2", timeout=10).read() == b"done"
assert httpx.get(address + "3").text == "done"
asyncio.run(main())
server.shutdown()
"""


def test_a_program_that_knows_nothing_of_it(collector: Any, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "distlog", "run", "--integrations", "program.py"]
    environment = {**os.environ, "DISTLOG_ENDPOINT": collector.endpoint}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    deadline = time.monotonic() + 10
    while sum("goal" in r for r in collector.records()) < 12 and time.monotonic() < deadline:
        time.sleep(0.02)
    forest = _distlog.Forest()
    for record in collector.records():
        forest.add(json.dumps(record))
    trees = [json.loads(forest.tree(root, time.time_ns()) or "") for root in forest.roots()]
    own = next(tree for tree in trees if tree["title"] == "program.py")
    assert [child["title"] for child in own["children"]] == ["GET /orders/{number}"] * 4
    assert [[r["message"] for r in child["own_records"]][1] for child in own["children"]] == [
        f"packing {number}" for number in (1, 2, 3, 4)
    ]
    # The transport in this process carries nothing; and one application within another is one goal.
    assert [tree["title"] for tree in trees if tree is not own] == ["GET /items/{item}"]


def test_nothing_is_imported(run: Callable[..., Any]) -> None:
    done = run("""
        before = set(sys.modules)
        import distlog.integrations
        assert set(sys.modules) - before == {"distlog.integrations"}
        from distlog.integrations import automatic
        automatic.install()
        libraries = {"requests", "httpx", "aiohttp", "flask", "starlette", "celery", "urllib.request", "opentelemetry"}
        assert not libraries & sys.modules.keys()
        import requests
        changed = requests.Session.send
        automatic.install()
        assert requests.Session.send is changed
        automatic.uninstall()
        assert requests.Session.send is not changed
        assert automatic._finder not in sys.meta_path
        import flask
        assert not hasattr(flask.Flask.__call__, "__wrapped__")
    """)
    assert done.stderr == ""


def test_one_by_name(run: Callable[..., Any]) -> None:
    run("""
        from distlog.integrations import automatic
        automatic.install("flask")
        import flask, requests
        assert hasattr(flask.Flask.__call__, "__wrapped__") and not hasattr(requests.Session.send, "__wrapped__")
        automatic.install("requests")
        assert hasattr(requests.Session.send, "__wrapped__")
    """)
    from distlog.integrations import automatic

    with pytest.raises(ValueError, match=r"no integration of 'requets', only of aiohttp, celery"):
        automatic.install("requets")


def test_a_library_of_another_shape(run: Callable[..., Any], tmp_path: Path) -> None:
    """One line says so, and the program runs."""
    (tmp_path / "flask.py").write_text("Flask = None\n")
    (tmp_path / "requests.py").write_text("raise ImportError('broken')\n")
    done = run(
        """
        from distlog.integrations import automatic
        automatic.install()
        import flask
        assert flask.Flask is None
        try:
            import requests
        except ImportError as error:
            assert str(error) == "broken"
        try:
            import celery.nothing_like_it
        except ImportError:
            pass
        """,
        PYTHONPATH=str(tmp_path),
    )
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("distlog: no goals by way of flask: ")
