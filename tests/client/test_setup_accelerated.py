"""What set-up adds holds with native logging methods too: in a process of its own each, since they are for the whole process."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

PROLOGUE = """
import logging, os, distlog
def start(**more):
    return distlog.configure(os.environ["DISTLOG_ENDPOINT"], "DEBUG", accelerate=ACCELERATE, **more)
log = logging.getLogger("app")
"""

PROGRAMS = {
    "redaction": """
        start(redact=True)
        log.warning("password=%s", "hunter2", extra={"api_key": "abc-123", "n": 1})
        with distlog.task("token=%s", "hunter2"):
            log.info("clean")
        """,
    "a callback": """
        start(redact={"callback": lambda path, value: "changed" if path == ("n",) else value})
        log.info("x", extra={"n": 1})
        """,
    "a rate limit": """
        start(rate_limit="2/h")
        for n in range(5):
            log.info("%d", n)
        """,
    "details": """
        start(keep_debug=2)
        for fails in (False, True):
            with distlog.task("work") as goal:
                for n in range(4):
                    log.debug("detail %d", n)
                log.info("said")
                if fails:
                    goal.fail("no")
        """,
    "another handler in its place": """
        start()
        log.info("first")
        start(redact=True)
        log.info("token=abc")
        logging.getLogger().handlers.clear()
        log.info("nobody")
        start(redact=True)
        log.info("token=abc")
        """,
    "dictConfig": """
        import logging.config
        start()
        log.info("before")
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
        log.info("between")
        logging.config.dictConfig({"version": 1})
        log.info("disabled")
        logging.getLogger("new").info("new")
        """,
    "the interpreter's hooks": """
        import sys, warnings
        start(capture_warnings=True, capture_exceptions=True)
        warnings.warn("old")
        sys.excepthook(ValueError, ValueError("boom"), None)
        """,
}

#: What differs from run to run.
VOLATILE = {"asctime", "created", "msecs", "relativeCreated", "thread", "process", "topic"}


def without_chance(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records without what differs from run to run."""
    kept = [{name: value for name, value in r.items() if name not in VOLATILE} for r in records]
    for record in kept:
        if "context" in record:
            record["context"] = {**record["context"], "key": record["context"]["key"].partition("@")[0]}
        if "goal" in record:
            record["goal"] = {name: value for name, value in record["goal"].items() if name != "duration"}
    return kept


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_records(name: str, make_collector: Any, tmp_path: Path) -> None:
    """Byte for byte the same as without, chance aside."""
    found = []
    for accelerate in (False, True):
        collector = make_collector()
        file = tmp_path / "program.py"
        file.write_text(PROLOGUE.replace("ACCELERATE", str(accelerate)) + textwrap.dedent(PROGRAMS[name]))
        environment = {**os.environ, "DISTLOG_ENDPOINT": collector.endpoint}
        done = subprocess.run([sys.executable, str(file)], env=environment, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        assert b"hunter2" not in b"".join(message[1] for message in collector.messages)
        found.append(without_chance(sorted(collector.wait(1, settle=0.15), key=lambda r: r["created"])))
    assert found[0] == found[1]


def test_run(collector: Any, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import logging\nlog = logging.getLogger('app')\nlog.info('one')\nlogging.basicConfig(level='INFO')\nlog.info('two %d', 2)\nlog.debug('no')"
    )
    environment = {**os.environ, "DISTLOG_ENDPOINT": collector.endpoint}
    command = [sys.executable, "-m", "distlog", "run", "--accelerate", "app.py"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "INFO:app:two 2\n")
    found = collector.wait(4, settle=0.1)
    assert [r["message"] for r in found] == ["app.py", "one", "two 2", "app.py"]
    assert [r["context"]["key"][0] for r in found] == ["0", "1", "2", "3"]
    assert [r["lineno"] for r in found[1:3]] == [3, 5]
