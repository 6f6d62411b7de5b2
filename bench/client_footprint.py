"""What having distlog costs before anything is logged, and in memory: imports, resident memory, the wheel.

Imports: fresh interpreters, one after the other, `import logging` done before the clock starts; `-X importtime` counts the same
in another way. Memory: a process that has logged 100,000 records less one that has logged them to a NullHandler.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from machine import ROOT

IMPORT = """
import logging, time
began = time.perf_counter()
import {module}
print((time.perf_counter() - began) * 1000)
"""
MEMORY = """
import logging, re, sys
log = logging.getLogger("bench.app")
log.setLevel(logging.INFO)
{handler}
log.addHandler(handler)
for number in range(100):
    for _ in range(1000):
        log.info("user %s did %s", "ann", "login", extra={{"request_id": "r-7f3a"}})
    handler.flush()
print(int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024 / 1e6)
"""
NULL = "handler = logging.NullHandler()"
ZMQ = "import distlog; handler = distlog.ZmqHandler('tcp://127.0.0.1:{port}')"
CONFIGURED = "import distlog; handler = distlog.configure('tcp://127.0.0.1:{port}'); log.propagate = False"


def figures(number: int, places: dict[str, Any], whole: bool) -> Iterator[dict[str, Any]]:
    """The figures of one round; the wheel only once, and not if it has to be quick."""
    port = places["pull"][0]
    yield figure(number, "import distlog", statistics.median(said(IMPORT.format(module="distlog")) for _ in range(21)))
    yield figure(number, "import distlog, -X importtime", statistics.median(import_time() for _ in range(11)))
    plain = said(MEMORY.format(handler=NULL))
    for name, handler in (("ZmqHandler", ZMQ), ("configure()", CONFIGURED)):
        yield figure(number, f"memory, {name}", said(MEMORY.format(handler=handler.format(port=port))) - plain)
    if whole and number == 0:
        size = wheel_size()
        yield figure(number, "wheel", size / 1e6) if size else {"of": "wheel", "skipped": "maturin did not build it"}


def figure(number: int, of: str, value: float) -> dict[str, Any]:
    """One line."""
    return {"round": number, "of": of, "value": value}


def said(program: str) -> float:
    """What the program prints, run with the interpreter that runs this."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return float(done.stdout)


def import_time() -> float:
    """Milliseconds of all that `import distlog` brings, as the interpreter counts them itself."""
    command = [sys.executable, "-X", "importtime", "-c", "import logging, distlog"]
    words = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    cumulative = re.search(r"^import time:\s+\d+ \|\s+(\d+) \| distlog$", words, re.MULTILINE)
    assert cumulative is not None
    return int(cumulative[1]) / 1000


def wheel_size() -> int:
    """Bytes of the wheel as it is published; 0 if it cannot be built here."""
    with tempfile.TemporaryDirectory(prefix="bench-wheel-") as folder:
        command = [
            sys.executable,
            "-m",
            "maturin",
            "build",
            "--profile",
            "dist",
            "--locked",
            "--quiet",
            "--out",
            folder,
        ]
        subprocess.run(command, cwd=ROOT, check=False, env={**os.environ, "VIRTUAL_ENV": sys.prefix})
        return max((path.stat().st_size for path in Path(folder).glob("*.whl")), default=0)
