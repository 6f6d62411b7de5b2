"""What a log call costs the program that makes it, beside peers: the client's part of `make bench`.

Prints one line of JSON per figure. Alone: `python bench/client.py --quick --match zmq`.

Every case runs in a process of its own (client_case.py), rounds interleaved. Peers live in a virtual environment of their own in
the target directory, made from peers/requirements.txt; where that cannot be had, their rows are left out and the report says so.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import client_footprint
from machine import stop, target

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "peers/requirements.txt"
RECEIVERS = ("pull", "tcp", "http")


class Row(NamedTuple):
    """One case."""

    setup: str
    kind: str
    module: str


OURS = ("zmq json", "zmq pickle", "factory json", "factory pickle", "accelerated json", "accelerated pickle")
FORMS = ("zmq json", "factory json", "accelerated json")
STDLIB = ("null", "file", "socket", "queue")
PEERS = (
    "2017 json",
    "2017 pickle",
    "eliot message",
    "eliot handler",
    "structlog",
    "structlog call site",
    "loguru",
    "loguru serialize",
    "loguru enqueue",
    "picologging",
    "opentelemetry",
    "logbook",
    "logstash",
    "json logger",
    "json logger orjson",
)


def rows() -> list[Row]:
    """All cases, in the order they are run."""
    kinds = [("call", (*STDLIB, *OURS)), ("in goal", FORMS[1:]), ("goals", FORMS[1:])]
    kinds += [("error", ("null", "file", *FORMS)), ("disabled", ("null", *FORMS))]
    kinds += [("long", ("null", *FORMS)), ("threads", ("null", "file", *FORMS))]
    own = [Row(setup, kind, "client_setups") for kind, setups in kinds for setup in setups]
    peers = [("call", PEERS), ("goals", ("eliot action",)), ("error", ("2017 json", "opentelemetry", "structlog"))]
    peers += [("threads", ("2017 json",))]
    return own + [Row(setup, kind, "peers.libraries") for kind, setups in peers for setup in setups]


def peers_python() -> tuple[str, str | None]:
    """The interpreter that has the peers, and why there is none."""
    folder = target() / "bench-peers"
    python, installed = folder / "bin/python", folder / "requirements.txt"
    if installed.exists() and installed.read_text() == REQUIREMENTS.read_text():
        return str(python), None
    print("bench: installing peers", file=sys.stderr)
    options = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(REQUIREMENTS)]
    for command in ([sys.executable, "-m", "venv", "--clear", str(folder)], [str(python), *options]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return str(python), (done.stderr.strip().split("\n") or ["pip failed"])[-1]
    installed.write_text(REQUIREMENTS.read_text())
    return str(python), None


class Receivers:
    """The processes that take what is sent, as long as the block runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> dict[str, Any]:
        places: dict[str, Any] = {"folder": str(self.folder)}
        for kind in RECEIVERS:
            counter = self.folder / f"received-{kind}"
            command = [sys.executable, str(HERE / "peers/receiver.py"), kind, str(counter)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE)
            self.processes.append(process)
            assert process.stdout is not None
            places[kind] = [int(process.stdout.readline()), str(counter)]
        return places

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            stop(process)


def run(
    rounds: int, bursts: int = 9, milliseconds: float = 15, match: str = "", footprint: bool = True
) -> Iterator[dict[str, Any]]:
    """All figures, round by round."""
    wanted = [row for row in rows() if match in f"{row.setup}, {row.kind}"]
    python, missing = peers_python() if any(row.module == "peers.libraries" for row in wanted) else ("", None)
    with tempfile.TemporaryDirectory(prefix="bench-client-", dir=target()) as folder:
        with Receivers(Path(folder)) as places:
            for number in range(rounds):
                for row in wanted:
                    peer = row.module == "peers.libraries"
                    about = {"round": number, "setup": row.setup, "kind": row.kind}
                    if peer and missing:
                        yield {**about, "skipped": f"the peers could not be installed: {missing}"}
                        continue
                    options = [row.setup, row.kind, str(bursts), str(milliseconds)]
                    yield {
                        **about,
                        **case(python if peer else sys.executable, options, {**places, "module": row.module}),
                    }
                if not match:
                    yield from client_footprint.figures(number, places, whole=footprint)


def case(python: str, options: list[str], places: dict[str, Any]) -> dict[str, Any]:
    """One process, and what it says."""
    command = [python, str(HERE / "client_case.py"), *options, json.dumps(places)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=HERE)
    if done.returncode != 0:
        return {"skipped": f"failed: {(done.stderr.strip().splitlines() or ['no words'])[-1]}"}
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def main() -> None:
    """On its own, for whoever works on the client."""
    parser = argparse.ArgumentParser(description="cost of a log call, one line of JSON per case")
    parser.add_argument("--quick", action="store_true", help="short bursts, one round")
    parser.add_argument("--match", default="", help="only cases whose set-up or kind has this text: 'zmq', ', goals'")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    target().mkdir(parents=True, exist_ok=True)
    bursts, milliseconds = (3, 8) if options.quick else (9, 15)
    for line in run(options.rounds, bursts, milliseconds, options.match, footprint=not options.quick):
        if "skipped" in line or "of" in line:
            print(json.dumps(line), flush=True)
        elif line["kind"] == "threads":
            words = f"{line['many']:12,.0f}/s with 4 threads, {line['over_one']:.2f} x one, {line['over_null']:.2f} x NullHandler's"
            print(f"{line['setup']:20} {line['kind']:9} {words}", flush=True)
        else:
            words = f"{line['thread']:7.3f} x NullHandler, {line['ns']:8,.0f} ns; whole process {line['total']:7.3f} x"
            print(
                f"{line['setup']:20} {line['kind']:9} {words}; {line['bytes']:.0f} B, {line['dropped']} dropped",
                flush=True,
            )


if __name__ == "__main__":
    main()
