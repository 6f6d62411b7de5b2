"""The sender's thread and the life of a handler: one thread that is not Python's, begun late, gone with its handler."""

from __future__ import annotations

import collections
import os
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")

PROC = """
def threads():
    names = []
    for task in os.listdir("/proc/self/task"):
        try: names.append(open(f"/proc/self/task/{task}/comm").read().strip())
        except OSError: pass
    return names
def settled(count):
    end = time.monotonic() + 5
    while threads().count("distlog-sender") != count and time.monotonic() < end: time.sleep(0.01)
    return threads().count("distlog-sender")
"""


class TestThread:
    def test_it_begins_with_the_first_record(self, run: Any) -> None:
        done = run(
            PROC
            + """
assert threads().count("distlog-sender") == 0 and len(threads()) == 1, threads()
handler.flush(); handler.stats(); repr(handler)
assert len(threads()) == 1, threads()
logging.getLogger("app").debug("first")
assert settled(1) == 1
for n in range(100): log.info("more")
assert len(threads()) == 2 and threading.active_count() == 1
"""
        )
        assert (done.stdout, done.stderr) == ("", "")

    def test_one_for_each_endpoint_and_again_in_a_child(self, run: Any) -> None:
        done = run(
            PROC
            + """
other = ZmqHandler(os.environ["ENDPOINT"])
log.addHandler(other)
log.info("both")
assert settled(2) == 2
pid = os.fork()
if pid == 0:
    ok = len(threads()) == 1
    log.info("child")
    ok = ok and settled(2) == 2
    os._exit(0 if ok else 1)
assert os.waitpid(pid, 0)[1] == 0
"""
        )
        assert (done.stdout, done.stderr) == ("", "")

    def test_a_thousand_handlers_leave_nothing(self, run: Any, collector: Any) -> None:
        """Neither threads, nor files, nor memory."""
        done = run(
            PROC
            + """
import gc
def files(): return len(os.listdir("/proc/self/fd"))
def pages(): return int(open("/proc/self/statm").read().split()[1])
def cycle(count):
    for n in range(count):
        one = ZmqHandler(os.environ["ENDPOINT"])
        one.handle(logging.makeLogRecord({"msg": "x", "levelno": 20}))
        one.close()
    gc.collect()
cycle(200)
settled(0)
before = files(), pages()
cycle(1000)
assert settled(0) == 0, threads()
assert files() <= before[0] + 1, (files(), before)
assert (pages() - before[1]) * 4096 < 8 << 20, (pages(), before)
"""
        )
        assert (done.stdout, done.stderr) == ("", "")
        assert len(collector.wait(1200)) == 1200

    def test_code_that_keeps_the_interpreter_delays_nothing(self, collector: Any) -> None:
        """C code that holds the interpreter's lock: the record logged before arrives meanwhile."""
        source = """
import ctypes, logging, os
from distlog import *
logging.basicConfig(level=10, handlers=[ZmqHandler(os.environ["ENDPOINT"])])
logging.info("held")
ctypes.PyDLL(None).usleep(900_000)
print("released", flush=True)
os.read(0, 1)
"""
        environment = {**os.environ, "ENDPOINT": collector.endpoint}
        with subprocess.Popen(
            [sys.executable, "-c", source], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            os.set_blocking(process.stdout.fileno(), False)
            assert [r["message"] for r in collector.wait(1)] == ["held"]
            assert process.stdout.read() is None, "it came only after the lock was released"
            process.communicate(b"x")


class TestLife:
    def test_close_twice_and_calls_afterwards(self, run: Any, collector: Any) -> None:
        done = run("""
            log.info("before")
            handler.close(); handler.close()
            log.info("after")
            assert handler.flush() in (True, False)
            handler.close()
            stats = handler.stats()
            assert (stats["sent"], stats["dropped"]["closed"]) == (1, 1), stats
        """)
        assert (done.stdout, done.stderr) == ("", "")
        assert [r["message"] for r in collector.wait(1, settle=0.1)] == ["before"]

    def test_changes_while_others_log(self, run: Any, collector: Any) -> None:
        """Handlers that are added, removed, closed, given levels, filters and formatters while eight threads log."""
        done = run("""
            def work():
                while not stop.is_set(): log.info("busy"); time.sleep(0.001)
            stop = threading.Event()
            threads = [threading.Thread(target=work) for _ in range(8)]
            [t.start() for t in threads]
            end = time.monotonic() + 1
            while time.monotonic() < end:
                one = ZmqHandler(os.environ["ENDPOINT"])
                log.addHandler(one)
                one.setFormatter(PickleFormatter()); one.setLevel(30); one.setLevel(0)
                one.addFilter(lambda record: True); one.setFormatter(None); one.filters.clear()
                one.flush(0.01)
                if int(end * 1000) % 2: log.removeHandler(one); one.close()
                else: one.close(); log.removeHandler(one)
            stop.set()
            [t.join(10) for t in threads]
            assert not any(t.is_alive() for t in threads)
            log.info("end")
        """)
        assert (done.stdout, done.stderr) == ("", "")
        found = collections.Counter(r["message"] for r in collector.wait(10, settle=0.3))
        assert found["end"] == 1
        assert found["busy"] > 100
