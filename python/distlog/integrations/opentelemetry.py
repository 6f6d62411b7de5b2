"""Goals and OpenTelemetry's spans in the same traces.

Requests do so without this module: the other integrations read and write ``traceparent`` and ``tracestate``. It is for programs that
have OpenTelemetry inside.

::

    with import_span("pack %s", order):          # a goal below the span that is current
        …
    with task("pack") as goal, attach(goal):     # spans that begin here are below the goal, in the trace of its root
        …
    install()                                    # middleware: requests without headers are below the span that is current
    set_global_textmap(CompositePropagator([TraceContextTextMapPropagator(), GoalPropagator()]))   # whatever OpenTelemetry carries
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from distlog.context import Task, current_task, task, to
from distlog.integrations import headers
from distlog.integrations.headers import GOAL, TRACEPARENT, TRACESTATE, Caller

__all__ = ["GoalPropagator", "attach", "import_span", "install", "uninstall"]

#: Where a context has the id of the goal that came with it.
_KEY = contexts.create_key("distlog-goal")
#: A parent id that no traceparent has: what goes with it is above, and never the very one that a traceparent names.
_ABOVE = "0" * 16


def import_span(msg: Any, /, *args: Any, trust: bool = True, **fields: Any) -> Task:
    """A goal below what is current: the goal, or else the span, whose trace is its root then; a new root where there is neither.

    With ``trust=False`` a span only becomes its link.
    """
    if current_task() is not None:
        return to(msg, *args, **fields)
    return _below_span(trust, msg, *args, **fields)


@contextmanager
def attach(goal: Task, *, sampled: bool = True) -> Iterator[None]:
    """Make an open goal the parent of the spans that begin in this block.

    A goal in a trace that came from outside keeps that trace's decision on sampling; for others, ``sampled`` is it.
    """
    root, _, path = goal.id.partition("/")
    sampled, others = headers.known_trace(root, sampled)
    state = TraceState.from_header([f"distlog={_ABOVE}:{path}", others] if len(path) <= 200 else [others])
    above = SpanContext(
        trace_id=uuid.UUID(root).int,
        span_id=int(hashlib.blake2b(goal.id.encode(), digest_size=8).hexdigest(), 16),
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT),
        trace_state=state,
    )
    token = contexts.attach(trace.set_span_in_context(NonRecordingSpan(above)))
    try:
        yield
    finally:
        contexts.detach(token)


class GoalPropagator(TextMapPropagator):
    """Adds the current goal to whatever OpenTelemetry's instrumentation sends, and keeps the one that comes in for ``import_span``."""

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        """Reserve a child of the current goal, and write its id."""
        goal = current_task()
        if goal is not None:
            setter.set(carrier, GOAL, goal.get_foreign_task())

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        """Keep the id that came along."""
        found = getter.get(carrier, GOAL)
        given = contexts.get_current() if context is None else context
        return contexts.set_value(_KEY, found[0], given) if found else given

    @property
    def fields(self) -> set[str]:
        """The header that it writes."""
        return {GOAL}


def install() -> None:
    """Let requests and tasks that bring no headers be below the span that is current, which another instrumentation began."""
    headers.new_root = lambda msg, *args, **fields: _below_span(True, msg, *args, **fields)


def uninstall() -> None:
    """Undo ``install()``."""
    headers.new_root = task


def _below_span(trust: bool, msg: Any, *args: Any, **fields: Any) -> Task:
    found: dict[str, str] = {}
    goal_id = contexts.get_value(_KEY)
    if isinstance(goal_id, str):
        found[GOAL] = goal_id
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        found[TRACEPARENT] = f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
        found[TRACESTATE] = span.trace_state.to_header()
    caller = Caller.of(found.get, lambda: trust)
    return task(msg, *args, **fields) if caller.id is None else caller.goal(msg, *args, **fields)
