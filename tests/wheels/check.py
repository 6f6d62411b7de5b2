"""What `make wheels` runs: builds what is published, looks into it, installs it into fresh environments and sends a record.

- Two wheels: for Python 3.10 and later, and for 3.9 (if a Python 3.9 is found here: `PYTHON39`, `python3.9`, or pyenv's).
- The source distribution, from which pip builds a wheel of its own.

It takes a minute or two, most of it linking, so it is no part of `make test`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MOST_BYTES = 1_000_000
"""What a wheel may have, and what `pip install` may download."""
NAMES = re.compile(r"distlog/(\w+/)?(\w+\.pyi?|py\.typed|_distlog\.abi3\.(so|pyd))|distlog-[\d.]+\.dist-info/[\w./-]+")
REQUIRED = ("distlog/py.typed", "distlog/_distlog.pyi", "/licenses/LICENSE-MIT", "/licenses/LICENSE-APACHE")
PROGRAM = """
import logging, sys
assert "zmq" not in sys.modules
import distlog
handler = distlog.ZmqHandler(sys.argv[1])
log = logging.getLogger("wheel")
log.setLevel(logging.INFO)
log.addHandler(handler)
with distlog.task("check %s", "the wheel"):
    log.info("from %s", sys.version.split()[0], extra={"answer": 42})
handler.close()
assert sum(handler.stats()["dropped"].values()) == 0, handler.stats()
print(distlog.__file__)
"""


def main() -> int:
    """Builds and checks; 0 if all is well."""
    with tempfile.TemporaryDirectory(prefix="distlog-wheels-") as name:
        folder = Path(name)
        pythons = [Path(sys.executable), *filter(None, [python39()])]
        for number, python in enumerate(pythons):
            wheel = built(folder / str(number), "build", "--profile", "dist", "--interpreter", str(python))
            check_wheel(wheel)
            check_installed(folder / f"env{number}", python, wheel)
            shutil.copy(wheel, keep())
            print(f"ok  {wheel.name}, {wheel.stat().st_size:,} bytes, on {version(python)}", flush=True)
        if len(pythons) < 2:
            print("--  no Python 3.9 here: its wheel is not checked (PYTHON39=…)", flush=True)
        source = built(folder / "source", "sdist")
        check_source(source)
        check_installed(folder / "env-source", pythons[0], source)
        shutil.copy(source, keep())
        print(f"ok  {source.name}, {source.stat().st_size:,} bytes\nin {keep()}", flush=True)
    return 0


def built(folder: Path, *command: str) -> Path:
    """What maturin makes."""
    options = ["--locked", "--quiet"] if "build" in command else []
    subprocess.run([sys.executable, "-m", "maturin", *command, *options, "--out", str(folder)], cwd=ROOT, check=True)
    (made,) = folder.iterdir()
    return made


def check_wheel(wheel: Path) -> None:
    """Small; only what belongs into it; all that has to be."""
    assert wheel.stat().st_size <= MOST_BYTES, f"{wheel.name} has {wheel.stat().st_size:,} bytes"
    names = zipfile.ZipFile(wheel).namelist()
    strays = [name for name in names if not NAMES.fullmatch(name)]
    assert strays == [], f"{wheel.name} should not have {strays}"
    for required in REQUIRED:
        assert any(name.endswith(required) for name in names), f"{wheel.name} lacks {required}"
    package = {str(path.relative_to(ROOT / "python")) for path in (ROOT / "python").rglob("*.py")}
    assert package == {name for name in names if name.endswith(".py")}, "not the package that is in python/"
    extension = zipfile.ZipFile(wheel).read(next(name for name in names if "_distlog.abi3" in name))
    assert str(ROOT).encode() not in extension, "the extension names the folder it was built in"


def check_source(source: Path) -> None:
    """Only sources."""
    with tarfile.open(source) as archive:
        names = archive.getnames()
    strays = [
        name for name in names if name.endswith((".so", ".pyc", ".log")) or "/target/" in name or "/.venv/" in name
    ]
    assert strays == [], f"{source.name} should not have {strays}"


def check_installed(folder: Path, python: Path, package: Path) -> None:
    """In a fresh environment a record goes out, and the package is the installed one."""
    if python == Path(sys.executable):
        venv.create(folder, with_pip=True)
    else:
        subprocess.run([str(python), "-m", "venv", str(folder)], check=True)
    fresh = folder / "bin/python"
    subprocess.run([str(fresh), "-m", "pip", "install", "-q", "--disable-pip-version-check", str(package)], check=True)
    receiver = Receiver()
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    command = [str(fresh), "-c", PROGRAM, f"tcp://127.0.0.1:{receiver.port}"]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert str(folder) in done.stdout, f"imported from {done.stdout}"
    records = receiver.records()
    assert [record["message"] for record in records][::2] == ["check the wheel", "check the wheel"], records
    assert records[1]["answer"] == 42 and records[1]["context"]["key"].startswith("1@"), records


class Receiver:
    """A PULL socket in a few lines, so that nothing needs to be installed to check that nothing needs to be installed."""

    GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
    READY = b"\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PULL"

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.received = bytearray()
        self.thread = threading.Thread(target=self._receive, daemon=True)
        self.thread.start()

    def _receive(self) -> None:
        connection, _ = self.listener.accept()
        connection.sendall(self.GREETING + self.READY)
        while part := connection.recv(1 << 16):
            self.received += part

    def records(self) -> list[dict[str, object]]:
        """All that came until the sender closed."""
        self.thread.join(20)
        rest, frames = bytes(self.received)[64:], []
        while rest:
            long = rest[0] & 2
            start = 9 if long else 2
            size = int.from_bytes(rest[1:start], "big")
            frames.append((rest[0], rest[start : start + size]))
            rest = rest[start + size :]
        return [json.loads(body) for flags, body in frames if not flags & 5 and body.startswith(b"{")]


def python39() -> Path | None:
    """A Python 3.9, if there is one that runs."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    named = [os.environ.get("PYTHON39"), shutil.which("python3.9"), *sorted(pyenv.glob("3.9.*/bin/python"))]
    return next((Path(one) for one in named if one and runs(str(one))), None)


def runs(python: str) -> bool:
    """Whether it does: a shim may lead nowhere."""
    return subprocess.run([python, "--version"], capture_output=True, check=False).returncode == 0


def version(python: Path) -> str:
    """What it says of itself."""
    return subprocess.run([str(python), "--version"], capture_output=True, text=True, check=True).stdout.strip()


def keep() -> Path:
    """Where what is good stays."""
    folder = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    sys.exit(main())
