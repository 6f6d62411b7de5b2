"""The client's tests once more, in a process that collects garbage at every allocation.

Whatever is done inside the native module, a collection may run there, and with it Python of anybody's. A soak in which ``__del__`` logs is in
``peers/test_locks_and_collection.py``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILES = [
    "test_goals.py",
    "test_flows.py",
    "test_delivery.py",
    "test_encoding.py",
    "peers/test_standard_handlers.py",
    "peers/test_standard_records.py",
    "peers/test_thread_cases.py",
    "peers/test_goal_life.py",
    "peers/test_delivery_cases.py",
]
#: These wait or measure time, and say nothing about collections.
LEFT_OUT = [
    "late_daemon",
    "hundred_thousand",
    "come_and_go",
    "over_a_socket",
    "many_at_once",
    "does_not_hold_others_up",
]
PROGRAM = """
import gc, sys, pytest
class Collects:
    seen = 0
    def pytest_runtest_call(self, item):
        gc.set_threshold(1)
        Collects.seen += 1
    def pytest_runtest_teardown(self, item):
        gc.set_threshold(700)
code = pytest.main(sys.argv[1:], plugins=[Collects()])
sys.exit(code or Collects.seen < 300)
"""


def test_with_a_collection_at_every_allocation() -> None:
    """Nothing fails that did not without, and nothing crashes."""
    files = [str(HERE / name) for name in FILES]
    options = ["-q", "--tb=short", "-p", "no:cacheprovider", "-k", " and ".join(f"not {name}" for name in LEFT_OUT)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *options, *files], capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
