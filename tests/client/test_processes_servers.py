"""Servers that fork their workers, the real ones: gunicorn and uWSGI. Each record of master and workers arrives exactly once."""

from __future__ import annotations

import collections
import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")

APP = """
import logging, os
import distlog
logging.basicConfig(level=logging.INFO, handlers=[distlog.ZmqHandler(os.environ["ENDPOINT"])])
log = logging.getLogger("app")
log.info("imported")

def app(environ, start_response):
    with distlog.task("GET %s", environ["PATH_INFO"]):
        log.info("request %s", environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % os.getpid()]

application = app
"""

#: gunicorn's own log goes the same way, and each of its hooks logs once.
CONFIGURATION = """
import os
logconfig_dict = {
    "version": 1, "disable_existing_loggers": False,
    "formatters": {"generic": {"format": "%(message)s"}},
    "handlers": {"console": {"class": "distlog.ZmqHandler", "endpoint": os.environ["ENDPOINT"]}},
    "loggers": {name: {"level": "INFO", "handlers": ["console"], "propagate": False} for name in ("gunicorn.error", "gunicorn.access")},
    "root": {"level": "INFO", "handlers": ["console"]},
}
control_socket_disable = True
def on_starting(server): server.log.info("hook on_starting")
def when_ready(server): server.log.info("hook when_ready")
def pre_fork(server, worker): server.log.info("hook pre_fork %d", worker.age)
def post_fork(server, worker): server.log.info("hook post_fork %d", worker.age)
def post_worker_init(worker): worker.log.info("hook post_worker_init %d", worker.age)
def worker_exit(server, worker): server.log.info("hook worker_exit %d", worker.age)
def child_exit(server, worker): server.log.info("hook child_exit %d", worker.age)
def on_exit(server): server.log.info("hook on_exit")
"""


