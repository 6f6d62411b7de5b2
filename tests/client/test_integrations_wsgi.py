"""The WSGI middleware under the standard library's server and gunicorn's: Flask's applications and plain ones."""

from __future__ import annotations

import http.client
import io
import logging
import os
import subprocess
import sys
import time
import wsgiref.util
import wsgiref.validate
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import flask
import pytest
import requests
from distlog import current_task, task, to
from distlog.integrations.wsgi import GoalMiddleware
from distlog.testing import Captured, capture
from serving import ended, ends, wsgiref_serving

log = logging.getLogger("app.web")


@pytest.fixture
def captured() -> Iterator[Captured]:
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)
    with capture() as captured:
        yield captured
    assert current_task() is None


def flask_shop() -> flask.Flask:
    app = flask.Flask("shop")

    @app.get("/orders/<int:number>")
    def order(number: int) -> dict[str, Any]:
        with to("look up %s", number):
            log.info("asking the warehouse")
        return {"goal": current_task().id}

    @app.get("/streaming")
    def streaming() -> flask.Response:
        def body() -> Iterator[bytes]:
            with to("stream"):
                for number in range(3):
                    log.info("part %d", number)
                    yield b"x" * 10
                    time.sleep(0.02)

        return flask.Response(body())

    @app.get("/spoilt")
    def spoilt() -> flask.Response:
        def body() -> Iterator[bytes]:
            yield b"x"
            raise LookupError("no more")

        return flask.Response(body())

    @app.get("/broken")
    def broken() -> str:
        app.config["PROPAGATE_EXCEPTIONS"] = flask.request.args.get("propagate") == "1"
        raise LookupError("no such order")

    app.wsgi_app = GoalMiddleware(app.wsgi_app, exclude="/health*")
    return app


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    with wsgiref_serving(flask_shop()) as address:
        yield address


def get(address: str, goal: Any = None, **headers: str) -> requests.Response:
    if goal is not None:
        headers["distlog-goal"] = goal.get_foreign_task()
    return requests.get(address, headers={name.replace("_", "-"): value for name, value in headers.items()}, timeout=10)


class TestFlask:
    def test_a_request_is_a_goal_below_its_callers(self, shop: str, captured: Captured) -> None:
        with task("buy") as goal:
            answer = get(f"{shop}/orders/42?token=secret", goal)
        (tree,) = ended(captured, 3)
        (served,) = tree["children"]
        assert (served["title"], served["status"]) == ("GET /orders/{number}", "succeeded")
        assert served["id"] == answer.json()["goal"] == f"{goal.id}/1"
        assert [child["title"] for child in served["children"]] == ["look up 42"]
        begin, end = (r for r in captured.records if "goal" in r and r["context"]["key"].endswith(f"@{served['id']}"))
        assert begin["context"].items() >= {"method": "GET", "path": "/orders/42", "client": "127.0.0.1"}.items()
        assert (end["message"], end["context"]["status"]) == ("GET /orders/{number} → 200", 200)
        assert "secret" not in str(captured.records)

    def test_without_a_caller_it_is_a_root(self, shop: str, captured: Captured) -> None:
        get(f"{shop}/nowhere")
        (tree,) = ended(captured, 1)
        assert (tree["title"], tree["status"], "/" in tree["id"]) == ("GET /nowhere", "succeeded", False)

    def test_a_proxys_request_is_linked(self, shop: str, captured: Captured) -> None:
        with task("caller") as goal:
            get(f"{shop}/orders/1", goal, x_forwarded_for="203.0.113.7")
        trees = {tree["title"]: tree for tree in ended(captured, 3)}
        assert trees["GET /orders/{number}"]["link"] == f"{goal.id}/1"

    def test_an_exception_that_the_application_answers(self, shop: str, captured: Captured) -> None:
        assert get(f"{shop}/broken").status_code == 500
        (tree,) = ended(captured, 1)
        assert (tree["status"], tree["error"]) == ("failed", "status 500")

    def test_a_stream_ends_with_its_body(self, shop: str, captured: Captured) -> None:
        assert get(f"{shop}/streaming").content == b"x" * 30
        (tree,) = ended(captured, 2)
        assert (tree["status"], tree["duration"] > 0.04) == ("succeeded", True)
        (inner,) = tree["children"]
        assert [r["message"] for r in inner["own_records"]][1:4] == ["part 0", "part 1", "part 2"]

    def test_a_body_that_fails(self, shop: str, captured: Captured) -> None:
        with pytest.raises(requests.exceptions.RequestException):
            address = urlsplit(f"{shop}/spoilt")
            connection = http.client.HTTPConnection(address.netloc)
            connection.request("GET", address.path)
            if connection.getresponse().read() == b"x":
                raise requests.exceptions.RequestException("cut short")
        (tree,) = ended(captured, 1)
        assert (tree["status"], tree["error"]) == ("failed", "LookupError: no more")


def start_response(*_: Any) -> Any:
    return lambda body: None


def ask(app: Any, path: str = "/", **environ: Any) -> Any:
    wsgiref.util.setup_testing_defaults(environ)
    environ["PATH_INFO"] = path
    return app(environ, start_response)


