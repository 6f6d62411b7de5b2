"""``acks=True`` from end to end: the real handler, the real daemon, and everything that can come between them."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from distlog import ZmqHandler

PORTS = 'sources: {apps: {pull: "tcp://127.0.0.1:*"}, acked: {router: "tcp://127.0.0.1:%d"}}\n'


@pytest.fixture
def daemon(make_daemon: Callable[..., Any], free_port: int) -> Any:
    """A daemon that is not running yet, and has the same acked port at each start."""
    one = make_daemon(PORTS % free_port)
    one.acked = f"tcp://127.0.0.1:{free_port}"
    return one


@pytest.fixture
def handler(daemon: Any) -> Iterator[ZmqHandler]:
    """A handler to it, on a logger of its own."""
    one = ZmqHandler(daemon.acked, acks=True)
    logger = logging.getLogger("acked")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(one)
    yield one
    logger.removeHandler(one)
    one.close()


def log(count: int, producer: str = "p", first: int = 0) -> None:
    """Numbered records."""
    for number in range(first, first + count):
        logging.getLogger("acked").info("record %d", number, extra={"producer": producer, "n": number})


def numbers(daemon: Any, producer: str = "p") -> list[int]:
    """As they lie in the store."""
    return [record["n"] for record in daemon.records(f"producer={producer}")]


def test_a_flush_says_that_all_is_stored(daemon: Any, handler: ZmqHandler) -> None:
    """What it returned for survives the daemon's death at once."""
    daemon.start()
    for round_ in range(5):
        log(200, first=200 * round_)
        assert handler.flush(10)
        daemon.stop(signal.SIGKILL)
        daemon.start()
        assert numbers(daemon) == list(range(200 * (round_ + 1)))
    stats = handler.stats()
    assert (stats["acked"], stats["queued"], sum(stats["dropped"].values())) == (1000, 0, 0)


def test_kills_of_the_daemon_under_load(daemon: Any, handler: ZmqHandler) -> None:
    """Four threads log while it is killed and started six times: once each, in each thread's order, and nobody waited."""
    daemon.start()
    slowest = [0.0] * 4

    def work(place: int) -> None:
        for number in range(4000):
            start = time.perf_counter()
            log(1, f"p{place}", number)
            slowest[place] = max(slowest[place], time.perf_counter() - start)
            if number % 50 == 0:
                time.sleep(0.02)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(6):
        time.sleep(0.25)
        daemon.stop(signal.SIGKILL)
        daemon.start()
    for thread in threads:
        thread.join()
    assert handler.flush(30)
    for place in range(4):
        assert numbers(daemon, f"p{place}") == list(range(4000))
    stats = handler.stats()
    assert (stats["acked"], stats["queued"], sum(stats["dropped"].values())) == (16_000, 0, 0)
    assert max(slowest) < 0.5


def test_a_daemon_that_comes_late_and_stops_in_between(daemon: Any, handler: ZmqHandler) -> None:
    """Records wait for it, and a graceful stop loses none either."""
    log(500)
    assert not handler.flush(0.2)
    daemon.start()
    assert handler.flush(20)
    log(3000, first=500)
    assert daemon.stop() == 0
    log(500, first=3500)
    daemon.start()
    assert handler.flush(20)
    assert numbers(daemon) == list(range(4000))


def test_a_daemon_that_hangs_is_given_up_and_found_again(daemon: Any, handler: ZmqHandler) -> None:
    """Stopped for longer than the handler's patience: it connects anew, and nothing comes twice."""
    daemon.start()
    log(100)
    assert handler.flush(10)
    daemon.process.send_signal(signal.SIGSTOP)
    log(100, first=100)
    time.sleep(12)
    daemon.process.send_signal(signal.SIGCONT)
    assert handler.flush(20)
    assert numbers(daemon) == list(range(200))


