"""The calls that a logger of the standard library's form is measured with; `bursts.calls` is the plain one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bursts
from bursts import NAME, REQUEST, WHAT

HERE = Path(__file__).parent


def disabled(log: Any, count: int) -> None:
    """Calls below the logger's level."""
    name, what, request = NAME, WHAT, REQUEST
    for _ in range(count):
        log.debug("user %s did %s", name, what, extra={"request_id": request})


def refused(number: int) -> None:
    """The innermost of three frames."""
    raise ValueError(f"card declined: {number}")


def charged(number: int) -> None:
    """The frame between."""
    refused(number)


def caught() -> Exception:
    """An exception that has come through three frames."""
    try:
        charged(4)
    except ValueError as error:
        return error
    raise AssertionError


ERROR = caught()


def errors(log: Any, count: int) -> None:
    """Calls with a traceback."""
    name, what, request = NAME, WHAT, REQUEST
    for _ in range(count):
        log.error("user %s did %s", name, what, exc_info=ERROR, extra={"request_id": request})


LINES = 2000


def long_function(log: Any) -> bursts.Burst:
    """Calls from a function of 2,000 lines, each line once."""
    line = '    log.info("user %s did %s", name, what, extra={"request_id": request})\n'
    source = "def lines(log, name, what, request):\n" + line * LINES
    names: dict[str, Any] = {}
    exec(compile(source, str(HERE / "generated.py"), "exec"), names)
    lines = names["lines"]

    def burst(count: int) -> None:
        for _ in range(count):
            lines(log, NAME, WHAT, REQUEST)

    return burst


def begin_goal() -> None:
    """A goal that stays open."""
    from distlog import task

    task("bench %s", 1, customer="c-17").__enter__()


def goals(_: Any, count: int) -> None:
    """Goals entered and left."""
    from distlog import to

    name = NAME
    for _ in range(count):
        with to("step %s", name):
            pass