class Server:
    """A running server of the application."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port

    def get(self, path: str) -> int:
        """The process that answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", path)
        answer = connection.getresponse().read()
        connection.close()
        return int(answer)

    def ready(self) -> None:
        """Wait for the first answer."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.get("/ready")
                return
            time.sleep(0.02)
        raise AssertionError(self.process.communicate(timeout=5))

    def stop(self, number: signal.Signals = signal.SIGTERM) -> str:
        """End it by a signal; what it wrote."""
        self.process.send_signal(number)
        return self.process.communicate(timeout=20)[0]


@contextlib.contextmanager
def serving(command: list[str], port: int, folder: Path, endpoint: str) -> Iterator[Server]:
    """A server over the application in this folder."""
    (folder / "app.py").write_text(APP)
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "ENDPOINT": endpoint, "PYTHONWARNINGS": "ignore::DeprecationWarning"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        server = Server(process, port)
        server.ready()
        yield server
    finally:
        process.kill()
        process.wait()


def counted(collector: Any, pattern: str) -> collections.Counter[str]:
    """The messages that match, and how often."""
    return collections.Counter(r["message"] for r in collector.records() if re.match(pattern, r["message"]))


def all_up(collector: Any, message: str, count: int) -> None:
    """Wait until so many processes have said so: the last worker may still begin when the first answers."""
    deadline = time.monotonic() + 10
    while sum(counted(collector, message).values()) < count and time.monotonic() < deadline:
        time.sleep(0.02)


def settled(collector: Any) -> None:
    """Wait until nothing more comes."""
    before = -1
    while before != len(collector.messages):
        before = len(collector.messages)
        time.sleep(0.2)


@pytest.fixture
def gunicorn(tmp_path: Path, free_port: int, collector: Any) -> Any:
    """A gunicorn with these options."""
    pytest.importorskip("gunicorn")

    def start(*options: str) -> Any:
        (tmp_path / "gunicorn.conf.py").write_text(CONFIGURATION)
        command = [sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{free_port}", *options, "app:app"]
        return serving(command, free_port, tmp_path, collector.endpoint)

    return start


class TestGunicorn:
    @pytest.mark.parametrize(
        "options", [[], ["--preload"], ["--threads=4"], ["--preload", "--threads=4"]], ids=" ".join
    )
    def test_every_record_of_a_life(self, gunicorn: Any, collector: Any, options: list[str]) -> None:
        """Start, 50 requests, a graceful end: of master and workers, with the application loaded before the fork or after."""
        with gunicorn("--workers=2", *options) as server:
            for n in range(50):
                server.get(f"/{n}")
            all_up(collector, "hook post_worker_init", 2)
            assert server.stop() == ""
            assert server.process.returncode == 0
        settled(collector)
        assert counted(collector, r"request /\d") == {f"request /{n}": 1 for n in range(50)}
        assert counted(collector, r"GET /\d") == {f"GET /{n}": 2 for n in range(50)}
        assert counted(collector, "imported") == {"imported": 1 if "--preload" in options else 2}
        hooks = ["on_starting", "when_ready", "on_exit"]
        hooks += [
            f"{name} {n}"
            for name in ("pre_fork", "post_fork", "post_worker_init", "worker_exit", "child_exit")
            for n in (1, 2)
        ]
        assert counted(collector, "hook") == {f"hook {name}": 1 for name in hooks}
        assert counted(collector, "Booting")
        assert set(counted(collector, "(Booting|Worker exiting|Shutting)").values()) == {1}

    def test_a_worker_that_is_killed_is_replaced(self, gunicorn: Any, collector: Any) -> None:
        with gunicorn("--workers=1", "--preload") as server:
            first = server.get("/before")
            time.sleep(0.1)
            os.kill(first, signal.SIGKILL)
            while True:
                with contextlib.suppress(OSError, http.client.HTTPException):
                    if server.get("/after") != first:
                        break
                time.sleep(0.05)
            server.stop()
        settled(collector)
        assert counted(collector, "request /before") == {"request /before": 1}
        assert counted(collector, "request /after") == {"request /after": 1}
        assert counted(collector, "hook post_fork") == {"hook post_fork 1": 1, "hook post_fork 2": 1}

    def test_workers_that_serve_ten_requests(self, gunicorn: Any, collector: Any) -> None:
        """Recycled workers end by themselves; nothing of their last request is lost."""
        with gunicorn("--workers=1", "--max-requests=10") as server:
            served = set()
            for n in range(45):
                with_retries = 0
                while True:
                    try:
                        served.add(server.get(f"/{n}"))
                        break
                    except (OSError, http.client.HTTPException):
                        with_retries += 1
                        assert with_retries < 200
                        time.sleep(0.02)
            server.stop()
        settled(collector)
        assert len(served) >= 4
        assert counted(collector, r"request /\d") == {f"request /{n}": 1 for n in range(45)}
        exits = counted(collector, "hook worker_exit")
        assert set(exits.values()) == {1}
        assert len(exits) == len(counted(collector, "hook post_fork")) >= 4


@pytest.fixture
def uwsgi(tmp_path: Path, free_port: int, collector: Any) -> Any:
    """A uWSGI with these options."""
    program = Path(sys.executable).with_name("uwsgi")
    if not program.exists():
        pytest.skip("no uWSGI here")

    def start(*options: str) -> Any:
        command = [str(program), "--http-socket", f"127.0.0.1:{free_port}", "--master", "--need-app", "--die-on-term"]
        # A signal that comes while a worker starts is lost on it: then it is killed, after so many seconds.
        command += ["--worker-reload-mercy", "2"]
        command += ["--virtualenv", sys.prefix, "--disable-logging", "--module", "app", *options]
        return serving(command, free_port, tmp_path, collector.endpoint)

    return start


UWSGI = {
    "": 1,
    "--py-call-uwsgi-fork-hooks": 1,
    "--enable-threads": 1,
    "--enable-threads --py-call-uwsgi-fork-hooks --threads=4": 1,
    "--lazy-apps": 2,
}


class TestUwsgi:
    """It forks in C, and calls Python's hooks only when told to. What it ends by a signal does not always run exit hooks, with or without
    distlog: so records have a moment to leave before it is stopped.
    """

    MOMENT = 0.3

    @pytest.mark.parametrize("options", UWSGI)
    def test_every_record_of_a_life(self, uwsgi: Any, collector: Any, options: str) -> None:
        with uwsgi("--processes=2", *options.split()) as server:
            for n in range(50):
                server.get(f"/{n}")
            all_up(collector, "imported", UWSGI[options])
            time.sleep(self.MOMENT)
            server.stop()
        settled(collector)
        assert counted(collector, r"request /\d") == {f"request /{n}": 1 for n in range(50)}
        assert counted(collector, r"GET /\d") == {f"GET /{n}": 2 for n in range(50)}
        assert counted(collector, "imported") == {"imported": UWSGI[options]}

    def test_a_worker_that_is_killed_is_replaced(self, uwsgi: Any, collector: Any) -> None:
        with uwsgi("--processes=1") as server:
            first = server.get("/before")
            time.sleep(0.1)
            os.kill(first, signal.SIGKILL)
            while server.get("/after") == first:
                time.sleep(0.05)
            time.sleep(self.MOMENT)
            server.stop()
        settled(collector)
        assert counted(collector, "request /(before|after)") == {"request /before": 1, "request /after": 1}

    def test_workers_that_serve_ten_requests(self, uwsgi: Any, collector: Any) -> None:
        with uwsgi("--processes=1", "--max-requests=10", "--min-worker-lifetime=0") as server:
            served = {server.get(f"/{n}") for n in range(15)}
            time.sleep(self.MOMENT)
            server.stop()
        settled(collector)
        assert len(served) == 2
        assert counted(collector, r"request /\d") == {f"request /{n}": 1 for n in range(15)}
