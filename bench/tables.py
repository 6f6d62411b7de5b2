"""The bricks of the report: numbers as text, tables, and figures set against their targets."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

Run = dict[str, Any]


class Target:
    """A figure we set ourselves, and what was measured, if it was. `at_most`: less is better."""

    def __init__(self, about: str, wanted: float, measured: float | None, unit: str, at_most: bool = False) -> None:
        self.about, self.wanted, self.measured, self.unit, self.at_most = about, wanted, measured, unit, at_most

    def met(self) -> bool:
        """Whether it holds."""
        if self.measured is None:
            return False
        return self.measured <= self.wanted if self.at_most else self.measured >= self.wanted

    def verdict(self) -> str:
        """`met`, or by how much it was missed."""
        if self.met():
            return "met"
        if self.measured is None:
            return "**MISSED**"
        if not self.wanted or not self.measured:
            return f"**MISSED** by {number(abs(self.measured - self.wanted))} {self.unit}".rstrip()
        factor = self.measured / self.wanted if self.at_most else self.wanted / self.measured
        return f"**MISSED** by {factor:.2f}×"

    def row(self) -> list[str]:
        """The line of the table."""
        sign = "≤" if self.at_most else "≥"
        wanted = f"{sign} {number(self.wanted)} {self.unit}".rstrip()
        measured = "not measured" if self.measured is None else f"{number(self.measured)} {self.unit}".rstrip()
        return [self.about, wanted, measured, self.verdict()]


def number(value: float) -> str:
    """Three figures that matter, thousands apart."""
    if value >= 1000:
        return f"{round(value, 2 - len(str(int(value))) + 1):,.0f}"
    if value == int(value):
        return f"{value:.0f}"
    return f"{value:.3g}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table; all columns but the first are numbers."""
    lines = [" | ".join(head), " | ".join(["---"] + ["--:"] * (len(head) - 1))]
    return [f"| {line} |" for line in lines + [" | ".join(row) for row in rows]] + [""]


def spread(values: Sequence[float]) -> str:
    """The median, and from where to where the runs went."""
    middle = number(statistics.median(values))
    return middle if len(values) < 2 else f"{middle} ({number(min(values))}–{number(max(values))})"


def circumstances(about: Run) -> list[str]:
    """When, where, what and how."""
    rows = [["date", about["date"]], ["commit", about["commit"]], *map(list, about["machine"].items())]
    rows += [["command", f"`{about['command']}`"], ["took", f"{about['seconds'] / 60:.1f} minutes"]]
    rows += [["used by other programs meanwhile", f"{about['others']:.0%} of the machine"]]
    return table(("", ""), rows)
