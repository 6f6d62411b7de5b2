"""Runs a plugin class for the daemon: ``python -m distlog.plugin package.module:Class``.

The daemon starts this for ``type: python`` processors and speaks lines of JSON with it: records come in on stdin as
``{"offset": 7, "record": {…}}``, answers go out on stdout as ``{"ack": 7}`` or ``{"reject": 7, "reason": "…"}``.

A plugin is a class with two methods; a record is a ``dict``::

    class Mail:
        def match(self, data: dict) -> bool: ...  # whether handle() shall see it; every record if there is no match()
        def handle(self, data: dict) -> None: ...  # an exception refuses this record, and the next one comes

Its module may have a function ``initialize(options)``, called once before the class is made with the ``options`` of the
configuration. A class may have ``close()``, called when the daemon stops.

The protocol has stdout for itself: whatever the plugin, or a library it uses, prints goes to stderr, and so into the
daemon's log. Acknowledgements are gathered while more records wait and sent when none do.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import sys
import time
import traceback
from collections.abc import Iterator
from typing import Any, Protocol

# How many records one acknowledgement may cover, and how many seconds it may wait for them.
_GATHER = 100
_DELAY = 1.0


class Plugin(Protocol):
    """What the class must have."""

    def handle(self, data: dict[str, Any]) -> object:
        """Take over one record."""


class _Answers:
    """Writes answers to where stdout was. An acknowledgement covers every record before it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._handled: int | None = None
        self._waiting = 0
        self._sent = time.monotonic()

    def handled(self, offset: int) -> None:
        self._handled = offset
        self._waiting += 1
        if self._waiting >= _GATHER or time.monotonic() - self._sent > _DELAY:
            self.flush()

    def rejected(self, offset: int, reason: str) -> None:
        self.flush()
        self._write({"reject": offset, "reason": reason})

    def flush(self) -> None:
        if self._handled is not None:
            self._write({"ack": self._handled})
        self._handled = None
        self._waiting = 0
        self._sent = time.monotonic()

    def _write(self, answer: dict[str, Any]) -> None:
        line = memoryview((json.dumps(answer) + "\n").encode())
        while line:
            line = line[os.write(self._descriptor, line) :]


def _lines(descriptor: int, answers: _Answers) -> Iterator[bytes]:
    """The lines of stdin. Before waiting for more, the answers so far are sent."""
    rest = b""
    while True:
        if not select.select([descriptor], [], [], 0)[0]:
            answers.flush()
        chunk = os.read(descriptor, 1 << 16)
        if not chunk:
            return
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines


def load(name: str, options: Any) -> Plugin:
    """Import the module, initialize it, and make the class ``package.module:Class``."""
    module_name, _, class_name = name.partition(":")
    module = importlib.import_module(module_name)
    initialize = getattr(module, "initialize", None)
    if initialize is not None:
        initialize(options)
    plugin: Plugin = getattr(module, class_name)()
    return plugin


def run(plugin: Plugin, source: int, target: int) -> None:
    """Feed the plugin the records that come from one descriptor, and answer on the other, until the input ends."""
    answers = _Answers(target)
    match = getattr(plugin, "match", None)
    for line in _lines(source, answers):
        message = json.loads(line)
        offset, record = message["offset"], message["record"]
        try:
            if match is None or match(record):
                plugin.handle(record)
        except Exception as error:  # The plugin's own mistake refuses this record and no other.
            traceback.print_exc()
            answers.rejected(offset, f"{type(error).__name__}: {error}")
        else:
            answers.handled(offset)
    answers.flush()
    close = getattr(plugin, "close", None)
    if close is not None:
        close()


def _own_stdout() -> int:
    """Keep the real stdout for the answers, and let everything that prints print to stderr: in Python and below it."""
    answers = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return answers


def main(arguments: list[str]) -> int:
    """Load the plugin that is named and run it."""
    answers = _own_stdout()
    if len(arguments) != 1 or ":" not in arguments[0]:
        print("usage: python -m distlog.plugin package.module:Class", file=sys.stderr)
        return 2
    options = json.loads(os.environ.get("DISTLOG_PLUGIN_OPTIONS", "null"))
    try:
        plugin = load(arguments[0], options)
    except Exception:  # Whatever the module does wrong, the daemon's log shows it.
        traceback.print_exc()
        return 1
    run(plugin, 0, answers)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
