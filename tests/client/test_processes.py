"""Whole processes: forks, spawned children, pools, and every way to end. Each record arrives exactly once, or is counted."""

from __future__ import annotations

import collections
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

QUIET = ("", "")


def messages(collector: Any, count: int, settle: float = 0.15) -> collections.Counter[str]:
    """The messages that arrived, and how often."""
    return collections.Counter(r["message"] for r in collector.wait(count, settle=settle))


def test_short_scripts(run: Any, collector: Any) -> None:
    """C4"""
    for number in range(5):
        done = run("for n in range(500): log.info('%s %d', sys.argv[1], n)", str(number))
        assert (done.stdout, done.stderr) == QUIET
    assert set(messages(collector, 2500).values()) == {1}
    assert len(collector.messages) == 2500


ENDS = {
    "normal": ("pass", 0, "succeeded"),
    "sys.exit()": ("sys.exit()", 0, "succeeded"),
    "sys.exit(3)": ("sys.exit(3)", 3, "failed"),
    "error": ("1/0", 1, "failed"),
    # A job in the background is born deaf to SIGINT.
    "interrupt": (
        "import signal; signal.signal(2, signal.default_int_handler); signal.raise_signal(signal.SIGINT)",
        -2,
        "failed",
    ),
    "os._exit": ("handler.flush(); os._exit(0)", 0, "running"),
    "killed": ("handler.flush(); os.kill(os.getpid(), 9)", -9, "running"),
}


@pytest.mark.parametrize("name", ENDS)
def test_every_way_to_end(run: Any, collector: Any, name: str) -> None:
    """B10"""
    from distlog.testing import Captured

    statement, code, status = ENDS[name]
    done = run(f"with task('work'):\n    log.info('inside'); {statement}", check=False)
    assert done.returncode == code, done.stderr
    captured = Captured()
    captured.records = [{k: v for k, v in r.items() if k != "topic"} for r in collector.wait(2, settle=0.1)]
    assert captured.tree()["status"] == status


def test_at_the_very_end(run: Any, collector: Any) -> None:
    """C9"""
    done = run("""
        import atexit
        class Late:
            def __del__(self): log.info("from __del__")
        atexit.register(lambda: log.info("from atexit"))
        late = Late()
        late.cycle = late
        def daemon():
            while True: log.debug("thread"); time.sleep(0.001)
        threading.Thread(target=daemon, daemon=True).start()
        log.info("from main")
    """)
    assert (done.stdout, done.stderr) == QUIET
    assert {"from main", "from atexit"} <= set(messages(collector, 2))


def test_exit_without_a_daemon(run: Any, free_port: int) -> None:
    """C5"""
    started = time.perf_counter()
    done = run("for n in range(1000): log.info('x')", endpoint=f"tcp://127.0.0.1:{free_port}")
    assert done.stderr == f"distlog: 1000 records could not be delivered to tcp://127.0.0.1:{free_port}\n"
    assert time.perf_counter() - started < 2.5 + 0.5


def test_exit_with_many_handlers_has_one_deadline(run: Any, free_port: int) -> None:
    started = time.perf_counter()
    run(
        "for n in range(5): log.addHandler(ZmqHandler(os.environ['ENDPOINT']))\nlog.info('x')",
        endpoint=f"tcp://127.0.0.1:{free_port}",
    )
    assert time.perf_counter() - started < 3


def test_one_notice(run: Any, free_port: int) -> None:
    """When no daemon answers, stderr says so once."""
    done = run("for n in range(65): log.info('x'); time.sleep(0.1)", endpoint=f"tcp://127.0.0.1:{free_port}")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"distlog: no daemon answers at tcp://127.0.0.1:{free_port}")


def test_hard_exit_without_a_daemon(run: Any, free_port: int) -> None:
    """``os._exit`` stays a quick end where nobody listens."""
    begun = time.monotonic()
    done = run("for n in range(100): log.info('x')\nos._exit(3)", endpoint=f"tcp://127.0.0.1:{free_port}", check=False)
    assert done.returncode == 3
    assert time.monotonic() - begun < 1.5


