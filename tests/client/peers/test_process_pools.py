"""Processes and pools in every way Python starts them: each record arrives once, nothing hangs, goals go where ids are given.

The programs are files, since spawned children import them.
"""

from __future__ import annotations

import collections
import multiprocessing
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any, Callable

import pytest

METHODS = [method for method in ("fork", "spawn", "forkserver") if method in multiprocessing.get_all_start_methods()]
HEAD = """
import logging, multiprocessing, os, pickle, sys, threading
from concurrent.futures import ProcessPoolExecutor
from distlog import *

log = logging.getLogger("app")

def begin(handler=None):
    # A forked child has it already: then this changes nothing.
    logging.basicConfig(level=logging.DEBUG, handlers=[handler or ZmqHandler(os.environ["ENDPOINT"])])

def say(text):
    log.info("%s", text)
    return os.getpid()

def remote(parent, text):
    with import_task(parent, "remote %s", text):
        say(text)
"""
Run = Callable[..., collections.Counter]


@pytest.fixture
def program(collector: Any, tmp_path: Path) -> Run:
    """Run a program and give the messages that arrived, and how often."""

    def run(source: str, *arguments: str, expect: int, timeout: float = 40) -> collections.Counter:
        path = tmp_path / "program.py"
        path.write_text(HEAD + textwrap.dedent(source))
        environment = {**os.environ, "ENDPOINT": collector.endpoint, "PYTHONWARNINGS": "ignore::DeprecationWarning"}
        command = [sys.executable, str(path), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        return collections.Counter(r["message"] for r in collector.wait(expect, settle=0.1))

    return run


@pytest.mark.parametrize("method", METHODS)
class TestStartMethods:
    def test_process_with_the_handler_as_argument(self, program: Run, method: str) -> None:
        """The handler is given to the child, which installs it."""
        found = program(
            """
            def child(handler):
                begin(handler)
                say("child")
            if __name__ == "__main__":
                context = multiprocessing.get_context(sys.argv[1])
                handler = ZmqHandler(os.environ["ENDPOINT"])
                begin(handler)
                process = context.Process(target=child, args=(handler,))
                process.start(); process.join()
                assert process.exitcode == 0
                say("parent")
            """,
            method,
            expect=2,
        )
        assert found == {"child": 1, "parent": 1}

    def test_pool_with_an_initializer(self, program: Run, method: str) -> None:
        """The workers install the handler once, and log in every job."""
        found = program(
            """
            if __name__ == "__main__":
                context = multiprocessing.get_context(sys.argv[1])
                handler = ZmqHandler(os.environ["ENDPOINT"])
                begin(handler)
                with context.Pool(2, begin, (handler,)) as pool:
                    for _ in range(3): pool.apply(say, ("child",))
                    pool.close(); pool.join()
                say("parent")
            """,
            method,
            expect=4,
        )
        assert found == {"child": 3, "parent": 1}

    def test_executor(self, program: Run, method: str) -> None:
        """``ProcessPoolExecutor``, with goals whose ids are given along."""
        found = program(
            """
            if __name__ == "__main__":
                context = multiprocessing.get_context(sys.argv[1])
                handler = ZmqHandler(os.environ["ENDPOINT"])
                begin(handler)
                with task("parent") as goal, ProcessPoolExecutor(2, context, begin, (handler,)) as pool:
                    jobs = [pool.submit(remote, goal.get_foreign_task(), n) for n in range(6)]
                    [job.result(20) for job in jobs]
            """,
            method,
            expect=2 + 3 * 6,
        )
        assert found["parent"] == 2
        assert {text: count for text, count in found.items() if text.startswith("remote")} == {
            f"remote {n}": 2 for n in range(6)
        }

    def test_handlers_made_by_the_import(self, program: Run, method: str) -> None:
        """A module that sets its logging up when it is imported does so in spawned children too; forked ones inherit it."""
        found = program(
            """
            begin()
            if __name__ == "__main__":
                context = multiprocessing.get_context(sys.argv[1])
                processes = [context.Process(target=say, args=(f"child {n}",)) for n in range(3)]
                [p.start() for p in processes]
                [p.join() for p in processes]
            """,
            method,
            expect=3,
        )
        assert found == {f"child {n}": 1 for n in range(3)}

    def test_removed_in_the_child_and_in_the_parent(self, program: Run, method: str) -> None:
        """Either may remove the handler; the other's goes on."""
        found = program(
            """
            def child(handler):
                begin(handler)
                say("child")
                logging.getLogger().removeHandler(handler)
                handler.close()
                logging.getLogger().addHandler(logging.NullHandler())
                say("nobody hears")
            if __name__ == "__main__":
                context = multiprocessing.get_context(sys.argv[1])
                handler = ZmqHandler(os.environ["ENDPOINT"])
                begin(handler)
                process = context.Process(target=child, args=(handler,))
                process.start(); process.join()
                say("parent")
            """,
            method,
            expect=2,
        )
        assert found == {"child": 1, "parent": 1}


@pytest.mark.skipif("fork" not in METHODS, reason="no fork here")
class TestForks:
    def test_a_hundred_children(self, program: Run) -> None:
        """Each sends all it has before it is gone."""
        found = program(
            """
            if __name__ == "__main__":
                begin()
                context = multiprocessing.get_context("fork")
                processes = [context.Process(target=say, args=(f"child {n}",)) for n in range(100)]
                for process in processes: process.start()
                for process in processes:
                    process.join(30)
                    assert process.exitcode == 0
            """,
            expect=100,
        )
        assert found == {f"child {n}": 1 for n in range(100)}

    def test_children_do_not_send_what_the_parent_has(self, program: Run) -> None:
        """What waits in the parent at the fork is the parent's to send, whatever the child does and when."""
        found = program(
            """
            if __name__ == "__main__":
                begin()
                handler = logging.getLogger().handlers[0]
                children = []
                for n in range(9):
                    for k in range(20): say(f"parent {n}.{k}")
                    pid = os.fork()
                    if pid == 0:
                        say(f"child {n}")
                        handler.flush()
                        handler.close()
                        os._exit(0)
                    children.append(pid)
                for pid in children: assert os.waitpid(pid, 0)[1] == 0
            """,
            expect=9 * 21,
        )
        assert set(found.values()) == {1}
        assert len(found) == 9 * 21

    def test_forks_of_forks(self, program: Run) -> None:
        """Four generations, each with a goal of its own, all in one tree."""
        found = program(
            """
            def generation(depth):
                with to("generation %d", depth):
                    say(f"at {depth}")
                    if depth < 4:
                        pid = os.fork()
                        if pid == 0:
                            generation(depth + 1)
                            os._exit(0)
                        assert os.waitpid(pid, 0)[1] == 0
            if __name__ == "__main__":
                begin()
                generation(1)
            """,
            expect=4 * 3,
        )
        assert {f"at {n}": found[f"at {n}"] for n in range(1, 5)} == {f"at {n}": 1 for n in range(1, 5)}

    def test_groups_in_rounds(self, program: Run) -> None:
        """Ten rounds of two processes that tell three things each: after each round all of it is there."""
        found = program(
            """
            def tell(n):
                for what in ("erste", "zweite", "dritte größere"): say(f"{what} {n}")
            if __name__ == "__main__":
                begin()
                context = multiprocessing.get_context("fork")
                for _ in range(10):
                    pair = [context.Process(target=tell, args=(n,)) for n in range(2)]
                    [p.start() for p in pair]
                    [p.join() for p in pair]
            """,
            expect=60,
        )
        assert set(found.values()) == {10}
        assert len(found) == 6


def test_pickled_functions(program: Run) -> None:
    """Wrapped and decorated functions go to workers by name, as plain ones do."""
    found = program(
        """
        @to("decorated")
        def decorated(text): say(text)
        if __name__ == "__main__":
            handler = ZmqHandler(os.environ["ENDPOINT"])
            begin(handler)
            context = multiprocessing.get_context("spawn")
            assert pickle.loads(pickle.dumps(decorated)) is decorated
            with context.Pool(1, begin, (handler,)) as pool:
                pool.map(decorated, ["a", "b"])
                pool.close(); pool.join()
        """,
        expect=6,
    )
    assert found == {"decorated": 4, "a": 1, "b": 1}


def test_exceptions_that_cannot_be_pickled(program: Run) -> None:
    """Exceptions and values that no pickle takes, or no unpickling, are logged by workers as by anybody."""
    found = program(
        """
        class NotPicklable(Exception):
            def __reduce__(self): raise TypeError("no")
        class NotUnpicklable(Exception):
            def __init__(self, a, b): super().__init__(f"{a}{b}")
        def child(handler):
            begin(handler)
            handler.setFormatter(PickleFormatter())
            for error in (NotPicklable("np"), NotUnpicklable("n", "u")):
                try: raise error
                except Exception: log.exception("%s %s", type(error).__name__, error, extra={"lock": threading.Lock()})
        if __name__ == "__main__":
            handler = ZmqHandler(os.environ["ENDPOINT"])
            begin(handler)
            process = multiprocessing.get_context("spawn").Process(target=child, args=(handler,))
            process.start(); process.join()
            assert process.exitcode == 0
        """,
        expect=2,
    )
    assert found == {"NotPicklable np": 1, "NotUnpicklable nu": 1}


def test_a_stress_of_processes(program: Run, collector: Any) -> None:
    """32 processes, 100 messages of 10,000 characters each: every one intact, none missing, none twice.

    The queue holds less than a process writes, so each waits for its own to leave when the queue is half full.
    """
    started = time.monotonic()
    program(
        """
        def write(n):
            handler = logging.getLogger().handlers[0]
            for k in range(100):
                log.info("%d %d %s", n, k, chr(97 + (n + k) % 26) * 10_000)
                if handler.stats()["queued"] > 50: handler.flush()
            assert handler.stats()["dropped"]["full"] == 0
        if __name__ == "__main__":
            begin(ZmqHandler(os.environ["ENDPOINT"], queue_bytes=3 << 20))
            context = multiprocessing.get_context(multiprocessing.get_all_start_methods()[0])
            processes = [context.Process(target=write, args=(n,)) for n in range(32)]
            [p.start() for p in processes]
            for p in processes:
                p.join(30)
                assert p.exitcode == 0
        """,
        expect=3200,
    )
    seen = set()
    for record in collector.records():
        n, k, text = record["message"].split()
        assert text == chr(97 + (int(n) + int(k)) % 26) * 10_000
        seen.add((n, k))
    assert len(seen) == len(collector.messages) == 3200
    assert time.monotonic() - started < 30
