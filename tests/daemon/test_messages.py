"""What arrives on the socket: every message becomes one record, whatever it is, and the daemon lives."""

from __future__ import annotations

import json
import pickle
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Client, counted, record, until

DUP_BOMB = b"\x80\x02" + b"]" + b"(" + b"2" * 30 + b"t" + b"." + b"2" * 28
LAUGHS = (
    b"\x80\x02](]q\x00"
    + b"".join(
        b"(" + b"h" + bytes([level]) + (b"h" + bytes([level])) * 9 + b"lq" + bytes([level + 1]) for level in range(40)
    )
    + b"e."
)


class Evil:
    """Unpickled by Python, it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, (f"touch {self.path}",)


UNREADABLE = {
    "one frame": (b"PLJ",),
    "three frames": (b"PLJ", b"{}", b"more"),
    "all empty": (b"", b""),
    "unknown system": (b"XLJ", b"{}"),
    "unknown kind": (b"PXJ", b"{}"),
    "unknown encoding": (b"PLX", b"{}"),
    "bad JSON": (b"PLJ", b'{"msg": '),
    "JSON that is no object": (b"PLJ", b"[1]"),
    "empty body": (b"PLJ", b""),
    "not UTF-8": (b"PLJ", b'{"msg": "\xff\xfe"}'),
    "a pickle cut off": (b"PLP", pickle.dumps(record("x"))[:-20]),
    "a pickle of no dict": (b"PLP", pickle.dumps([1])),
    "DUP bomb": (b"PLP", DUP_BOMB),
    "a length of 2^62": (b"PLP", b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b"x."),
}


@pytest.mark.parametrize("frames", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_cannot_be_read_is_a_record_that_says_why(
    daemon: Any, connect: Callable[[Any], Client], frames: tuple[bytes, ...]
) -> None:
    """One record with the reason, and the next message arrives as if nothing had been."""
    client = connect(daemon)
    client.raw(*frames)
    client.log("after")
    first, second = daemon.wait_for(2)
    assert first["name"] == "distlogd"
    assert first["levelno"] == 40
    assert first["message"].startswith("unreadable message: ")
    assert first["_rejected"]["reason"]
    assert first["_rejected"]["sizes"] == [len(frame) for frame in frames]
    assert second["message"] == "after"
    assert counted(daemon, "distlog_rejected_total") == 1


@pytest.mark.parametrize(
    "body",
    [(b"PLJ", b'{"x":' + b"[" * 100_000), (b"PLP", b"\x80\x02" + b"]" * 1000 + b"(" * 100_000), (b"PLP", LAUGHS)],
    ids=["deep JSON", "deep pickle", "laughing memo"],
)
def test_bombs_cost_nothing(daemon: Any, connect: Callable[[Any], Client], body: tuple[bytes, bytes]) -> None:
    """Kept or refused, in little time and memory."""
    client = connect(daemon)
    client.raw(*body)
    client.log("after")
    records = daemon.wait_for(2, timeout=5)
    assert records[-1]["message"] == "after"
    assert len(json.dumps(records[0])) < 4_000_000
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert peak < 300_000, f"{peak} KiB"


def test_a_pickle_runs_nothing(daemon: Any, connect: Callable[[Any], Client], tmp_path: Path) -> None:
    """A pickle that names os.system is text about os.system."""
    made = tmp_path / "made"
    client = connect(daemon)
    for protocol in range(6):
        client.raw(b"PLP", pickle.dumps(record("evil", extra=Evil(made)), protocol))
    records = daemon.wait_for(6)
    assert not made.exists()
    assert all("system" in json.dumps(one) for one in records)


def test_messages_of_2017(daemon: Any, connect: Callable[[Any], Client]) -> None:
    """Two frames, JSON or pickle, of any system."""
    client = connect(daemon)
    for topic, body in [
        (b"PLJ", json.dumps(record("json")).encode()),
        (b"PLP", pickle.dumps(record("pickle"), 2)),
        (b"TLJ", json.dumps(record("test system"), indent=1).encode()),
    ]:
        client.raw(topic, body)
    records = daemon.wait_for(3)
    assert [one["message"] for one in records] == ["json", "pickle", "test system"]
    assert [one.get("_system") for one in records] == [None, None, "T"]
    assert [one["_offset"] for one in records] == [0, 1, 2]


def test_nobody_forges_what_the_daemon_adds(daemon: Any, connect: Callable[[Any], Client]) -> None:
    """A client's `_offset` is a field of its own."""
    connect(daemon).log("forged", _offset=77, _received=1, _rejected={"reason": "x"})
    (one,) = daemon.wait_for(1)
    assert (one["_offset"], one["__offset"]) == (0, 77)


def test_the_ledger_adds_up(make_daemon: Callable[..., Any], connect: Callable[[Any], Client]) -> None:
    """received = stored + dropped; per processor read = handled + filtered + failed."""
    daemon = make_daemon(
        'rules:\n  noise: {when: "logger=noise.*", drop: true}\n  loud: {when: "level>=warning", to: [file]}\n'
        "processors:\n  file: {type: file, path: loud.jsonl}\n"
    ).start()
    client = connect(daemon)
    for number in range(300):
        client.log(f"m{number}", name="noise.x" if number % 3 == 0 else "app", levelno=10 * (number % 5))
    client.raw(b"PLJ", b"rubbish")
    until(lambda: counted(daemon, "distlog_received_total") == 301, "all received")
    until(lambda: counted(daemon, "distlog_processor_read_total") == 201, "all read")
    assert counted(daemon, "distlog_dropped_total", rule="noise") == 100
    assert counted(daemon, "distlog_stored_total") == 201
    handled, filtered = (counted(daemon, f"distlog_processor_{what}_total") for what in ("handled", "filtered"))
    assert handled + filtered == 201
    assert handled == len((daemon.folder / "loud.jsonl").read_text().splitlines())
    assert not daemon.records("logger=noise.*")


def test_a_message_too_large_to_take_is_told(daemon: Any, connect: Callable[[Any], Client]) -> None:
    """It cannot be stored; the log says so, and what others send arrives."""
    connect(daemon).log("x" * 2_000_000)
    until(lambda: "larger than 1 MiB" in daemon.log(), "the line about it")
    assert counted(daemon, "distlog_cut_off_total", reason="oversized") == 1
    connect(daemon).log("small")
    daemon.wait_for(1, "small")


def test_strangers_at_the_port_are_counted(daemon: Any, connect: Callable[[Any], Client]) -> None:
    """A browser that took the wrong port is cut off, and shows in the metrics."""
    host, port = daemon.endpoint.removeprefix("tcp://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + b"x" * 64)
        until(lambda: counted(daemon, "distlog_cut_off_total", reason="handshake") == 1, "the count")
    connect(daemon).log("honest")
    daemon.wait_for(1, "honest")
