"""Changing another library's method, once, so that it can be changed back, whoever else has changed it meanwhile."""

from __future__ import annotations

import functools
import threading
from typing import Any, Callable

__all__ = ["Patches"]

_changing = threading.Lock()


class Patches:
    """Methods of a library, each with what is called in its place: ``around(original, *args, **kwargs)``."""

    def __init__(self) -> None:
        self._made: list[tuple[Any, str, Any, Any]] = []
        self._is_on = [False]

    def install(self, places: list[tuple[Any, str, Callable[..., Any]]]) -> None:
        """Change them, unless they are changed already."""
        with _changing:
            if not self._is_on[0]:
                self._is_on = [True]
                for owner, name, around in places:
                    before = owner.__dict__.get(name)
                    replacement = _replacement(getattr(owner, name), around, self._is_on)
                    setattr(owner, name, replacement)
                    self._made.append((owner, name, before, replacement))

    def uninstall(self) -> None:
        """Put back what was there. Where somebody changed our change, it stays and only hands calls on."""
        with _changing:
            self._is_on[0] = False
            while self._made:
                owner, name, before, replacement = self._made.pop()
                if owner.__dict__.get(name) is replacement:
                    if before is None:
                        delattr(owner, name)
                    else:
                        setattr(owner, name, before)


def _replacement(original: Any, around: Callable[..., Any], is_on: list[bool]) -> Any:
    @functools.wraps(original)
    def replacement(*args: Any, **kwargs: Any) -> Any:
        if not is_on[0]:
            return original(*args, **kwargs)
        return around(original, *args, **kwargs)

    return replacement
