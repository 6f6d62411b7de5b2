"""The client's part of the report, and the targets it is held to."""

from __future__ import annotations

import statistics
from pathlib import Path

from tables import Run, Target, circumstances, number, spread, table

NAMES = {
    "null": "`logging`, NullHandler",
    "file": "`logging`, FileHandler",
    "socket": "`logging`, SocketHandler",
    "queue": "`logging`, QueueHandler, QueueListener, FileHandler",
    "zmq json": "**distlog**, `ZmqHandler` alone",
    "zmq pickle": "**distlog**, `ZmqHandler` alone, pickle",
    "factory json": "**distlog**, goals in use",
    "factory pickle": "**distlog**, goals in use, pickle",
    "accelerated json": "**distlog**, `accelerate=True`",
    "accelerated pickle": "**distlog**, `accelerate=True`, pickle",
    "2017 json": "stand-in for the 2017 handler, JSON",
    "2017 pickle": "stand-in for the 2017 handler, pickle",
    "eliot message": "eliot, `log_message`, file ¹",
    "eliot handler": "eliot, handler for `logging`, file",
    "eliot action": "eliot, `start_action`, file",
    "structlog": "structlog + orjson, file ¹",
    "structlog call site": "structlog + orjson, file, with call site",
    "loguru": "loguru, file",
    "loguru serialize": "loguru, file, `serialize=True`",
    "loguru enqueue": "loguru, file, `enqueue=True`",
    "picologging": "picologging, FileHandler ²",
    "opentelemetry": "OpenTelemetry, handler for `logging`, batches, OTLP/HTTP",
    "logbook": "logbook, ZeroMQHandler",
    "logstash": "python-logstash-async, TCP",
    "json logger": "python-json-logger, FileHandler",
    "json logger orjson": "python-json-logger + orjson, FileHandler",
}
THROUGH_STDLIB = ("file", "socket", "queue", "2017 json", "2017 pickle", "eliot handler", "opentelemetry")
THROUGH_STDLIB += ("logstash", "json logger", "json logger orjson")
FORMS = ("zmq json", "factory json", "accelerated json")
WORDS = (
    'The call: `log.info("user %s did %s", name, what, extra={"request_id": rid})`, or what comes nearest in a library with calls of its own. '
    "× is the cost as a multiple of the same call in plain `logging` with a NullHandler, which makes a record and throws it away, measured "
    "before and after each burst in the same process. *Calling thread*: processor time until the call returns. *Whole process*: with all background threads, until "
    "everything has left the process. Receivers are other processes. Medians; in brackets the lowest and highest round."
)
NOTES = (
    "¹ carries no call site, logger name, thread or process: less than a `LogRecord`. "
    "² leaves `extra` out of the line. *Bytes* are what arrives per call: distlog, SocketHandler, loguru's `serialize` and both 0MQ peers send the "
    "whole record, the others what their format names."
)


def targets(lines: list[Run]) -> list[Target]:
    """What a team may hold us to."""
    if not lines:
        return []
    found = [
        Target("client, `ZmqHandler` alone", 1.18, thread(lines, "zmq json"), "× NullHandler", at_most=True),
        Target("client, goals in use", 0.75, thread(lines, "factory json"), "× NullHandler", at_most=True),
        Target("client, `accelerate=True`", 0.13, thread(lines, "accelerated json"), "× NullHandler", at_most=True),
    ]
    stdlib = [name for name in NAMES if name in THROUGH_STDLIB]
    peers = [name for name in NAMES if name not in FORMS and name != "null" and "**distlog**" not in NAMES[name]]
    for form, words, others in (
        ("accelerated json", "accelerated, beside the cheapest peer", peers),
        ("factory json", "goals in use, beside the cheapest peer on `logging`", stdlib),
    ):
        for figure, where in (("thread", "calling thread"), ("total", "whole process")):
            least = min((value for name in others if (value := median(lines, name, "call", figure))), default=None)
            beside = divided(median(lines, form, "call", figure), least)
            found.append(Target(f"client, {words}, {where}", 1, beside, "× its cost", at_most=True))
    found += kinds(lines)
    return found + footprint(lines)


