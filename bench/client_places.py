"""Where the records of a case go, and how a set-up says what it has made."""

from __future__ import annotations

import mmap
import time
from pathlib import Path
from typing import Any, Callable

import bursts
from bursts import Case


class Skipped(Exception):
    """This build or this machine does not have what is to be measured; the text says what."""


class Counter:
    """What a receiver has so far."""

    def __init__(self, port: int, path: str) -> None:
        self.port = port
        with open(path, "rb") as file:
            self.shared = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
        self.before = self.total()

    def total(self) -> int:
        """Bytes of all who ever sent."""
        return int.from_bytes(self.shared[:], "little")

    def arrived(self) -> int:
        """Bytes since this process began."""
        return self.total() - self.before

    def quiet(self, window: float = 0.02, patience: float = 20.0) -> None:
        """Waits until nothing more has come for so long. Looks rarely: looking costs, too."""
        end, seen, since = time.monotonic() + patience, -1, time.monotonic()
        while time.monotonic() < end:
            now = self.total()
            if now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since >= window:
                return
            time.sleep(window / 4)


class Places:
    """Where records can go."""

    def __init__(self, places: dict[str, Any]) -> None:
        self.folder = Path(places["folder"])
        self._places = places

    def receiver(self, kind: str) -> Counter:
        """A receiver's port, and what it has."""
        return Counter(*self._places[kind])

    def file(self) -> tuple[str, Callable[[], int]]:
        """A file's name, and its size."""
        path = self.folder / "records.log"
        path.unlink(missing_ok=True)
        return str(path), lambda: path.stat().st_size


class Setup:
    """A logger ready to use. `call` replaces the standard call where a library has its own; `arrived`, `drain`: see Case."""

    def __init__(
        self,
        log: Any,
        arrived: Callable[[], int],
        drain: Callable[[], object] = lambda: None,
        dropped: Callable[[], int] = lambda: 0,
        call: Callable[[Any, int], Any] = bursts.calls,
    ) -> None:
        self.log, self.arrived, self.drain, self.dropped, self.call = log, arrived, drain, dropped, call

    def case(self, burst: bursts.Burst) -> Case:
        """With these calls."""
        return Case(burst, self.drain, self.arrived, self.dropped)
