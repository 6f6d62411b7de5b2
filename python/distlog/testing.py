"""What a block of code logs, for tests: as data, as goals, and as text.

::

    with capture() as captured:
        checkout(cart)
    assert captured.messages("app.pay") == ["charged 12.50"]
    assert captured.goal("checkout").status == "succeeded"
    assert captured.text() == snapshot

With pytest, the fixture ``distlog_capture`` captures during the whole test. See ``docs/testing.md``.
"""

from __future__ import annotations

import json
import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Union, cast

from distlog import _distlog

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

__all__ = ["Captured", "CapturedGoal", "capture"]

Fields = dict[str, Any]
_MARKS = {"succeeded": "✓", "failed": "✗", "running": "⟳", "unknown": "?"}


class CapturedGoal:
    """A goal of which something was captured."""

    def __init__(self, id: str) -> None:
        #: ``<uuid>``, or ``<uuid>/2/1``.
        self.id = id
        #: Its begin and its end record, if they were captured.
        self.begin: Fields | None = None
        self.end: Fields | None = None
        #: The records that were logged in it, without begin and end, and the goals right below it; each in the order of their numbers.
        self.records: list[Fields] = []
        self.children: list[CapturedGoal] = []

    @property
    def title(self) -> str:
        """What it is for, with its arguments; ``"?"`` if neither begin nor end was captured."""
        return cast("str", self._said("title") or "?")

    @property
    def status(self) -> str:
        """``succeeded``, ``failed``, ``running`` (no end was captured), or ``unknown`` (nothing but what is below it)."""
        return cast("str", (self.end or {"goal": {}})["goal"].get("status")) or ("running" if self.begin else "unknown")

    @property
    def ending(self) -> str | None:
        """How the block was left, as the end record says it; ``None`` without one."""
        return cast("Union[str, None]", self._said("ending"))

    @property
    def error(self) -> str | None:
        """Why it failed."""
        return cast("Union[str, None]", self._said("error"))

    @property
    def duration(self) -> float | None:
        """Seconds, once it has ended."""
        return cast("Union[float, None]", self._said("duration"))

    @property
    def fields(self) -> Fields:
        """What was bound to it when its last record was made."""
        last = self.end or (self.records[-1] if self.records else self.begin) or {"context": {}}
        return {name: value for name, value in last["context"].items() if name != "key"}

    def messages(self, logger: str | None = None) -> list[str]:
        """The messages that were logged in it, and not below it."""
        return [record["message"] for record in self.records if logger in (None, record["name"])]

    def outline(self) -> dict[str, list[Any]]:
        """Its title, and under it in their order the messages and, again as outlines, the goals below."""
        return {
            self.title: [
                part.outline() if isinstance(part, CapturedGoal) else part["message"] for part in self._parts()
            ]
        }

    def text(self, *, fields: bool = True) -> str:
        """Itself and all below it, one line each; the same for the same work, whatever ids and times were."""
        return "\n".join(self._lines("", fields, {}))

    def __repr__(self) -> str:
        return f"<{_MARKS[self.status]} goal {self.title!r} {self.status}: {len(self.records)} records, {len(self.children)} goals below>"

    def _said(self, name: str) -> Any:
        return next((r["goal"][name] for r in (self.end, self.begin) if r is not None and name in r["goal"]), None)

    def _parts(self) -> list[Fields | CapturedGoal]:
        parts: list[Fields | CapturedGoal] = [*self.records, *self.children]
        return sorted(parts, key=_number)

    def _lines(self, indent: str, fields: bool, inherited: Fields) -> Iterator[str]:
        bound = self.fields
        new = {name: value for name, value in bound.items() if inherited.get(name, ...) != value}
        more = f"  {_shown(new)}" if fields and new else ""
        why = f": {_first_line(self.error)}" if self.error else ""
        yield f"{indent}{_MARKS[self.status]} {self.title}{why}{more}"
        for part in self._parts():
            if isinstance(part, CapturedGoal):
                yield from part._lines(indent + "  ", fields, bound)
            else:
                yield from _record_lines(part, indent + "  ")
        for number in self._said("awaited") or ():
            if not any(_number(child) == number for child in self.children):
                yield f"{indent}  … awaited"


