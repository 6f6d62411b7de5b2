"""What the documentation shows runs as it stands, and its records arrive."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Collector
from docs_pages import ENDPOINT, Block, blocks

BLOCKS = blocks()
PROGRAMS = [block for block in BLOCKS if not block.fragment]
SENDS = ("ZmqHandler(", "configure(", '"distlog.ZmqHandler"')


def test_the_readers_find_blocks() -> None:
    """No empty test: README, client and goals have Python in them."""
    assert {"readme", "client", "goals"} <= {block.name.rpartition("_")[0] for block in BLOCKS}


@pytest.mark.parametrize("block", PROGRAMS, ids=[block.name for block in PROGRAMS])
def test_block_runs(block: Block, collector: Collector, tmp_path: Path) -> None:
    """Exit code 0, no traceback on stderr; a handler it makes sends something."""
    file = tmp_path / ("test_block.py" if block.test else "block.py")
    file.write_text(block.source.replace(ENDPOINT, collector.endpoint))
    command = [sys.executable, *(["-m", "pytest", "-q", "-p", "no:cacheprovider"] if block.test else []), str(file)]
    environment = {**os.environ, "DISTLOG_ENDPOINT": collector.endpoint}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    if "ModuleNotFoundError" in done.stderr and sys.version_info < (3, 10):
        pytest.skip("the library has no version for this Python")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    if any(word in block.source for word in SENDS) and not block.test:
        collector.wait(1)


def test_fragments_are_python() -> None:
    """They compile, and what they import of distlog exists."""
    for block in BLOCKS:
        if block.fragment:
            compile(block.source, block.name, "exec")
            imports = [line for line in block.source.split("\n") if line.startswith(("import distlog", "from distlog"))]
            exec("\n".join(imports), {})
