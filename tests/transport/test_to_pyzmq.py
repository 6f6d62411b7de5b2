"""What our sender sends, pyzmq's PULL takes: the reference judges our bytes."""

from __future__ import annotations

import json
import socketserver
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
import zmq

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 20_000

#: Milliseconds; no step takes longer unless something is broken.
PATIENCE = 30_000


def bind(context: Any, endpoint: str) -> Any:
    """A pyzmq PULL socket that fails instead of waiting for ever."""
    socket = context.socket(zmq.PULL)
    socket.rcvtimeo = PATIENCE
    socket.bind(endpoint)
    return socket


def start(programs: Path, socket: Any, *options: str) -> subprocess.Popen[str]:
    """Our sender in a process of its own."""
    endpoint = socket.last_endpoint.decode().rstrip("\0")
    return subprocess.Popen([str(programs / "push"), endpoint, *options], stdout=subprocess.PIPE, text=True)


def report(process: subprocess.Popen[str]) -> Any:
    """What the sender says of itself at its end."""
    output, _ = process.communicate(timeout=PATIENCE / 1000)
    return json.loads(output)


@pytest.mark.parametrize("scheme", ["tcp", "ipc"])
def test_all_in_order(programs: Path, context: Any, tmp_path: Path, scheme: str) -> None:
    """Nothing is lost, doubled or moved, up to the last record before the exit."""
    socket = bind(context, "tcp://127.0.0.1:*" if scheme == "tcp" else f"ipc://{tmp_path}/pull.sock")
    process = start(programs, socket, "--count", str(COUNT), "--size", "600")
    for number in range(COUNT):
        topic, body = socket.recv_multipart()
        assert topic == b"PLJ"
        assert len(body) == 600
        assert json.loads(body)["n"] == number
    said = report(process)
    assert (said["sent"], said["closed"], said["reconnects"]) == (COUNT, True, 0)
    assert socket.poll(100) == 0, "nothing more comes"


def test_any_text(programs: Path, context: Any, tmp_path: Path) -> None:
    """Lengths around the short and long frame forms, and text beyond ASCII."""
    texts = ["", "päivää 🦀 \u202e", "日本語" * 1000, *("x" * length for length in (254, 255, 256, 257, 65_536))]
    lines = [json.dumps(text, ensure_ascii=False) for text in texts]
    (tmp_path / "lines").write_text("\n".join(lines), encoding="utf-8")
    socket = bind(context, "tcp://127.0.0.1:*")
    process = start(programs, socket, "--lines", str(tmp_path / "lines"), "--count", str(len(lines)))
    received = [socket.recv_multipart() for _ in lines]
    assert received == [[b"PLJ", line.encode()] for line in lines]
    assert report(process)["sent"] == len(lines)


def test_a_heartbeating_daemon_is_answered(programs: Path, context: Any) -> None:
    """A PULL that insists on PONGs keeps a sender that is idle, or far behind."""
    socket = context.socket(zmq.PULL)
    socket.rcvtimeo = PATIENCE
    socket.heartbeat_ivl = 500
    socket.heartbeat_timeout = 3_000
    socket.bind("tcp://127.0.0.1:*")
    process = start(programs, socket, "--count", "3", "--pause", "1500")
    numbers = [json.loads(socket.recv_multipart()[1])["n"] for _ in range(3)]
    assert numbers == [0, 1, 2]
    assert report(process)["reconnects"] == 0


def test_a_late_daemon_gets_everything(programs: Path, context: Any) -> None:
    """Records queued while nobody listened are the first to come."""
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as free:
        endpoint = f"tcp://127.0.0.1:{free.server_address[1]}"
    command = [str(programs / "push"), endpoint, "--count", "1000", "--close", "20"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    socket = bind(context, endpoint)
    numbers = [json.loads(socket.recv_multipart()[1])["n"] for _ in range(1000)]
    assert numbers == list(range(1000))
    assert report(process)["closed"] is True


def test_without_a_daemon_the_process_ends_in_time_and_says_one_line(programs: Path) -> None:
    """The endpoint accepts and never answers: the thread is stuck in its handshake while the process exits."""
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as mute:
        endpoint = f"tcp://127.0.0.1:{mute.server_address[1]}"
        command = [str(programs / "push"), endpoint, "--count", "1000", "--close", "0.2", "--notice", "no daemon"]
        start = time.monotonic()
        ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE / 1000)
        assert time.monotonic() - start < 2
        assert ended.stderr == ""
    # Now the connection is refused, again and again.
    command[command.index("--close") + 1] = "2"
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE / 1000)
    assert ended.stderr == "no daemon (Connection refused (os error 111))\n"
    said = json.loads(ended.stdout)
    assert (said["sent"], said["dropped_closed"], said["closed"]) == (0, 1000, False)


def test_a_wrong_socket_type_is_not_sent_to(programs: Path, context: Any) -> None:
    """A ROUTER at the endpoint gets nothing, and the sender ends in its time."""
    socket = context.socket(zmq.ROUTER)
    socket.bind("tcp://127.0.0.1:*")
    process = start(programs, socket, "--count", "10", "--close", "0.5")
    said = report(process)
    assert (said["sent"], said["dropped_closed"], said["closed"]) == (0, 10, False)
    assert socket.poll(100) == 0
