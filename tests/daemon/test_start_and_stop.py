"""Starting, reloading, stopping, and the commands that only look."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Client, counted, program, until


def distlogd(*arguments: str, stdin: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    command = [program("distlogd"), *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=20, cwd=cwd, check=False)


def test_one_bad_line_is_one_line_and_78(tmp_path: Path) -> None:
    """`FILE:LINE:COLUMN: what. what to do`, from run and check alike."""
    file = tmp_path / "d.yaml"
    file.write_text("rules:\n  a: {too: [b]}\n")
    for command in (["run", "--config", str(file), "--data", str(tmp_path / "data")], ["check", str(file)]):
        ended = distlogd(*command)
        assert ended.returncode == 78
        assert ended.stderr.startswith(f"{file}:2:7: rule `a` has no key `too`. Did you mean `to`?")
    assert not (tmp_path / "data").exists(), "nothing was started"


@pytest.mark.parametrize("kind", ["missing", "directory", "unreadable", "empty", "binary"])
def test_what_is_no_configuration(tmp_path: Path, kind: str) -> None:
    """One line and 78."""
    file = tmp_path / kind
    if kind == "directory":
        file.mkdir()
    elif kind != "missing":
        file.write_bytes({"empty": b"", "binary": b"\x00\x01", "unreadable": b"rules: {}\n"}[kind])
    if kind == "unreadable":
        file.chmod(0)
        if os.access(file, os.R_OK):
            pytest.skip("root reads everything")
    ended = distlogd("check", str(file))
    assert ended.returncode == 78
    assert len(ended.stderr.splitlines()) == 1
    assert str(file) in ended.stderr


def test_check_says_what_is_guaranteed(tmp_path: Path) -> None:
    """A sentence for every source and processor."""
    (tmp_path / "distlogd.yaml").write_text(
        "processors: {f: {type: file, path: x.log}, p: {type: exec, command: [page]}}\n"
    )
    ended = distlogd("check", cwd=tmp_path)
    assert ended.returncode == 0
    assert "source apps (tcp://127.0.0.1:5010): at most once" in ended.stdout
    assert "processor f (file): at least once" in ended.stdout
    assert "processor p (exec): at least once" in ended.stdout


def test_both_kinds_of_sources_are_opened_and_promise_different_things(make_daemon: Callable[..., Any]) -> None:
    """The ready line names both with their ports, and ``check`` says what each guarantees."""
    daemon = make_daemon('sources: {apps: {pull: "tcp://127.0.0.1:*"}, acked: {router: "tcp://127.0.0.1:*"}}\n')
    daemon.start()
    assert re.search(r"distlogd ready pull=tcp://127.0.0.1:\d+ router=tcp://127.0.0.1:\d+ http=", daemon.log())
    ended = distlogd("check", str(daemon.configuration))
    assert ended.returncode == 0
    assert "source apps (tcp://127.0.0.1:*): at most once" in ended.stdout
    assert "source acked (tcp://127.0.0.1:*): exactly once" in ended.stdout
    assert daemon.stop() == 0


CASES = """
rules:
  errors: {when: "level>=error", to: [pager, file]}
  noise: {when: "logger=noise.* level<warning", drop: true}
  all: {to: [file]}
processors:
  file: {type: file, path: x.log}
  pager: {type: exec, command: [page], when: "-logger=audit.*"}
tests:
  - {given: {levelname: ERROR, name: app.web, msg: boom}, expect: {rules: [errors, all], to: [pager, file]}}
  - {given: {levelname: DEBUG, name: noise.x, msg: z}, expect: {rules: [noise], to: [], dropped: true}}
