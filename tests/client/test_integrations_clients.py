"""requests, httpx, aiohttp and urllib carry goals to a real server, to the hosts that may know, and to nobody else."""

from __future__ import annotations

import asyncio
import logging
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable

import aiohttp
import distlog.integrations.aiohttp as for_aiohttp
import distlog.integrations.httpx as for_httpx
import distlog.integrations.requests as for_requests
import distlog.integrations.urllib as for_urllib
import httpx
import pytest
import requests
from distlog import current_task, import_task, task
from distlog.integrations.headers import Rule, is_near
from distlog.testing import Captured, capture
from serving import nothing_serving


class Echo(BaseHTTPRequestHandler):
    """Answers with the goal's headers; ``/to/<host>:<port>`` redirects, ``/status/<n>`` has that status."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        told = [self.headers.get(name, "") for name in ("distlog-goal", "traceparent", "tracestate")]
        kind, _, rest = self.path[1:].partition("/")
        if kind.isdigit() or kind.partition("?")[0] in ("", "to", "status", "end", "items"):
            # Other programs of this machine may look for a server of theirs at this port.
            self.server.asked.append((self.path, *told))
        self.send_response(302 if kind == "to" else int(rest) if kind == "status" else 200)
        if kind == "to":
            self.send_header("Location", f"http://{rest}/end")
        body = "\n".join(told).encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Echo)
        self.asked: list[tuple[str, ...]] = []
        self.place = f"127.0.0.1:{self.server_port}"
        self.near = f"http://{self.place}"
        #: The same server, under another name.
        self.other = f"localhost:{self.server_port}"


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield one
    one.shutdown()
    one.server_close()
    thread.join()


@pytest.fixture
def captured() -> Iterator[Captured]:
    for name in ("urllib3", "httpx", "httpcore", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with capture() as captured:
        yield captured
    assert current_task() is None


def by_requests(address: str, **headers: str) -> int:
    return requests.get(address, headers=headers, timeout=10).status_code


def by_httpx(address: str, **headers: str) -> int:
    return httpx.get(address, headers=headers, follow_redirects=True).status_code


def by_httpx_later(address: str, **headers: str) -> int:
    async def main() -> int:
        async with httpx.AsyncClient(follow_redirects=True) as client:
            return (await client.get(address, headers=headers)).status_code

    return asyncio.run(main())


def by_aiohttp(address: str, **headers: str) -> int:
    async def main() -> int:
        async with aiohttp.ClientSession() as session, session.get(address, headers=headers) as answer:
            return answer.status

    return asyncio.run(main())


def by_urllib(address: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


CLIENTS = [
    (for_requests, by_requests),
    (for_httpx, by_httpx),
    (for_httpx, by_httpx_later),
    (for_aiohttp, by_aiohttp),
    (for_urllib, by_urllib),
]
Install = Callable[..., None]
Get = Callable[..., int]


@pytest.fixture(params=CLIENTS, ids=lambda client: client[1].__name__[3:])
def client(request: Any) -> Iterator[tuple[Install, Get]]:
    module, get = request.param
    yield module.install, get
    module.uninstall()


class TestInstalled:
    def test_each_request_carries_a_child(self, client: tuple[Install, Get], server: Server) -> None:
        install, get = client
        install()
        with task("buy") as goal:
            assert [get(f"{server.near}/{n}") for n in range(3)] == [200] * 3
        trace = uuid.UUID(goal.id).hex
        assert [told[1] for told in server.asked] == [f"{goal.id}/{n}" for n in (1, 2, 3)]
        for _, name, parent, state in server.asked:
            assert parent.startswith(f"00-{trace}-") and parent.endswith("-01")
            assert state == f"distlog={parent[36:52]}:{name.partition('/')[2]}"

    def test_nothing_is_told_outside_goals(self, client: tuple[Install, Get], server: Server) -> None:
        install, get = client
        install()
        get(server.near)
        assert server.asked == [("/", "", "", "")]

    def test_nothing_is_told_to_strangers(self, client: tuple[Install, Get], server: Server) -> None:
        install, get = client
        install(only="*.example.com")
        with task("buy"):
            get(server.near)
        assert server.asked == [("/", "", "", "")]

    def test_a_redirect_has_its_own_header_or_none(self, client: tuple[Install, Get], server: Server) -> None:
        install, get = client
        install(except_="localhost")
        with task("buy") as goal:
            assert get(f"{server.near}/to/{server.place}") == 200
            assert get(f"{server.near}/to/{server.other}") == 200
        assert [told[:2] for told in server.asked] == [
            (f"/to/{server.place}", f"{goal.id}/1"),
            ("/end", f"{goal.id}/2"),
            (f"/to/{server.other}", f"{goal.id}/3"),
            ("/end", ""),
        ]
        assert server.asked[-1] == ("/end", "", "", "")

    def test_what_is_there_stays(self, client: tuple[Install, Get], server: Server) -> None:
        """A header of the program's own, and the traceparent of another tracing."""
        install, get = client
        install()
        foreign = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        with task("buy") as goal:
            get(server.near, **{"distlog-goal": "mine"})
            get(server.near, traceparent=foreign, tracestate="a=b")
        assert server.asked == [("/", "mine", "", ""), ("/", f"{goal.id}/1", foreign, "a=b")]

    def test_twice_is_once_and_undone(self, client: tuple[Install, Get], server: Server) -> None:
        install, get = client
        places = [
            (requests.Session, "send"),
            (httpx.HTTPTransport, "handle_request"),
            (httpx.AsyncHTTPTransport, "handle_async_request"),
            (aiohttp.ClientSession, "__init__"),
            (urllib.request.HTTPHandler, "http_open"),
        ]
        before = [owner.__dict__[name] for owner, name in places]
        install()
        once = [owner.__dict__[name] for owner, name in places]
        install(only="elsewhere")
        assert [owner.__dict__[name] for owner, name in places] == once != before
        for module, _ in CLIENTS:
            module.uninstall()
            module.uninstall()
        assert [owner.__dict__[name] for owner, name in places] == before
        with task("buy"):
            get(server.near)
        assert server.asked == [("/", "", "", "")]

    def test_goals_of_their_own(self, client: tuple[Install, Get], server: Server, captured: Captured) -> None:
        install, get = client
        install(goal=True)
        with task("buy") as goal:
            assert get(f"{server.near}/items?token=secret") == 200
            assert get(f"{server.near}/status/503") == 503
        assert [told[1] for told in server.asked] == [f"{goal.id}/1/1", f"{goal.id}/2/1"]
        first, second = captured.tree()["children"]
        assert (first["title"], first["status"]) == (f"GET {server.near}/items", "succeeded")
        assert (second["status"], second["error"]) == ("failed", "status 503")
        assert "secret" not in str(captured.records)

    def test_a_request_that_fails(self, client: tuple[Install, Get], captured: Captured) -> None:
        install, get = client
        install(goal=True)
        with nothing_serving() as address, task("buy"), pytest.raises(Exception) as raised:
            get(address)
        assert type(raised.value).__module__.split(".")[0] in ("requests", "httpx", "aiohttp", "urllib")
        (request,) = captured.tree()["children"]
        assert request["status"] == "failed"