def kinds(lines: list[Run]) -> list[Target]:
    """The targets of the other kinds of calls."""
    disabled = [divided(thread(lines, form, "disabled"), thread(lines, "null", "disabled")) for form in FORMS]
    goals = divided(thread(lines, "factory json", "goals"), thread(lines, "eliot action", "goals"))
    long = divided(thread(lines, "accelerated json", "long"), thread(lines, "accelerated json"))
    one, null = (median(lines, "accelerated json", "threads", of) for of in ("over_one", "over_null"))
    worst = max((one for one in disabled if one), default=None)
    return [
        Target(
            "client, with a traceback of three frames", 1.5, thread(lines, "zmq json", "error"), "× NullHandler", True
        ),
        Target("client, goal entered and left, both records", 0.35, goals, "× eliot's `start_action`", True),
        Target("client, accelerated, in a function of 2,000 lines", 1.1, long, "× a short one", True),
        Target("client, disabled level, the dearest form", 1.05, worst, "× without distlog (5 % are noise)", True),
        Target("client, accelerated, 4 threads", 1, one, "× one thread's records/s"),
        Target("client, accelerated, 4 threads", 5, null, "× NullHandler's records/s"),
    ]


def footprint(lines: list[Run]) -> list[Target]:
    """The targets of having it at all."""
    return [
        Target("client, `import distlog` over `import logging`", 15, of(lines, "import distlog"), "ms", True),
        Target("client, memory over plain logging", 10, of(lines, "memory, configure()"), "MB", True),
        Target("client, wheel", 1, of(lines, "wheel"), "MB", True),
    ]


def section(lines: list[Run], about: Run) -> list[str]:
    """The call beside peers, then the other kinds."""
    if not lines:
        return []
    text = ["## The client beside its peers", "", *circumstances(about), WORDS, ""]
    text += [f"NullHandler itself takes {number(median(lines, 'null', 'call', 'ns') or 0)} ns here.", ""]
    text += ["### One call", "", *calls(lines), NOTES, ""]
    text += ["### In a goal, with a traceback, in a long function, not at all", "", *others(lines)]
    text += ["### Four threads", "", *threads(lines), "### Before anything is logged", "", *having(lines)]
    return text + missing(lines) + versions()


def summary(lines: list[Run]) -> list[str]:
    """What a reader in a hurry wants: ours, the standard library, and the peers of each family."""
    kinds = {"call": "a call", "error": "with a traceback", "goals": "a goal, begin and end"}
    names = (*FORMS, "null", "file", "queue", "structlog call site", "eliot action", "opentelemetry", "2017 json")
    rows = []
    for name in names:
        cells = [thread(lines, name, kind) for kind in kinds]
        if name == "eliot action":
            cells = [thread(lines, "eliot handler"), None, cells[2]]
        shown = "eliot" if name == "eliot action" else NAMES[name]
        if any(cell is not None for cell in cells):
            rows.append([shown, *(number(cell) if cell is not None else "" for cell in cells)])
    return table(("processor time of the calling thread, × NullHandler", *kinds.values()), rows)


def calls(lines: list[Run]) -> list[str]:
    """The large table, cheapest first."""
    names = sorted((name for name in NAMES if thread(lines, name)), key=lambda name: thread(lines, name) or 0)
    head = ("", "calling thread, ×", "whole process, ×", "bytes", "distlog accelerated is cheaper by")
    return table(head, [call_row(lines, name) for name in names])


