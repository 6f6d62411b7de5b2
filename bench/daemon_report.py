"""The daemons' part of the report, and the targets it is held to."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from tables import Run, Target, circumstances, number, spread, table

OURS = "distlogd"
CEILING = "no daemon"
RECORDS_PER_SECOND_ON_ONE_CORE = 200_000
MEMORY_BYTES = 100_000_000
DIFFERENCE = (
    "So the rows do not do the same work: only distlogd reads the records and makes them searchable, and only distlogd "
    "and the synced rsyslog have them on the disk when they are counted. "
    "× is distlogd's figure divided by that row's, round by round, the median."
)
COLUMNS = ("daemon", "records/s", "×", "CPU s per million", "×", "peak memory, MB", "disk, bytes per record", "lost")
LOAD = (("one core", 1), ("one core", 8), ("all cores", 1), ("all cores", 8))


def targets(lines: list[Run]) -> list[Target]:
    """The targets of the daemon, on its runs on one core."""
    found = []
    for producers in (1, 8):
        runs = select(lines, OURS, "one core", producers)
        if runs:
            about = f"distlogd, socket to synced store, on one core, {people(producers)}"
            found.append(Target(about, RECORDS_PER_SECOND_ON_ONE_CORE, statistics.median(map(rate, runs)), "records/s"))
    ours = [one for one in lines if one.get("daemon") == OURS and "stored" in one]
    if ours:
        memory = max(one["memory"] for one in ours) / 1e6
        found.append(Target("distlogd, most memory in any run", MEMORY_BYTES / 1e6, memory, "MB", at_most=True))
        found.append(Target("distlogd, records lost in all runs", 0, sum(map(lost, ours)), "", at_most=True))
    return found


def section(lines: list[Run], about: Run) -> list[str]:
    """A table per load."""
    first = next((one for one in lines if one.get("daemon") == OURS and "stored" in one), None)
    size = f"{first['record_bytes']:.0f}-byte " if first else ""
    text = ["## Daemons head to head", "", *circumstances(about)]
    text += [f"The same {size}JSON records from 0MQ PUSH sockets; every run from an empty store; runs interleaved.", ""]
    text += [f"- **{one['daemon']}** {introduction(one)}." for one in lines if one["kind"] == "contender"] + [""]
    text += [DIFFERENCE, ""]
    for layout, producers in LOAD:
        measured = [name for name in names(lines) if select(lines, name, layout, producers)]
        rows = [row(lines, name, layout, producers) for name in measured]
        if rows:
            text += [f"### {people(producers).capitalize()}, {fence(layout)}", "", *table(COLUMNS, rows)]
    return text


def introduction(one: Run) -> str:
    """What a daemon does with the records, or why it is not there."""
    return f"was not measured: {one['missing']}" if "missing" in one else str(one["about"])


def row(lines: list[Run], name: str, layout: str, producers: int) -> list[str]:
    """One daemon under one load."""
    runs = select(lines, name, layout, producers)
    ours = select(lines, OURS, layout, producers)
    return [
        name,
        spread([rate(one) for one in runs]),
        ratio(ours, runs, rate),
        spread([cpu_per_million(one) for one in runs]),
        ratio(ours, runs, cpu_per_million),
        number(max(one["memory"] for one in runs) / 1e6),
        number(statistics.median([one["disk"] / one["stored"] for one in runs if one["stored"]] or [0])),
        str(sum(map(lost, runs))),
    ]


def ratio(ours: list[Run], others: list[Run], figure: Callable[[Run], float]) -> str:
    """Ours over theirs, round by round; the median. Nothing beside ourselves, and beside no daemon."""
    if others[0]["daemon"] in (OURS, CEILING):
        return ""
    theirs = {one["round"]: figure(one) for one in others}
    ratios = [figure(one) / theirs[one["round"]] for one in ours if theirs.get(one["round"])]
    return f"{statistics.median(ratios):.2f}" if ratios else ""


def rate(one: Run) -> float:
    """Records per second."""
    return float(one["stored"] / one["seconds"])


def cpu_per_million(one: Run) -> float:
    """CPU seconds per million records."""
    return float(one["cpu"] / one["stored"] * 1e6) if one["stored"] else 0.0


def lost(one: Run) -> int:
    """Records sent and not there."""
    return int(one["sent"] - one["stored"])


def select(lines: list[Run], name: str, layout: str, producers: int) -> list[Run]:
    """The runs of one daemon under one load."""
    wanted = ("daemon", name, layout, producers)
    keys = ("kind", "daemon", "layout", "producers")
    return [one for one in lines if tuple(one.get(key) for key in keys) == wanted]


def names(lines: list[Run]) -> list[str]:
    """The daemons measured, in their order."""
    return list(dict.fromkeys(one["daemon"] for one in lines if one["kind"] == "daemon"))


def people(producers: int) -> str:
    """How many producers, in words."""
    return "one producer" if producers == 1 else f"{producers} producers"


def fence(layout: str) -> str:
    """What the layout means."""
    return "daemon held to one core, producers on the others" if layout == "one core" else "all cores for everybody"
