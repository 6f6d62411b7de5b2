"""The daemons under test: how each is started, what it has stored so far, what it left on disk.

All take the same records from 0MQ PUSH sockets. What they then do differs, and the report says so (`about`).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from machine import ROOT, Layout, free_port, install, start, stop, target


class Plan(NamedTuple):
    """What all producers together are going to send."""

    records: int
    bytes: int
    """As lines of a file."""
    wire: int
    """As frames on the wire."""


class Contender:
    """A daemon that listens on a port of this machine."""

    name: ClassVar[str]
    about: ClassVar[str]
    frames: ClassVar[int] = 2
    share: ClassVar[float] = 1.0
    """Of the records asked for: a slow daemon is measured on fewer, for as long."""
    process: subprocess.Popen[bytes]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.log = folder / "log"

    @classmethod
    def available(cls) -> str | None:
        """Why it cannot run here, or None."""
        return None

    def start(self, layout: Layout) -> None:
        """Starts it and waits until it listens."""
        with self.log.open("wb") as log:
            self.process = start(self.command(), layout.measured, stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + 15
        while not self.listens():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{self.name} did not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.02)

    def command(self) -> list[str]:
        """The command line."""
        raise NotImplementedError

    def listens(self) -> bool:
        """Whether producers may connect."""
        wanted = f":{self.port:04X} 00000000:0000 0A"
        return wanted in Path("/proc/net/tcp").read_text()

    def stored(self) -> int:
        """Progress in its own unit (see `goal`): what is in the store or file by now."""
        raise NotImplementedError

    def goal(self, plan: Plan) -> int:
        """What `stored` says when everything has arrived."""
        raise NotImplementedError

    def count(self) -> int:
        """The records that are there, counted in the store or file itself."""
        raise NotImplementedError

    def disk(self) -> int:
        """Bytes on disk."""
        raise NotImplementedError

    def says(self) -> dict[str, int]:
        """What else it counts, for the raw figures."""
        return {}

    def stop(self) -> int | None:
        """Ends it; the exit code."""
        return stop(self.process)


class Distlogd(Contender):
    """distlogd as it comes: everything into the embedded store, no processors."""

    name = "distlogd"
    about = (
        "decodes and checks each JSON record, splits it into columns, compresses, indexes by goal; "
        "every batch is synced to disk (SQLite WAL, `synchronous=FULL`)"
    )

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.http_port = free_port()
        self.connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=10)

    @classmethod
    def program(cls) -> Path:
        """The one in .venv, else the one cargo built."""
        named = os.environ.get("DISTLOGD")
        built = [Path(named)] if named else [ROOT / ".venv/bin/distlogd", target() / "release/distlogd"]
        return next((path for path in built if path.exists()), built[-1])

    @classmethod
    def available(cls) -> str | None:
        """It has to be built."""
        return None if cls.program().exists() else f"{cls.program()} is not built (make build)"

    def command(self) -> list[str]:
        """A configuration with ports of our own and nothing else."""
        configuration = self.folder / "distlogd.yaml"
        source = f'sources: {{apps: {{pull: "tcp://127.0.0.1:{self.port}"}}}}\n'
        configuration.write_text(source + f'http: {{listen: "127.0.0.1:{self.http_port}"}}\n')
        return [str(self.program()), "--config", str(configuration), "--data", str(self.folder / "data")]

    def listens(self) -> bool:
        """It says so."""
        return super().listens() and b"distlogd ready" in self.log.read_bytes()

    def stored(self) -> int:
        """Records committed and synced."""
        return self._counter("distlog_stored_total")

    def goal(self, plan: Plan) -> int:
        """All records."""
        return plan.records

    def count(self) -> int:
        """What the store itself counts."""
        stats: dict[str, Any] = json.loads(self._get("/api/v1/stats"))
        stats = stats.get("store", stats)
        return int(stats["records"])

    def disk(self) -> int:
        """Everything in the data directory."""
        total = 0
        for path in (self.folder / "data").rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_blocks * 512
        return total

    def says(self) -> dict[str, int]:
        """How many commits it took."""
        return {"commits": self._counter("distlog_commits_total")}

    def _counter(self, name: str) -> int:
        found = re.search(rf"^{name} (\d+)", self._get("/metrics").decode(), re.MULTILINE)
        return int(found[1]) if found else 0

    def _get(self, path: str) -> bytes:
        try:
            self.connection.request("GET", path)
            return self.connection.getresponse().read()
        except (http.client.HTTPException, ConnectionError):
            self.connection.close()
            self.connection.request("GET", path)
            return self.connection.getresponse().read()


class ToFile(Contender):
    """A daemon whose store is one file with one record per line."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.file = folder / "records.jsonl"

    def stored(self) -> int:
        """Bytes in the file."""
        return self.file.stat().st_size if self.file.exists() else 0

    def goal(self, plan: Plan) -> int:
        """All bytes."""
        return plan.bytes

    def count(self) -> int:
        """Lines in the file."""
        with self.file.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))

    def disk(self) -> int:
        """The file's."""
        return self.stored()