def test_forked_children_are_producers_of_their_own(daemon: Any) -> None:
    """Parent and children log before and after the forks; each record comes once, at the end of each process too."""
    daemon.start()
    program = """
        import logging, os, sys
        from distlog import ZmqHandler
        logging.basicConfig(level=logging.INFO, handlers=[ZmqHandler(sys.argv[1], acks=True)])
        def log(producer, first, count=50):
            for n in range(first, first + count):
                logging.info("record", extra={"producer": producer, "n": n})
        log("parent", 0)
        for child in range(4):
            if os.fork() == 0:
                log(f"child{child}", 0, 200)
                os._exit(0) if child % 2 else sys.exit(0)
            log("parent", 50 * (child + 1))
        for child in range(4):
            os.wait()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program), daemon.acked], check=True, timeout=30)
    assert numbers(daemon, "parent") == list(range(250))
    for child in range(4):
        assert numbers(daemon, f"child{child}") == list(range(200))


def test_large_records_and_all_sizes_between(daemon: Any, handler: ZmqHandler) -> None:
    """Up to the longest that is not clipped."""
    daemon.start()
    for number, size in enumerate([0, 1, 250, 70_000, 60_000, 3, 200_000, 900_000, 1]):
        logging.getLogger("acked").info(
            "x" * min(size, 60_000), extra={"producer": "p", "n": number, "more": ["y" * 60_000] * (size // 60_000)}
        )
    assert handler.flush(10)
    assert numbers(daemon) == list(range(9))


def test_a_pull_port_is_named(daemon: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """Asked for answers at a port that gives none, the handler says what is wrong instead of losing records."""
    daemon.start()
    handler = ZmqHandler(daemon.endpoint, acks=True)
    handler.handle(logging.makeLogRecord({"msg": "hello"}))
    assert not handler.flush(1)
    assert handler.stats()["last_error"] == "the peer's socket is PULL, not ROUTER"
    told, deadline = "", time.monotonic() + 20
    while not told and time.monotonic() < deadline:
        time.sleep(0.1)
        told = capfd.readouterr().err
    assert told.startswith(f"distlog: no daemon answers at {daemon.endpoint}")
    assert "(the peer's socket is PULL, not ROUTER)" in told
    handler.close()


@pytest.mark.parametrize("answers", [True, False])
def test_a_port_is_taken_as_it_is(daemon: Any, answers: bool) -> None:
    """Without a word about acknowledgements, ``configure()`` takes them where they are given; records arrive either way."""
    daemon.start()
    program = """
        import logging, sys, distlog
        handler = distlog.configure(sys.argv[1])
        for n in range(3000):
            logging.info("x" * (n % 700), extra={"producer": "p", "n": n})
        assert handler.flush(10)
        print(handler.stats()["answers"], handler.stats()["sent"], handler.stats()["acked"], handler.stats()["queued"])
    """
    command = [sys.executable, "-c", textwrap.dedent(program), daemon.acked if answers else daemon.endpoint]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    assert ended.stdout.split() == (["True", "3000", "3000", "0"] if answers else ["False", "3000", "0", "0"])
    assert ended.stderr == ""
    daemon.wait_for(3000)
    assert numbers(daemon) == list(range(3000))


def test_an_old_connection_comes_back(daemon: Any) -> None:
    """A daemon that offers no answers is killed and comes back: what PUSH promises holds, without a restart of the program."""
    daemon.start()
    handler = ZmqHandler(daemon.endpoint, acks=None)
    log_to = logging.getLogger("pushed")
    log_to.propagate = False
    log_to.addHandler(handler)
    log_to.warning("one", extra={"producer": "p", "n": 1})
    assert handler.flush(10)
    daemon.wait_for(1)
    port = daemon.endpoint.rpartition(":")[2]
    daemon.stop()
    daemon.configure(f'sources: {{apps: {{pull: "tcp://127.0.0.1:{port}"}}}}\n')
    daemon.start()
    for n in range(2, 1000):
        log_to.warning("more", extra={"producer": "p", "n": n})
    assert handler.flush(10)
    log_to.removeHandler(handler)
    handler.close()
    found = [record["n"] for record in daemon.wait_for(999, "producer=p")]
    assert found == list(range(1, 1000))


def test_exit_without_a_daemon_is_bounded(free_port: int) -> None:
    """Two seconds, and one line that tells what was lost."""
    program = "import logging, sys; from distlog import ZmqHandler; logging.basicConfig(handlers=[ZmqHandler(sys.argv[1], acks=True)]); logging.error('x')"
    start = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", program, f"tcp://127.0.0.1:{free_port}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert time.monotonic() - start < 4
    assert "1 records could not be delivered" in ended.stderr


def test_the_usual_port_is_the_acked_one() -> None:
    """Without an endpoint, ``acks=True`` goes where answers are given."""
    handler = ZmqHandler(acks=True)
    assert handler.endpoint == "tcp://127.0.0.1:5011"
    handler.close()
