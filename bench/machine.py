"""What is measured with: the machine's description, and what the kernel says of a process."""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")
ROOT = Path(__file__).resolve().parents[1]


def target() -> Path:
    """Cargo's target directory."""
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def cpu_seconds(pid: int) -> float:
    """User and system time of the process so far, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def foreign_cpu_seconds() -> float:
    """Processor time the whole machine has used so far, less our own and that of programs we have started and ended."""
    user, nice, system, _, _, interrupts, soft = map(int, Path("/proc/stat").read_text().split()[1:8])
    own = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return (user + nice + system + interrupts + soft) / TICKS - sum(one.ru_utime + one.ru_stime for one in own)


def peak_memory(pid: int) -> int:
    """The most memory the process has had resident at one time, in bytes."""
    match = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


def free_port() -> int:
    """A TCP port nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@dataclass(frozen=True)
class Layout:
    """Which processors the measured process and everything around it may use."""

    name: str
    measured: tuple[int, ...]
    others: tuple[int, ...]


def layouts() -> list[Layout]:
    """One core for the measured process and the rest for the others; and no fences."""
    every = tuple(sorted(os.sched_getaffinity(0)))
    return [Layout("one core", every[:1], every[1:] or every), Layout("all cores", every, every)]


def start(command: Sequence[str], cpus: Sequence[int], **options: Any) -> subprocess.Popen[bytes]:
    """Starts a program that may use these processors only."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        return subprocess.Popen(command, **options)
    finally:
        os.sched_setaffinity(0, own)


def stop(process: subprocess.Popen[bytes], patience: float = 30) -> int | None:
    """SIGTERM, and SIGKILL when that does not help. The exit code."""
    process.terminate()
    try:
        return process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None


def output(*command: str) -> str:
    """What a program prints; nothing if it is not there."""
    if not shutil.which(command[0]):
        return ""
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT).stdout.strip()


def version(*command: str) -> str:
    """The first line a program says of itself."""
    return output(*command).split("\n")[0] or "not installed"


def sync_milliseconds(folder: Path, size: int = 64 * 1024, rounds: int = 40) -> float:
    """What it costs here to append and sync a batch: the median."""
    took = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(rounds):
            began = time.perf_counter()
            file.write(bytes(size))
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(took), 2)


def describe(folder: Path) -> dict[str, str]:
    """The machine and the programs, for the head of the report."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "CPU": model[1] if model else platform.machine(),
        "memory": f"{int(memory[1]) / 2**20:.0f} GiB" if memory else "unknown",
        "kernel": platform.release(),
        "file system": output("stat", "-f", "-c", "%T", str(folder)),
        "load before": f"{os.getloadavg()[0]:.1f}",
        "append + sync of 64 KiB, median": f"{sync_milliseconds(folder)} ms",
        "Rust": version("rustc", "--version"),
        "Python": platform.python_version(),
        "rsyslog": " ".join(version("rsyslogd", "-v").split()[:2]),
        "ripgrep": version("rg", "--version"),
    }


def commit() -> str:
    """The commit that is measured; a star says the tree has changes."""
    changes = output("git", "status", "--porcelain", "--", "crates", "python")
    return output("git", "rev-parse", "--short", "HEAD") + ("*" if changes else "")


def install(program: str, packages: Sequence[str]) -> bool:
    """Gets a peer from Debian when it is missing and we may; no service is started. Whether it is there afterwards."""
    if shutil.which(program) is None and shutil.which("apt-get") and os.geteuid() == 0:
        install_from_debian = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
        for command in (["apt-get", "update", "-q"], install_from_debian):
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
            subprocess.run(command, check=False, env=environment, capture_output=True)
    return shutil.which(program) is not None
