"""The embedded store beside plain SQLite rows and ripgrep, on the same generated records.

Prints one line of JSON per figure. Alone: `python bench/store_figures.py --records 200000 --rounds 1`.

The records (crates/distlog-store/examples/generate.rs): 20 services, goal trees, tracebacks; a file of JSON lines.
The store and the SQLite rows (examples/measure.rs): one thread parses and appends them with a synced commit ten times a
second; then the queries, warm (files in the page cache) and cold (dropped from it, store opened anew). ripgrep searches
the JSON lines for the same words, with one thread; it has no histogram, and a tree is the lines that name its root.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from machine import ROOT, install, target

PROGRAMS = ("cargo", "build", "--release", "--locked", "-p", "distlog-store", "--examples")


def run(rounds: int, count: int) -> Iterator[dict[str, Any]]:
    """All figures; the three contenders take turns."""
    subprocess.run(PROGRAMS, cwd=ROOT, check=True)
    programs = target() / "release/examples"
    grep = install("rg", ["ripgrep"])
    with tempfile.TemporaryDirectory(prefix="bench-store-", dir=target()) as folder:
        source = Path(folder) / "records.jsonl"
        with source.open("wb") as file:
            subprocess.run([programs / "generate", str(count)], stdout=file, check=True)
        for number in range(rounds):
            for option in ([], ["--rows"]):
                directory = Path(folder) / "measured"
                command = [str(programs / "measure"), str(source), str(directory), *option]
                with subprocess.Popen(command, stdout=subprocess.PIPE) as measure:
                    assert measure.stdout is not None
                    yield from ({"round": number, **json.loads(line)} for line in measure.stdout)
                if measure.returncode:
                    raise SystemExit(f"{' '.join(command)} failed: {measure.returncode}")
                shutil.rmtree(directory)
            if grep:
                yield from ({"round": number, **line} for line in ripgrep(source, count))


def ripgrep(source: Path, count: int) -> Iterator[dict[str, Any]]:
    """What grep can do: no ingest, no index."""
    yield figure("disk", source.stat().st_size / count, "bytes/record")
    for name, words in needles(source).items():

        def question(words: str = words) -> str:
            command = ["rg", "-j1", "-c", "-F", words, str(source)]
            return subprocess.run(command, check=False, capture_output=True, text=True).stdout

        yield figure(f"{name} found", float(question() or 0), "")
        cold = [seconds(question) for _ in range(3) if forget(source)]
        question()
        yield figure(f"{name} cold", statistics.median(cold) * 1000, "ms")
        yield figure(f"{name} warm", statistics.median(seconds(question) for _ in range(5)) * 1000, "ms")


def needles(source: Path) -> dict[str, str]:
    """What `measure` looks for: it takes the same record from the middle of the file."""
    with source.open("rb") as file:
        file.seek(source.stat().st_size // 2)
        file.readline()
        for line in file:
            record = json.loads(line)
            key = record.get("context", {}).get("key")
            if key and int(key.split("@")[0]) < 20 and record["levelno"] == 20:
                break
        else:
            raise SystemExit(f"{source} is too short")
    words = re.match(r"\D*[^ ]*", record["message"])
    return {
        "substring rare": words[0] if words else record["message"],
        "substring mid": "expired by worker",
        "substring common": "for user",
        "tree by id": key.split("@")[1].split("/")[0],
    }


def figure(name: str, value: float, unit: str) -> dict[str, Any]:
    """A line as `measure` writes it."""
    return {"bench": "store", "of": "ripgrep", "figure": name, "value": round(value, 3), "unit": unit}


def seconds(question: Callable[[], Any]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    question()
    return time.perf_counter() - began


def forget(file: Path) -> bool:
    """Drops the file from the page cache."""
    command = ["dd", f"if={file}", "iflag=nocache", "count=0", "status=none"]
    subprocess.run(command, check=True)
    return True


def main() -> None:
    """Prints a line of JSON per figure."""
    parser = argparse.ArgumentParser(description="figures of the embedded store and its peers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--records", type=int, default=2_000_000)
    options = parser.parse_args()
    for line in run(options.rounds, options.records):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
