"""What a block of code logs, for tests: as data, and as the tree it makes.

::

    with capture() as captured:
        checkout(cart)
    assert captured.tree()["status"] == "succeeded"
    assert captured.messages("app.pay") == ["charged 12.50"]

With pytest, the fixture ``distlog_capture`` captures during the whole test.
"""

from __future__ import annotations

import json
import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from distlog import _distlog

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Captured", "capture"]


class Captured(logging.Handler):
    """The records of a block, in the form in which the daemon would have got them."""

    def __init__(self) -> None:
        super().__init__()
        #: One dict a record.
        self.records: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record."""
        try:
            stamp = _distlog.stamp_of(record)
            if stamp is None or isinstance(stamp, tuple) or stamp.announce(self):
                self.records.append(json.loads(_distlog.encode_json(record)))
        except Exception:
            self.handleError(record)

    def messages(self, logger: str | None = None) -> list[str]:
        """The messages, of one logger or of all; begin and end records are not among them."""
        wanted = (record for record in self.records if "goal" not in record and logger in (None, record["name"]))
        return [record["message"] for record in wanted]

    def tree(self, id: str | None = None) -> dict[str, Any]:
        """The goal of this id with all below it, as ``distlog tree --json`` shows it; without id, the only root there is."""
        forest = self._forest()
        if id is None:
            roots = forest.roots()
            if len(roots) != 1:
                raise LookupError(f"{len(roots)} goals were captured, not one: {', '.join(roots) or 'none'}")
            id = roots[0]
        return _tree(forest, id)

    def trees(self) -> list[dict[str, Any]]:
        """All roots with what is below them."""
        forest = self._forest()
        return [_tree(forest, root) for root in forest.roots()]

    def _forest(self) -> _distlog.Forest:
        forest = _distlog.Forest()
        for record in self.records:
            forest.add(json.dumps(record))
        return forest


def _tree(forest: _distlog.Forest, id: str) -> dict[str, Any]:
    tree = forest.tree(id, time.time_ns())
    if tree is None:
        raise LookupError(f"no goal {id} was captured")
    return cast("dict[str, Any]", json.loads(tree))


@contextmanager
def capture(logger: str | None = None, level: int = 1) -> Iterator[Captured]:
    """Capture what is logged below a logger (default: everywhere) from a level on (default: everything)."""
    source = logging.getLogger(logger)
    captured = Captured()
    before = source.level
    source.addHandler(captured)
    source.setLevel(level)
    try:
        yield captured
    finally:
        source.setLevel(before)
        source.removeHandler(captured)
