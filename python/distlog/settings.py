"""Set-up in one line.

==================== ============================================================ ==========================
variable             meaning                                                      default
==================== ============================================================ ==========================
``DISTLOG_ENDPOINT`` where the daemon's PULL socket is                            ``tcp://127.0.0.1:5010``
``DISTLOG_LEVEL``    the root logger's level, by name or number                   ``INFO``
``DISTLOG_SYSTEM``   ``T``, ``S`` or ``P``                                        ``P``
``DISTLOG_ACKS``     ``0`` switches acknowledged delivery off                     on, where it is available
``DISTLOG_SPOOL``    folder for records that wait for the daemon                  none
==================== ============================================================ ==========================

This version sends without acknowledgements and spool: the last two have no effect yet, and neither has ``accelerate``.
"""

from __future__ import annotations

import logging
import os

from distlog.handler import ENDPOINT, ZmqHandler

__all__ = ["configure"]

_configured: ZmqHandler | None = None


def configure(
    endpoint: str | None = None,
    level: int | str | None = None,
    accelerate: bool = False,
    *,
    system: str | None = None,
    acks: bool | None = None,
    spool: str | None = None,
) -> ZmqHandler:
    """Send everything that is logged from ``level`` on to the daemon; arguments go before the environment.

    Calling it again changes what is different and adds no second handler. Other handlers stay as they are.
    """
    global _configured
    endpoint = endpoint or os.environ.get("DISTLOG_ENDPOINT") or ENDPOINT
    system = system or os.environ.get("DISTLOG_SYSTEM") or "P"
    level = level if level is not None else os.environ.get("DISTLOG_LEVEL") or logging.INFO
    if isinstance(level, str):
        level = int(level) if level.isdecimal() else level.upper()
    root = logging.getLogger()
    old = _configured
    if old is None or old not in root.handlers or (old.endpoint, old.system) != (endpoint, system):
        _configured = ZmqHandler(endpoint, None, system)
        root.addHandler(_configured)
        if old is not None:
            root.removeHandler(old)
            old.close()
    root.setLevel(level)
    assert _configured is not None
    return _configured
