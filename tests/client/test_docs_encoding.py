"""docs/encoding.md is true: its table is evaluated row by row, its limits are tried."""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import importlib.util
import ipaddress
import json
import logging
import pathlib
import pickle
import re
import uuid
from typing import Any

import pytest
from distlog import _distlog
from docs_pages import ROOT, blocks_of

PAGE = ROOT / "docs/encoding.md"
MODULES = (collections, datetime, decimal, fractions, ipaddress, pathlib, uuid)
ROWS = re.findall(r"^\| `(.+?)` \| `(.+?)` \|", PAGE.read_text(), re.MULTILINE)
CLIPPED = re.compile(r"`(…<.+?>)`")


def sent(value: object) -> tuple[Any, Any]:
    """What arrives of a field, as JSON and as pickle."""
    record = logging.LogRecord("app", logging.INFO, __file__, 1, "words", (), None)
    record.__dict__["field"] = value
    return json.loads(_distlog.encode_json(record))["field"], pickle.loads(_distlog.encode_pickle(record))["field"]


def namespace() -> dict[str, Any]:
    """The page's own classes, and the modules its expressions name."""
    names: dict[str, Any] = {module.__name__: module for module in MODULES}
    exec(blocks_of(PAGE)[1], names)
    if importlib.util.find_spec("numpy"):
        names["np"] = importlib.import_module("numpy")
    return names


def test_the_table_has_rows() -> None:
    """No empty test."""
    assert len(ROWS) > 25


@pytest.mark.parametrize(("expression", "json_text"), ROWS, ids=[row[0] for row in ROWS])
def test_row(expression: str, json_text: str) -> None:
    """The value becomes what the page says, type by type; the pickled one reads the same, tuples aside."""
    if "np." in expression:
        pytest.importorskip("numpy")
    as_json, as_pickle = sent(eval(expression, namespace()))
    assert json.dumps(as_json) == json.dumps(json.loads(json_text))
    assert json.dumps(as_pickle) == json.dumps(as_json)


def test_limits() -> None:
    """The marks are those of the page."""
    text, members, depth = CLIPPED.findall(PAGE.read_text())
    assert sent("a" * 70_000)[0] == "a" * 65_536 + text
    assert sent([0] * 2_000)[0] == [0] * 1_000 + [members]
    nested: list[Any] = []
    for _ in range(40):
        nested = [nested]
    shown = sent(nested)[0]
    for _ in range(32):
        (shown,) = shown
    assert shown == depth
