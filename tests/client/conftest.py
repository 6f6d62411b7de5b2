"""A PULL socket of the reference implementation, as the daemon's place-holder: what arrives there is what the client sent."""

from __future__ import annotations

import json
import logging
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable

import pytest
import zmq
from distlog import ZmqHandler


class Collector:
    """Receives in a thread of its own until it is stopped."""

    def __init__(self, port: int | None = None) -> None:
        self.messages: list[list[bytes]] = []
        self._socket = zmq.Context.instance().socket(zmq.PULL)
        self._socket.set(zmq.RCVHWM, 1_000_000)
        if port is None:
            port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        else:
            _bind(self._socket, f"tcp://127.0.0.1:{port}")
        self.port = port
        self.endpoint = f"tcp://127.0.0.1:{port}"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def _receive(self) -> None:
        while not self._stopping.is_set():
            if self._socket.poll(20):
                self.messages.append(self._socket.recv_multipart())
        self._socket.close(0)

    def stop(self) -> None:
        """Stop receiving and close the socket."""
        self._stopping.set()
        self._thread.join()

    def records(self) -> list[dict[str, Any]]:
        """What arrived so far, decoded."""
        return [decode(*message) for message in list(self.messages)]

    def wait(self, count: int, timeout: float = 10, settle: float = 0.0) -> list[dict[str, Any]]:
        """Wait for so many messages; with ``settle`` also whether more come."""
        deadline = time.monotonic() + timeout
        while len(self.messages) < count and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(settle)
        assert len(self.messages) >= count, f"{len(self.messages)} of {count} messages"
        return self.records()


def _bind(socket: Any, endpoint: str) -> None:
    """Where a receiver was a moment ago, its socket may still be closing."""
    deadline = time.monotonic() + 5
    while True:
        try:
            return socket.bind(endpoint)
        except zmq.ZMQError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def decode(topic: bytes, body: bytes) -> dict[str, Any]:
    """A message's record, with what the topic says under ``topic``."""
    record = json.loads(body) if topic[2:] == b"J" else pickle.loads(body)
    return {**record, "topic": topic.decode()}


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A receiver on a free port."""
    one = Collector()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def module_collector() -> Iterator[Collector]:
    """A receiver for all tests of a file."""
    one = Collector()
    yield one
    one.stop()


@pytest.fixture
def make_collector() -> Iterator[Callable[..., Collector]]:
    """Receivers that start when the test wants them."""
    made: list[Collector] = []

    def make(port: int | None = None) -> Collector:
        made.append(Collector(port))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def handler(collector: Collector) -> Iterator[ZmqHandler]:
    """A handler on the root logger, which lets everything through, that sends to the collector."""
    one = ZmqHandler(collector.endpoint)
    root = logging.getLogger()
    level = root.level
    root.addHandler(one)
    root.setLevel(logging.DEBUG)
    yield one
    root.setLevel(level)
    root.removeHandler(one)
    one.close()


@pytest.fixture
def run(collector: Collector) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a program in a process of its own; ``ENDPOINT`` in it is the collector's."""

    def run_program(
        source: str, *arguments: str, timeout: float = 30, check: bool = True, endpoint: str | None = None, **more: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "ENDPOINT": endpoint or collector.endpoint, **more}
        # Since 3.12 the interpreter warns of any fork beside a thread.
        environment["PYTHONWARNINGS"] = "ignore::DeprecationWarning"
        command = [sys.executable, "-c", PROLOGUE + textwrap.dedent(source), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, check=check)

    return run_program


PROLOGUE = """
import logging, multiprocessing, os, sys, threading, time
from distlog import *
handler = ZmqHandler(os.environ["ENDPOINT"])
logging.basicConfig(level=logging.DEBUG, handlers=[handler])
log = logging.getLogger("app")
"""
