"""What the documentation shows runs as it stands, and its records arrive."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Collector
from docs_pages import ENDPOINT, Page, pages

PAGES = pages()
PROGRAMS = [page for page in PAGES if page.program]
SENDS = ("ZmqHandler(", "configure(", '"distlog.ZmqHandler"')
LOGS = (".info(", ".warning(", ".error(", ".exception(", "with task(")


def test_the_readers_find_blocks() -> None:
    """No empty test: README, client and goals have Python in them."""
    assert {"readme", "client", "goals"} <= {page.name for page in PROGRAMS}


@pytest.mark.parametrize("page", PROGRAMS, ids=[page.name for page in PROGRAMS])
def test_page_runs(page: Page, collector: Collector, tmp_path: Path) -> None:
    """Exit code 0, no traceback on stderr; what it logs with a handler arrives."""
    file = tmp_path / ("test_page.py" if page.tests else "page.py")
    file.write_text(page.program.replace(ENDPOINT, collector.endpoint))
    command = [sys.executable, *(["-m", "pytest", "-q", "-p", "no:cacheprovider"] if page.tests else []), str(file)]
    environment = {**os.environ, "DISTLOG_ENDPOINT": collector.endpoint}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    if "ModuleNotFoundError" in done.stderr and sys.version_info < (3, 10):
        pytest.skip("a library has no version for this Python")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    if all(any(word in page.program for word in words) for words in (SENDS, LOGS)):
        collector.wait(1)


def test_fragments_are_python() -> None:
    """They compile, and what they import of distlog exists."""
    for page in PAGES:
        for fragment in page.fragments:
            compile(fragment, page.name, "exec")
            imports = [line for line in fragment.split("\n") if line.startswith(("import distlog", "from distlog"))]
            exec("\n".join(imports), {})
