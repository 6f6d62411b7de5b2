"""The acked endpoint from outside, with a client written from its documentation: nothing lost, nothing twice, in order."""

from __future__ import annotations

import json
import os
import signal
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq

from .acked_client import HEADER, AckedClient, Refused, Taken
from .conftest import counted, until

PORTS = 'sources: {apps: {pull: "tcp://127.0.0.1:*"}, acked: {router: "tcp://127.0.0.1:%d"}}\n'


@pytest.fixture
def daemon(make_daemon: Callable[..., Any], free_port: int) -> Any:
    """One that listens on the same acked port after each start."""
    one = make_daemon(PORTS % free_port)
    one.acked = f"tcp://127.0.0.1:{free_port}"
    return one.start()


@pytest.fixture
def connect(daemon: Any) -> Iterator[Callable[..., AckedClient]]:
    """Clients of that daemon."""
    made: list[AckedClient] = []

    def make(**arguments: Any) -> AckedClient:
        made.append(AckedClient(daemon.acked, **arguments))
        return made[-1]

    yield make
    for one in made:
        one.close()


def numbers(daemon: Any, producer: str = "p") -> list[int]:
    """The numbers of a producer's records, as they lie in the store."""
    return [record["n"] for record in daemon.records(f"producer={producer}")]


def log_many(client: AckedClient, first: int, count: int, producer: str = "p") -> None:
    """Records that can be told apart."""
    for n in range(first, first + count):
        client.log(name="app", levelno=20, message=f"record {n}", producer=producer, n=n)


def ledger_is_even(daemon: Any) -> bool:
    """received = stored + dropped"""
    received, stored, dropped = (counted(daemon, f"distlog_{what}_total") for what in ("received", "stored", "dropped"))
    return received == stored + dropped


def test_what_is_answered_is_in_the_store(daemon: Any, connect: Callable[..., AckedClient]) -> None:
    """Everything arrives once and in order; repeating all of it changes nothing."""
    client = connect()
    log_many(client, 0, 5000)
    client.finish()
    assert numbers(daemon) == list(range(5000))
    again = connect(producer=client.producer)
    log_many(again, 0, 5000)
    again.finish()
    assert numbers(daemon) == list(range(5000))
    assert ledger_is_even(daemon)


def test_kills_of_the_daemon_lose_and_double_nothing(daemon: Any, connect: Callable[..., AckedClient]) -> None:
    """Eight times killed in mid-stream, at another moment each time."""
    clients = [connect(), connect()]
    sent = 0
    for round_ in range(8):
        for place, client in enumerate(clients):
            log_many(client, sent, 3000, f"p{place}")
        sent += 3000
        for _ in range(round_ * 7 + 3):
            for client in clients:
                client.work(0.001)
        daemon.stop(signal.SIGKILL)
        daemon.start()
    for client in clients:
        client.finish(60)
    for place in range(len(clients)):
        assert numbers(daemon, f"p{place}") == list(range(sent))


def test_a_graceful_stop_answers_what_it_stored(daemon: Any, connect: Callable[..., AckedClient]) -> None:
    """After the stop the client's rest and the store's records make the whole."""
    client = connect()
    log_many(client, 0, 20_000)
    until(lambda: client.work(0.01) or client.answered > 0, "the first answer")
    assert daemon.stop() == 0
    daemon.start()
    client.finish()
    assert numbers(daemon) == list(range(20_000))


def test_a_failing_disk_gives_no_answer(make_limited: Callable[..., Any], free_port: int) -> None:
    """While no file may grow nothing is answered; then it may, and everything is, once."""
    daemon, limit = make_limited(PORTS % free_port)
    client = AckedClient(f"tcp://127.0.0.1:{free_port}")
    client.log(name="app", message="before", producer="p", n=-1)
    client.finish()
    limit(16 * 1024)
    log_many(client, 0, 500)
    for _ in range(100):
        client.work(0.01)
    assert client.answered == 1
    limit(0)
    client.finish(30)
    assert numbers(daemon) == list(range(-1, 500))
    client.close()


def test_numbers_that_nobody_sends_any_more_are_told(daemon: Any, connect: Callable[..., AckedClient]) -> None:
    """A producer that begins later than it ended leaves a record of the gap; what it sends goes on."""
    client = connect()
    log_many(client, 0, 10)
    client.finish()
    later = connect(producer=client.producer, first=15)
    log_many(later, 15, 5)
    later.finish()
    assert numbers(daemon) == [*range(10), *range(15, 20)]
    [gap] = daemon.records("name=distlogd")
    assert gap["distlog_missing"] == {"producer": client.producer.hex(), "first": 10, "records": 5}
    assert counted(daemon, "distlog_missing_total") == 5


def test_a_gap_message_is_one_record_for_its_numbers(daemon: Any, connect: Callable[..., AckedClient]) -> None:
    """The producer itself tells what it lost; the numbers after follow on."""
    client = connect()
    client.finish()
    body = json.dumps({"name": "distlog", "message": "7 records dropped"}).encode()
    client.socket.send_multipart([client.header(b"G", 0, 7), b"PLJ" + struct.pack(">I", len(body)) + body])
    frames = client.socket.recv_multipart() if client.socket.poll(5000) else []
    assert HEADER.unpack(frames[0])[1:5:3] == (b"A", 7)
    assert [record["message"] for record in daemon.records()] == ["7 records dropped"]
    assert counted(daemon, "distlog_missing_total") == 0


