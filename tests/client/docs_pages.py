"""The Python in the documentation: the blocks of README.md and docs/*.md that are marked as ``python``.

The blocks of a page are one program, in their order: what one defines, the next may use. A block that is not part of it, because it
belongs into somebody's settings or leaves something out, says so in its first line, where readers see it: ``# Fragment: …``. It has to be Python
all the same. What a block names ``test_…`` is for pytest.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
ENDPOINT = "tcp://127.0.0.1:5010"
FUTURE = "from __future__ import annotations\n"


class Page(NamedTuple):
    """A page's blocks."""

    name: str
    program: str
    """All blocks that belong together; nothing if there are none."""
    fragments: list[str]

    @property
    def tests(self) -> bool:
        """Whether there is something for pytest."""
        return re.search(r"^(async )?def test_", self.program, re.MULTILINE) is not None


def pages() -> list[Page]:
    """All pages with Python in them."""
    found = [page(path) for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]]
    return [one for one in found if one.program or one.fragments]


def page(path: Path) -> Page:
    """One page."""
    blocks = blocks_of(path)
    fragments = [block for block in blocks if block.startswith("# Fragment: ")]
    program = "\n\n".join(block for block in blocks if block not in fragments)
    if FUTURE in program:
        program = FUTURE + program.replace(FUTURE, "")
    return Page(path.stem.lower(), program, fragments)


def blocks_of(path: Path) -> list[str]:
    """The blocks as they stand."""
    return re.findall(r"^```python\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)
