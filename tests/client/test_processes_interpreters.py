"""Subinterpreters are refused in a sentence, and the main interpreter goes on."""

from __future__ import annotations

from typing import Any

import pytest

REFUSED = """
try:
    import distlog
except ImportError as error:
    assert str(error).startswith("distlog works in a process's main interpreter"), error
    assert "WSGIApplicationGroup" in str(error), error
else:
    raise AssertionError("imported")
import sys
assert not [name for name in sys.modules if name == "distlog" or name.startswith("distlog._")], sys.modules
"""


@pytest.mark.parametrize("order", ["before", "after"])
def test_a_subinterpreter_is_refused(run: Any, collector: Any, order: str) -> None:
    """Whether the main interpreter imported it already or not."""
    source = f"""
import logging, os
try: import _interpreters as interpreters
except ImportError:
    try: import _xxsubinterpreters as interpreters
    except ImportError: raise SystemExit("none")
if {order == "after"}: import distlog
for n in range(3):
    one = interpreters.create()
    failed = interpreters.run_string(one, {REFUSED!r})
    assert failed is None, failed
    interpreters.destroy(one)
import distlog
logging.basicConfig(level=10, handlers=[distlog.ZmqHandler(os.environ["ENDPOINT"])])
logging.getLogger("app").info("main")
"""
    done = run(
        "import subprocess; done = subprocess.run([sys.executable, '-c', sys.argv[1]]); sys.exit(done.returncode)",
        source,
        check=False,
    )
    if done.stderr == "none\n":
        pytest.skip("no subinterpreters here")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [r["message"] for r in collector.wait(1)] == ["main"]
