"""A disk that takes nothing for a while: nothing is lost, nobody is lied to, memory stays bounded."""

from __future__ import annotations

import resource
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Client, counted, program, until


def ready(daemon: Any) -> bool:
    """Whether /readyz says 200."""
    try:
        daemon.get("/readyz")
    except urllib.error.HTTPError as error:
        assert error.code == 503
        assert "store" in error.read().decode()
        return False
    return True


def test_a_full_disk_heals(
    make_daemon: Callable[..., Any],
    connect: Callable[[Any], Client],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No file may grow: commits fail and /readyz says so. Then they may: everything is there, once, in order."""
    wrapper = tmp_path / "distlogd"
    wrapper.write_text(f"#!/bin/sh\ntrap '' XFSZ\nexec {program('distlogd')} \"$@\"\n")
    wrapper.chmod(0o755)
    monkeypatch.setenv("DISTLOGD", str(wrapper))
    daemon = make_daemon().start()
    client = connect(daemon)
    client.log("m0")
    daemon.wait_for(1)
    assert ready(daemon)

    pid = daemon.process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (16 * 1024, hard))
    for number in range(1, 2_000):
        client.log(f"m{number}", padding="x" * 500)
    until(lambda: not ready(daemon), "the report")
    until(lambda: counted(daemon, "distlog_failed_commits_total") >= 3, "more than one try")
    assert "the store cannot commit" in daemon.log()
    stored = counted(daemon, "distlog_stored_total")
    assert stored < 2_000

    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    until(lambda: counted(daemon, "distlog_stored_total") == 2_000, "all stored")
    until(lambda: ready(daemon), "the all-clear")
    assert [record["message"] for record in daemon.records()] == [f"m{number}" for number in range(2_000)]
    assert "the store commits again" in daemon.log()
    assert daemon.stop() == 0
