"""Trees join OpenTelemetry's traces: real SDK, real propagators, real HTTP between the services."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Iterator
from typing import Any

import distlog.integrations.opentelemetry as for_otel
import pytest
import requests
from distlog import current_task, import_task, task, to
from distlog.integrations.asgi import GoalMiddleware
from distlog.integrations.requests import install, uninstall
from distlog.testing import Captured, capture
from opentelemetry import context, trace
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from serving import ended, uvicorn_serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

W3C = TraceContextTextMapPropagator()


class Tracing:
    """One service's OpenTelemetry."""

    def __init__(self, **options: Any) -> None:
        provider = TracerProvider(**options)
        self.spans = InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(self.spans))
        self.tracer = provider.get_tracer("test")

    def span(self, name: str) -> Any:
        """The finished span of this name."""
        (found,) = [span for span in self.spans.get_finished_spans() if span.name == name]
        return found


def trace_of(goal_id: str) -> int:
    return uuid.UUID(goal_id.partition("/")[0]).int


@pytest.fixture
def captured() -> Iterator[Captured]:
    for name in ("urllib3", "asyncio", "uvicorn"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with capture() as captured:
        yield captured
    assert current_task() is None
    assert not trace.get_current_span().get_span_context().is_valid


@pytest.fixture
def installed() -> Iterator[None]:
    install()
    for_otel.install()
    yield
    for_otel.uninstall()
    uninstall()


def asking(address: str) -> Any:
    """A service of distlog's that asks another."""

    def get(request: Request) -> PlainTextResponse:
        return PlainTextResponse(requests.get(f"{address}/end", timeout=10).text)

    return GoalMiddleware(Starlette(routes=[Route("/ask", get)]))


def otel_service(tracing: Tracing, name: str, then: str | None = None) -> Any:
    """A service of OpenTelemetry's, as its instrumentation would make it; it may ask another."""

    def get(request: Request) -> PlainTextResponse:
        headers: dict[str, str] = {}
        with tracing.tracer.start_as_current_span(name, context=W3C.extract(dict(request.headers))):
            W3C.inject(headers)
            return PlainTextResponse("end" if then is None else requests.get(then, headers=headers, timeout=10).text)

    return Starlette(routes=[Route("/{any}", get)])


@pytest.mark.parametrize("sampled", [True, False])
def test_distlog_between_two_services_of_otel(captured: Captured, installed: None, sampled: bool) -> None:
    first = Tracing() if sampled else Tracing(sampler=ParentBased(ALWAYS_OFF))
    third = Tracing()
    with uvicorn_serving(otel_service(third, "third")) as end, uvicorn_serving(asking(end)) as middle:
        headers: dict[str, str] = {}
        with first.tracer.start_as_current_span("first") as span:
            W3C.inject(headers)
            headers["tracestate"] = "vendor=7"
        requests.get(f"{middle}/ask", headers=headers, timeout=10)
    (tree,) = ended(captured, 1)
    (served,) = tree["children"]
    assert (served["title"], tree["missing"]) == ("GET /ask", [])
    assert trace_of(served["id"]) == span.get_span_context().trace_id
    begin = next(record for record in captured.records if record["message"] == "GET /ask")
    assert begin["context"]["parent_span"] == f"{span.get_span_context().span_id:016x}"
    if sampled:
        last = third.span("third")
        assert last.context.trace_id == first.span("first").context.trace_id
        assert last.parent.trace_state["vendor"] == "7"
        assert last.parent.trace_state["distlog"].endswith(":" + served["id"].partition("/")[2] + "/1")
    else:
        assert third.spans.get_finished_spans() == ()


def test_otel_between_two_services_of_distlog(captured: Captured, installed: None) -> None:
    """OpenTelemetry's own service hands ``tracestate`` on: the goal above it is known, and the tree is one."""
    middle = Tracing()
    with uvicorn_serving(GoalMiddleware(Starlette(routes=[Route("/end", lambda _: PlainTextResponse("end"))]))) as end:
        with uvicorn_serving(otel_service(middle, "middle", f"{end}/end")) as between, task("begin") as goal:
            requests.get(f"{between}/ask", timeout=10)
    (tree,) = ended(captured, 2)
    (strange,) = tree["children"]
    (last,) = strange["children"]
    assert (tree["missing"], strange["missing"]) == ([], [])
    assert (strange["id"], strange["status"], last["title"]) == (f"{goal.id}/1", "unknown", "GET /end")
    assert middle.span("middle").context.trace_id == trace_of(goal.id)
    begin = next(record for record in captured.records if record["message"] == "GET /end")
    assert begin["context"]["parent_span"] == f"{middle.span('middle').context.span_id:016x}"


def test_a_goal_below_a_span(captured: Captured) -> None:
    tracing = Tracing()
    with tracing.tracer.start_as_current_span("outer") as span:
        with for_otel.import_span("pack %d", 7, colour="red") as goal:
            assert trace_of(goal.id) == span.get_span_context().trace_id
            with for_otel.import_span("inner") as inner:
                assert inner.parent == goal.id
        with for_otel.import_span("again") as again:
            assert again.id != goal.id
        with for_otel.import_span("linked", trust=False) as linked:
            assert trace_of(linked.id) != trace_of(goal.id)
    with for_otel.import_span("root") as root:
        assert "/" not in root.id
    assert captured.records[0]["context"]["parent_span"] == f"{span.get_span_context().span_id:016x}"
    assert captured.records[0]["context"]["colour"] == "red"


def test_spans_below_a_goal(captured: Captured, installed: None) -> None:
    tracing = Tracing()
    with uvicorn_serving(GoalMiddleware(Starlette(routes=[Route("/end", lambda _: PlainTextResponse("end"))]))) as end:
        with task("root"), to("pack") as goal, for_otel.attach(goal):
            with tracing.tracer.start_as_current_span("inside"):
                headers: dict[str, str] = {}
                W3C.inject(headers)
            requests.get(f"{end}/end", headers=headers, timeout=10)
    assert tracing.span("inside").context.trace_id == trace_of(goal.id)
    (tree,) = ended(captured, 3)
    (pack,) = tree["children"]
    (served,) = pack["children"]
    assert (served["title"], pack["missing"]) == ("GET /end", [])


def test_what_attached_goals_say_is_never_taken_for_the_goal(captured: Captured) -> None:
    for opened in (task("root"), import_task(f"{uuid.uuid4()}/3", "below")):
        with opened as goal, for_otel.attach(goal):
            headers: dict[str, str] = {}
            W3C.inject(headers)
        for _ in range(2):
            from distlog.integrations.headers import Caller

            caller = Caller.of(headers.get, lambda: True)
            assert caller.id is not None and caller.id.rpartition("/")[0] == goal.id


def test_the_decision_on_sampling_is_kept(captured: Captured) -> None:
    tracing = Tracing()
    with task("root") as goal:
        with for_otel.attach(goal, sampled=False), tracing.tracer.start_as_current_span("not wanted"):
            pass
        with for_otel.attach(goal), tracing.tracer.start_as_current_span("wanted"):
            pass
    assert [span.name for span in tracing.spans.get_finished_spans()] == ["wanted"]


def test_whatever_otel_carries(captured: Captured) -> None:
    """Its instrumentation of some other library injects and extracts with the global propagator."""
    both = CompositePropagator([W3C, for_otel.GoalPropagator()])
    tracing = Tracing()
    message: dict[str, str] = {}
    with tracing.tracer.start_as_current_span("sender"), task("send") as goal:
        both.inject(message)
    assert message["distlog-goal"] == f"{goal.id}/1"
    token = context.attach(both.extract(message))
    try:
        with tracing.tracer.start_as_current_span("receiver"), for_otel.import_span("receive") as received:
            assert received.id == f"{goal.id}/1"
    finally:
        context.detach(token)
    empty: dict[str, str] = {}
    both.inject(empty)
    assert empty == {}


def test_a_request_within_a_span(captured: Captured, installed: None) -> None:
    """OpenTelemetry's own middleware is outside of ours, and took the caller's headers."""
    tracing = Tracing()
    inner = GoalMiddleware(Starlette(routes=[Route("/end", lambda _: PlainTextResponse("end"))]))

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        with tracing.tracer.start_as_current_span("server"):
            await inner(scope, receive, send)

    with uvicorn_serving(outer, lifespan="off") as end:
        requests.get(f"{end}/end", timeout=10)
    (tree,) = ended(captured, 1)
    assert trace_of(tree["id"]) == tracing.span("server").context.trace_id


def test_an_imported_goal_has_its_id_at_once(captured: Captured) -> None:
    with task("outer") as goal:
        reserved = goal.get_foreign_task()
    imported = import_task(reserved, "below")
    assert imported.id == reserved
    with imported:
        assert imported.id == reserved


def test_asyncio_keeps_them_apart(captured: Captured) -> None:
    tracing = Tracing()

    async def one(number: int) -> None:
        with tracing.tracer.start_as_current_span(f"span {number}") as span:
            await asyncio.sleep(0)
            async with for_otel.import_span("goal %d", number) as goal:
                with for_otel.attach(goal):
                    await asyncio.sleep(0)
                    assert trace_of(goal.id) == span.get_span_context().trace_id

    async def main() -> None:
        await asyncio.gather(*[one(number) for number in range(20)])

    asyncio.run(main())
