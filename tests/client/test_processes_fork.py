"""Forks of every kind, also those that Python is not told of. Each record arrives exactly once, and nothing hangs."""

from __future__ import annotations

import collections
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="nothing forks here")

QUIET = ("", "")


def messages(collector: Any, count: int, settle: float = 0.15) -> collections.Counter[str]:
    """The messages that arrived, and how often."""
    return collections.Counter(r["message"] for r in collector.wait(count, settle=settle))


def once_each(found: collections.Counter[str], *names: str) -> None:
    """Exactly these messages, each once."""
    assert found == dict.fromkeys(names, 1)


class TestWithoutHooks:
    """A fork in C: neither ``os.register_at_fork`` nor multiprocessing hears of it. So does uWSGI."""

    # PyDLL keeps the interpreter's lock over the call, without which the child could not go on in Python.
    FORK = "import ctypes\nfork = ctypes.PyDLL(None).fork\n"

    def test_the_child_and_the_parent_log(self, run: Any, collector: Any) -> None:
        done = run(
            self.FORK
            + """
for n in range(100): log.info("before %d", n)
pid = fork()
for n in range(100): log.info("%s %d", "child" if pid == 0 else "parent", n)
if pid == 0:
    os._exit(0 if handler.flush(5) else 1)
assert os.waitpid(pid, 0)[1] == 0
"""
        )
        assert (done.stdout, done.stderr) == QUIET
        names = [f"{who} {n}" for who in ("before", "child", "parent") for n in range(100)]
        once_each(messages(collector, 300), *names)
        assert len({r["process"] for r in collector.records()}) == 2

    def test_the_first_record_is_the_childs(self, run: Any, collector: Any) -> None:
        """The handler was made before the fork, and no thread was started in the parent."""
        done = run(
            self.FORK
            + """
pid = fork()
if pid == 0:
    log.info("child")
    os._exit(0 if handler.flush(5) else 1)
assert os.waitpid(pid, 0)[1] == 0
"""
        )
        assert (done.stdout, done.stderr) == QUIET
        once_each(messages(collector, 1), "child")

    def test_generations(self, run: Any, collector: Any) -> None:
        """A child's child, and its: five processes, of which each logs before and after it forks."""
        done = run(
            self.FORK
            + """
for generation in range(5):
    log.info("%d before", generation)
    pid = fork()
    if pid:
        log.info("%d after", generation)
        assert os.waitpid(pid, 0)[1] == 0
        os._exit(0 if handler.flush(5) else 1)
os._exit(0)
"""
        )
        assert (done.stdout, done.stderr) == QUIET
        once_each(messages(collector, 10), *(f"{n} {when}" for n in range(5) for when in ("before", "after")))

    def test_other_calls_come_first(self, run: Any, collector: Any) -> None:
        """In the child, ``flush``, ``stats`` and ``close`` must notice as well: the parent's thread is not there to wait for."""
        done = run(
            self.FORK
            + """
log.info("parent")
for call in (lambda: handler.flush(10), lambda: handler.stats(), handler.close):
    begun = time.monotonic()
    log.info("again")
    pid = fork()
    if pid == 0:
        call()
        os._exit(0 if time.monotonic() - begun < 1 else 1)
    assert os.waitpid(pid, 0)[1] == 0
"""
        )
        assert (done.stdout, done.stderr) == QUIET
        assert messages(collector, 4) == {"parent": 1, "again": 3}

    def test_beside_threads_that_log(self, run: Any, collector: Any) -> None:
        done = run(
            self.FORK
            + """
def work():
    while not stop.is_set():
        log.debug("busy %s", {"n": 1})
        time.sleep(0.001)
stop = threading.Event()
threads = [threading.Thread(target=work) for _ in range(4)]
[t.start() for t in threads]
for n in range(30):
    pid = fork()
    if pid == 0:
        log.info("child %d", n)
        os._exit(0 if handler.flush(10) else 1)
    assert os.waitpid(pid, 0)[1] == 0
stop.set()
[t.join() for t in threads]
""",
            timeout=60,
        )
        assert done.stderr == ""
        found = {name: count for name, count in messages(collector, 30).items() if name.startswith("child")}
        assert found == {f"child {n}": 1 for n in range(30)}
