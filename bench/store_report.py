"""The store's part of the report, and the targets it is held to."""

from __future__ import annotations

import statistics

from tables import Run, Target, circumstances, number, spread, table

COLUMNS = {
    "store": "distlog's store",
    "store merged": "the same, merged",
    "sqlite rows": "SQLite rows",
    "ripgrep": "ripgrep on JSON lines",
}
INGEST = (
    ("ingest", "records/s, one thread, synced commit every 100 ms"),
    ("ingest processor time", "CPU s per million"),
    ("commit", "commit, ms, median"),
    ("merge processor time", "merging, CPU s per million"),
    ("disk", "bytes on disk per record"),
    ("anonymous memory", "memory, MB"),
)
QUERIES = (
    ("substring rare", "substring, few hits"),
    ("substring mid", "substring, some hits"),
    ("substring common", "substring, many hits"),
    ("histogram per minute", "histogram: records per minute and level"),
    ("tree by id", "all records of one goal tree"),
    ("tail 1000", "the newest 1,000"),
    ("last 100 errors of a service", "the last 100 errors of a service"),
)
WORDS = (
    "Milliseconds, median of the rounds: warm / cold. The store and SQLite give whole records, or a count for substrings; "
    "ripgrep counts lines. Merged: after the segment was closed and its small blocks made large ones. "
    "What each found stands beside it, since a peer that finds other records is no peer (of the histogram, "
    "SQLite finds a row per minute and level, the store one per minute)."
)


def targets(lines: list[Run]) -> list[Target]:
    """What the issue of the store's layout was decided by."""
    if not lines:
        return []
    count = number(value(lines, "store", "records"))
    substring = max(value(lines, "store", f"{name} warm") for name, _ in QUERIES[:3])
    warm = f"over {count} records, warm"
    return [
        Target("store, ingest on one thread", 250_000, value(lines, "store", "ingest"), "records/s"),
        Target("store, on disk", 60, value(lines, "store", "disk"), "bytes per record", at_most=True),
        Target(f"store, slowest substring {warm}", 200, substring, "ms", at_most=True),
        Target(f"store, histogram {warm}", 100, value(lines, "store", "histogram per minute warm"), "ms", at_most=True),
        Target(f"store, one tree by id {warm}", 5, value(lines, "store", "tree by id warm"), "ms", at_most=True),
    ]


def section(lines: list[Run], about: Run) -> list[str]:
    """Ingest, then queries."""
    if not lines:
        return []
    count = number(value(lines, "store", "records"))
    text = ["## The embedded store", "", *circumstances(about)]
    size = number(value(lines, "ripgrep", "disk")) if values(lines, "ripgrep", "disk") else "the same"
    text += [f"{count} generated records, {size} bytes of JSON each on average.", ""]
    measured = [of for of in COLUMNS if any(line["of"] == of for line in lines)]
    text += table(
        ("", *(COLUMNS[of] for of in measured)),
        [[name, *(plain(lines, of, key) for of in measured)] for key, name in INGEST],
    )
    text += ["### Queries", "", WORDS, ""]
    rows = [[name, *(warm_and_cold(lines, of, key) for of in measured)] for key, name in QUERIES]
    return text + table(("", *(COLUMNS[of] for of in measured)), rows)


def plain(lines: list[Run], of: str, key: str) -> str:
    """One figure with its spread; what is the same after merging stands once."""
    if of == "store merged":
        key = "disk merged" if key == "disk" else key
        of = "store" if key in ("disk merged", "merge processor time") else of
    elif key == "merge processor time":
        return ""
    found = values(lines, of, key)
    return spread(found) if found else ""


def warm_and_cold(lines: list[Run], of: str, key: str) -> str:
    """`12 / 80 (217 found)`."""
    if not values(lines, of, f"{key} warm"):
        return ""
    warm, cold, found = (value(lines, of, f"{key} {what}") for what in ("warm", "cold", "found"))
    return f"{number(warm)} / {number(cold)} ({found:,.0f} found)"


def value(lines: list[Run], of: str, key: str) -> float:
    """The median over the rounds."""
    return statistics.median(values(lines, of, key) or [0.0])


def values(lines: list[Run], of: str, key: str) -> list[float]:
    """A figure, round by round."""
    return [line["value"] for line in lines if line["of"] == of and line["figure"] == key]