def call_row(lines: list[Run], name: str) -> list[str]:
    """One set-up's figures."""
    cells = [spread(values(lines, name, "call", figure)) for figure in ("thread", "total")]
    factor = divided(thread(lines, name), thread(lines, "accelerated json"))
    ours = "**distlog**" in NAMES[name]
    times = f"{number(factor)} ×" if factor and not ours else ""
    size = number(round(median(lines, name, "call", "bytes") or 0)) if name != "null" else ""
    return [NAMES[name], *cells, size, times]


def others(lines: list[Run]) -> list[str]:
    """Kinds as columns."""
    kinds = {
        "in goal": "in a goal",
        "goals": "goal entered and left, two records",
        "error": "with a traceback of three frames",
        "long": "in a function of 2,000 lines",
        "disabled": "level disabled",
    }
    rows = [
        [NAMES[name], *(spread(found) if (found := values(lines, name, kind, "thread")) else "" for kind in kinds)]
        for name in NAMES
        if any(values(lines, name, kind, "thread") for kind in kinds)
    ]
    return [*table(("calling thread, ×", *kinds.values()), rows)]


def threads(lines: list[Run]) -> list[str]:
    """Throughput."""
    rows = [
        [NAMES[name], *(spread(values(lines, name, "threads", of)) for of in ("one", "many", "over_one", "over_null"))]
        for name in NAMES
        if values(lines, name, "threads", "many")
    ]
    head = ("", "records/s, one thread", "records/s, four threads", "× one thread", "× NullHandler on four threads")
    return table(head, rows)


def having(lines: list[Run]) -> list[str]:
    """Imports, memory, wheel."""
    units = {"import": "ms", "memory": "MB", "wheel": "MB"}
    names = list(dict.fromkeys(line["of"] for line in lines if "of" in line and "value" in line))
    rows = [
        [
            name,
            f"{spread([line['value'] for line in lines if line.get('of') == name])} {units[name.split()[0].strip(',')]}",
        ]
        for name in names
    ]
    return table(("over plain `logging`", ""), rows)


def missing(lines: list[Run]) -> list[str]:
    """Rows that are not there, and why; and rows that dropped records, which are no figures."""
    skipped = {
        (line.get("setup") or line["of"], line.get("kind", ""), line["skipped"]) for line in lines if "skipped" in line
    }
    text = [f"- {NAMES.get(name, name)} ({kind or 'size'}): {why}" for name, kind, why in sorted(skipped)]
    dropped = {(line["setup"], line["kind"], line["dropped"]) for line in lines if line.get("dropped")}
    text += [
        f"- {NAMES[name]} ({kind}): **{count} records were dropped; no figure**"
        for name, kind, count in sorted(dropped)
    ]
    return ["Not measured:", "", *text, ""] if text else []


def versions() -> list[str]:
    """What the peers are."""
    pinned = (Path(__file__).parent / "peers/requirements.txt").read_text().split("\n")
    names = [line.split(";")[0].strip().replace("==", " ") for line in pinned if line and not line.startswith("#")]
    return [f"Peers: {', '.join(names)}.", ""]


def thread(lines: list[Run], setup: str, kind: str = "call") -> float | None:
    """The calling thread's cost."""
    return median(lines, setup, kind, "thread")


def median(lines: list[Run], setup: str, kind: str, figure: str) -> float | None:
    """Over the rounds."""
    found = values(lines, setup, kind, figure)
    return statistics.median(found) if found else None


def values(lines: list[Run], setup: str, kind: str, figure: str) -> list[float]:
    """A figure, round by round; rounds with drops do not count."""
    mine = [line for line in lines if line.get("setup") == setup and line["kind"] == kind]
    return [line[figure] for line in mine if figure in line and not line["dropped"]]


def of(lines: list[Run], name: str) -> float | None:
    """A figure of the footprint."""
    found = [line["value"] for line in lines if line.get("of") == name and "value" in line]
    return statistics.median(found) if found else None


def divided(one: float | None, by: float | None) -> float | None:
    """The ratio, if there are both."""
    return one / by if one is not None and by else None
