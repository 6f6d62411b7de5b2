"""A pyzmq PUSH client, the reference implementation, for the daemon's tests."""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

ROOT = Path(__file__).resolve().parents[2]


def program(name: str) -> str:
    """The path of one of the two programs: as the daemon fixture finds it."""
    beside = Path(sys.executable).parent / name
    return os.environ.get(name.upper()) or str(beside if beside.exists() else ROOT / "target/release" / name)


class Client:
    """Sends messages as a program with the 2017 package would, or worse."""

    def __init__(self, endpoint: str) -> None:
        self.socket = zmq.Context.instance().socket(zmq.PUSH)
        self.socket.setsockopt(zmq.LINGER, 5000)
        self.socket.connect(endpoint)

    def raw(self, *frames: bytes) -> None:
        """Any frames."""
        self.socket.send_multipart(list(frames))

    def log(self, message: str, **fields: Any) -> None:
        """One record, as JSON."""
        self.raw(b"PLJ", json.dumps(record(message, **fields)).encode())


def record(message: str, **fields: Any) -> dict[str, Any]:
    """The fields a LogRecord has, the ones that matter here."""
    plain = {"name": "app", "msg": message, "args": [], "levelno": 20, "levelname": "INFO", "message": message}
    return {**plain, "created": time.time(), "hostname": "here", "process": 1, **fields}


def counted(daemon: Any, name: str, **labels: str) -> int:
    """A number of /metrics: the sum over the samples that have these labels."""
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    samples = re.findall(rf"^{name}(?:{{(.*)}})? (\d+)$", daemon.get("/metrics").decode(), re.MULTILINE)
    return sum(int(value) for text, value in samples if all(label in text for label in wanted))


def until(holds: Callable[[], object], what: str = "it", timeout: float = 20) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.02)


@pytest.fixture
def connect() -> Iterator[Callable[[Any], Client]]:
    """Make clients of daemons; they are closed when the test ends."""
    clients: list[Client] = []

    def make(daemon: Any) -> Client:
        clients.append(Client(daemon.endpoint))
        return clients[-1]

    yield make
    for client in clients:
        client.socket.close(linger=0)


@pytest.fixture
def make_limited(
    make_daemon: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Any, Callable[[int], None]]]:
    """Start daemons, each with a way to say how large its files may become: 0 for any size."""
    wrapper = tmp_path / "distlogd"
    wrapper.write_text(f"#!/bin/sh\ntrap '' XFSZ\nexec {program('distlogd')} \"$@\"\n")
    wrapper.chmod(0o755)
    monkeypatch.setenv("DISTLOGD", str(wrapper))

    def make(configuration: str = "") -> tuple[Any, Callable[[int], None]]:
        daemon = make_daemon(configuration).start()

        def limit(size: int) -> None:
            _, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (size or hard, hard))

        return daemon, limit

    return make
