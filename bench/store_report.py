"""The store's part of the report, and the targets it is held to."""

from __future__ import annotations

from tables import Run, Target


def targets(lines: list[Run]) -> list[Target]:
    """None yet."""
    return []


def section(lines: list[Run], about: Run) -> list[str]:
    """Nothing yet."""
    return []
