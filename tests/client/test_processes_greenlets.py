"""gevent: greenlets have goals of their own, and its patches, early or late, change nothing for the sender."""

from __future__ import annotations

import collections
import subprocess
import sys
from typing import Any

import pytest

PATCH = "from gevent import monkey; monkey.patch_all()\n"
IMPORT = """
import logging, os
from distlog import *
handler = ZmqHandler(os.environ["ENDPOINT"])
logging.basicConfig(level=10, handlers=[handler])
log = logging.getLogger("app")
"""
WORK = """
import gevent, threading
def one(n):
    with to("goal %d", n):
        log.info("first %d", n)
        gevent.sleep(0.001 * (n % 3))
        log.info("second %d", n)
        assert current_task() is not None
    assert current_task() is None
jobs = [gevent.spawn(one, n) for n in range(50)]
gevent.joinall(jobs, raise_error=True)
assert current_task() is None
thread = threading.Thread(target=log.info, args=("thread",))
thread.start(); thread.join()
assert handler.flush(5)
"""
FORK = """
pid = os.fork()
if pid == 0:
    gevent.spawn(log.info, "child").join()
    handler.flush(5)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
"""


@pytest.mark.parametrize("source", [PATCH + IMPORT + WORK, IMPORT + PATCH + WORK], ids=["before", "after"])
def test_records_and_goals(collector: Any, source: str) -> None:
    pytest.importorskip("gevent")
    import os

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", source + FORK],
        env={**os.environ, "ENDPOINT": collector.endpoint},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    records = collector.wait(202, settle=0.2)
    found = collections.Counter(r["message"] for r in records)
    expected = {"thread": 1, "child": 1}
    for n in range(50):
        expected.update({f"goal {n}": 2, f"first {n}": 1, f"second {n}": 1})
    assert {name: found[name] for name in expected} == expected
    goals = collections.defaultdict(set)
    for record in records:
        if "context" in record:
            goals[record["context"]["key"].split("@")[1]].add(record["message"].split()[-1])
    assert sorted(goals.values(), key=str) == sorted(({str(n)} for n in range(50)), key=str)
