"""What `make bench` runs: all measurements, then bench/results.json (raw) and bench/RESULTS.md (the report).

A part that is not measured this time keeps its figures of last time, each with its own date and commit.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import client
import daemon
import report
import store_figures
from machine import commit, describe, foreign_cpu_seconds, target

HERE = Path(__file__).parent
RAW = HERE / "results.json"
REPORT = HERE / "RESULTS.md"
PAGE = HERE.parent / "docs/performance.md"
FIGURES = re.compile("(?<=results.json -->\n).*(?=<!-- end of figures)", re.DOTALL)
"""The place in that page for some of the figures."""
ROUNDS = {"client": (3, 1), "daemon": (5, 2), "store": (3, 1)}
"""How often everything is measured: as a rule, and in a quick run."""


def main() -> int:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description="figures against peers, side by side")
    parser.add_argument("--quick", action="store_true", help="fewer records and rounds, to see that it works")
    parser.add_argument("--only", choices=tuple(ROUNDS), help="one part")
    parser.add_argument(
        "--rounds", type=int, help="how often everything is measured (5 the daemons, 3 the client and the store)"
    )
    parser.add_argument("--report", action="store_true", help="only write the report again, from the raw figures")
    options = parser.parse_args()
    results: dict[str, Any] = json.loads(RAW.read_text()) if RAW.exists() else {}
    if not options.report:
        for part in [options.only] if options.only else ROUNDS:
            results[part] = measured(part, options)
            write(results, options.quick)
    else:
        write(results, options.quick)
    return 0


def measured(part: str, options: argparse.Namespace) -> dict[str, Any]:
    """One part's lines, with when, where and of what commit."""
    target().mkdir(parents=True, exist_ok=True)
    began, foreign = time.monotonic(), foreign_cpu_seconds()
    about = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "machine": describe(target()),
        "command": " ".join([".venv/bin/python bench/run.py", *sys.argv[1:]]),
    }
    lines = []
    for line in figures(part, options):
        print(json.dumps(line), file=sys.stderr, flush=True)
        lines.append(line)
    took = time.monotonic() - began
    others = (foreign_cpu_seconds() - foreign) / took / len(os.sched_getaffinity(0))
    return {**about, "seconds": round(took, 1), "others": round(others, 3), "lines": lines}


def figures(part: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The lines of one part, as they come."""
    rounds = options.rounds or ROUNDS[part][options.quick]
    if part == "client":
        return client.run(rounds, *((3, 8) if options.quick else (9, 15)), footprint=not options.quick)
    if part == "daemon":
        return daemon.run(rounds, count=200_000 if options.quick else 1_000_000)
    return store_figures.run(rounds, count=200_000 if options.quick else 2_000_000)


def write(results: dict[str, Any], quick: bool) -> None:
    """Both files; a quick run leaves the committed ones alone and goes beside them."""
    raw, page = (target() / "bench-quick.json", target() / "bench-quick.md") if quick else (RAW, REPORT)
    raw.write_text(json.dumps(results, indent=1) + "\n")
    page.write_text(report.document(results))
    if not quick:
        PAGE.write_text(FIGURES.sub(lambda _: "\n" + report.performance(results) + "\n", PAGE.read_text()))
    print(f"written: {page}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
