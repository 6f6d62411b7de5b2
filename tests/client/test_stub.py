"""The stub says what the native module has."""

from __future__ import annotations

import subprocess
import sys

import pytest


def test_the_stub_is_the_binary() -> None:
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy.stubtest", "distlog._distlog", "--ignore-disjoint-bases"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