class Captured(logging.Handler):
    """The records of a block, in the form in which the daemon would have got them."""

    def __init__(self) -> None:
        super().__init__()
        #: One dict a record, in the order in which they came.
        self.records: list[Fields] = []
        self._over = False

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record."""
        if self._over:
            # A goal that ends later tells everybody who heard it begin.
            return
        try:
            stamp = _distlog.stamp_of(record)
            if stamp is None or isinstance(stamp, tuple) or stamp.announce(self):
                self.records.append(json.loads(_distlog.encode_json(record)))
        except Exception:
            self.handleError(record)

    def clear(self) -> None:
        """Forget what was captured so far."""
        self.records.clear()

    def messages(self, logger: str | None = None, level: int | str = 0) -> list[str]:
        """The messages, of one logger or of all, from a level on; begin and end records are not among them."""
        return [record["message"] for record in self.select(logger, level)]

    def select(self, logger: str | None = None, level: int | str = 0, **fields: Any) -> list[Fields]:
        """The records that were logged by this logger, from this level on, and whose fields are these; begin and end records are not among
        them. A field is one of the record or, where that has none of the name, one that is bound to its goal."""
        lowest = logging.getLevelName(level.upper()) if isinstance(level, str) else level
        if not isinstance(lowest, int):
            raise ValueError(f"no level is called {level!r}")
        return [
            record
            for record in self.records
            if "goal" not in record
            and logger in (None, record["name"])
            and record["levelno"] >= lowest
            and all(_field(record, name) == value for name, value in fields.items())
        ]

    def goals(self, title: str | re.Pattern[str] | None = None, status: str | None = None) -> list[CapturedGoal]:
        """The goals of which something was captured, as they began: all, or those with this title and this status.

        A pattern is searched for in the title; a text is the whole title.
        """
        return [
            goal
            for goal in self._goals().values()
            if (title is None or _fits(goal.title, title)) and status in (None, goal.status)
        ]

    def goal(self, title: str | re.Pattern[str]) -> CapturedGoal:
        """The one goal with this title. ``LookupError`` that shows what was captured if there is none, or more than one."""
        found = self.goals(title)
        if len(found) != 1:
            raise LookupError(
                f"{len(found)} goals {_quoted(title)} were captured, not one:\n{self.text() or '(nothing)'}"
            )
        return found[0]

    def tree(self, id: str | None = None) -> Fields:
        """The goal of this id with all below it, as ``distlog tree --json`` shows it; without id, the only root there is."""
        forest = self._forest()
        if id is None:
            roots = forest.roots()
            if len(roots) != 1:
                raise LookupError(f"{len(roots)} root goals were captured, not one:\n{self.text() or '(nothing)'}")
            id = roots[0]
        return _tree(forest, id)

    def trees(self) -> list[Fields]:
        """All roots with what is below them."""
        forest = self._forest()
        return [_tree(forest, root) for root in forest.roots()]

    def outline(self) -> list[Any]:
        """Messages and, as ``{title: [...]}``, goals; in their order. To be compared with ``==``."""
        return [part.outline() if isinstance(part, CapturedGoal) else part["message"] for part in self._parts()]

    def text(self, *, fields: bool = True) -> str:
        """Everything as indented text, one line a record or goal, without ids, times and places: for snapshots and for reading.

        ``fields=False`` leaves out what is bound to goals.
        """
        lines: list[str] = []
        for part in self._parts():
            lines.extend(part._lines("", fields, {}) if isinstance(part, CapturedGoal) else _record_lines(part, ""))
        return "\n".join(lines)

    def assert_quiet(self, level: int | str = logging.WARNING) -> None:
        """``AssertionError`` if anything was logged at this level or above, or any goal failed."""
        loud, failed = self.select(level=level), self.goals(status="failed")
        if loud or failed:
            raise AssertionError(f"{len(loud)} records and {len(failed)} failed goals were captured:\n{self.text()}")

    def __repr__(self) -> str:
        return f"<Captured {len(self.records)} records, {len(self._goals())} goals>"

    def __str__(self) -> str:
        return self.text()

    def _goals(self) -> dict[str, CapturedGoal]:
        goals: dict[str, CapturedGoal] = {}
        for record in self.records:
            key = (record.get("context") or {}).get("key")
            if key is None:
                continue
            goal = _reached(goals, key.partition("@")[2])
            happening = record.get("goal", {}).get("event")
            if happening == "begin":
                goal.begin = record
            elif happening == "end":
                goal.end = record
            else:
                goal.records.append(record)
        for goal in goals.values():
            goal.records.sort(key=_number)
            goal.children.sort(key=_number)
        return goals

    def _parts(self) -> list[Fields | CapturedGoal]:
        """What is below no goal, where its first record came."""
        goals, parts, seen = self._goals(), [], set()
        for record in self.records:
            key = (record.get("context") or {}).get("key")
            root = None if key is None else goals[_root(goals, key.partition("@")[2])]
            part = record if root is None else root
            if id(part) not in seen:
                seen.add(id(part))
                parts.append(part)
        return parts

    def _forest(self) -> _distlog.Forest:
        forest = _distlog.Forest()
        for record in self.records:
            forest.add(json.dumps(record))
        return forest


@contextmanager
def capture(logger: str | None = None, level: int | str = 1) -> Iterator[Captured]:
    """Capture what is logged below a logger (default: everywhere) from a level on (default: everything).

    Loggers that do not propagate are listened to as well, if they are there already. What the loggers are set to is put
    back at the end. A level that a logger below has itself still holds for it.
    """
    source = logging.getLogger(logger)
    captured = Captured()
    before = source.level
    listened = [source, *_apart(source)]
    for one in listened:
        one.addHandler(captured)
    source.setLevel(level.upper() if isinstance(level, str) else level)
    try:
        yield captured
    finally:
        captured._over = True
        source.setLevel(before)
        for one in listened:
            one.removeHandler(captured)


def _apart(source: logging.Logger) -> list[logging.Logger]:
    """The loggers below this one whose records do not come to it."""
    prefix = "" if source is logging.root else source.name + "."
    known = list(logging.root.manager.loggerDict.items())
    return [
        one
        for name, one in known
        if isinstance(one, logging.Logger) and not one.propagate and one is not source and name.startswith(prefix)
    ]


def _tree(forest: _distlog.Forest, id: str) -> Fields:
    tree = forest.tree(id, time.time_ns())
    if tree is None:
        raise LookupError(f"no goal {id} was captured")
    return cast("Fields", json.loads(tree))


def _reached(goals: dict[str, CapturedGoal], id: str) -> CapturedGoal:
    """The goal, which is made if this is the first that is heard of it, below its parent if something is known of that."""
    if id not in goals:
        goal = goals[id] = CapturedGoal(id)
        parent = goals.get(id.rpartition("/")[0])
        if parent is not None:
            parent.children.append(goal)
        for other in goals.values():
            if other.id.rpartition("/")[0] == id:
                goal.children.append(other)
    return goals[id]


def _root(goals: dict[str, CapturedGoal], id: str) -> str:
    while (parent := id.rpartition("/")[0]) in goals:
        id = parent
    return id


def _number(part: Fields | CapturedGoal) -> int:
    """Its place among the records and goals of its goal."""
    if isinstance(part, CapturedGoal):
        number = part.id.rpartition("/")[2]
        return int(number) if number.isdecimal() else 0
    return int(part["context"]["key"].partition("@")[0])


def _record_lines(record: Fields, indent: str) -> Iterator[str]:
    first, *others = record["message"].splitlines() or [""]
    yield f"{indent}{record['levelname']} {first}"
    for line in others:
        yield f"{indent}  {line}"
    info = record.get("exc_info")
    if isinstance(info, dict):
        yield f"{indent}  {info.get('type')}: {_first_line(info.get('message'))}"


def _first_line(text: object) -> str:
    return (str(text).splitlines() or [""])[0]


def _shown(fields: Fields) -> str:
    return " ".join(
        f"{name}={value if isinstance(value, str) and value and not set(value) & set(' =') else json.dumps(value, ensure_ascii=False, sort_keys=True)}"
        for name, value in sorted(fields.items())
    )


def _field(record: Fields, name: str) -> Any:
    return record[name] if name in record else (record.get("context") or {}).get(name)


def _fits(title: str, wanted: str | re.Pattern[str]) -> bool:
    return title == wanted if isinstance(wanted, str) else wanted.search(title) is not None


def _quoted(title: str | re.Pattern[str]) -> str:
    return repr(title) if isinstance(title, str) else repr(title.pattern)