class TestTheProtocol:
    def test_conforms(self, captured: Captured) -> None:
        """PEP 3333's validator stands on both sides."""

        def app(environ: Any, start: Any) -> Iterator[bytes]:
            start("200 OK", [("Content-Type", "text/plain")])
            return iter([b"a", b"b"])

        validated = wsgiref.validate.validator(GoalMiddleware(wsgiref.validate.validator(app)))
        with wsgiref_serving(validated) as address:
            assert get(address).content == b"ab"
        (tree,) = ended(captured, 1)
        assert tree["status"] == "succeeded"

    def test_exceptions_go_on_untouched(self, captured: Captured) -> None:
        error = LookupError("no such order")

        def app(environ: Any, start: Any) -> Any:
            raise error

        with pytest.raises(LookupError) as raised:
            ask(GoalMiddleware(app))
        assert raised.value is error
        (tree,) = ended(captured, 1)
        assert (tree["status"], tree["error"]) == ("failed", "LookupError: no such order")

    def test_the_goal_is_current_inside_only(self, captured: Captured) -> None:
        class Body:
            def __init__(self) -> None:
                self.parts = [b"a", b"b"]

            def __iter__(self) -> Any:
                return self

            def __next__(self) -> bytes:
                log.info("next")
                if not self.parts:
                    raise StopIteration
                return self.parts.pop()

            def close(self) -> None:
                log.info("close")

        def app(environ: Any, start: Any) -> Any:
            start("200 OK", [])
            return Body()

        body = ask(GoalMiddleware(app))
        for _ in body:
            assert current_task() is None
            log.info("the server's own")
        assert not ends(captured)
        body.close()
        (tree,) = ended(captured, 1)
        assert [r["message"] for r in tree["own_records"]][1:-1] == ["next", "next", "next", "close"]

    def test_two_bodies_at_once_in_one_thread(self, captured: Captured) -> None:
        def app(environ: Any, start: Any) -> Any:
            start("200 OK", [])

            def body() -> Iterator[bytes]:
                with to("inside"):
                    for _ in range(3):
                        log.info("for %s", environ["PATH_INFO"])
                        yield b"x"

            return body()

        application = GoalMiddleware(app)
        first, second = ask(application, "/first"), ask(application, "/second")
        for pair in zip(first, second):
            assert pair == (b"x", b"x")
        for body in (first, second):
            list(body)
            body.close()
        for tree in ended(captured, 4):
            (inner,) = tree["children"]
            messages = [r["message"] for r in inner["own_records"]][1:-1]
            assert messages == [f"for {tree['title'].split()[1]}"] * 3

    def test_a_client_that_leaves(self, captured: Captured) -> None:
        def app(environ: Any, start: Any) -> Any:
            start("200 OK", [])
            yield b"a"
            yield b"b"

        body = ask(GoalMiddleware(app))
        next(body)
        body.close()
        ended(captured, 1)
        assert ends(captured)[0]["context"]["disconnected"] is True

    def test_lists_and_files_stay_what_they_are(self, captured: Captured) -> None:
        answer = [b"whole"]
        file = wsgiref.util.FileWrapper(io.BytesIO(b"file"))

        def app(environ: Any, start: Any) -> Any:
            start("200 OK", [])
            return answer if environ["PATH_INFO"] == "/list" else file

        application = GoalMiddleware(app)
        assert ask(application, "/list") is answer
        assert len(ends(captured)) == 1
        body = ask(application, "/file", **{"wsgi.file_wrapper": wsgiref.util.FileWrapper})
        assert body is file
        assert len(ends(captured)) == 1
        body.close()
        assert len(ends(captured)) == 2
        assert file.filelike.closed

    def test_an_unclosed_inner_goal_does_not_leak(self, captured: Captured) -> None:
        def app(environ: Any, start: Any) -> Any:
            start("200 OK", [])
            to("never ended").__enter__()
            return [b""]

        ask(GoalMiddleware(app))
        assert current_task() is None


APPLICATION = """
import logging, os
import distlog, flask, requests
from distlog.integrations.wsgi import GoalMiddleware
import distlog.integrations.requests

distlog.configure(os.environ["ENDPOINT"])
distlog.integrations.requests.install()
app = flask.Flask("shop")
log = logging.getLogger("app")

@app.get("/items/<name>")
def item(name):
    log.info("%s is in stock", name)
    return "ok"

@app.get("/orders/<int:number>")
def order(number):
    # Another worker of the same server answers.
    return requests.get(flask.request.host_url + "items/hat", timeout=10).text

app.wsgi_app = GoalMiddleware(app.wsgi_app)
"""


def test_gunicorns_workers_are_in_one_tree(collector: Any, handler: Any, free_port: int, tmp_path: Path) -> None:
    import distlog.integrations.requests as hooks

    (tmp_path / "shop_application.py").write_text(APPLICATION)
    address = f"127.0.0.1:{free_port}"
    command = [sys.executable, "-m", "gunicorn", "-w", "2", "-b", address, "--preload", "shop_application:app"]
    environment = {**os.environ, "ENDPOINT": collector.endpoint}
    server = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)
    hooks.install()
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                requests.get(f"http://{address}/nowhere", timeout=10)
                break
            except requests.ConnectionError:
                time.sleep(0.05)
        with task("buy") as goal:
            assert requests.get(f"http://{address}/orders/1", timeout=10).text == "ok"
        found: dict[str, str] = {}
        while len(found) < 7 and time.monotonic() < deadline:
            mine = [r for r in collector.records() if goal.id in r.get("context", {}).get("key", "")]
            found = {r["context"]["key"]: r["message"] for r in mine}
    finally:
        hooks.uninstall()
        server.terminate()
        server.wait(20)
    assert found == {
        f"0@{goal.id}": "buy",
        f"2@{goal.id}": "buy",
        f"0@{goal.id}/1": "GET /orders/{number}",
        f"2@{goal.id}/1": "GET /orders/{number} → 200",
        f"0@{goal.id}/1/1": "GET /items/{name}",
        f"1@{goal.id}/1/1": "hat is in stock",
        f"2@{goal.id}/1/1": "GET /items/{name} → 200",
    }