class TestForOne:
    def test_an_adapter_of_requests(self, server: Server) -> None:
        with requests.Session() as session, task("buy") as goal:
            session.mount("http://", for_requests.GoalAdapter(pool_maxsize=2))
            session.get(server.near, timeout=10)
            requests.get(server.near, timeout=10)
        assert [told[1] for told in server.asked] == [f"{goal.id}/1", ""]

    def test_hooks_and_transports_of_httpx(self, server: Server) -> None:
        async def main() -> None:
            hooks = {"request": [for_httpx.goal_headers()]}
            async with httpx.AsyncClient(event_hooks=hooks) as client:
                await client.get(server.near)
            async with httpx.AsyncClient(transport=for_httpx.AsyncGoalTransport()) as client:
                await client.get(server.near)

        with task("buy") as goal:
            with httpx.Client(event_hooks={"request": [for_httpx.goal_headers()]}, follow_redirects=True) as client:
                client.get(f"{server.near}/to/{server.place}")
            with httpx.Client(transport=for_httpx.GoalTransport()) as client:
                client.get(server.near)
            asyncio.run(main())
        assert [told[1] for told in server.asked] == [f"{goal.id}/{n}" for n in (1, 2, 3, 4, 5)]

    def test_an_opener_of_urllib(self, server: Server) -> None:
        opener = urllib.request.build_opener(for_urllib.GoalHandler())
        with task("buy") as goal:
            opener.open(f"{server.near}/to/{server.place}", timeout=10).close()
            urllib.request.urlopen(server.near, timeout=10).close()
        assert [told[1] for told in server.asked] == [f"{goal.id}/1", f"{goal.id}/2", ""]

    def test_a_session_of_aiohttp(self, server: Server) -> None:
        async def main() -> None:
            async with aiohttp.ClientSession(trace_configs=[for_aiohttp.goal_tracing()]) as session:
                await (await session.get(server.near)).read()

        with task("buy") as goal:
            asyncio.run(main())
        assert [told[1] for told in server.asked] == [f"{goal.id}/1"]

    def test_for_one_and_for_all(self, server: Server) -> None:
        """Both are there: one number a request."""
        modules = (for_requests, for_httpx, for_urllib, for_aiohttp)
        for module in modules:
            module.install()
        try:
            with task("buy") as goal:
                with requests.Session() as session:
                    session.mount("http://", for_requests.GoalAdapter())
                    session.get(server.near, timeout=10)
                with httpx.Client(transport=for_httpx.GoalTransport()) as client:
                    client.get(server.near)
                with httpx.Client(event_hooks={"request": [for_httpx.goal_headers()]}) as client:
                    client.get(server.near)
                opener = urllib.request.build_opener(for_urllib.GoalHandler())
                opener.open(server.near, timeout=10).close()
        finally:
            for module in modules:
                module.uninstall()
        assert [told[1] for told in server.asked] == [f"{goal.id}/{n}" for n in (1, 2, 3, 4)]

    def test_one_request_sent_twice_has_two_numbers(self, server: Server) -> None:
        for_requests.install()
        for_httpx.install()
        for_urllib.install()
        try:
            with task("buy") as goal, requests.Session() as session, httpx.Client() as client:
                prepared = session.prepare_request(requests.Request("GET", server.near))
                request = client.build_request("GET", server.near)
                again = urllib.request.Request(server.near)
                for _ in range(2):
                    session.send(prepared, timeout=10)
                    client.send(request)
                    urllib.request.urlopen(again, timeout=10).close()
        finally:
            for module in (for_requests, for_httpx, for_urllib):
                module.uninstall()
        assert [told[1] for told in server.asked] == [f"{goal.id}/{n}" for n in range(1, 7)]

    def test_a_change_by_somebody_else_survives(self, server: Server) -> None:
        original = requests.Session.send
        for_requests.install()
        ours = requests.Session.send
        calls: list[str] = []

        def theirs(self: Any, request: Any, **kwargs: Any) -> Any:
            calls.append(request.url)
            return ours(self, request, **kwargs)

        requests.Session.send = theirs  # type: ignore[method-assign]
        try:
            for_requests.uninstall()
            assert requests.Session.send is theirs
            with task("buy"):
                requests.get(server.near, timeout=10)
            assert (len(calls), server.asked) == (1, [("/", "", "", "")])
        finally:
            requests.Session.send = original  # type: ignore[method-assign]


