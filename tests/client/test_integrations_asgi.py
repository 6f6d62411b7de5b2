"""The ASGI middleware under uvicorn: Starlette's applications and plain ones, asked over loopback."""

from __future__ import annotations

import asyncio
import http.client
import logging
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from distlog import current_task, task, to
from distlog.integrations.asgi import GoalMiddleware
from distlog.testing import Captured, capture
from serving import ended, ends, uvicorn_serving
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute

log = logging.getLogger("app.web")


@pytest.fixture
def captured() -> Iterator[Captured]:
    with capture() as captured:
        for name in ("urllib3", "asyncio", "uvicorn"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        yield captured
    assert current_task() is None


async def order(request: Any) -> JSONResponse:
    with to("look up %s", request.path_params["number"]):
        log.info("asking the warehouse")
    return JSONResponse({"goal": current_task().id})


async def broken(_: Any) -> JSONResponse:
    raise LookupError("no such order")


async def refusing(_: Any) -> PlainTextResponse:
    return PlainTextResponse("later", 503)


async def streaming(_: Any) -> StreamingResponse:
    async def body() -> Any:
        for number in range(3):
            log.info("part %d", number)
            yield b"x" * 10
            await asyncio.sleep(0.05)

    return StreamingResponse(body())


async def endless(_: Any) -> StreamingResponse:
    async def body() -> Any:
        while True:
            yield b"x" * 1000
            await asyncio.sleep(0.01)

    return StreamingResponse(body())


async def afterwards() -> None:
    await asyncio.sleep(0.3)
    log.info("mail sent")
    with to("archive"):
        pass


async def failing() -> None:
    await asyncio.sleep(0)
    raise LookupError("no mail")


async def quick(_: Any) -> PlainTextResponse:
    return PlainTextResponse("ok", background=BackgroundTask(afterwards))


async def quick_stream(_: Any) -> StreamingResponse:
    return StreamingResponse(iter([b"ok"]), background=BackgroundTask(afterwards))


async def quick_fail(_: Any) -> PlainTextResponse:
    return PlainTextResponse("ok", background=BackgroundTask(failing))


async def chat(socket: Any) -> None:
    await socket.accept()
    log.info("they said %s", await socket.receive_text())
    await socket.close()


ROUTES = [
    Route("/orders/{number:int}", order),
    Route("/broken", broken),
    Route("/refusing", refusing),
    Route("/streaming", streaming),
    Route("/endless", endless),
    Route("/quick", quick),
    Route("/quick/stream", quick_stream),
    Route("/quick/fail", quick_fail),
    Mount("/shop", routes=[Route("/items/{item}", refusing)]),
    WebSocketRoute("/chat", chat),
]


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    app = Starlette(routes=ROUTES)
    app.add_middleware(GoalMiddleware, exclude=["/health*"])
    with uvicorn_serving(app) as address:
        yield address


def get(address: str, goal: Any = None, **headers: str) -> requests.Response:
    """Ask with the headers that the clients' hooks write, or with these."""
    if goal is not None:
        headers["distlog-goal"] = goal.get_foreign_task()
    return requests.get(address, headers={name.replace("_", "-"): value for name, value in headers.items()}, timeout=10)


class TestRequests:
    def test_a_request_is_a_goal_below_its_callers(self, shop: str, captured: Captured) -> None:
        with task("buy") as goal:
            answer = get(f"{shop}/orders/42?token=secret", goal)
        (tree,) = ended(captured, 3)
        (served,) = tree["children"]
        assert (tree["title"], served["title"], served["status"]) == ("buy", "GET /orders/{number}", "succeeded")
        assert served["id"] == answer.json()["goal"] == f"{goal.id}/1"
        assert [child["title"] for child in served["children"]] == ["look up 42"]
        begin, end = (r for r in captured.records if "goal" in r and r["context"]["key"].endswith(f"@{served['id']}"))
        assert begin["context"].items() >= {"method": "GET", "path": "/orders/42", "client": "127.0.0.1"}.items()
        assert (end["message"], end["context"]["status"]) == ("GET /orders/{number} → 200", 200)
        assert tree["missing"] == served["missing"] == []
        assert "secret" not in str(captured.records)

    def test_without_a_caller_it_is_a_root(self, shop: str, captured: Captured) -> None:
        get(f"{shop}/orders/1")
        (tree,) = ended(captured, 2)
        assert (tree["title"], "/" in tree["id"]) == ("GET /orders/{number}", False)

    def test_a_traceparent_is_enough(self, shop: str, captured: Captured) -> None:
        with task("buy") as goal:
            get(f"{shop}/orders/1", traceparent=goal.traceparent)
        (tree,) = ended(captured, 3)
        assert [child["id"] for child in tree["children"]] == [f"{goal.id}/1"]

    def test_the_whole_id_goes_before_the_traceparent(self, shop: str, captured: Captured) -> None:
        with task("buy") as goal:
            get(f"{shop}/orders/1", goal, traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        (tree,) = ended(captured, 3)
        assert [child["id"] for child in tree["children"]] == [f"{goal.id}/1"]

    def test_what_is_no_id_is_passed_over_and_told(self, shop: str, captured: Captured) -> None:
        assert get(f"{shop}/orders/1", distlog_goal="x" * 3000, traceparent="00-zz").status_code == 200
        ended(captured, 2)
        begin, *later = (record for record in captured.records if "context" in record)
        assert begin["context"]["ignored_headers"].startswith("distlog-goal: it is too long; traceparent: it ")
        assert later and not any("ignored_headers" in record["context"] for record in later)

    def test_an_id_that_comes_twice_is_two_goals(self, shop: str, captured: Captured) -> None:
        with task("buy") as goal:
            same = goal.get_foreign_task()
            first, second = (get(f"{shop}/orders/1", distlog_goal=same).json()["goal"] for _ in range(2))
        ended(captured, 5)
        assert first == same
        assert second.startswith(f"{same}/")

    def test_an_exception_is_a_failure_and_goes_on(self, shop: str, captured: Captured) -> None:
        assert get(f"{shop}/broken").status_code == 500
        (tree,) = ended(captured, 1)
        assert (tree["status"], tree["error"]) == ("failed", "LookupError: no such order")
        (end,) = ends(captured)
        assert (end["levelname"], end["message"]) == ("ERROR", "FAILED GET /broken")
        assert end["exc_info"]["frames"][-1]["function"] == "broken"

    def test_a_status_from_500_on_is_a_failure(self, shop: str, captured: Captured) -> None:
        assert get(f"{shop}/shop/items/7").status_code == 503
        (tree,) = ended(captured, 1)
        assert (tree["title"], tree["status"], tree["error"]) == ("GET /shop/items/{item}", "failed", "status 503")

    def test_a_status_below_500_is_none(self, shop: str, captured: Captured) -> None:
        assert get(f"{shop}/nowhere").status_code == 404
        (tree,) = ended(captured, 1)
        assert (tree["title"], tree["status"]) == ("GET /nowhere", "succeeded")

    def test_excluded_paths_have_no_goal(self, shop: str, captured: Captured) -> None:
        with task("probe") as goal:
            get(f"{shop}/healthz", distlog_goal=f"{goal.id}/7")
        get(f"{shop}/orders/1")
        trees = ended(captured, 3)
        assert {tree["title"] for tree in trees} == {"probe", "GET /orders/{number}"}


class TestTheEnd:
    def test_a_stream_ends_with_its_body(self, shop: str, captured: Captured) -> None:
        assert get(f"{shop}/streaming").content == b"x" * 30
        (tree,) = ended(captured, 1)
        assert tree["duration"] > 0.1
        assert [r["message"] for r in tree["own_records"]][1:4] == ["part 0", "part 1", "part 2"]

    @pytest.mark.parametrize("path", ["quick", "quick/stream"])
    def test_background_work_is_linked(self, shop: str, captured: Captured, path: str) -> None:
        with task("caller") as goal:
            get(f"{shop}/{path}", goal)
        after, caller = sorted(ended(captured, 4), key=lambda tree: tree["title"])
        (served,) = caller["children"]
        assert served["duration"] < 0.3
        assert (after["title"], after["link"], after["status"]) == (f"after GET /{path}", served["id"], "succeeded")
        assert after["duration"] < 0.3
        assert [r["message"] for r in after["own_records"]][1] == "mail sent"
        assert [child["title"] for child in after["children"]] == ["archive"]

    def test_background_work_that_fails(self, shop: str, captured: Captured) -> None:
        get(f"{shop}/quick/fail")
        served, after = sorted(ended(captured, 2), key=lambda tree: tree["title"])
        assert (served["status"], after["status"], after["error"]) == ("succeeded", "failed", "LookupError: no mail")
        assert after["link"] == served["id"]

    def test_a_client_that_leaves(self, shop: str, captured: Captured) -> None:
        host, port = urlsplit(shop).hostname, urlsplit(shop).port
        with socket.create_connection((host, port)) as connection:
            connection.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
            connection.recv(10)
        (tree,) = ended(captured, 1)
        (end,) = ends(captured)
        assert (tree["status"], end["context"]["disconnected"]) == ("succeeded", True)

    def test_kept_connections_do_not_mix_goals(self, shop: str, captured: Captured) -> None:
        connection = http.client.HTTPConnection(urlsplit(shop).netloc)
        for number in range(3):
            connection.request("GET", f"/orders/{number}")
            connection.getresponse().read()
        connection.close()
        trees = ended(captured, 6)
        assert [tree["status"] for tree in trees] == ["succeeded"] * 3
        assert len({tree["id"] for tree in trees}) == 3


class TestTrust:
    @pytest.mark.parametrize(
        ("trust", "headers", "is_below"),
        [
            (None, {}, True),
            (None, {"x_forwarded_for": "203.0.113.7"}, False),
            (None, {"forwarded": "for=203.0.113.7"}, False),
            (True, {"x_forwarded_for": "203.0.113.7"}, True),
            (False, {}, False),
            (lambda scope: scope["path"] == "/orders/1", {}, True),
            (lambda scope: scope["no such key"], {}, False),
        ],
    )
    def test_who_is_believed(self, captured: Captured, trust: Any, headers: dict[str, str], is_below: bool) -> None:
        options = {} if trust is None else {"trust": trust}
        with uvicorn_serving(GoalMiddleware(Starlette(routes=ROUTES), **options), proxy_headers=False) as address:
            with task("caller") as goal:
                get(f"{address}/orders/1", goal, **headers)
            trees = {tree["title"]: tree for tree in ended(captured, 3)}
        if is_below:
            assert [child["id"] for child in trees["caller"]["children"]] == [f"{goal.id}/1"]
        else:
            assert trees["GET /orders/{number}"]["link"] == f"{goal.id}/1"

    @pytest.mark.parametrize(
        ("client", "is_near"),
        [
            (("127.0.0.1", 1), True),
            (("::1", 1), True),
            (("10.1.2.3", 1), True),
            (("fd00::1", 1), True),
            (("::ffff:192.168.1.1", 1), True),
            (None, True),
            (("8.8.8.8", 1), False),
            (("2001:4860:4860::8888", 1), False),
        ],
    )
    def test_neighbours(self, client: Any, is_near: bool) -> None:
        from distlog.integrations.asgi import trust_near

        assert trust_near({"client": client, "headers": []}) is is_near


class TestOtherScopes:
    def test_lifespan_and_plain_applications(self, captured: Captured) -> None:
        seen: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            seen.append(scope["type"])
            if scope["type"] == "lifespan":
                while True:
                    message = await receive()
                    await send({"type": f"{message['type']}.complete"})
                    if message["type"] == "lifespan.shutdown":
                        return
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

        with uvicorn_serving(GoalMiddleware(app, title=lambda scope: f"plain {scope['path']}")) as address:
            assert get(f"{address}/x").status_code == 204
        (tree,) = ended(captured, 1)
        assert (seen, tree["title"]) == (["lifespan", "http"], "plain /x")

    def test_an_application_that_does_not_answer(self, captured: Captured) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            assert scope["type"] == "http"

        with uvicorn_serving(GoalMiddleware(app), lifespan="off") as address:
            assert get(address).status_code == 500
        (tree,) = ended(captured, 1)
        assert (tree["status"], tree["error"]) == ("failed", "no answer was given")

    def test_what_the_application_decides_stands(self, captured: Captured) -> None:
        async def decided(_: Any) -> PlainTextResponse:
            current_task().fail("nothing in stock")
            return PlainTextResponse("sorry")

        app = GoalMiddleware(Starlette(routes=[Route("/", decided)]))
        with uvicorn_serving(app) as address:
            assert get(address).status_code == 200
        (tree,) = ended(captured, 1)
        assert (tree["status"], tree["error"]) == ("failed", "nothing in stock")

    def test_websockets(self, shop: str, captured: Captured) -> None:
        import aiohttp

        async def talk(goal: Any) -> None:
            headers = {"distlog-goal": goal.get_foreign_task()}
            async with aiohttp.ClientSession() as session, session.ws_connect(f"{shop}/chat", headers=headers) as chat:
                await chat.send_str("hello")
                await chat.receive()

        with task("talk") as goal:
            asyncio.run(talk(goal))
        (tree,) = ended(captured, 2)
        (served,) = tree["children"]
        assert (served["title"], served["status"]) == ("WEBSOCKET /chat", "succeeded")
        assert [r["message"] for r in served["own_records"]][1] == "they said hello"


def test_many_requests_at_once_do_not_mix(shop: str, captured: Captured) -> None:
    import aiohttp

    async def main() -> None:
        async with aiohttp.ClientSession() as session:

            async def buy(number: int) -> None:
                with task("buy %d", number) as goal:
                    headers = {"distlog-goal": goal.get_foreign_task()}
                    async with session.get(f"{shop}/orders/{number}", headers=headers) as answer:
                        assert (await answer.json())["goal"] == f"{goal.id}/1"

            await asyncio.gather(*[buy(number) for number in range(50)])

    asyncio.run(main())
    trees = ended(captured, 150)
    assert len(trees) == 50
    for tree in trees:
        (served,) = tree["children"]
        assert [child["title"] for child in served["children"]] == [f"look up {tree['title'].split()[1]}"]
        assert tree["missing"] == served["missing"] == []
