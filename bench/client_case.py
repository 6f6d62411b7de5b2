"""One case in a process of its own: client_case.py SETUP KIND BURSTS MILLISECONDS PLACES, prints one line of JSON.

A set-up (client_setups.py, peers/libraries.py) gives a logger whose records go to a file or a receiver. A kind says which calls
are made with it (client_calls.py). PLACES is JSON: `{"module": …, "folder": …, "pull": [port, counter file], "tcp": […], "http": […]}`.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
from typing import Any, Callable

import bursts
import client_calls
from bursts import Case
from client_places import Places, Setup, Skipped


def prepared(setup: Setup, kind: str) -> Case:
    """The calls of this kind."""
    if kind == "long":
        return setup.case(client_calls.long_function(setup.log))._replace(unit=client_calls.LINES)
    if kind in ("in goal", "goals") and setup.call is bursts.calls:
        client_calls.begin_goal()
    return setup.case(bursts.bound(function(setup, kind), setup.log))


def function(setup: Setup, kind: str) -> Callable[[Any, int], Any]:
    """What is called; a library with calls of its own has one kind."""
    own = {"disabled": client_calls.disabled, "error": client_calls.errors, "goals": client_calls.goals}
    return own.get(kind, bursts.calls) if setup.call is bursts.calls or kind == "error" else setup.call


def outcome(name: str, kind: str, rounds: int, length: float, places: dict[str, Any]) -> dict[str, Any]:
    """The figures, or why there are none."""
    try:
        setup = importlib.import_module(places["module"]).SETUPS[name](Places(places))
    except (Skipped, ImportError) as why:
        return {"skipped": str(why)}
    case = prepared(setup, kind)
    return (bursts.crowd if kind == "threads" else bursts.summary)(case, rounds, length)


def main() -> None:
    """Measures and says."""
    setup, kind, rounds, milliseconds, places = sys.argv[1:]
    with contextlib.redirect_stdout(sys.stderr):
        figures = outcome(setup, kind, int(rounds), float(milliseconds) / 1000, json.loads(places))
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
