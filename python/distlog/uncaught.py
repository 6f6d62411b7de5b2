"""What nobody caught, as records: exceptions that end the program or a thread, those the interpreter can only mention, and warnings.

Nothing here is switched on by itself. Each hook logs and then calls the hook that was there before, so what stood on stderr still does.
Switching off puts the previous hook back; if somebody else's hook is in front by then, ours stays where it is and logs nothing.

A hook never raises, and what fails while it logs is not logged by it again.

=============================== ========== ===================================================
hook                            level      not logged
=============================== ========== ===================================================
``sys.excepthook``              CRITICAL   ``KeyboardInterrupt``
``threading.excepthook``        ERROR      ``SystemExit``
``sys.unraisablehook``          ERROR      –
``warnings.showwarning``        WARNING    what ``logging.captureWarnings`` logs anyway
=============================== ========== ===================================================

asyncio logs what its tasks raise by itself, through the logger ``asyncio``.
"""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from types import TracebackType
from typing import Any, Callable, Optional

from distlog import _distlog

__all__ = ["LOGGER", "capture_exceptions", "capture_warnings"]

#: The logger of exceptions; that of warnings is the standard library's, ``py.warnings``.
LOGGER = "distlog.uncaught"

_Trace = Optional[TracebackType]
_changing = threading.RLock()
_logging = threading.local()


class _Hook:
    """A function of the interpreter's that is replaced by one which logs before it."""

    def __init__(self, owner: Any, name: str, log: Callable[..., None]) -> None:
        self.owner, self.name, self.log = owner, name, log
        self.enabled = False
        self.previous: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if self.enabled and not getattr(_logging, "busy", False):
            _logging.busy = True
            try:
                self.log(*arguments, **named)
            except Exception:
                # There is nobody left to tell: this was the last resort.
                pass
            finally:
                _logging.busy = False
        previous = self.previous
        return None if previous is None else previous(*arguments, **named)

    def enable(self) -> None:
        self.enabled = True
        present = getattr(self.owner, self.name)
        if present is not self and not self._is_behind(present):
            self.previous = present
            setattr(self.owner, self.name, self)

    def disable(self) -> None:
        self.enabled = False
        if getattr(self.owner, self.name) is self:
            setattr(self.owner, self.name, self.previous)
            self.previous = None

    def _is_behind(self, present: Any) -> bool:
        """Whether a hook that was put in front since then may still call ours: then it must not be chained twice."""
        return self.previous is not None and present is not self.previous


def capture_exceptions(enabled: bool = True) -> None:
    """Log exceptions that nobody caught: of the program, of threads, and those that cannot be raised anywhere; ``False`` undoes it."""
    _switch((_PROGRAM, _THREADS, _UNRAISABLE), enabled)


def capture_warnings(enabled: bool = True) -> None:
    """Log what ``warnings.warn`` shows, with the place that it names; ``False`` undoes it."""
    _switch((_SHOWN,), enabled)


def _switch(hooks: tuple[_Hook, ...], enabled: bool) -> None:
    with _changing:
        for hook in hooks:
            if enabled:
                hook.enable()
            else:
                hook.disable()


def _log(level: int, what: str, error: BaseException, trace: _Trace, **fields: Any) -> None:
    logger = logging.getLogger(LOGGER)
    if not logger.isEnabledFor(level):
        return
    path, line, function = _raised_at(trace)
    args = (_distlog.describe(error),)
    info = (type(error), error, trace)
    record = logger.makeRecord(logger.name, level, path, line, f"{what} %s", args, info, function)
    record.__dict__.update(fields)
    logger.handle(record)


def _raised_at(trace: _Trace) -> tuple[str, int, str]:
    """File, line and function of the innermost frame."""
    if trace is None:
        return "(unknown file)", 0, "(unknown function)"
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return code.co_filename, trace.tb_lineno or 0, code.co_name


def _log_program(kind: type[BaseException], error: Any, trace: _Trace) -> None:
    if isinstance(error, BaseException) and not isinstance(error, KeyboardInterrupt):
        _log(logging.CRITICAL, "uncaught", error, trace, hook="sys.excepthook")


def _log_thread(args: Any) -> None:
    error = args.exc_value
    if error is not None and not isinstance(error, SystemExit):
        name = getattr(args.thread, "name", None)
        _log(
            logging.ERROR, "uncaught in thread:", error, args.exc_traceback, hook="threading.excepthook", in_thread=name
        )


def _log_unraisable(unraisable: Any) -> None:
    error = unraisable.exc_value
    if error is not None:
        said = unraisable.err_msg or "Exception ignored in"
        # The object itself must not be kept: it may be about to die.
        where = "" if unraisable.object is None else _distlog.render("%.200r", (unraisable.object,))
        _log(
            logging.ERROR,
            "unraisable",
            error,
            unraisable.exc_traceback,
            hook="sys.unraisablehook",
            said=said,
            object=where,
        )


def _log_warning(
    message: Any, category: type[Warning], filename: str, lineno: int, file: Any = None, line: str | None = None
) -> None:
    logger = logging.getLogger("py.warnings")
    previous = getattr(_SHOWN.previous, "__module__", None)
    # Where `logging.captureWarnings` comes after us it logs the same.
    if file is not None or previous == "logging" or not logger.isEnabledFor(logging.WARNING):
        return
    args = (category.__name__, str(message))
    record = logger.makeRecord(
        logger.name, logging.WARNING, filename, lineno, "%s: %s", args, None, "(unknown function)"
    )
    record.__dict__["category"] = f"{category.__module__}.{category.__qualname__}"
    logger.handle(record)


_PROGRAM = _Hook(sys, "excepthook", _log_program)
_THREADS = _Hook(threading, "excepthook", _log_thread)
_UNRAISABLE = _Hook(sys, "unraisablehook", _log_unraisable)
_SHOWN = _Hook(warnings, "showwarning", _log_warning)
