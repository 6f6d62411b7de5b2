"""Refuses subinterpreters: what is native here is one for the whole process, and cannot tell interpreters apart."""

from __future__ import annotations

from typing import Any

__all__: list[str] = []


def _is_main() -> bool:
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            module: Any = __import__(name)
            current = module.get_current()
            # Since 3.13 with where it comes from. The main one is 0.
            return int(current[0] if isinstance(current, tuple) else current) == 0
        except (ImportError, AttributeError):
            continue
    return True


if not _is_main():
    raise ImportError(
        "distlog works in a process's main interpreter and not in a subinterpreter: import it there "
        "(under mod_wsgi: WSGIApplicationGroup %{GLOBAL})"
    )
