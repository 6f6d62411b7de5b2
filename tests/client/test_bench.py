"""The client's bench measures what it says: a quick run of one set-up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


def test_a_quick_run_of_one_case() -> None:
    """A figure, the record's bytes at the receiver, nothing dropped."""
    command = [sys.executable, str(BENCH / "client.py"), "--quick", "--match", "zmq json, call"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    assert words[:3] == ["zmq", "json", "call"], done.stdout
    assert 0.01 < float(words[3]) < 30
    assert int(words[words.index("B,") - 1]) > 200
    assert words[-2:] == ["0", "dropped"]


def test_the_report_is_that_of_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has edited a number: the report and the page on performance are computed from bench/results.json."""
    monkeypatch.syspath_prepend(str(BENCH))
    import report

    results = json.loads((BENCH / "results.json").read_text())
    assert (BENCH / "RESULTS.md").read_text() == report.document(results)
    assert report.performance(results) in (BENCH.parent / "docs/performance.md").read_text()
