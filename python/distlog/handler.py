"""Multi-process logging: records of this process on their way to the daemon.

``emit`` encodes the record on the calling thread and puts it into a bounded queue; a thread that never needs the interpreter sends it.
Nothing here waits for the network, and nothing a program logs comes back to it as an exception. When the queue
is full, records are dropped, counted, and one record tells of the gap once there is room again.

The handler has no lock, so a fork cannot leave one behind. A forked child sends what it logs itself through a queue of its own.
"""

from __future__ import annotations

import atexit
import functools
import logging
import sys
import time
import weakref
from types import FrameType
from typing import Any, Callable, Protocol, cast

from distlog import _distlog, processes

__all__ = ["ZmqHandler"]

ENDPOINT = "tcp://127.0.0.1:5010"
#: Where the daemon acknowledges.
ACKED = "tcp://127.0.0.1:5011"
SYSTEMS = {"T": "test", "S": "staging", "P": "production"}
#: Encodings that can be redacted, and the method that does.
REDACTED = {"J": "json", "P": "pickle"}
#: Seconds without a daemon after which the sender says so by itself.
NOTICE_SECONDS = 5.0


class _Socket(Protocol):
    def send_multipart(self, frames: list[bytes], flags: int = ...) -> Any: ...


class _Serializer(Protocol):
    encoding: str

    def format(self, record: logging.LogRecord) -> bytes: ...


class _Json(logging.Formatter):
    """What is used while no formatter is set. It is one, so that ``basicConfig`` does not set its own."""

    encoding = "J"

    def format(self, record: logging.LogRecord) -> bytes:  # type: ignore[override]
        return _distlog.encode_json(record)


class _Foreign:
    """A socket of the program's own, by duck typing. It is asked not to wait, and what it refuses is dropped."""

    NOBLOCK = 1

    def __init__(self, endpoint: _Socket) -> None:
        self.send_frames = _not_waiting(endpoint.send_multipart, self.NOBLOCK)
        self.sent = self.refused = self.bytes = 0

    def send(self, topic: bytes, body: bytes, _level: int) -> bool:
        try:
            self.send_frames([topic, body])
        except BaseException as error:
            self.refused += 1
            # Only "would wait" is no error: the socket's queue is full.
            if type(error).__name__ != "Again":
                raise
            return False
        self.sent += 1
        self.bytes += len(topic) + len(body)
        return True

    def flush(self, _timeout: float) -> bool:
        return True

    def close(self, _timeout: float) -> bool:
        return True

    def stats(self) -> dict[str, Any]:
        dropped = {"full": self.refused, "closed": 0}
        return {"queued": 0, "sent": self.sent, "acked": 0, "dropped": dropped, "bytes": self.bytes}


