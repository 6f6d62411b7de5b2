"""Importing distlog is quick, because it brings next to nothing: what is seldom needed comes when it is needed."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import logging, sys
before = set(sys.modules)
import distlog
print(*sorted(name.split(".")[0] for name in set(sys.modules) - before if not name.startswith("_")))
"""
DEAR = {
    "asyncio",
    "email",
    "hashlib",
    "http",
    "inspect",
    "json",
    "multiprocessing",
    "ssl",
    "tempfile",
    "uuid",
}


def test_nothing_dear_comes_along() -> None:
    """Each of these takes milliseconds."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    brought = set(done.stdout.split())
    assert "distlog" in brought
    assert brought & DEAR == set()


def test_it_takes_little_time() -> None:
    """The best of a few, four times as much as the target for a quiet machine: `make bench` measures it properly."""
    program = "import logging, time; began = time.process_time(); import distlog; print(time.process_time() - began)"
    command = [sys.executable, "-c", program]
    took = [float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(5)]
    assert min(took) < 0.06
