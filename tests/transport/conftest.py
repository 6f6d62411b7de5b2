"""The two example programs of distlog-transport, as processes beside pyzmq.

pyzmq wraps libzmq, the reference implementation: what it sends we must take, and
what we send it must take.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[2]

#: No step takes longer than this unless something is broken.
PATIENCE = 30


def target() -> Path:
    """Where cargo puts what it builds."""
    return Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target")


@pytest.fixture(scope="session")
def programs() -> Path:
    """Build the examples (nothing to do if they are there and fresh) and give their folder."""
    command = ["cargo", "build", "--release", "--package", "distlog-transport", "--all-features", "--examples"]
    subprocess.run(command, cwd=REPOSITORY, check=True)
    return target() / "release" / "examples"


class Pull:
    """Our listener in a process of its own, showing what it receives."""

    def __init__(self, programs: Path, endpoint: str, *options: str) -> None:
        command = [str(programs / "pull"), endpoint, "--show", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.endpoint = self.process.stdout.readline().strip()
        # Read on all the time: a full pipe would stop the listener, and then whoever sends to it.
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self.lines.extend, args=(self.process.stdout,), daemon=True)
        self.reader.start()

    def finish(self, count: int) -> tuple[list[list[bytes]], dict[str, Any]]:
        """Ask it to end once so many messages have come; its messages and its counts."""
        deadline = time.monotonic() + PATIENCE
        while len(self.lines) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> tuple[list[list[bytes]], dict[str, Any]]:
        """Wait for its end; its messages and its counts."""
        self.process.wait(timeout=PATIENCE)
        self.reader.join(timeout=PATIENCE)
        *messages, counts = self.lines
        return [[bytes.fromhex(frame[1:]) for frame in line.split()] for line in messages], json.loads(counts)

    def stop(self) -> None:
        """End it whatever it does."""
        self.process.kill()
        self.process.wait(timeout=PATIENCE)
        self.reader.join(timeout=PATIENCE)
        assert self.process.stdout
        self.process.stdout.close()


@pytest.fixture
def pull(programs: Path, tmp_path: Path) -> Iterator[Any]:
    """Start listeners: ``pull(scheme, *options)``."""
    started: list[Pull] = []

    def start(scheme: str = "tcp", *options: str) -> Pull:
        endpoint = "tcp://127.0.0.1:0" if scheme == "tcp" else f"ipc://{tmp_path}/pull.sock"
        started.append(Pull(programs, endpoint, *options))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    """A pyzmq context that never keeps the tests from ending."""
    context = zmq.Context()
    yield context
    context.destroy(linger=0)