class TestWhoIsTold:
    @pytest.mark.parametrize(
        ("host", "near"),
        [
            ("localhost", True),
            ("127.0.0.1", True),
            ("::1", True),
            ("10.1.2.3", True),
            ("stock", True),
            ("stock.shop.svc.cluster.local", True),
            ("stock.shop.svc", True),
            ("db.internal", True),
            ("api.example.com", False),
            ("8.8.8.8", False),
            ("134744072", False),
            ("0x08080808", False),
            ("2001:4860:4860::8888", False),
            ("localhost.example.com", False),
            ("0.0.0.0", False),
        ],
    )
    def test_near_is_one_s_own_network(self, host: str, near: bool) -> None:
        assert is_near(host) is near
        with task("buy"):
            assert bool(Rule().headers(host)) is near

    def test_rules(self) -> None:
        def tells(host: str, **rule: Any) -> bool:
            return Rule(**rule).tells(host)

        assert tells("API.Example.com.", only="*.example.com")
        assert not tells("10.0.0.1", only="*.example.com")
        assert tells("a", only=["b", "a"]) and not tells("a", only=["b", "a"], except_=["a"])
        assert tells("anywhere.org", only="*") and tells("x.org", only=lambda host: host.endswith("org"))
        assert not tells("anywhere.org", only=lambda host: 1 / 0)

    def test_a_traceparent_through_strangers(self) -> None:
        """A service in between knows nothing of distlog, has its own span, and hands tracestate on: the goal above is known."""
        from distlog.integrations.headers import Caller

        with task("buy") as goal:
            headers = Rule().headers("stock")
        trace = uuid.UUID(goal.id).hex
        between = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01", "tracestate": f"x=y,{headers['tracestate']}"}
        caller = Caller.of(between.get, lambda: True)
        assert caller.id is not None and caller.id.rpartition("/")[0] == f"{goal.id}/1"
        assert caller.span == "00f067aa0ba902b7"
        with capture(), import_task(caller.id, "below") as below:
            # The other systems' entries go on, ours is renewed.
            onward = Rule().headers("stock")
        assert onward["tracestate"] == f"distlog={onward['traceparent'][36:52]}:{below.id.partition('/')[2]}/1,x=y"

    def test_not_sampled_stays_so(self) -> None:
        from distlog.integrations.headers import Caller

        given = {"traceparent": f"00-{uuid.uuid4().hex}-00f067aa0ba902b7-00"}
        caller = Caller.of(given.get, lambda: True)
        with capture(), caller.goal("served"):
            assert Rule().headers("stock")["traceparent"].endswith("-00")
        with capture(), task("another"):
            assert Rule().headers("stock")["traceparent"].endswith("-01")

    def test_any_headers_at_all(self) -> None:
        from distlog.integrations.headers import Caller

        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        for text in ("", "x", "-", "\x00", "é" * 5000, "00-" + "0" * 32 + "-" + "0" * 16 + "-00", "ff-", f"00-{trace}"):
            for state in ("", "distlog=", "distlog=00f067aa0ba902b7:99999999999", "distlog=zz:1", ",,,=", "x" * 9000):
                for name in ("distlog-goal", "traceparent"):
                    headers = {name: text, "tracestate": state}
                    caller = Caller.of(headers.get, lambda: True)
                    assert caller.id is None and bool(caller.ignored) == bool(text)
        good = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01", "tracestate": "distlog=00f067aa0ba902b7:99999999999"}
        assert Caller.of(good.get, lambda: True).id is None
