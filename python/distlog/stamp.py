"""How a record comes to belong to a goal: the stamp it gets when it is made.

The record factory (chained before whatever factory was there) captures the current goal when a record is *made*, so the record keeps it
through queues and threads. Its number in the goal is drawn later and once: when the first handler of distlog, or whoever reads
``record.context``, asks for it. Records that a filter drops on the way therefore leave no holes in the sequence.
"""

from __future__ import annotations

import copyreg
import logging
from typing import Any, Callable, Optional, Union

from distlog import _distlog
from distlog._distlog import Stamp

Fields = dict[str, Any]
Parts = tuple[Fields, Optional[Fields]]


class _Context:
    """``record.context``. No data descriptor: ``extra={"context": …}`` goes before it, and the standard library's check does not see it."""

    def __get__(self, record: logging.LogRecord | None, owner: type | None = None) -> Any:
        if record is None:
            return self
        stamp: Union[Stamp, Parts, None] = getattr(record, "_distlog", None)
        if stamp is None:
            return None
        return (stamp if isinstance(stamp, tuple) else stamp.parts())[0]


class LogRecord(logging.LogRecord):
    """A record that knows its goal. Its ``__dict__`` is the standard library's, so other handlers see nothing new."""

    __slots__ = ("_distlog",)

    _distlog: Union[Stamp, Parts, None]
    context = _Context()

    def __copy__(self) -> LogRecord:
        copied = LogRecord.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        copied._distlog = getattr(self, "_distlog", None)
        return copied

    def __reduce_ex__(self, _protocol: Any) -> tuple[Any, ...]:
        """Pickled as the standard library's record: whoever reads it may not have distlog."""
        stamp = getattr(self, "_distlog", None)
        parts = stamp.parts() if isinstance(stamp, Stamp) else stamp
        made = (logging.LogRecord, object, None)
        return copyreg._reconstructor, made, {**self.__dict__, "_distlog": parts}  # type: ignore[attr-defined]


_distlog.register_record(LogRecord)

#: Makes a record, and stamps it with the current goal.
factory = _distlog.make_record
#: Emptied by whoever installs the factory.
_free = [True]


def install() -> None:
    """Make it the record factory, once; one that is there already makes the records, and this one only stamps them."""
    try:
        _free.pop()
    except IndexError:
        return
    present = logging.getLogRecordFactory()
    if present is not factory:
        _distlog.chain_factory(None if present is logging.LogRecord else present)
        _previous[:] = [present]
        logging.setLogRecordFactory(factory)


def uninstall() -> None:
    """Put the previous factory back, unless somebody else's is before it now."""
    if _previous and logging.getLogRecordFactory() is factory:
        logging.setLogRecordFactory(_previous.pop())
        _distlog.chain_factory(None)
        _distlog.uninstalled()
        _free.append(True)


_previous: list[Callable[..., logging.LogRecord]] = []
