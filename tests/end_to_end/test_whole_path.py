"""The whole path: ``logger.info()`` in real processes, the real daemon, and what ``distlog … --json`` says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


def run_python(daemon: Any, program: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a Python program that finds the daemon's endpoint in the environment."""
    environment = {**os.environ, "DISTLOG_ENDPOINT": daemon.endpoint}
    command = [sys.executable, "-c", textwrap.dedent(program), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=check)


HELLO = """
import logging, os, sys
from distlog import ZmqHandler, task, to
logging.basicConfig(level=logging.DEBUG, handlers=[ZmqHandler(os.environ["DISTLOG_ENDPOINT"])])
log = logging.getLogger("app.hello")
"""


def test_a_record_keeps_every_field(daemon: Any) -> None:
    """What was logged is what is stored, field by field."""
    run_python(daemon, HELLO + 'log.warning("user %s did %d things", "ann", 3, extra={"request_id": "r-7"})')
    (record,) = daemon.wait_for(1, "logger=app.hello")
    assert record["message"] == "user ann did 3 things"
    assert (record["msg"], record["args"]) == ("user %s did %d things", ["ann", 3])
    assert (record["levelname"], record["levelno"], record["request_id"]) == ("WARNING", 30, "r-7")
    assert {"hostname", "asctime", "created", "process", "threadName", "lineno", "_offset", "_received"} <= set(record)
    assert "context" not in record


def test_goals_of_one_process(daemon: Any) -> None:
    """A goal, a sub-goal that fails, and the numbers between them."""
    program = """
    with task("outer %s", 1) as goal:
        log.info("one")
        try:
            with to("inner", part="a"):
                log.info("two")
                raise ValueError("deep inside")
        except ValueError:
            log.info("caught")
    print(goal.id)
    """
    goal = run_python(daemon, HELLO + textwrap.dedent(program)).stdout.strip()
    records = daemon.wait_for(7, f"task:{goal}")
    assert [r["context"]["key"].replace(goal, "U") for r in records] == [
        "0@U",
        "1@U",
        "0@U/2",
        "1@U/2",
        "2@U/2",
        "3@U",
        "4@U",
    ]
    failed = records[4]
    assert (failed["message"], failed["levelname"]) == ("FAILED inner", "ERROR")
    assert "deep inside" in failed["exc_text"]
    assert failed["exc_info"]["type"] == "ValueError"
    assert failed["goal"]["status"] == "failed" and failed["goal"]["count"] == 3
    assert records[6]["goal"]["status"] == "succeeded" and records[6]["goal"]["count"] == 5
    tree = daemon.view("tree", goal, "--json")
    assert tree.returncode == 0, tree.stderr
    root = json.loads(tree.stdout)
    assert (root["title"], root["status"], root["records"], root["missing"]) == ("outer 1", "succeeded", 7, [])
    assert [(c["id"], c["status"]) for c in root["children"]] == [(f"{goal}/2", "failed")]


def test_the_shop_is_one_tree_over_four_processes(daemon: Any) -> None:
    """The example: spawn, subprocess and HTTP; it fails deep inside the payment service."""
    environment = {**os.environ, "DISTLOG_ENDPOINT": daemon.endpoint}
    shop = subprocess.run([sys.executable, "-m", "shop"], cwd=EXAMPLES, env=environment, timeout=60, check=False)
    assert shop.returncode == 1
    daemon.wait_for(1, "goal=checkout*", "goal.status=failed")
    tree = daemon.view("tree", "--last", "--json")
    assert tree.returncode == 1, tree.stderr
    root = json.loads(tree.stdout)
    assert (root["title"], root["status"], root["missing"]) == ("checkout cart 991", "failed", [])
    titles = {goal["title"]: goal for goal in walk(root)}
    assert {title: goal["status"] for title, goal in titles.items()} == {
        "checkout cart 991": "failed",
        "reserve stock": "succeeded",
        "put aside 2 of A-17": "succeeded",
        "charge card": "failed",
        "charge cart 991": "failed",
        "check fraud rules": "succeeded",
        "ask bank": "failed",
        "tell the customer about cart 991": "succeeded",
    }
    assert len(root["processes"]) == 4
    tasks = daemon.view("tasks", "--json")
    (summary,) = [json.loads(line) for line in tasks.stdout.splitlines()]
    assert (summary["id"], summary["status"], summary["missing"]) == (root["id"], "failed", 0)


def walk(goal: dict[str, Any]) -> list[dict[str, Any]]:
    """A goal and everything below it."""
    return [goal, *(below for child in goal["children"] for below in walk(child))]


def test_ten_thousand_records_of_eight_processes_arrive_once(daemon: Any) -> None:
    """None lost, none twice, each process's order kept."""
    program = HELLO + 'for n in range(1250): log.info("n", extra={"n": n})'
    environment = {**os.environ, "DISTLOG_ENDPOINT": daemon.endpoint}
    processes = [subprocess.Popen([sys.executable, "-c", program], env=environment) for _ in range(8)]
    assert [process.wait(60) for process in processes] == [0] * 8
    records = daemon.wait_for(10_000)
    assert [record["_offset"] for record in records] == list(range(10_000))
    for process in processes:
        assert [r["n"] for r in records if r["process"] == process.pid] == list(range(1250))


def test_follow_shows_history_then_live_without_a_seam(daemon: Any) -> None:
    """``tail --json -n N`` prints every record once, whether it came before or after."""
    run_python(daemon, HELLO + 'for n in range(50): log.info("n", extra={"n": n})')
    daemon.wait_for(50)
    command = [daemon.view.__globals__["program"]("distlog"), "tail", "--json", "-n", "1000"]
    environment = {**os.environ, "DISTLOG_URL": daemon.http}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        seen = [json.loads(tail.stdout.readline())["n"] for _ in range(50)]
        run_python(daemon, HELLO + 'for n in range(50, 100): log.info("n", extra={"n": n})')
        seen += [json.loads(tail.stdout.readline())["n"] for _ in range(50)]
        tail.terminate()
    assert seen == list(range(100))


def test_stored_records_survive_kill_9(daemon: Any) -> None:
    """What was visible before the daemon was killed is there after it starts again."""
    run_python(daemon, HELLO + 'for n in range(500): log.info("n", extra={"n": n})')
    before = daemon.wait_for(500)
    daemon.stop(9)
    daemon.start()
    assert daemon.records() == before


def test_readme_lines_run(daemon: Any) -> None:
    """The README's Python is a program, and its records arrive."""
    readme = (ROOT / "README.md").read_text()
    program = readme.split("```python\n")[1].split("```")[0].replace("tcp://127.0.0.1:5010", daemon.endpoint)
    run_python(daemon, program)
    assert daemon.wait_for(1, "goal.status:*")
