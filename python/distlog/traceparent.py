"""Goal ids in W3C ``traceparent`` headers: ``00-<trace id, 32 hex>-<parent id, 16 hex>-<flags>``.

The trace id is the root's uuid. The parent id holds the path below the root, if it is short enough to be read back:

======  =====================================================================================================
digits  meaning
======  =====================================================================================================
1-2     check byte: sum of the other 14 digits' code points and the trace id's, modulo 256
3-16    the path's numbers in base 8, highest digit first; the last digit of a number has no 8 added, the others have;
        the unused rest is ``f``
======  =====================================================================================================

A path that does not fit, and a parent id that another system made, become two path numbers: its upper and lower 32 bits. Such a goal is
below the root of that trace, where its parent is not known to distlog.

Beside it goes ``tracestate: distlog=<parent id>:<path>``, which systems that know nothing of distlog hand on. Whoever finds it beside a
traceparent of the same parent id has the exact path; beside another one, it tells which goal is above, with strangers in between.
"""

from __future__ import annotations

import re

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII | re.DOTALL)
_ENTRY = re.compile(r"([0-9a-f]{16}):((?:[0-9]+(?:/[0-9]+)*)?)", re.ASCII)
_DIGITS = 14
#: A longer path is not put into ``tracestate``, of whose entries others keep 256 characters.
_STATE = 200


def looks_like_one(text: str) -> bool:
    """Whether the text is meant as a traceparent: a goal's id has no hyphen at that place."""
    return len(text) > 3 and text[2] == "-"


def encode(goal_id: str, sampled: bool = True) -> str:
    """The header that names this goal; ``sampled`` is what other systems shall do, distlog keeps all."""
    root, *path = goal_id.split("/")
    trace = root.replace("-", "").lower()
    digits = "".join(_octal(int(number)) for number in path)
    if len(digits) > _DIGITS:
        # Only here, because it takes as long to import as the rest of distlog.
        import hashlib

        parent = hashlib.blake2b(goal_id.encode(), digest_size=8).hexdigest()
    else:
        digits = digits.ljust(_DIGITS, "f")
        parent = _check(trace, digits) + digits
    return f"00-{trace}-{parent}-{'01' if sampled else '00'}"


def state(goal_id: str, header: str) -> str | None:
    """The entry of ``tracestate`` that goes with the goal's traceparent; ``None`` if the path is too long for one."""
    path = goal_id.partition("/")[2]
    return f"distlog={header[36:52]}:{path}" if path and len(path) <= _STATE else None


def place(text: str, tracestate: str = "") -> tuple[str, bool]:
    """The nearest goal that the two headers tell of, and whether it is the very one that they name.

    If not, the work that they announce is below it. ``ValueError`` if the first is no traceparent; a strange second one is passed over.
    """
    trace, parent = parts(text)[:2]
    root = _dashed(trace)
    for entry in tracestate.split(",")[:32]:
        name, _, value = entry.strip().partition("=")
        match = _ENTRY.fullmatch(value) if name == "distlog" else None
        if match is not None:
            return f"{root}/{match[2]}".rstrip("/"), match[1] == parent
    path = _path(trace, parent)
    return (root, False) if path is None else ("/".join([root, *map(str, path)]), True)


def decode(text: str) -> str:
    """The id of the goal that the header names; ``ValueError`` if it is none."""
    trace, parent = parts(text)[:2]
    path = _path(trace, parent)
    if path is None:
        path = [int(parent[:8], 16), int(parent[8:], 16)]
    return "/".join([_dashed(trace), *map(str, path)])


def _dashed(trace: str) -> str:
    """32 hexadecimal digits as a uuid is written."""
    return "-".join((trace[:8], trace[8:12], trace[12:16], trace[16:20], trace[20:]))


def parts(text: str) -> tuple[str, str, bool]:
    """Trace id, parent id, and whether the trace is sampled; ``ValueError`` if it is no traceparent."""
    match = _FORM.fullmatch(text.strip().lower())
    if match is None or match[1] == "ff" or (match[1] == "00" and match[5]):
        raise ValueError("it does not have the form of a traceparent")
    trace, parent = match[2], match[3]
    if set(trace) == {"0"} or set(parent) == {"0"}:
        raise ValueError("a traceparent of zeros names nothing")
    return trace, parent, bool(int(match[4], 16) & 1)


def _octal(number: int) -> str:
    digits = f"{number:o}"
    return "".join(f"{int(digit) + 8:x}" for digit in digits[:-1]) + digits[-1]


def _check(trace: str, digits: str) -> str:
    return f"{sum((trace + digits).encode()) % 256:02x}"


def _path(trace: str, parent: str) -> list[int] | None:
    """The path, if distlog made this parent id."""
    check, digits = parent[:2], parent[2:]
    if check != _check(trace, digits):
        return None
    path, number = [], 0
    for digit in digits.rstrip("f"):
        value = int(digit, 16)
        number = number * 8 + value % 8
        if value < 8:
            path.append(number)
            number = 0
    return path if number == 0 and max(path, default=0) < 2**32 else None