class ZmqHandler(_distlog.Core, logging.Handler):
    """Sends records to a ``distlogd`` over a 0MQ PUSH socket, or, with ``acks``, a DEALER socket whose records are acknowledged.

    ``endpoint`` is an address, or a socket-like object with ``send_multipart``. With ``acks`` it is the daemon's acked port (5011 where
    nothing else is said): a record stays in memory here until the daemon has stored and synced it. ``acks=None`` takes the port as it is: with
    acknowledgements where it gives them. ``system`` is ``T``, ``S`` or ``P`` (test, staging,
    production). ``context`` is accepted as 2017's handler had it, and not needed. ``queue_bytes`` bounds the memory that waiting records
    take; ``flush_timeout`` is what ``flush()`` and ``close()`` wait at most. ``redact`` is what nobody shall read: ``True``, names, a mapping of
    arguments of `distlog.redact.Redaction`, or one.
    """

    #: What makes bytes of records; ``None`` until there is one.
    _serializer: Any = None

    def __init__(
        self,
        endpoint: str | _Socket = ENDPOINT,
        context: object = None,
        system: str = "P",
        *,
        acks: bool | None = False,
        level: int | str = logging.NOTSET,
        queue_bytes: int = 8 << 20,
        flush_timeout: float = processes.EXIT_SECONDS,
        redact: object = None,
    ) -> None:
        if system not in SYSTEMS:
            raise ValueError(f"system is one of 'T', 'S', 'P' (test, staging, production), not {system!r}")
        if acks and endpoint == ENDPOINT:
            endpoint = ACKED
        if not isinstance(queue_bytes, int) or queue_bytes < 1:
            raise ValueError(f"queue_bytes is a number of bytes above 0, not {queue_bytes!r}")
        self.redaction = _redaction(redact)
        self._arguments = {
            "acks": acks,
            "queue_bytes": queue_bytes,
            "flush_timeout": flush_timeout,
            "redact": self.redaction,
        }
        self.endpoint = endpoint
        self.system = system
        self.flush_timeout = flush_timeout
        self._closed = False
        if isinstance(endpoint, str):
            self._sender: Any = _sender(endpoint, system, acks, queue_bytes)
            weakref.finalize(self, processes.keep_until_sent, self._sender).atexit = False
        elif acks:
            raise TypeError(
                "acks=True needs an address: a socket of the program's own has nobody who reads its answers"
            )
        elif callable(getattr(endpoint, "send_multipart", None)):
            self._sender = _Foreign(endpoint)
        else:
            raise TypeError(f"endpoint is an address or has send_multipart; {type(endpoint).__name__} is neither")
        super().__init__(level)
        self._use(None)
        processes.register(self)

    def createLock(self) -> None:  # noqa: N802 - the standard library's name
        """None: encoding needs no lock, and the queue has its own."""
        self.lock = None

    def acquire(self) -> None:
        """Nothing to acquire."""

    def release(self) -> None:
        """Nothing to release."""

    def setFormatter(self, fmt: logging.Formatter | None) -> None:  # noqa: N802 - the standard library's name
        """Use this serializer; ``TypeError`` for a formatter that is none, since records travel as data."""
        if fmt is not None and (not callable(getattr(fmt, "format", None)) or not _letter(fmt)):
            raise TypeError(f"ZmqHandler takes a Serializer (JSONFormatter, PickleFormatter), not {type(fmt).__name__}")
        if fmt is not None and self.redaction is not None and _letter(fmt) not in REDACTED:
            raise TypeError(f"redaction reads JSON and pickle, not what {type(fmt).__name__} writes")
        self._use(fmt)

    def flush(self, timeout: float | None = None) -> bool:  # type: ignore[override]
        """Wait until the network, or with ``acks`` the daemon's store, has what was logged so far; ``False`` if ``timeout`` seconds were not enough."""
        caller = sys._getframe().f_back
        if timeout is None and _is_reconfiguration(caller):
            return self._flush_in_hope(time.monotonic() + self._wait(None))
        if timeout is None and _is_shutdown(caller):
            timeout = processes.within_shutdown(self.flush_timeout)
        return bool(self._sender.flush(self._wait(timeout)))

    def close(self) -> None:
        """Send what is queued, within ``flush_timeout``, and take no more. May be called again.

        ``logging.config`` closes every handler there is before it sets anything up, those too that a logger it does not name keeps using.
        Then what is queued is sent, if a daemon answers, and the handler stays open for as long as somebody holds it.
        """
        caller = sys._getframe().f_back
        if _is_reconfiguration(caller):
            _set_aside.add(self)
            return
        if not self._closed:
            self._closed = True
            wait = processes.within_shutdown(self.flush_timeout) if _is_shutdown(caller) else self._wait(None)
            if not self._sender.close(wait):
                self._tell_loss()
            processes.forget(self)
        super().close()

    def stats(self) -> dict[str, Any]:
        """What became of the records: ``queued``, ``sent``, ``acked``, ``dropped`` by reason, and ``bytes`` sent."""
        return cast("dict[str, Any]", self._sender.stats())

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process makes one of the same arguments."""
        if not isinstance(self.endpoint, str):
            raise TypeError("a ZmqHandler on a socket of the program's own cannot go to another process")
        arguments = {**self._arguments, "level": self.level}
        return _remade, (type(self), self.endpoint, self.system, arguments, self.formatter, self.filters, self.name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.endpoint} ({logging.getLevelName(self.level)})>"

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in _OVERRIDDEN and self._serializer is not None:
            self._replan()

    def _use(self, fmt: Any) -> None:
        self.formatter = self._serializer = _Json() if fmt is None else fmt
        self._replan()

    def _replan(self) -> None:
        """Find out what of the native path may be used; see ``_distlog.Core``."""
        kind, own = type(self), vars(self)
        native = isinstance(self._sender, _distlog.Sender)
        formats = kind.format is not logging.Handler.format or "format" in own
        ours = type(self._serializer).__module__ in ("distlog.formatters", __name__)
        emits = kind.emit is not _distlog.Core.emit or "emit" in own
        filters = kind.filter is not logging.Handler.filter or "filter" in own
        handles = kind.handle is not _distlog.Core.handle or "handle" in own
        self._formats = formats
        self._topic = f"{self.system}L{self._serializer.encoding}".encode("ascii")
        self._plan(
            self._sender if native else None,
            self.filters,
            self._topic,
            handles=not emits and not filters and not handles,
            emits=native and ours and not formats and self.redaction is None,
        )

    def _handle(self, record: logging.LogRecord) -> Any:
        passed: Any = self.filter(record)
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return passed

    def _emit(self, record: logging.LogRecord) -> None:
        try:
            stamp = _distlog.stamp_of(record)
            if stamp is None or isinstance(stamp, tuple) or stamp.announce(self):
                self._sender.send(self._topic, self._body(record), record.levelno)
                self._let_leave()
        except Exception:
            self.handleError(record)

    def _body(self, record: logging.LogRecord) -> bytes:
        body: Any = self.format(record) if self._formats else self._serializer.format(record)
        body = body.encode() if isinstance(body, str) else body
        if self.redaction is not None:
            body = getattr(self.redaction, REDACTED[self._serializer.encoding])(body)
        return cast("bytes", body)

    def _failed(self, error: Exception, record: logging.LogRecord) -> None:
        try:
            raise error
        except Exception:
            self.handleError(record)

    def _let_leave(self) -> None:
        if processes.ends_suddenly is not False:
            processes.let_leave(self)
        _distlog.settled(processes.ends_suddenly is False)

    def _flush_in_hope(self, deadline: float) -> bool:
        """Wait for what is queued to leave, but not for a daemon that does not answer."""
        stats = self.stats()
        while stats["queued"] and stats.get("failing_seconds") is None and time.monotonic() < deadline:
            self._sender.flush(0.02)
            stats = self.stats()
        return not stats["queued"]

    def _tell_loss(self) -> None:
        """One line for records that could not leave in time, unless there was one already that no daemon answers."""
        stats = self.stats()
        lost = stats["dropped"]["closed"]
        if not lost or (stats.get("failing_seconds") or 0.0) >= NOTICE_SECONDS or sys.stderr is None:
            return
        try:
            sys.stderr.write(f"distlog: {lost} records could not be delivered to {self.endpoint}\n")
        except (OSError, ValueError):
            # Nobody is there to be told.
            pass

    def _wait(self, timeout: float | None) -> float:
        return processes.within_exit(self.flush_timeout) if timeout is None else max(timeout, 0.0)


#: Methods that a subclass may have of its own, or a handler alone; and what `handle` looks at.
_OVERRIDDEN = frozenset({"emit", "filter", "filters", "format", "handle"})

#: Handlers that `logging.config` meant to close, and forgot thereafter.
_set_aside: weakref.WeakSet[ZmqHandler] = weakref.WeakSet()


@atexit.register
def _close_at_exit() -> None:
    """Those too have their time at the end: `logging.shutdown` comes after this, and closes what it knows."""
    for handler in list(_set_aside):
        logging._addHandlerRef(handler)  # type: ignore[attr-defined]


def _is_shutdown(frame: FrameType | None) -> bool:
    return frame is not None and frame.f_code is logging.shutdown.__code__


def _is_reconfiguration(frame: FrameType | None) -> bool:
    for _ in range(6):
        if frame is None:
            return False
        if frame.f_code.co_name == "_clearExistingHandlers" and frame.f_globals.get("__name__") == "logging.config":
            return True
        frame = frame.f_back
    return False


def _not_waiting(send: Callable[..., Any], noblock: int) -> Callable[[list[bytes]], Any]:
    """How to ask it not to wait: as pyzmq takes flags, by name only, or not at all."""
    import inspect

    try:
        signature = inspect.signature(send)
    except (TypeError, ValueError):
        # Compiled ones have none; they are pyzmq's or like it.
        return lambda frames: send(frames, noblock)
    for flags, named in (((noblock,), {}), ((), {"flags": noblock})):
        try:
            signature.bind([], *flags, **named)
        except TypeError:
            continue
        return functools.partial(_call, send, flags, named)
    return send


def _call(send: Callable[..., Any], flags: tuple[int, ...], named: dict[str, int], frames: list[bytes]) -> Any:
    return send(frames, *flags, **named)


def _letter(fmt: Any) -> str:
    """The letter that stands for its encoding; none if it has no right one."""
    letter = getattr(fmt, "encoding", None)
    is_one = isinstance(letter, str) and len(letter) == 1 and letter.isascii() and letter.isalpha()
    return str(letter) if is_one else ""


def _redaction(given: object) -> Any:
    if given is None or given is False:
        return None
    from distlog.redact import redaction

    return redaction(given)


def _sender(endpoint: str, system: str, acks: bool | None, queue_bytes: int) -> _distlog.Sender:
    notice = f"distlog: no daemon answers at {endpoint}; records wait, and are dropped when the queue is full\n"
    import json
    import socket

    fields = json.dumps({"hostname": socket.gethostname(), "processName": _process_name(), "stack_info": None})
    return _distlog.Sender(
        endpoint,
        acks=acks,
        queue_bytes=queue_bytes,
        notice=notice.rstrip("\n"),
        gap_topic=f"{system}LJ".encode("ascii"),
        gap_fields=fields[1:-1],
    )


def _process_name() -> str:
    multiprocessing = sys.modules.get("multiprocessing")
    return multiprocessing.current_process().name if multiprocessing is not None else "MainProcess"


def _remade(
    kind: type[ZmqHandler], endpoint: str, system: str, arguments: dict[str, Any], fmt: Any, filters: Any, name: Any
) -> ZmqHandler:
    handler = kind(endpoint, None, system, **arguments)
    handler.setFormatter(fmt)
    handler.filters.extend(filters)
    if name is not None:
        handler.set_name(name)
    return handler
