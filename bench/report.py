"""Turns bench/results.json into bench/RESULTS.md: every number in the report is computed from the measured ones."""

from __future__ import annotations

import client_report
import daemon_report
import store_report
from tables import Run, table

HEAD = "Written by `make bench` from `bench/results.json`; not edited by hand. How and what: [README](README.md)."
PARTS = {"client": client_report, "daemon": daemon_report, "store": store_report}


def document(results: Run) -> str:
    """The whole report: the targets first, then part by part."""
    measured = [(part, results[name]) for name, part in PARTS.items() if name in results]
    targets = [target for part, about in measured for target in part.targets(about["lines"])]
    lines = ["# Measured", "", HEAD, ""]
    if targets:
        lines += ["## Targets", "", *table(("", "target", "measured", ""), [target.row() for target in targets])]
    for part, about in measured:
        lines += part.section(about["lines"], about)
    return "\n".join(lines).rstrip() + "\n"


def performance(results: Run) -> str:
    """The few figures that docs/performance.md shows."""
    about = results.get("client")
    if about is None:
        return "Not measured yet.\n"
    where = f"Measured on {about['date']}, commit {about['commit']}, Python {about['machine']['Python']}."
    return "\n".join([*client_report.summary(about["lines"]), where]) + "\n"
