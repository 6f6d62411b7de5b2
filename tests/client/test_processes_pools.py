"""Processes and pools of the standard library, under every way to start them. Each record arrives exactly once."""

from __future__ import annotations

import collections
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

METHODS = ["fork", "spawn", "forkserver"]

PROGRAM = """
import concurrent.futures, logging, multiprocessing, os, sys
import distlog

def set_up():
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.INFO, handlers=[distlog.ZmqHandler(os.environ["ENDPOINT"])])

def work(n):
    set_up()
    logging.getLogger("app").info("work %d", n)
    return n

def fails(n):
    work(n)
    raise ValueError(n)

def processes(context):
    children = [context.Process(target=work, args=(n,)) for n in range(10)]
    [child.start() for child in children]
    [child.join() for child in children]

def process_that_fails(context):
    child = context.Process(target=fails, args=(0,))
    child.start(); child.join()
    assert child.exitcode == 1

def pool_closed(context):
    pool = context.Pool(2, initializer=set_up)
    pool.map(work, range(10), 1)
    pool.close(); pool.join()

def pool_left(context):
    with context.Pool(2) as pool: pool.map(work, range(10), 1)

def pool_recycled(context):
    with context.Pool(2, maxtasksperchild=2) as pool: pool.map(work, range(10), 1)

def executor(context):
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool: list(pool.map(work, range(10)))

def executor_not_shut_down(context):
    pool = concurrent.futures.ProcessPoolExecutor(2, mp_context=context)
    [pool.submit(work, n) for n in range(10)]

if __name__ == "__main__":
    set_up()
    context = multiprocessing.get_context(sys.argv[2])
    if "preload" in sys.argv: context.set_forkserver_preload(["distlog", "__main__"])
    logging.getLogger("app").info("parent before")
    globals()[sys.argv[1]](context)
    logging.getLogger("app").info("parent after")
"""

KINDS = ["processes", "pool_closed", "pool_left", "pool_recycled", "executor", "executor_not_shut_down"]


def found(collector: Any, folder: Path, count: int, *arguments: str) -> collections.Counter[str]:
    program = folder / "program.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "ENDPOINT": collector.endpoint, "PYTHONWARNINGS": "ignore::DeprecationWarning"}
    done = subprocess.run(
        [sys.executable, str(program), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    if "process_that_fails" not in arguments:
        assert (done.stdout, done.stderr) == ("", "")
    return collections.Counter(r["message"] for r in collector.wait(count, settle=0.1) if r["name"] == "app")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_under_every_method(collector: Any, tmp_path: Path, kind: str, method: str) -> None:
    expected = {"parent before": 1, "parent after": 1, **{f"work {n}": 1 for n in range(10)}}
    assert found(collector, tmp_path, 12, kind, method) == expected


@pytest.mark.parametrize("method", METHODS)
def test_a_process_that_fails(collector: Any, tmp_path: Path, method: str) -> None:
    expected = {"parent before": 1, "parent after": 1, "work 0": 1}
    assert found(collector, tmp_path, 3, "process_that_fails", method) == expected


def test_a_fork_server_that_has_distlog_loaded(collector: Any, tmp_path: Path) -> None:
    """The server imports it once; the children it forks log for themselves."""
    expected = {"parent before": 1, "parent after": 1, **{f"work {n}": 1 for n in range(10)}}
    assert found(collector, tmp_path, 12, "processes", "forkserver", "preload") == expected
