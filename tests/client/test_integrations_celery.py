"""Celery's tasks under a real worker with forked processes, which reads from kombu's filesystem transport; and eager ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import celery
import distlog.integrations.celery as for_celery
import pytest
from distlog import _distlog, current_task, task
from distlog.testing import capture

APPLICATION = """
import logging, os
import celery, distlog
import distlog.integrations.celery

folder = os.environ["FOLDER"]
app = celery.Celery("shop", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": folder + "/queue", "data_folder_out": folder + "/queue", "control_folder": folder + "/control",
}
app.conf.broker_connection_retry_on_startup = True
distlog.configure(os.environ["ENDPOINT"])
distlog.integrations.celery.install()
log = logging.getLogger("app")

@app.task(name="pack")
def pack(order):
    log.info("packing %d", order)
    send.delay(order)

@app.task(name="send")
def send(order):
    log.info("sending %d", order)

@app.task(name="charge", bind=True, max_retries=1, default_retry_delay=0)
def charge(self, order):
    try:
        raise LookupError("no card")
    except LookupError as error:
        raise self.retry(exc=error)
"""

PUBLISHER = """
import logging, shop_tasks
with distlog.task("buy") as goal:
    shop_tasks.pack.delay(1)
    shop_tasks.charge.delay(1)
shop_tasks.send.delay(2)
"""


@pytest.fixture
def worker(collector: Any, tmp_path: Path) -> Iterator[dict[str, str]]:
    (tmp_path / "shop_tasks.py").write_text(APPLICATION)
    for name in ("queue", "control"):
        (tmp_path / name).mkdir()
    environment = {"FOLDER": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "INFO"]
    command = [sys.executable, "-m", "celery", "-A", "shop_tasks", "worker", "-c", "2", "-P", "prefork", *quiet]
    everything = {**os.environ, **environment, "ENDPOINT": collector.endpoint, "C_FORCE_ROOT": "1"}
    with (tmp_path / "worker.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=tmp_path, env=everything, stdout=log, stderr=log, start_new_session=True
        )
    yield environment
    # At once: a warm shutdown takes this transport five seconds.
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(20)


def trees(collector: Any, ends: int) -> dict[str, dict[str, Any]]:
    """Wait for so many end records; give the roots by title, and the flat list of goals of each."""
    import json

    deadline = time.monotonic() + 30
    count = 0
    while count < ends and time.monotonic() < deadline:
        time.sleep(0.05)
        count = sum(record.get("goal", {}).get("event") == "end" for record in collector.records())
    forest = _distlog.Forest()
    for record in collector.records():
        forest.add(json.dumps(record))
    found = [json.loads(forest.tree(root, time.time_ns()) or "{}") for root in forest.roots()]
    return {tree["title"]: tree for tree in found}


def test_tasks_are_goals_below_their_publishers(collector: Any, run: Callable[..., Any], worker: Any) -> None:
    run("import distlog\n" + PUBLISHER, **worker)
    roots = trees(collector, 6)
    assert roots.keys() == {"buy", "send"}
    tree = roots["buy"]
    assert tree["missing"] == []
    pack, charge = tree["children"]
    assert (pack["title"], pack["status"], [r["message"] for r in pack["own_records"]][1]) == (
        "pack",
        "succeeded",
        "packing 1",
    )
    (send,) = pack["children"]
    assert (send["title"], send["status"]) == ("send", "succeeded")
    assert (charge["title"], charge["status"], charge["error"]) == ("charge", "failed", "will be retried: no card")
    (again,) = charge["children"]
    assert (again["title"], again["status"], again["error"]) == ("charge", "failed", "LookupError: no card")
    assert len({*tree["processes"]}) >= 2
    (root,) = [r for r in collector.records() if r["message"] == "sending 2"]
    assert root["context"]["key"] == f"1@{roots['send']['id']}"
    retries = [r["context"]["retries"] for r in collector.records() if r.get("msg") == "charge"]
    assert sorted(retries) == [0, 1]


@pytest.fixture
def app() -> Iterator[celery.Celery]:
    one = celery.Celery("eager", broker="memory://", set_as_current=False)
    one.conf.task_always_eager = True
    one.conf.task_eager_propagates = False
    for_celery.install()
    for_celery.install()
    yield one
    for_celery.uninstall()
    assert current_task() is None


def test_eager_tasks_are_goals(app: celery.Celery) -> None:
    @app.task(name="add")
    def add(a: int, b: int) -> int:
        return a + b

    @app.task(name="fail")
    def fail() -> None:
        raise LookupError("nothing there")

    @app.task(name="often", bind=True, max_retries=2, default_retry_delay=0)
    def often(self: Any) -> str:
        if self.request.retries < 2:
            raise self.retry(exc=LookupError("not yet"))
        return "done"

    with capture() as captured:
        with task("outer"):
            assert add.delay(1, 2).get() == 3
            fail.delay()
            assert often.delay().get() == "done"
        add.delay(1, 2)
    outer, alone = sorted(captured.trees(), key=lambda tree: tree["title"] == "add")
    assert (alone["title"], alone["status"]) == ("add", "succeeded")
    first, second, *attempts = outer["children"]
    assert (first["title"], first["status"]) == ("add", "succeeded")
    assert (second["title"], second["status"], second["error"]) == ("fail", "failed", "LookupError: nothing there")
    ends = [r for r in captured.records if r.get("goal", {}).get("event") == "end"]
    assert ends[1]["exc_info"]["frames"][-1]["function"] == "fail"
    assert ends[0]["context"]["state"] == "SUCCESS"
    # Eagerly, the next attempt is begun by whoever began the first.
    assert [attempt["status"] for attempt in attempts] == ["failed", "failed", "succeeded"]


def test_uninstalled(app: celery.Celery) -> None:
    @app.task(name="add")
    def add() -> None:
        """Nothing."""

    for_celery.uninstall()
    with capture() as captured:
        add.delay()
    assert not [record for record in captured.records if "goal" in record]
