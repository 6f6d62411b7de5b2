"""What ``make demo`` runs: a daemon, a live tail, a shop that fails, and the tree that tells where.

Everything happens in a temporary directory and on free ports, so it disturbs nothing and leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent
PROGRAMS = Path(sys.executable).parent
CONFIGURATION = """\
sources:
  apps: {pull: "tcp://127.0.0.1:*"}
http: {listen: "127.0.0.1:0"}
"""


@contextlib.contextmanager
def daemon(folder: Path) -> Iterator[tuple[str, str]]:
    """Run distlogd in that folder; give its 0MQ endpoint and its HTTP address."""
    configuration = folder / "distlogd.yaml"
    configuration.write_text(CONFIGURATION)
    command = [str(PROGRAMS / "distlogd"), "--config", str(configuration), "--data", str(folder / "store")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield addresses(process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def addresses(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Wait for the ready line and read the addresses from it."""
    assert process.stderr is not None
    for line in process.stderr:
        print(line, end="", file=sys.stderr)
        if line.startswith("distlogd ready"):
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return re.findall(r"tcp://\S+", line)[0], re.findall(r"http://[^\s,]+", line)[0]
    sys.exit("distlogd did not start")


def heading(text: str) -> None:
    """Say what comes next."""
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def show(*command: str | Path) -> int:
    """Run a viewer command in front of the user."""
    print("$ distlog", *command[1:], flush=True)
    return subprocess.run(command, check=False).returncode


def main() -> int:
    """The demonstration, from an empty store to a failed tree."""
    viewer = PROGRAMS / "distlog"
    with tempfile.TemporaryDirectory(prefix="distlog-demo-") as folder, daemon(Path(folder)) as (endpoint, http):
        os.environ.update(DISTLOG_ENDPOINT=endpoint, DISTLOG_URL=http)
        heading("1. The live tail, while four processes work on one checkout")
        print("$ distlog tail -l info &", flush=True)
        tail = subprocess.Popen([viewer, "tail", "-l", "info"])
        time.sleep(0.5)
        shop = subprocess.run([sys.executable, "-m", "shop"], cwd=EXAMPLES, check=False).returncode
        time.sleep(0.7)
        tail.terminate()
        tail.wait(10)
        heading("2. The same records as a tree")
        outcome = show(viewer, "tree", "--last", "--records", "warn")
        heading("3. The recent goals")
        show(viewer, "tasks")
        print(f"\nThe HTTP API was at {http}/ while this ran. With a daemon of your own: http://127.0.0.1:5012/")
    if (shop, outcome) != (1, 1):
        print(f"expected a failed checkout and a failed tree, got {shop} and {outcome}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
