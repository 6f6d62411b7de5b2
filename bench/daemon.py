"""The daemons head to head: the same records from one producer and from eight, one round after the other.

Prints one line of JSON per run. Alone: `python bench/daemon.py --rounds 3 --records 300000`.

Time runs from the producers' start to the moment the last record is in the store (distlogd: synced) or file.
CPU time is the daemon's, all threads, until it is quiet again, so that work put off counts.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import records
from contenders import CONTENDERS, Contender, Plan
from machine import Layout, cpu_seconds, layouts, peak_memory, start, target

DISTINCT = 100_000
STALLED_SECONDS = 20.0


def run(rounds: int, count: int, only: str | None = None) -> Iterator[dict[str, Any]]:
    """All runs, interleaved: a slow minute of the machine hits every daemon."""
    target().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-daemon-", dir=target()) as folder:
        source = Path(folder) / "records.jsonl"
        records.write(source, DISTINCT)
        chosen = []
        for contender in CONTENDERS:
            if only in (None, contender.name):
                why = contender.available()
                about = {"missing": why} if why else {"about": contender.about}
                yield {"kind": "contender", "daemon": contender.name, **about}
                chosen += [] if why else [contender]
        for number, layout, producers, contender in product(range(rounds), layouts(), (1, 8), chosen):
            share = int(count * contender.share)
            yield {"round": number, **measure(contender, source, share, producers, layout)}


def measure(contender: type[Contender], source: Path, count: int, producers: int, layout: Layout) -> dict[str, Any]:
    """One daemon, one run, from an empty store."""
    folder = Path(tempfile.mkdtemp(dir=source.parent))
    daemon = contender(folder)
    daemon.start(layout)
    try:
        figures = feed(daemon, source, count // producers, producers, layout)
    finally:
        exit_code = daemon.stop()
    figures.update(
        kind="daemon",
        daemon=contender.name,
        producers=producers,
        layout=layout.name,
        exit=exit_code,
        disk=daemon.disk(),
    )
    shutil.rmtree(folder)
    return figures


def feed(daemon: Contender, source: Path, share: int, producers: int, layout: Layout) -> dict[str, Any]:
    """Starts the producers, waits until all is stored, and says what it took."""
    running = [start_producer(daemon, source, share, part, producers, layout) for part in range(producers)]
    plans = [tell(producer) for producer in running]
    plan = Plan(*(sum(one[key] for one in plans) for key in Plan._fields))
    goal = daemon.goal(plan)
    pid = daemon.process.pid
    cpu = cpu_seconds(pid)
    began = time.perf_counter()
    for producer in running:
        write(producer, b"go\n")
    seconds = wait(daemon, goal) - began
    took = [tell(producer) for producer in running]
    wait_until_quiet(pid)
    figures = {
        "sent": plan.records,
        "stored": daemon.count(),
        "record_bytes": round(plan.bytes / plan.records - 1, 1),
        "seconds": round(seconds, 4),
        "cpu": round(cpu_seconds(pid) - cpu, 3),
        "memory": peak_memory(pid),
        **daemon.says(),
        "producer_seconds": round(max(one["seconds"] for one in took), 4),
        "producer_cpu": round(sum(one["cpu"] for one in took), 3),
    }
    for producer in running:
        producer.communicate()
    return figures


def start_producer(
    daemon: Contender, source: Path, count: int, part: int, parts: int, layout: Layout
) -> subprocess.Popen[bytes]:
    """One producer with its own slice of the records."""
    program = str(Path(__file__).parent / "producer.py")
    numbers = [str(number) for number in (count, part, parts, daemon.frames)]
    command = [sys.executable, program, "127.0.0.1", str(daemon.port), str(source), *numbers]
    return start(command, layout.others, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def tell(producer: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The next line of a producer."""
    assert producer.stdout is not None
    line = producer.stdout.readline()
    if not line:
        raise SystemExit("a producer ended early")
    told: dict[str, Any] = json.loads(line)
    return told


def write(producer: subprocess.Popen[bytes], line: bytes) -> None:
    """Says something to a producer."""
    assert producer.stdin is not None
    producer.stdin.write(line)
    producer.stdin.flush()


def wait(daemon: Contender, goal: int) -> float:
    """When the last record was stored; if nothing moves any more, when it last did."""
    reached, moved = -1, time.perf_counter()
    while True:
        now = daemon.stored()
        if now > reached:
            reached, moved = now, time.perf_counter()
        if reached >= goal or time.perf_counter() - moved > STALLED_SECONDS:
            return moved
        time.sleep(0.02)


def wait_until_quiet(pid: int, limit: float = 8) -> None:
    """Until the process has used (nearly) no processor for half a second."""
    deadline = time.monotonic() + limit
    before = cpu_seconds(pid)
    while time.monotonic() < deadline:
        time.sleep(0.5)
        now = cpu_seconds(pid)
        if now - before <= 0.02:
            return
        before = now


def main() -> None:
    """Prints a line of JSON per run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--only", metavar="DAEMON", help="the name of one daemon")
    options = parser.parse_args()
    for figures in run(options.rounds, options.records, options.only):
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
