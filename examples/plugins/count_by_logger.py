"""A plugin in ten lines: how many warnings each logger has had, written to a file.

processors:
  counter: {type: python, plugin: "count_by_logger:CountByLogger", path: [examples/plugins], options: {file: counts.json}}
rules:
  warnings: {when: "level>=warning", to: [counter]}
"""

from __future__ import annotations

import collections
import json
from pathlib import Path
from typing import Any

settings: dict[str, Any] = {"file": "counts.json"}


def initialize(options: dict[str, Any] | None) -> None:
    """Take the options of the configuration; called once, before the class is made."""
    settings.update(options or {})


class CountByLogger:
    """Counts records by the name of their logger."""

    def __init__(self) -> None:
        self.counts: collections.Counter[str] = collections.Counter()

    def match(self, data: dict[str, Any]) -> bool:
        """Only records that name their logger."""
        return "name" in data

    def handle(self, data: dict[str, Any]) -> None:
        """Count one, and write all."""
        self.counts[data["name"]] += 1
        Path(settings["file"]).write_text(json.dumps(self.counts, indent=2))
