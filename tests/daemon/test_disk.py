"""A disk that takes nothing for a while: nothing is lost, nobody is lied to, memory stays bounded."""

from __future__ import annotations

import contextlib
import re
import urllib.error
from collections.abc import Callable
from typing import Any

import pytest
import zmq

from .conftest import Client, counted, until


def ready(daemon: Any) -> bool:
    """Whether /readyz says 200."""
    try:
        daemon.get("/readyz")
    except urllib.error.HTTPError as error:
        assert error.code == 503
        assert "store" in error.read().decode()
        return False
    return True


@pytest.fixture
def limited(make_limited: Callable[..., tuple[Any, Callable[[int], None]]]) -> tuple[Any, Callable[[int], None]]:
    """A running daemon, and a way to say how large its files may become: 0 for any size."""
    return make_limited()


def test_a_full_disk_heals(limited: tuple[Any, Callable[[int], None]], connect: Callable[[Any], Client]) -> None:
    """No file may grow: commits fail and /readyz says so. Then they may: everything is there, once, in order."""
    daemon, limit = limited
    client = connect(daemon)
    client.log("m0")
    daemon.wait_for(1)
    assert ready(daemon)

    limit(16 * 1024)
    for number in range(1, 2_000):
        client.log(f"m{number}", padding="x" * 500)
    until(lambda: not ready(daemon), "the report")
    until(lambda: counted(daemon, "distlog_failed_commits_total") >= 3, "more than one try")
    assert "the store cannot commit" in daemon.log()
    stored = counted(daemon, "distlog_stored_total")
    assert stored < 2_000

    limit(0)
    until(lambda: counted(daemon, "distlog_stored_total") == 2_000, "all stored")
    until(lambda: ready(daemon), "the all-clear")
    assert [record["message"] for record in daemon.records()] == [f"m{number}" for number in range(2_000)]
    assert "the store commits again" in daemon.log()
    assert daemon.stop() == 0


def test_a_full_disk_does_not_hold_up_the_stop(
    limited: tuple[Any, Callable[[int], None]], connect: Callable[[Any], Client]
) -> None:
    """It tries for a while, says that something is missing, and ends with 1."""
    daemon, limit = limited
    client = connect(daemon)
    client.log("m0")
    daemon.wait_for(1)
    limit(16 * 1024)
    client.socket.setsockopt(zmq.SNDTIMEO, 500)
    with contextlib.suppress(zmq.Again):
        for number in range(1, 200_000):
            client.log(f"m{number}", padding="x" * 2_000)
    until(lambda: not ready(daemon), "the report")
    assert daemon.stop() == 1
    assert re.search(r"failed to the end, and [1-9]\d+ records are not in the store", daemon.log())
