"""Which goal a request belongs to, as its headers say it: what is written on the way out, and what is believed on the way in.

=================  ==========================================================================================================
header             says
=================  ==========================================================================================================
``distlog-goal``   the id that the caller reserved, whole: ``<uuid>/2/1``. Where it is there, it is what counts
``traceparent``    the same in W3C's form, for everybody else; the path below the root may not fit into it
``tracestate``     the path beside the traceparent, which services that know nothing of distlog hand on; others' entries are kept
=================  ==========================================================================================================

An id is one goal. Where the same one comes twice (a request that was sent again), and where a service in between is only known by its
span, the work gets a number below it that is drawn by lot.
"""

from __future__ import annotations

import fnmatch
import random
from collections.abc import Iterable
from typing import Any, Callable, NamedTuple, Optional, Union

from distlog import _distlog, traceparent
from distlog.context import MAX_ID, Task, current_task, import_task, task

__all__ = ["GOAL", "Caller", "Hosts", "Rule", "is_near", "outgoing"]

GOAL = "distlog-goal"
TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
#: Headers by which proxies tell whom they speak for.
FORWARDED = (
    "x-forwarded-for",
    "forwarded",
    "x-real-ip",
    "via",
    "x-forwarded-host",
    "true-client-ip",
    "cf-connecting-ip",
)
#: How many ids, and how many traces, are remembered.
_REMEMBERED = 4096
#: Numbers that are drawn by lot are far from those that are counted.
_LOTS = range(2**31, 2**32 - 1)

Hosts = Union[str, Iterable[str], Callable[[str], bool], None]
Get = Callable[[str], Optional[str]]

#: Without a lock, which a fork could leave locked: every step is one that nothing can come between.
_seen: dict[str, list[None]] = {}
#: Of a root: whether it is sampled, and the other systems' entries of its tracestate.
_traces: dict[str, tuple[bool, str]] = {}
_lot = random.SystemRandom()


class Rule:
    """To which hosts goals are told, and whether each request is a goal of its own.

    ``only`` and ``except_`` are a name, names with ``*`` in them, or a function of the host's name. Without ``only``: hosts that are
    near (``is_near``). ``except_`` goes before ``only``.
    """

    def __init__(self, only: Hosts = None, except_: Hosts = (), goal: bool = False) -> None:
        self._only = is_near if only is None else _matching(only)
        self._except = _matching(except_)
        self.goal = goal

    def headers(self, host: str | None, present: Any = ()) -> dict[str, str]:
        """What to add to a request to this host: nothing outside goals, and nothing that others have written already.

        ``present`` are the request's headers: anything that tells by ``in`` whether it has one.
        """
        goal = current_task()
        if goal is None or not host or GOAL in present or not self.tells(host):
            return {}
        added = outgoing(goal)
        if TRACEPARENT in present:
            # Somebody else's tracing was here first; its two headers belong together.
            added = {GOAL: added[GOAL]}
        return added

    def tells(self, host: str) -> bool:
        """Whether requests to this host carry goals. A function that raises has not said yes."""
        try:
            host = host.lower().strip("[]").rstrip(".")
            return bool(self._only(host)) and not self._except(host)
        except Exception:
            return False


class Caller(NamedTuple):
    """Who asks, as the headers say it."""

    #: The goal that the caller reserved, or ``None``.
    id: str | None
    #: Whether it is the goal itself (or one below it), rather than one that is only linked.
    trusted: bool
    #: Which headers were passed over, and why.
    ignored: str | None
    #: The span of another system that the request comes from.
    span: str | None

    @classmethod
    def of(cls, get: Get, trust: Callable[[], Any]) -> Caller:
        """Read the headers; whatever is in them, this does not raise. ``trust`` is asked only if there is something to trust."""
        ignored: list[str] = []
        for name, read in ((GOAL, _goal), (TRACEPARENT, _trace)):
            text = get(name)
            if text:
                try:
                    found, is_goal, span = read(text, get)
                except ValueError as error:
                    ignored.append(f"{name}: {error}")
                    continue
                trusted = _asked(trust)
                if trusted:
                    _remember_trace(found, get)
                    found = _once(found) if is_goal else _below(found)
                return cls(found, trusted, "; ".join(ignored) or None, span)
        return cls(None, False, "; ".join(ignored) or None, None)

    def below(self) -> Caller:
        """The same, for work that may have been begun before."""
        return self if self.id is None else self._replace(id=_below(self.id))

    def goal(self, msg: Any, *args: Any, **fields: Any) -> Task:
        """The goal of what is asked: below the caller's, linked to it, or a new root."""
        if self.ignored:
            fields["ignored_headers"] = self.ignored
        if self.span:
            fields["parent_span"] = self.span
        if self.id is None:
            return new_root(msg, *args, **fields)
        return import_task(self.id, msg, *args, trust=self.trusted, **fields)


