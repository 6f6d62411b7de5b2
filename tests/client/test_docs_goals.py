"""docs/goals.md is true: the table of endings, row by row."""

from __future__ import annotations

import asyncio
import contextlib
import re

import pytest
from distlog import task
from distlog.testing import capture
from docs_pages import ROOT

TABLE = re.search(r"\| what ends the block .*?\n\n", (ROOT / "docs/goals.md").read_text(), re.DOTALL)
assert TABLE is not None
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLE[0].strip().split("\n")[2:]]
ENDS: dict[str, BaseException | None] = {
    "nothing, `return`, `break`": None,
    "an exception": ValueError("no"),
    "`KeyboardInterrupt`": KeyboardInterrupt(),
    "`CancelledError`": asyncio.CancelledError(),
    "`SystemExit` with 0 or nothing": SystemExit(0),
    "`SystemExit` with anything else": SystemExit(3),
    "`GeneratorExit`: nobody reads on": GeneratorExit(),
}


def test_every_row_is_tried() -> None:
    """Those of `fail` and of the end of the process aside."""
    assert {row[0] for row in ROWS} == {*ENDS, "`goal.fail(…)`", "`os._exit`, `kill -9`"}


@pytest.mark.parametrize(
    ("what", "status", "ending", "level", "message"),
    [pytest.param(*row, id=row[0].replace("`", "")) for row in ROWS if row[0] in ENDS],
)
def test_row(what: str, status: str, ending: str, level: str, message: str) -> None:
    """What the end record says is what the page says."""
    end = ENDS[what]
    with capture() as captured, contextlib.suppress(BaseException), task("work"):
        if end is not None:
            raise end
    (record,) = [one for one in captured.records if one["goal"]["event"] == "end"]
    assert (f"`{record['goal']['status']}`", f"`{record['goal']['ending']}`") == (status, ending)
    assert record["levelname"] == level
    said = re.match(r"`([A-Z]+ )…`", message)
    assert record["message"] == (said[1] if said else "") + "work"
