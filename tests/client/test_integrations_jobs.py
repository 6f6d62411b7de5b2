"""Jobs for other processes are goals below the one that handed them over: processes, pools and executors, however they start."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from distlog import _distlog

METHODS = [method for method in ("fork", "spawn", "forkserver") if method in multiprocessing.get_all_start_methods()]
HEAD = """
import concurrent.futures, functools, logging, multiprocessing, os, sys
import distlog
log = logging.getLogger("app")

def work(number):
    log.info("work %d", number)
    with distlog.to("part"):
        pass
    return number

def tell():
    log.info("first %s", type(log).__name__, extra={"password": "4711"})
    log.debug("nothing")
    for _ in range(5):
        log.info("again")

def fail():
    raise LookupError("nothing there")

def nested(number):
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, number).result()

class Own(multiprocessing.get_context(sys.argv[1]).Process):
    def __init__(self, number):
        super().__init__()
        self.number = number

    def run(self):
        log.info("own %d", self.number)

if __name__ == "__main__":
    method = multiprocessing.get_context(sys.argv[1])
    distlog.configure(os.environ["ENDPOINT"], level="DEBUG")
    distlog.propagate()
"""


def tree_of(collector: Any, folder: Path, source: str, method: str, ends: int) -> dict[str, Any]:
    """Run the program from a file, as spawned children need it; wait for so many end records; give the one tree."""
    program = folder / "program.py"
    program.write_text(HEAD + textwrap.indent(textwrap.dedent(source), "    "))
    environment = {**os.environ, "ENDPOINT": collector.endpoint, "PYTHONWARNINGS": "ignore::DeprecationWarning"}
    command = [sys.executable, str(program), method]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    deadline, count = time.monotonic() + 10, 0
    while count < ends and time.monotonic() < deadline:
        time.sleep(0.02)
        count = sum(record.get("goal", {}).get("event") == "end" for record in collector.records())
    time.sleep(0.05)
    forest = _distlog.Forest()
    for record in collector.records():
        forest.add(json.dumps(record))
    (root,) = forest.roots()
    tree: dict[str, Any] = json.loads(forest.tree(root, time.time_ns()) or "")
    return tree


def shape(tree: dict[str, Any]) -> Any:
    """Titles and statuses, and that nothing is missing."""
    assert tree["missing"] == []
    below = [shape(child) for child in tree["children"]]
    own = f"{tree['title']} {tree['status']}"
    return [own, *below] if below else own


PART = "part succeeded"


@pytest.mark.parametrize("method", METHODS)
class TestPropagated:
    def test_processes(self, collector: Any, tmp_path: Path, method: str) -> None:
        source = """
        with distlog.task("all"):
            processes = [method.Process(target=work, args=(1,)), Own(2)]
            [process.start() for process in processes]
            [process.join() for process in processes]
        """
        tree = tree_of(collector, tmp_path, source, method, 4)
        assert shape(tree) == ["all succeeded", ["work succeeded", PART], "Own succeeded"]
        assert len(tree["processes"]) == 3
        messages = {record["message"] for record in collector.records()}
        assert {"work 1", "own 2"} <= messages

    def test_a_pool(self, collector: Any, tmp_path: Path, method: str) -> None:
        source = """
        with distlog.task("all"), method.Pool(2) as pool:
            assert pool.apply(work, (1,)) == 1
            assert pool.map(work, range(4), chunksize=2) == [0, 1, 2, 3]
            assert pool.starmap(work, [(5,)]) == [5]
            assert list(pool.imap(work, [6, 7])) == [6, 7]
            try:
                pool.apply(fail)
            except LookupError:
                pass
        """
        tree = tree_of(collector, tmp_path, source, method, 16)
        assert shape(tree) == [
            "all succeeded",
            ["work succeeded", PART],
            ["work × 2 succeeded", PART, PART],
            ["work × 2 succeeded", PART, PART],
            ["work × 1 succeeded", PART],
            ["work succeeded", PART],
            ["work succeeded", PART],
            "fail failed",
        ]

    def test_an_executor(self, collector: Any, tmp_path: Path, method: str) -> None:
        source = """
        import asyncio
        async def later(pool):
            return await asyncio.get_running_loop().run_in_executor(pool, work, 9)
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=method) as pool:
            with distlog.task("all"):
                assert pool.submit(work, 1).result() == 1
                assert list(pool.map(work, range(2), chunksize=2)) == [0, 1]
                assert isinstance(pool.submit(fail).exception(), LookupError)
                assert asyncio.run(later(pool)) == 9
        """
        tree = tree_of(collector, tmp_path, source, method, 9)
        assert shape(tree) == [
            "all succeeded",
            ["work succeeded", PART],
            ["work × 2 succeeded", PART, PART],
            "fail failed",
            ["work succeeded", PART],
        ]


def test_jobs_of_jobs(collector: Any, tmp_path: Path) -> None:
    """What hands work on is itself a spawned process: it was told to propagate, and where to send."""
    source = """
    with distlog.task("all"):
        process = method.Process(target=nested, args=(1,))
        process.start()
        process.join()
    """
    tree = tree_of(collector, tmp_path, source, "spawn", 4)
    assert shape(tree) == ["all succeeded", ["nested succeeded", ["work succeeded", PART]]]
    assert len(tree["processes"]) == 3


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_wrapped_without_propagation(collector: Any, tmp_path: Path, method: str) -> None:
    source = """
    distlog.propagate(False)
    start = functools.partial(distlog.configure, os.environ["ENDPOINT"], level="DEBUG")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=method, initializer=start) as pool:
        pool.submit(int).result()
        with distlog.task("all"):
            wrapped = distlog.wrap(work)
        assert wrapped.__name__ == "work"
        assert pool.submit(wrapped, 1).result() == 1
        assert pool.submit(wrapped, 2).result() == 2
    """
    tree = tree_of(collector, tmp_path, source, method, 5)
    children = [shape(child) for child in tree["children"]]
    assert children == [["work succeeded", PART]] * 2


def test_outside_goals_nothing_becomes_one(collector: Any, tmp_path: Path) -> None:
    source = """
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=method) as pool:
        pool.submit(work, 1).result()
    """
    tree = tree_of(collector, tmp_path, source, "spawn", 1)
    assert tree["title"] == "part"
    assert "work 1" in [record["message"] for record in collector.records()]


def test_managers_are_no_goals(collector: Any, tmp_path: Path) -> None:
    source = """
    with distlog.task("all"), method.Manager() as manager:
        manager.list([1]).append(2)
    """
    assert shape(tree_of(collector, tmp_path, source, "fork", 1)) == "all succeeded"


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_children_send_as_their_parent_does(collector: Any, tmp_path: Path, method: str) -> None:
    """Redaction, filters, the level and native methods go along."""
    source = """
    distlog.configure(os.environ["ENDPOINT"], level="INFO", system="T", redact=True, rate_limit="2/h", accelerate=True)
    with distlog.task("all"):
        process = method.Process(target=tell)
        process.start()
        process.join()
    """
    tree = tree_of(collector, tmp_path, source, method, 2)
    assert shape(tree) == ["all succeeded", "tell succeeded"]
    records = [record for record in collector.records() if record["funcName"] == "tell" and "goal" not in record]
    assert [record["message"] for record in records] == ["first Logger", "again", "again"]
    assert "4711" not in str(collector.records())
    assert records[0]["password"] != "4711" and {record["topic"] for record in records} == {"TLJ"}


def test_what_cannot_go_along_is_left_out(collector: Any, tmp_path: Path) -> None:
    """A callback that hides secrets and cannot be pickled: nothing is sent rather than the secrets; the job is done."""
    source = """
    distlog.configure(os.environ["ENDPOINT"], redact={"callback": lambda path, value: value})
    with distlog.task("all"):
        process = method.Process(target=tell)
        process.start()
        process.join()
        assert process.exitcode == 0
    """
    tree = tree_of(collector, tmp_path, source, "spawn", 1)
    assert [child["status"] for child in tree["children"]] == ["awaited"]
