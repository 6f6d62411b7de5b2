"""Celery's tasks are goals, below the goal that published them.

::

    app = Celery(…)
    distlog.configure(…)
    install()                  # in the module of the app: publishers and workers both import it; uninstall() undoes it

A task that is retried is a failed goal; its next attempt is a goal below it, which published it. So is what a task publishes, a chain's next task
included. Eager tasks are goals as well. A message that the broker delivers again becomes a goal below the first one's. A worker takes the
handlers off the root logger when it starts; distlog's are put back.
"""

from __future__ import annotations

import logging
from typing import Any

from celery import signals

from distlog.context import Task, current_task, to
from distlog.handler import ZmqHandler
from distlog.integrations.headers import TRACEPARENT, Caller, outgoing

__all__ = ["install", "uninstall"]

#: The attribute of a task's request in which its goal is.
_GOAL = "_distlog_goal"
_kept: list[ZmqHandler] = []


def install() -> None:
    """Do it for all apps of this process. A second call changes nothing."""
    _keep_handlers()
    for name, receiver in _RECEIVERS.items():
        getattr(signals, name).connect(receiver, weak=False, dispatch_uid=f"distlog.{name}")


def uninstall() -> None:
    """Undo ``install()``."""
    for name, receiver in _RECEIVERS.items():
        getattr(signals, name).disconnect(receiver, dispatch_uid=f"distlog.{name}")


def _publish(headers: Any = None, **_: Any) -> None:
    goal = current_task()
    if goal is not None and isinstance(headers, dict):
        added = outgoing(goal)
        # A retry brings the headers of the attempt before, which name another goal.
        if TRACEPARENT in headers and "distlog-goal" not in headers:
            added = {"distlog-goal": added["distlog-goal"]}
        headers.update(added)


def _begin(task_id: Any = None, task: Any = None, **_: Any) -> None:
    request = task.request
    fields = {"task_id": task_id, "retries": request.retries}
    caller = Caller.of(lambda name: _text(request.get(name)), lambda: True)
    if caller.id is None and current_task() is not None:
        goal = to(task.name, **fields)
    else:
        again = bool((request.delivery_info or {}).get("redelivered"))
        goal = (caller.below() if again else caller).goal(task.name, **fields)
    goal.__enter__()
    setattr(request, _GOAL, goal)


def _fail(sender: Any = None, exception: Any = None, **_: Any) -> None:
    _end(sender, exception)


def _retry(sender: Any = None, reason: Any = None, **_: Any) -> None:
    goal: Task | None = getattr(sender.request, _GOAL, None)
    if goal is not None:
        try:
            goal.fail("will be retried: %s", getattr(reason, "exc", None) or reason)
        except RuntimeError:
            # The task has decided it itself.
            pass


def _finish(task: Any = None, state: Any = None, **_: Any) -> None:
    goal: Task | None = getattr(task.request, _GOAL, None)
    if goal is not None:
        goal.bind(state=state)
        _end(task, None)


def _end(task: Any, error: BaseException | None) -> None:
    goal: Task | None = getattr(task.request, _GOAL, None)
    if goal is not None:
        setattr(task.request, _GOAL, None)
        goal.__exit__(None if error is None else type(error), error, None)


def _keep_handlers(**_: Any) -> None:
    _kept[:] = [handler for handler in logging.getLogger().handlers if isinstance(handler, ZmqHandler)] or _kept


def _restore_handlers(logger: Any = None, **_: Any) -> None:
    for handler in _kept:
        if logger is not None and handler not in logger.handlers:
            logger.addHandler(handler)


def _leave(**_: Any) -> None:
    for handler in logging.getLogger().handlers:
        if isinstance(handler, ZmqHandler):
            handler.flush()


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


_RECEIVERS = {
    "before_task_publish": _publish,
    "task_prerun": _begin,
    "task_failure": _fail,
    "task_retry": _retry,
    "task_postrun": _finish,
    "celeryd_init": _keep_handlers,
    "after_setup_logger": _restore_handlers,
    "worker_process_shutdown": _leave,
}
