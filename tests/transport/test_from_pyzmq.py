"""What pyzmq's PUSH sends, our listener takes: in order, whole, and within its limits."""

from __future__ import annotations

import json
from typing import Any

import pytest
import zmq

COUNT = 20_000


def push(context: Any, endpoint: str, **options: Any) -> Any:
    """A pyzmq PUSH socket that delivers before it closes."""
    socket = context.socket(zmq.PUSH)
    socket.linger = socket.sndtimeo = 10_000
    for name, value in options.items():
        setattr(socket, name, value)
    socket.connect(endpoint)
    return socket


@pytest.mark.parametrize("scheme", ["tcp", "ipc"])
def test_all_in_order(pull: Any, context: Any, scheme: str) -> None:
    """Nothing is lost, doubled or moved."""
    listener = pull(scheme, "--count", str(COUNT))
    socket = push(context, listener.endpoint)
    for number in range(COUNT):
        socket.send_multipart([b"PLJ", b'{"n": %d}' % number])
    messages, counts = listener.wait()
    assert messages == [[b"PLJ", b'{"n": %d}' % number] for number in range(COUNT)]
    assert counts["messages"] == COUNT
    assert counts["accepted"] == 1


def test_any_text_and_any_bytes(pull: Any, context: Any) -> None:
    """Bodies are bytes to the transport: no text, no terminator."""
    listener = pull()
    texts = ["", "päivää 🦀 \u202e", "\x00", "日本語" * 1000, "x" * 255, "x" * 256]
    bodies = [json.dumps(text, ensure_ascii=False).encode() for text in texts] + [bytes(range(256)), b""]
    socket = push(context, listener.endpoint)
    for body in bodies:
        socket.send_multipart([b"TLJ", body])
    messages, _ = listener.finish(len(bodies))
    assert messages == [[b"TLJ", body] for body in bodies]


def test_a_heartbeating_peer_stays(pull: Any, context: Any) -> None:
    """PINGs are answered: a peer that insists on it is not lost."""
    listener = pull()
    socket = push(context, listener.endpoint, heartbeat_ivl=100, heartbeat_timeout=1_000)
    monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    socket.send_multipart([b"PLJ", b"1"])
    assert monitor.poll(2_500) == 0, "disconnected"
    socket.send_multipart([b"PLJ", b"2"])
    socket.disable_monitor()
    messages, counts = listener.finish(2)
    assert messages == [[b"PLJ", b"1"], [b"PLJ", b"2"]]
    assert counts["accepted"] == 1


@pytest.mark.parametrize("frames", [1, 3, 4, 100])
def test_any_number_of_frames(pull: Any, context: Any, frames: int) -> None:
    """A message is delivered as it is; what it means is not the transport's business."""
    listener = pull()
    socket = push(context, listener.endpoint)
    sent = [b"%d" % frame for frame in range(frames)]
    socket.send_multipart(sent)
    messages, _ = listener.finish(1)
    assert messages == [sent]


def test_too_large_cuts_only_its_sender(pull: Any, context: Any) -> None:
    """10 MB against a limit of 1 MiB: refused, counted, and the others' messages pass."""
    listener = pull()
    honest = push(context, listener.endpoint)
    honest.send_multipart([b"PLJ", b"before"])
    offender = push(context, listener.endpoint)
    monitor = offender.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    offender.send_multipart([b"PLJ", b"x" * 10_000_000])
    assert monitor.poll(10_000), "the connection is cut"
    offender.disable_monitor()
    offender.close(linger=0)
    honest.send_multipart([b"PLJ", b"y" * ((1 << 20) - 3)])
    honest.send_multipart([b"PLJ", b"after"])
    messages, counts = listener.finish(3)
    assert [len(body) for _, body in messages] == [6, (1 << 20) - 3, 5]
    assert counts["oversized"] >= 1


def test_another_socket_type_is_refused(pull: Any, context: Any) -> None:
    """A SUB or DEALER at the PULL port never becomes a producer."""
    listener = pull()
    for kind in (zmq.DEALER, zmq.SUB):
        stranger = context.socket(kind)
        stranger.linger = 0
        monitor = stranger.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        stranger.connect(listener.endpoint)
        assert monitor.poll(5_000)
        stranger.disable_monitor()
        stranger.close()
    honest = push(context, listener.endpoint)
    honest.send_multipart([b"PLJ", b"{}"])
    messages, counts = listener.finish(1)
    assert messages == [[b"PLJ", b"{}"]]
    assert counts["handshakes_failed"] >= 1