def test_two_that_go_by_one_id_part(daemon: Any, connect: Callable[..., AckedClient]) -> None:
    """The first is told; what it had no answer for it numbers anew, under an id of its own."""
    first = connect()
    log_many(first, 0, 3, "a")
    first.finish()
    second = connect(producer=first.producer, first=3)
    second.finish()
    log_many(first, 3, 3, "a")
    with pytest.raises(Taken):
        first.finish()
    third = connect()
    third.waiting = first.waiting
    third.finish()
    log_many(second, 3, 3, "b")
    second.finish()
    assert (numbers(daemon, "a"), numbers(daemon, "b")) == (list(range(6)), [3, 4, 5])


def test_an_older_epoch_is_refused(daemon: Any, connect: Callable[..., AckedClient]) -> None:
    """Who took a dead producer's records over goes on with the numbers; the dead one, if it wakes, may not."""
    old = connect()
    log_many(old, 0, 4)
    old.finish()
    heir = connect(producer=old.producer, epoch=1, first=4)
    log_many(heir, 4, 4)
    heir.finish()
    late = connect(producer=old.producer, first=4)
    log_many(late, 4, 1)
    with pytest.raises(Refused, match="epoch is higher"):
        late.finish()
    assert numbers(daemon) == list(range(8))


def raw(daemon: Any, *frames: bytes) -> list[bytes]:
    """Send frames as they are; the answer, or nothing within a second."""
    socket = zmq.Context.instance().socket(zmq.DEALER)
    socket.connect(daemon.acked)
    try:
        socket.send_multipart(list(frames))
        return socket.recv_multipart() if socket.poll(1000) else []
    finally:
        socket.close(0)


def test_a_batch_without_a_hello_is_asked_for_one(daemon: Any) -> None:
    """Nothing of it is stored."""
    producer = os.urandom(16)
    answer = raw(daemon, HEADER.pack(b"DL1", b"B", producer, 0, 5, 1), b"PLJ\0\0\0\2{}")
    assert HEADER.unpack(answer[0])[1:5] == (b"N", producer, 0, 0)
    assert daemon.records() == []


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([b"hello"], "begins with DL1"),
        ([b"DL9B" + bytes(36), b""], "begins with DL1"),
        ([b"DL1B" + bytes(36)], "two frames"),
        ([b"DL1B" + bytes(36), b"", b"", b""], "two frames"),
        ([b"DL1A" + bytes(36)], "a kind"),
        ([b"DL1B" + bytes(24) + b"\xff" * 12, b""], "8192"),
        ([b"DL1B" + bytes(24) + b"\xff" * 8 + b"\0\0\0\1", b""], "2^64"),
    ],
)
def test_what_is_no_request_is_refused_and_kept(daemon: Any, frames: list[bytes], said: str) -> None:
    """The sender is told in words, and the record shows the bytes."""
    kind, reason = raw(daemon, *frames)
    assert HEADER.unpack(kind)[1] == b"R"
    assert said in reason.decode()
    [record] = daemon.wait_for(1, "name=distlogd")
    assert (record["_rejected"]["reason"], said in record["_rejected"]["detail"]) == ("batch", True)
    assert ledger_is_even(daemon)


def test_a_batch_that_ends_early_counts_as_its_header_says(daemon: Any, connect: Callable[..., AckedClient]) -> None:
    """What can be read is stored, the rest is told of, and the numbers go on."""
    client = connect()
    client.finish()
    good = b"PLJ\0\0\0\x10" + b'{"message":"ok"}'
    client.socket.send_multipart([client.header(b"B", 0, 5), good + b"PLJ\0\0\xff\xff{"])
    assert client.socket.poll(5000)
    assert HEADER.unpack(client.socket.recv_multipart()[0])[4] == 5
    stored = daemon.wait_for(2)
    assert [record["message"] for record in stored] == ["ok", "unreadable message: batch"]
    assert "4 records early" in stored[1]["_rejected"]["detail"]
    client.answered = client.sent = 5
    log_many(client, 5, 2)
    client.finish()
    assert numbers(daemon) == [5, 6]


def test_a_batch_beyond_is_asked_back_once(daemon: Any, connect: Callable[..., AckedClient]) -> None:
    """What lies between is awaited; nothing is stored out of order."""
    client = connect()
    client.finish()
    for number in (10, 11, 12):
        client.socket.send_multipart([client.header(b"B", number, 1), b"PLJ\0\0\0\2{}"])
    answers = [HEADER.unpack(client.socket.recv_multipart()[0])[1:5:3] for _ in range(3) if client.socket.poll(500)]
    assert answers == [(b"N", 0)]
    assert daemon.records() == []


def test_rules_that_drop_are_answered_too(make_daemon: Callable[..., Any], free_port: int) -> None:
    """What a rule keeps out of the store was taken all the same, and does not come again."""
    daemon = make_daemon(PORTS % free_port + 'rules: {noise: {when: "level<=info", drop: true}}\n')
    daemon.start()
    client = AckedClient(f"tcp://127.0.0.1:{free_port}")
    log_many(client, 0, 300)
    client.finish()
    assert daemon.records() == []
    assert counted(daemon, "distlog_dropped_total", rule="noise") == 300
    daemon.stop(signal.SIGKILL)
    daemon.start()
    again = AckedClient(client.endpoint, producer=client.producer)
    log_many(again, 0, 300)
    again.finish()
    # The hello's answer already said so: nothing was sent.
    assert counted(daemon, "distlog_received_total") == counted(daemon, "distlog_dropped_total") == 0
    client.close()
    again.close()