"""


def test_tests_of_the_configuration(tmp_path: Path) -> None:
    """They pass, or say what was expected and what came."""
    file = tmp_path / "d.yaml"
    file.write_text(CASES)
    ended = distlogd("test", str(file))
    assert (ended.returncode, ended.stdout) == (0, f"{file}: 2 of 2 tests passed\n")
    file.write_text(CASES + "  - {name: audit, given: {levelname: ERROR, name: audit.x}, expect: {to: [pager]}}\n")
    ended = distlogd("test", str(file))
    assert ended.returncode == 1
    assert f"{file}:12:5: audit failed: expected to [pager], got [file]" in ended.stdout


def test_explain(tmp_path: Path) -> None:
    """Which rules matched, and where each record went."""
    file = tmp_path / "d.yaml"
    file.write_text(CASES)
    given = [{"levelno": 40, "name": "audit.x", "msg": "m"}, {"levelno": 10, "name": "noise.y"}, {"levelno": 20}]
    stdin = "\n".join(json.dumps(one) for one in given)
    ended = distlogd("explain", str(file), "--json", stdin=stdin)
    assert ended.returncode == 0
    fates = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [fate["rules"] for fate in fates] == [["errors", "all"], ["noise"], ["all"]]
    assert [fate["to"] for fate in fates] == [["file"], [], ["file"]]
    assert [fate["dropped"] for fate in fates] == [False, True, False]
    assert fates[0]["turned_away"] == ["pager"]
    assert "line 1: rules errors, all → file" in distlogd("explain", str(file), stdin=stdin).stdout
    assert distlogd("explain", str(file), stdin="{").returncode == 1


def test_a_port_in_use(make_daemon: Callable[..., Any], tmp_path: Path) -> None:
    """One line that names the setting and the address, and 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for text, says in [
            (f'http: {{listen: "127.0.0.1:{port}"}}\nsources: {{a: {{pull: "tcp://127.0.0.1:0"}}}}\n', "http: {listen"),
            (
                f'sources: {{a: {{pull: "tcp://127.0.0.1:{port}"}}}}\nhttp: {{listen: "127.0.0.1:0"}}\n',
                "sources: {a: {pull",
            ),
        ]:
            file = tmp_path / "d.yaml"
            file.write_text(text)
            ended = distlogd("--config", str(file), "--data", str(tmp_path / "data"))
            assert ended.returncode == 1
            assert len(ended.stderr.splitlines()) == 1
            assert f"127.0.0.1:{port}" in ended.stderr
            assert says in ended.stderr


def test_a_second_daemon_on_the_same_directory(daemon: Any, tmp_path: Path) -> None:
    """It names the first one's process and ends with 1; the first one goes on."""
    file = tmp_path / "d.yaml"
    file.write_text('sources: {a: {pull: "tcp://127.0.0.1:0"}}\nhttp: {listen: "127.0.0.1:0"}\n')
    ended = distlogd("--config", str(file), "--data", str(daemon.data))
    assert ended.returncode == 1
    assert f"process {daemon.process.pid}" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert daemon.get("/healthz")


def test_reload(make_daemon: Callable[..., Any], connect: Callable[[Any], Client]) -> None:
    """New rules are in force at once; a broken file changes nothing and is named; the socket stays."""
    daemon = make_daemon("rules: {all: {to: [a]}}\nprocessors: {a: {type: file, path: a.jsonl}}\n").start()
    client = connect(daemon)
    client.log("one")
    until(lambda: (daemon.folder / "a.jsonl").exists(), "the first")

    daemon.configure("rules: {all: {to: [nobody]}}\n")
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: "there is no processor `nobody`" in daemon.log(), "the complaint")
    assert f"{daemon.configuration}:" in daemon.log()
    assert "nobody" in daemon.get("/readyz").decode()
    client.log("two")
    until(lambda: len((daemon.folder / "a.jsonl").read_text().splitlines()) == 2, "the old rules")

    daemon.configure(
        'rules: {noise: {when: "logger=noise", drop: true}, all: {to: [b]}}\n'
        "processors: {b: {type: file, path: b.jsonl}}\n"
    )
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: "distlogd reloaded: 2 rules, 1 processors" in daemon.log(), "the reload")
    assert "nobody" not in daemon.get("/readyz").decode()
    client.log("three", name="noise")
    client.log("four")
    until(lambda: (daemon.folder / "b.jsonl").exists(), "the new file")
    until(lambda: "four" in (daemon.folder / "b.jsonl").read_text(), "the new rules")
    assert "three" not in (daemon.folder / "b.jsonl").read_text()
    assert "four" not in (daemon.folder / "a.jsonl").read_text()
    assert counted(daemon, "distlog_dropped_total", rule="noise") == 1


def test_a_stop_drains(make_daemon: Callable[..., Any], connect: Callable[[Any], Client]) -> None:
    """What was sent before SIGTERM is stored, and delivered, when it has ended with 0."""
    daemon = make_daemon("rules: {all: {to: [f]}}\nprocessors: {f: {type: file, path: f.jsonl}}\n").start()
    client = connect(daemon)
    client.log("first")
    daemon.wait_for(1)
    for number in range(20_000):
        client.log(f"m{number}")
    until(lambda: counted(daemon, "distlog_received_total") > 1_000, "the flood")
    assert daemon.stop() == 0
    in_file = len((daemon.folder / "f.jsonl").read_text().splitlines())
    client.socket.close(linger=0)
    daemon.start()
    stored = counted(daemon, "distlog_next_offset")
    assert in_file == stored
    assert stored > 1_000


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_both_signals_end_it_soon(daemon: Any, how: int) -> None:
    """With nothing to do, it ends at once."""
    begun = time.monotonic()
    assert daemon.stop(how) == 0
    assert time.monotonic() - begun < 5


def test_the_data_directory_is_nobody_elses(daemon: Any) -> None:
    """Records may hold secrets."""
    assert daemon.data.stat().st_mode & 0o077 == 0
