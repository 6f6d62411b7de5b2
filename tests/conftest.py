"""Real parts for end-to-end tests: a real ``distlogd`` on free ports with its own data directory, and a real ``distlog``.

The programs are those of ``make build``; ``DISTLOGD`` and ``DISTLOG`` name others.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
FREE_PORTS = 'sources: {apps: {pull: "tcp://127.0.0.1:*"}}\nhttp: {listen: "127.0.0.1:0"}\n'


def program(name: str) -> str:
    """The path of one of the two programs."""
    beside = Path(sys.executable).parent / name
    return os.environ.get(name.upper()) or str(beside if beside.exists() else ROOT / "target/release" / name)


class Daemon:
    """One run after another of distlogd on the same data directory and configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.configuration = folder / "distlogd.yaml"
        self.configuration.write_text(FREE_PORTS)
        self.said: list[str] = []
        self.endpoint = self.http = ""
        self.process: subprocess.Popen[str] | None = None

    def configure(self, text: str) -> None:
        """Write the configuration; where it names no ports, free ones are added."""
        free = "".join(line + "\n" for line in FREE_PORTS.splitlines() if line.split(":")[0] + ":" not in text)
        self.configuration.write_text(free + text)

    def start(self, *arguments: str) -> Daemon:
        """Start it and wait for the ready line."""
        command = [program("distlogd"), "--config", str(self.configuration), "--data", str(self.data), *arguments]
        log = self.folder / "distlogd.log"
        with log.open("a") as stderr:
            size = log.stat().st_size
            self.process = subprocess.Popen(command, stderr=stderr, cwd=self.folder)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            text = log.read_bytes()[size:].decode()
            if ready := re.search(r"^distlogd ready.*$", text, re.MULTILINE):
                self.endpoint = re.findall(r"(?:tcp|ipc)://[^\s,]+", ready[0])[0]
                self.http = re.findall(r"http://[^\s,]+", ready[0])[0].rstrip("/")
                return self
            assert self.process.poll() is None, f"distlogd ended: {text}"
            time.sleep(0.01)
        raise AssertionError(f"distlogd is not ready: {log.read_text()}")

    def log(self) -> str:
        """All it has said on stderr."""
        return (self.folder / "distlogd.log").read_text()

    def stop(self, how: int = signal.SIGTERM, timeout: float = 20) -> int:
        """Stop it, by default gracefully; give its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(timeout)

    def get(self, path: str) -> bytes:
        """One answer of the HTTP API."""
        with urllib.request.urlopen(self.http + path, timeout=20) as answer:
            return answer.read()

    def view(self, *arguments: str, timeout: float = 30, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the viewer."""
        environment = {**os.environ, "DISTLOG_URL": self.http, **options.pop("env", {})}
        command = [program("distlog"), *arguments]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=timeout, check=False, **options
        )

    def records(self, *filters: str) -> list[dict[str, Any]]:
        """All stored records that match, oldest first, as ``distlog search --json`` prints them."""
        found = self.view("search", *filters, "--json", "--limit", "1000000")
        assert found.returncode in (0, 1), found.stderr
        return [json.loads(line) for line in found.stdout.splitlines()]

    def wait_for(self, count: int, *filters: str, timeout: float = 20) -> list[dict[str, Any]]:
        """Wait until so many stored records match; give them."""
        deadline = time.monotonic() + timeout
        while len(records := self.records(*filters)) < count and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(records) >= count, f"{len(records)} of {count} records after {timeout} s"
        return records


@pytest.fixture
def make_daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Make daemons that are not running yet, each in a folder of its own; they are killed when the test ends."""
    made: list[Daemon] = []

    def make(configuration: str = "", name: str = "daemon") -> Daemon:
        folder = tmp_path / f"{name}{len(made) or ''}"
        folder.mkdir()
        made.append(Daemon(folder))
        made[-1].configure(configuration)
        return made[-1]

    yield make
    for daemon in made:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.wait()


@pytest.fixture
def daemon(make_daemon: Callable[..., Daemon]) -> Daemon:
    """A running daemon with the default configuration."""
    return make_daemon().start()


@pytest.fixture
def free_port() -> int:
    """A port on which nobody listens, nor did a moment ago: a 0MQ socket would still take messages while it closes."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])
