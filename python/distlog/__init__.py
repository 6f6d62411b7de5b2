"""Logging for distributed applications: the standard library's records, from all processes, in one tree of goals."""

from distlog import interpreters  # noqa: F401 - before all that is native
from distlog._distlog import __version__
from distlog.context import LogContext, LogRecord, Task, current_task, import_task, task, to, wrap
from distlog.formatters import JSONFormatter, PickleFormatter, Serializer
from distlog.handler import ZmqHandler
from distlog.settings import configure
from distlog.threads import propagate

__all__ = [
    "JSONFormatter",
    "LogContext",
    "LogRecord",
    "PickleFormatter",
    "Serializer",
    "Task",
    "ZmqHandler",
    "__version__",
    "configure",
    "current_task",
    "import_task",
    "propagate",
    "task",
    "to",
    "wrap",
]