#: What makes a root where nobody asked from outside; the integration of OpenTelemetry knows better.
new_root: Callable[..., Task] = task


def outgoing(goal: Task) -> dict[str, str]:
    """The headers that name a new child of this goal, which is reserved by this."""
    goal_id = goal.get_foreign_task()
    sampled, others = known_trace(goal_id.partition("/")[0], True)
    header = traceparent.encode(goal_id, sampled)
    states = [traceparent.state(goal_id, header), others]
    headers = {GOAL: goal_id, TRACEPARENT: header, TRACESTATE: ",".join(filter(None, states))}
    return headers if headers[TRACESTATE] else {GOAL: goal_id, TRACEPARENT: header}


def known_trace(root: str, sampled: bool) -> tuple[bool, str]:
    """Of a trace that came from outside: whether it is sampled, and other systems' entries of its tracestate."""
    return _traces.get(root, (sampled, ""))


def is_near(host: str) -> bool:
    """Whether this host is one's own by all appearance: this machine, private addresses, names without a dot, names of no public domain."""
    address = _address(host)
    if address is not None:
        return bool(address.is_loopback or address.is_private or address.is_link_local) and not address.is_unspecified
    last = host.rpartition(".")[2]
    if "." not in host:
        # A mere number is an address in disguise.
        return not host.isdigit() and not host.startswith("0x")
    return last in ("localhost", "local", "internal", "lan", "test", "svc") or host.endswith(".home.arpa")


def comes_from_near(client: str | None, get: Get) -> bool:
    """Whether a request comes from a neighbour itself, not from a proxy that speaks for somebody else."""
    address = _address(client or "")
    # Without an address it came through a socket of this machine.
    return (address is None or is_near(str(address))) and not any(get(name) for name in FORWARDED)


def _address(host: str) -> Any:
    import ipaddress

    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _matching(hosts: Hosts) -> Callable[[str], Any]:
    if hosts is None:
        return lambda _: False
    if callable(hosts):
        return hosts
    names = [name.lower() for name in ([hosts] if isinstance(hosts, str) else hosts)]
    return lambda host: any(fnmatch.fnmatchcase(host, name) for name in names)


def _goal(text: str, _: Get) -> tuple[str, bool, str | None]:
    if len(text) > MAX_ID:
        raise ValueError("it is too long")
    return _distlog.parse_goal(text.strip()), True, None


def _trace(text: str, get: Get) -> tuple[str, bool, str | None]:
    found, is_goal = traceparent.place(text[:MAX_ID], get(TRACESTATE) or "")
    return _distlog.parse_goal(found), is_goal, None if is_goal else traceparent.parts(text)[1]


def _asked(trust: Callable[[], Any]) -> bool:
    try:
        return bool(trust())
    except Exception:
        return False


def _once(goal_id: str) -> str:
    """The id, or one below it if it came before."""
    mine: list[None] = []
    is_new = _seen.setdefault(goal_id, mine) is mine
    _forget_oldest(_seen)
    return goal_id if is_new else _below(goal_id)


def _below(goal_id: str) -> str:
    return f"{goal_id}/{_lot.choice(_LOTS)}"


def _remember_trace(goal_id: str, get: Get) -> None:
    """Keep what our own traceparents have to hand on, if it is the same trace."""
    root = goal_id.partition("/")[0]
    try:
        trace, _, sampled = traceparent.parts(get(TRACEPARENT) or "")
    except ValueError:
        return
    entries = [entry.strip() for entry in (get(TRACESTATE) or "")[:4096].split(",")]
    others = ",".join([entry for entry in entries if entry and not entry.startswith("distlog=")][:31])
    if trace == root.replace("-", ""):
        _traces[root] = sampled, others
        _forget_oldest(_traces)


def _forget_oldest(remembered: dict[str, Any]) -> None:
    try:
        if len(remembered) > _REMEMBERED:
            remembered.pop(next(iter(remembered)), None)
    except (RuntimeError, StopIteration):
        # Another thread was faster; it forgets one too.
        pass
