"""The examples run as their pages say. (The shop is tested in test_whole_path.py, the plugins in tests/daemon.)"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def post(address: str, body: str) -> int:
    """The status of an order."""
    try:
        with urllib.request.urlopen(f"{address}/orders", data=body.encode(), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code


def test_a_web_service_and_a_worker(daemon: Any, tmp_path: Path) -> None:
    """Three requests, two of them jobs: each is one tree over two processes; the failed job's tree has failed."""
    environment = {**os.environ, "DISTLOG_ENDPOINT": daemon.endpoint}
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    web = [sys.executable, "-m", "orders.web", str(jobs)]
    with subprocess.Popen(web, cwd=EXAMPLES, env=environment, stdout=subprocess.PIPE, text=True) as service:
        try:
            assert service.stdout is not None
            address = service.stdout.readline().strip()
            orders = ['{"sku": "A-17", "count": 2}', '{"sku": "C-4", "count": 5}', "two of them"]
            assert [post(address, order) for order in orders] == [202, 202, 400]
            service.terminate()
            assert service.wait(10) == 0
        finally:
            service.kill()
    worker = [sys.executable, "-m", "orders.worker", str(jobs), "--once"]
    subprocess.run(worker, cwd=EXAMPLES, env=environment, check=True, timeout=30)
    assert list(jobs.iterdir()) == []
    daemon.wait_for(2, 'goal="pack order*"', "goal.status:*", "goal.event=end")
    tasks = [json.loads(line) for line in daemon.view("tasks", "--json").stdout.splitlines()]
    trees = [json.loads(daemon.view("tree", one["id"], "--json").stdout) for one in tasks]
    packed = {child["status"]: child for tree in trees for child in tree["children"]}
    assert len(trees) == 3 and set(packed) == {"succeeded", "failed"}
    assert [tree["missing"] for tree in trees] == [[], [], []]
    assert sorted(len(tree["processes"]) for tree in trees) == [1, 2, 2]
    assert packed["failed"]["children"][0]["title"] == "take 5 of C-4"
