"""The Python in the documentation: every block of README.md and docs/*.md that is marked as ``python``.

A block is a program of its own. One that is not, because it belongs into somebody's settings or leaves something out, says so in its
first line, where readers see it: ``# Fragment: …``. It has to be Python all the same.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
ENDPOINT = "tcp://127.0.0.1:5010"


class Block(NamedTuple):
    """One block, and where it stands."""

    name: str
    source: str

    @property
    def fragment(self) -> bool:
        """Whether it is no program."""
        return self.source.startswith("# Fragment: ")

    @property
    def test(self) -> bool:
        """Whether pytest runs it."""
        return re.search(r"^(async )?def test_", self.source, re.MULTILINE) is not None


def blocks() -> list[Block]:
    """All of them."""
    return [block for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))] for block in of_page(page)]


def of_page(page: Path) -> list[Block]:
    """Those of one page, named after its lines."""
    text = page.read_text()
    return [
        Block(f"{page.stem.lower()}_{text[: found.start()].count(chr(10)) + 2}", found[1])
        for found in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]