LEAVES_A_POOL = """
import logging, multiprocessing, sys
from distlog import ZmqHandler
logging.basicConfig(level=logging.DEBUG, handlers=[ZmqHandler(sys.argv[1])])

def work(n):
    logging.getLogger("pool").info("work %d", n)

if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[2]).Pool(2) as pool:
        pool.map(work, range(20), 1)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_a_pool_that_is_left(collector: Any, tmp_path: Path, method: str) -> None:
    """Leaving ``with Pool()`` ends the workers with SIGTERM; what they logged is there."""
    program = tmp_path / "program.py"
    program.write_text(LEAVES_A_POOL)
    subprocess.run([sys.executable, program, collector.endpoint, method], timeout=30, check=True)
    records = collector.wait(20, settle=0.2)
    found = collections.Counter(r["message"] for r in records if r["name"] == "pool")
    assert found == {f"work {n}": 1 for n in range(20)}


class TestFork:
    """C6, C7"""

    def test_parent_and_child(self, run: Any, collector: Any) -> None:
        done = run("""
            for n in range(200): log.info("parent %d", n)
            if os.fork() == 0:
                for n in range(200): log.info("child %d", n)
                handler.flush(5)
                os._exit(0)
            os.wait()
            log.info("parent after")
        """)
        assert (done.stdout, done.stderr) == QUIET
        found = messages(collector, 401)
        assert set(found.values()) == {1}
        assert len(found) == 401

    def test_children_that_only_log_and_leave(self, run: Any, collector: Any) -> None:
        """``os._exit`` runs no exit hooks, and yet the records are there."""
        done = run("""
            for n in range(20):
                if os.fork() == 0:
                    with to("goal"): log.info("child %d", n)
                    os._exit(0)
                os.wait()
            os._exit(0)
        """)
        assert (done.stdout, done.stderr) == QUIET
        found = collections.Counter(r["message"] for r in collector.wait(60, settle=0.2))
        assert found == {"goal": 40, **{f"child {n}": 1 for n in range(20)}}

    def test_while_threads_log(self, run: Any, collector: Any) -> None:
        done = run(
            """
            def work():
                while not stop.is_set():
                    with to("thread"): log.debug("busy %s", {"n": 1})
                    time.sleep(0.002)
            stop = threading.Event()
            threads = [threading.Thread(target=work) for _ in range(8)]
            [t.start() for t in threads]
            for n in range(50):
                pid = os.fork()
                if pid == 0:
                    with task("forked"): log.info("child %d", n)
                    os._exit(0 if handler.flush(10) else 1)
                # The standard library itself may hang here over other handlers' locks; there are none.
                assert os.waitpid(pid, 0)[1] == 0
            stop.set()
            [t.join() for t in threads]
        """,
            timeout=60,
        )
        assert done.returncode == 0
        found = collections.Counter(r["message"] for r in collector.wait(150, settle=0.3))
        assert {f"child {n}": found[f"child {n}"] for n in range(50)} == {f"child {n}": 1 for n in range(50)}

    def test_a_goal_open_at_the_fork(self, run: Any, collector: Any) -> None:
        """The child's records are a goal of their own below it: no number is drawn twice, and each goal ends once."""
        done = run("""
            with task("outer", a=1) as goal:
                log.info("before")
                pid = os.fork()
                log.info("child" if pid == 0 else "parent")
                if pid == 0:
                    with to("deeper"): log.info("deep")
                else:
                    os.waitpid(pid, 0)
            if pid == 0:
                handler.flush(5)
                os._exit(0)
        """)
        assert (done.stdout, done.stderr) == QUIET
        records = collector.wait(10, settle=0.1)
        keys = [r["context"]["key"] for r in records]
        assert len(set(keys)) == len(keys) == 10
        (tree,) = trees(records)
        assert (tree["title"], tree["status"], tree["missing"]) == ("outer", "succeeded", [])
        (child,) = tree["children"]
        assert child["title"].startswith("outer, in forked process")
        assert (child["status"], child["missing"]) == ("succeeded", [])
        assert [r["message"] for r in child["own_records"]][1] == "child"
        assert child["children"][0]["title"] == "deeper"
        assert {r["context"]["a"] for r in records} == {1}

    def test_prefork(self, run: Any, collector: Any) -> None:
        """A master that logs, workers that log and end by a signal."""
        done = run("""
            import signal
            log.info("master")
            pids = []
            for worker in range(4):
                pid = os.fork()
                if pid == 0:
                    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
                    for n in range(200): log.info("%d %d", worker, n)
                    while True: time.sleep(0.01)
                pids.append(pid)
            time.sleep(0.5)
            for pid in pids: os.kill(pid, signal.SIGTERM)
            for pid in pids: os.waitpid(pid, 0)
        """)
        assert done.stderr == ""
        found = messages(collector, 801)
        assert set(found.values()) == {1}
        assert len(found) == 801


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(run: Any, collector: Any, tmp_path: Path, method: str) -> None:
    """C6: children end without the interpreter's exit hooks."""
    program = tmp_path / "program.py"
    program.write_text("""
import logging, multiprocessing, os, sys
from distlog import *

def work(name, parent):
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.INFO, handlers=[ZmqHandler(os.environ["ENDPOINT"])])
    with import_task(parent, "child %d", name):
        logging.getLogger("app").info("from %d", name)

if __name__ == "__main__":
    method = multiprocessing.get_context(sys.argv[1])
    logging.basicConfig(level=logging.INFO, handlers=[ZmqHandler(os.environ["ENDPOINT"])])
    with task("all") as goal:
        children = [method.Process(target=work, args=(n, goal.get_foreign_task())) for n in range(5)]
        [child.start() for child in children]
        [child.join() for child in children]
""")
    import os

    done = subprocess.run(
        [sys.executable, str(program), method],
        env={**os.environ, "ENDPOINT": collector.endpoint},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (done.stdout, done.stderr) == QUIET
    (tree,) = trees(collector.wait(17, settle=0.2))
    ended = [(c["status"], c["records"], c["missing"]) for c in tree["children"] if c["status"] != "awaited"]
    assert ended == [("succeeded", 3, [])] * 5
    assert tree["missing"] == []
    assert len(tree["processes"]) == 6


def test_the_handler_goes_to_spawned_children(run: Any, collector: Any, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("""
import logging, multiprocessing, os
from distlog import *

def work(handler):
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("app").info("with the parent's handler")

if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=work, args=(ZmqHandler(os.environ["ENDPOINT"], None, "T"),))
    child.start()
    child.join()
""")
    import os

    subprocess.run(
        [sys.executable, str(program)], env={**os.environ, "ENDPOINT": collector.endpoint}, timeout=60, check=True
    )
    (record,) = collector.wait(1)
    assert record["topic"] == "TLJ"


def test_two_processes_one_tree(run: Any, collector: Any) -> None:
    """B1"""
    done = run("""
        import subprocess
        child = "import os, sys; from distlog import *; import logging; h = ZmqHandler(os.environ['ENDPOINT'])\\n" \\
            "logging.basicConfig(level=10, handlers=[h])\\n" \\
            "with import_task(sys.argv[1], 'packing'): logging.getLogger('pack').info('packed')"
        with task("order") as goal:
            for make in (goal.get_foreign_task, lambda: goal.traceparent):
                subprocess.run([sys.executable, "-c", child, make()], check=True)
    """)
    assert (done.stdout, done.stderr) == QUIET
    (tree,) = trees(collector.wait(8, settle=0.1))
    assert [(c["title"], c["status"], c["records"]) for c in tree["children"]] == [("packing", "succeeded", 3)] * 2
    assert tree["missing"] == []
    assert len(tree["processes"]) == 3


def test_signal_handlers_may_log(run: Any, collector: Any) -> None:
    """C8"""
    done = run("""
        import signal
        count = 0
        def on_alarm(*_):
            global count
            count += 1
            log.info("signal %d", count)
        signal.signal(signal.SIGALRM, on_alarm)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        end = time.time() + 1
        while time.time() < end:
            with task("work"): log.info("main %s", {"a": 1})
            if handler.stats()["queued"] > 1000: handler.flush(1)
        signal.setitimer(signal.ITIMER_REAL, 0)
        handler.flush()
        print(count, handler.stats()["sent"])
    """)
    assert done.stderr == ""
    count, sent = map(int, done.stdout.split())
    assert count > 50
    found = messages(collector, sent)
    assert sum(name.startswith("signal") for name in found) == count


def trees(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The trees that these records make."""
    from distlog.testing import Captured

    captured = Captured()
    captured.records = [{k: v for k, v in r.items() if k != "topic"} for r in records if "context" in r]
    return captured.trees()
