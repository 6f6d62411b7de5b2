"""CPython's own logging tests, with distlog in the process: what passes without it passes with it.

All modes run at the same time as the measure for them, each in a process and a folder of its own; the suite sleeps more than it works. Other
interpreters are run by hand: ``CPYTHON=/path/to/python3.9:/path/to/python3.13 pytest tests/client/test_cpython_logging.py``
(where distlog is not installed for them, with ``PYTHONPATH=python``).
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
INTERPRETERS = [sys.executable, *filter(None, os.environ.get("CPYTHON", "").split(":"))]
MEASURE = "without"
#: What each mode shows is in ``cpython_logging.py``.
MODES = ["imported", "factory+handler", "accelerated", "accelerated+handler"]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("test") is None or importlib.util.find_spec("test.test_logging") is None,
    reason="this interpreter comes without its test package (on Debian and Ubuntu: apt install libpython3-testsuite)",
)


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory, module_collector: Any
) -> Iterator[dict[tuple[str, str], subprocess.Popen[str]]]:
    """All runs, started together."""
    started = {}
    for interpreter in INTERPRETERS:
        for mode in [MEASURE, *MODES]:
            # Some cases write files into the present folder.
            folder = tmp_path_factory.mktemp("suite")
            environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
            started[interpreter, mode] = subprocess.Popen(
                [interpreter, str(HERE / "cpython_logging.py"), mode, module_collector.endpoint],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=(folder / "stderr").open("w"),
                text=True,
            )
    yield started
    for process in started.values():
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def results(runs: dict[tuple[str, str], subprocess.Popen[str]]) -> dict[tuple[str, str], dict[str, Any]]:
    """What each run printed last."""
    found = {}
    for key, process in runs.items():
        output, _ = process.communicate(timeout=150)
        assert process.returncode == 0, f"{key} ended with {process.returncode}"
        found[key] = json.loads(output.splitlines()[-1])
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_nothing_new_is_wrong(results: Any, interpreter: str, mode: str) -> None:
    """The same tests run, none is skipped more than before, and no other fails."""
    measure, found = results[interpreter, MEASURE], results[interpreter, mode]
    new = {case: text for case, text in found["wrong"].items() if case not in measure["wrong"]}
    assert new == {}, "\n".join(new.values())
    assert (found["run"], found["skipped"]) == (measure["run"], measure["skipped"])
    assert found["run"] > 190


@pytest.mark.parametrize("mode", ["factory+handler", "accelerated+handler"])
@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_the_handler_was_there(results: Any, interpreter: str, mode: str) -> None:
    """Hundreds of the suite's records went through ours, and all arrived."""
    sent = results[interpreter, mode]["sent"]
    assert sent.pop("sent") > 400
    assert set(sent.values()) == {0}, sent