class Rsyslog(ToFile):
    """rsyslog with imczmq; it makes one message of each frame, so it gets the record alone, without topic."""

    name = "rsyslog"
    about = "copies the bytes of each record to a file; no JSON is read, nothing is indexed, compressed or synced"
    frames = 1
    queue = ""
    file_options = ""

    @classmethod
    def available(cls) -> str | None:
        """It comes from Debian."""
        if not install("rsyslogd", ["rsyslog", "rsyslog-czmq"]):
            return "rsyslogd is not installed (Debian: rsyslog, rsyslog-czmq)"
        modules = list(Path("/usr/lib").glob("**/rsyslog/imczmq.so"))
        return None if modules else "rsyslog has no imczmq (Debian: rsyslog-czmq)"

    def command(self) -> list[str]:
        """Its own configuration, in the foreground, never a service."""
        configuration = self.folder / "rsyslog.conf"
        configuration.write_text(
            f'module(load="imczmq")\n{self.queue}'
            'template(name="whole" type="string" string="%rawmsg%\\n")\n'
            f'input(type="imczmq" endpoints="@tcp://127.0.0.1:{self.port}" socktype="PULL")\n'
            f'action(type="omfile" file="{self.file}" template="whole" {self.file_options})\n'
        )
        return ["rsyslogd", "-n", "-f", str(configuration), "-i", str(self.folder / "pid")]


class RsyslogSynced(Rsyslog):
    """The same, with what comes nearest to distlogd's promise: the file is synced after each batch."""

    name = "rsyslog, sync on"
    about = (
        'as rsyslog, with `sync="on"`, and with batches and buffers widened '
        "so that it syncs up to 1,024 records at once instead of 7"
    )
    queue = 'main_queue(queue.type="FixedArray" queue.dequeueBatchSize="1024")\n'
    file_options = 'sync="on" ioBufferSize="1m"'
    share = 0.5


class Daemon2017(ToFile):
    """What Python could do in 2017's form."""

    name = "pyzmq + json"
    about = (
        "stands for the 2017 daemon: Python, pyzmq, `json.loads`, one plugin that writes a file; "
        "nothing is indexed, compressed or synced"
    )
    share = 0.3

    def command(self) -> list[str]:
        """With the Python that runs this."""
        program = Path(__file__).parent / "peers/daemon2017.py"
        return [sys.executable, str(program), f"tcp://127.0.0.1:{self.port}", str(self.file)]


class Discard(Contender):
    """Nothing: what the producers could do if the daemon took no time."""

    name = "no daemon"
    about = "the producers' bytes are read and thrown away: the ceiling of this way of measuring"
    share = 2.0

    def command(self) -> list[str]:
        """With the Python that runs this."""
        program = Path(__file__).parent / "peers/discard.py"
        return [sys.executable, str(program), str(self.port), str(self.folder / "counter")]

    def stored(self) -> int:
        """Bytes read."""
        return int.from_bytes((self.folder / "counter").read_bytes(), "little")

    def goal(self, plan: Plan) -> int:
        """All bytes; kept, because nothing else is."""
        self.plan = plan
        return plan.wire

    def count(self) -> int:
        """All records, if all bytes were read."""
        return self.plan.records if self.stored() == self.plan.wire else 0

    def disk(self) -> int:
        """Nothing is kept."""
        return 0


CONTENDERS: tuple[type[Contender], ...] = (Distlogd, Rsyslog, RsyslogSynced, Daemon2017, Discard)
