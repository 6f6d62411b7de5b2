"""Placeholder."""

from collections.abc import Iterator
from typing import Any


def run(count: int) -> Iterator[dict[str, Any]]:
    yield from ()
