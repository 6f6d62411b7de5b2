"""Processors: what they deliver, and what one that misbehaves does to the others (nothing)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Client, counted, until

# A plugin that appends to `delivered` and answers, unless told otherwise.
EXEC = """
import json, os, sys, time
open("pids", "a").write(f"{os.getpid()}\\n")
for line in sys.stdin:
    got = json.loads(line)
    message = got["record"]["message"]
    MISBEHAVE
    open("delivered", "a").write(message + "\\n")
    print(json.dumps({"ack": got["offset"]}), flush=True)
"""

MISBEHAVIOUR = {
    "exits": 'if message == "m5" and not os.path.exists("once"): open("once", "w"); sys.exit(3)',
    "hangs": 'if message == "m5" and not os.path.exists("once"): open("once", "w"); time.sleep(60)',
    "crashes": 'if message == "m5" and not os.path.exists("once"): open("once", "w"); os.kill(os.getpid(), 9)',
    "acks the future": 'if message == "m5" and not os.path.exists("once"): '
    'open("once", "w"); print(json.dumps({"ack": 10**15}), flush=True); time.sleep(60)',
    "writes rubbish": 'if message == "m5": print("x" * 100_000); print("[" * 5000); print("\\xff{}", flush=True)',
    "floods with rubbish": 'if message == "m5" and not os.path.exists("once"):\n'
    '        open("once", "w")\n        while True: print("rubbish")',
}


def lines(path: Path) -> list[str]:
    """The lines of a file that may not be there yet."""
    return path.read_text().splitlines() if path.exists() else []


def unique(items: list[str]) -> list[str]:
    """Each once, in the order of the first: what at-least-once delivery promises."""
    return list(dict.fromkeys(items))


def configure(daemon: Any, processors: str, rules: str = "") -> Any:
    """All records to all processors."""
    names = ", ".join(line.split(":")[0].strip() for line in processors.splitlines() if line.startswith("  "))
    daemon.configure(f"rules:\n  all: {{to: [{names}]}}\n{rules}processors:\n{processors}")
    return daemon


@pytest.mark.parametrize("misbehaviour", MISBEHAVIOUR.values(), ids=MISBEHAVIOUR.keys())
def test_a_bad_plugin_hurts_nobody(
    make_daemon: Callable[..., Any], connect: Callable[[Any], Client], misbehaviour: str
) -> None:
    """It is started again and gets what it had not acknowledged; the others never notice."""
    daemon = make_daemon()
    (daemon.folder / "plugin.py").write_text(EXEC.replace("MISBEHAVE", misbehaviour))
    configure(
        daemon,
        "  bad: {type: exec, command: [python3, plugin.py], timeout: 1s}\n  good: {type: file, path: good.jsonl}\n",
    ).start()
    client = connect(daemon)
    expected = [f"m{number}" for number in range(20)]
    for message in expected:
        client.log(message)
    until(lambda: len(lines(daemon.folder / "good.jsonl")) == 20, "the good one", timeout=5)
    until(lambda: len(unique(lines(daemon.folder / "delivered"))) == 20, "the bad one")
    assert unique(lines(daemon.folder / "delivered")) == expected
    assert [json.loads(line)["message"] for line in lines(daemon.folder / "good.jsonl")] == expected
    assert daemon.stop() == 0
    for pid in lines(daemon.folder / "pids"):
        assert not Path(f"/proc/{pid}/cmdline").exists(), "a plugin outlived the daemon"


def test_a_plugin_that_cannot_start(make_daemon: Callable[..., Any], connect: Callable[[Any], Client]) -> None:
    """It is named on stderr and tried again; once it is there, it gets everything."""
    daemon = configure(make_daemon(), "  late: {type: exec, command: [./late]}\n").start()
    client = connect(daemon)
    client.log("m0")
    until(lambda: "cannot start `./late`" in daemon.log(), "the message")
    program = daemon.folder / "late"
    program.write_text("#!/usr/bin/env python3\n" + EXEC.replace("MISBEHAVE", ""))
    program.chmod(0o755)
    until(lambda: lines(daemon.folder / "delivered") == ["m0"], "the delivery")
    until(lambda: "processor `late` works again" in daemon.log(), "the message that all is well")


def test_python_plugins(make_daemon: Callable[..., Any], connect: Callable[[Any], Client]) -> None:
    """match, handle, initialize; prints harm nothing, an exception refuses one record."""
    daemon = make_daemon()
    (daemon.folder / "mine.py").write_text(
        "import os\n"
        "def initialize(options):\n    global where\n    where = options['where']\n"
        "class Mine:\n"
        "    def match(self, data):\n        return data['levelno'] >= 20\n"
        "    def handle(self, data):\n"
        "        print('{\"ack\": 999999}')\n"
        "        os.write(1, b'below python\\n')\n"
        "        if data['message'] == 'bad':\n            raise ValueError('not this')\n"
        "        open(where, 'a').write(data['message'] + '\\n')\n"
    )
    options = "options: {where: delivered}"
    package = Path(__file__).resolve().parents[2] / "python"
    paths = f'path: [., "{package}"]'
    configure(daemon, f'  mine: {{type: python, plugin: "mine:Mine", {options}, {paths}}}\n').start()
    client = connect(daemon)
    for number, message in enumerate(["one", "two", "bad", "three"]):
        client.log(message, levelno=10 if number == 1 else 20)
    until(lambda: lines(daemon.folder / "delivered") == ["one", "three"], "the deliveries")
    until(lambda: counted(daemon, "distlog_processor_failed_total", processor="mine") == 1, "the refusal")
    assert "refused record 2: ValueError: not this" in daemon.log()


def test_files_by_field_stay_below_their_root(
    make_daemon: Callable[..., Any], connect: Callable[[Any], Client]
) -> None:
    """Names from outside become harmless, and do not become too many."""
    daemon = configure(make_daemon(), '  split: {type: file, path: "out/{logger}/x.jsonl"}\n').start()
    client = connect(daemon)
    for name in ["../../etc/x", "/etc/passwd", "..", ".", "", "a/b", "nul\0", "x" * 300, "\u202egnp.exe"]:
        client.log("m", name=name)
    for number in range(5_000):
        client.log("m", name=f"logger{number}")
    until(lambda: counted(daemon, "distlog_processor_handled_total") == 5_009, "all written", timeout=40)
    made = [path for path in daemon.folder.rglob("*.jsonl") if path.is_file()]
    assert all(path.parent.parent == daemon.folder / "out" for path in made)
    assert len(made) == 1_000
    overflow = lines(daemon.folder / "out" / "_overflow")
    assert len(overflow) + sum(len(lines(path)) for path in made) == 5_009
    assert not (daemon.folder.parent / "etc").exists()


def test_a_link_in_the_tree_is_not_followed(
    make_daemon: Callable[..., Any], connect: Callable[[Any], Client], tmp_path: Path
) -> None:
    """Somebody puts a link where a file or directory belongs: nothing is written through it."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    daemon = configure(make_daemon(), '  split: {type: file, path: "out/{logger}/x.jsonl"}\n')
    (daemon.folder / "out").mkdir()
    (daemon.folder / "out" / "app").symlink_to(elsewhere)
    daemon.start()
    connect(daemon).log("m")
    until(lambda: "processor `split` fails" in daemon.log(), "the refusal")
    assert not list(elsewhere.iterdir())
    (daemon.folder / "out" / "app").unlink()
    until(lambda: len(lines(daemon.folder / "out" / "app" / "x.jsonl")) == 1, "the delivery")


def test_text_files_have_one_line_a_record(make_daemon: Callable[..., Any], connect: Callable[[Any], Client]) -> None:
    """No record can forge a second line."""
    daemon = configure(make_daemon(), "  text: {type: file, path: app.log, format: text}\n").start()
    client = connect(daemon)
    client.log("first\n2026-01-01 ERROR forged\x1b[31m\u2028\u202e", name="a\nb")
    client.log("second", exc_text="Traceback:\n  File x")
    until(lambda: len(lines(daemon.folder / "app.log")) >= 2, "both lines")
    text = (daemon.folder / "app.log").read_text()
    assert text.count("\n") == 2
    assert r"a\nb first\n2026-01-01 ERROR forged\x1b[31m\u2028\u202e" in text
    assert r"second | Traceback:\n  File x" in text


def test_rotation(make_daemon: Callable[..., Any], connect: Callable[[Any], Client]) -> None:
    """By size, so many kept, compressed; what is kept is whole."""
    rotate = "rotate: {size: 20KiB, keep: 2, compress: zstd}"
    daemon = configure(make_daemon(), f"  file: {{type: file, path: app.jsonl, {rotate}}}\n").start()
    client = connect(daemon)
    for number in range(400):
        client.log(f"m{number}", padding="x" * 200)
        if number % 20 == 0:
            until(lambda n=number: counted(daemon, "distlog_processor_handled_total") > n, "one after the other")
    until(lambda: counted(daemon, "distlog_processor_handled_total") == 400, "all")
    names = sorted(path.name for path in daemon.folder.glob("app.jsonl*"))
    assert names == ["app.jsonl", "app.jsonl.1.zst", "app.jsonl.2.zst"]
    newest = json.loads(lines(daemon.folder / "app.jsonl")[-1])
    assert newest["message"] == "m399"
    assert (daemon.folder / "app.jsonl").stat().st_size <= 20 * 1024


def test_a_file_taken_away_is_made_anew(make_daemon: Callable[..., Any], connect: Callable[[Any], Client]) -> None:
    """As logrotate does it: renamed or deleted, and the next record makes a new one."""
    daemon = configure(make_daemon(), "  file: {type: file, path: app.jsonl}\n").start()
    client = connect(daemon)
    path = daemon.folder / "app.jsonl"
    for number, take in enumerate([lambda: path.rename(daemon.folder / "moved"), path.unlink, lambda: None]):
        client.log(f"m{number}")
        until(lambda: len(lines(path)) == 1, "the line")
        assert json.loads(lines(path)[0])["message"] == f"m{number}"
        take()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_processors_go_on_where_they_were(
    make_daemon: Callable[..., Any], connect: Callable[[Any], Client], how: int
) -> None:
    """Over a restart nothing is lost; stopped gracefully, nothing comes twice."""
    daemon = make_daemon()
    (daemon.folder / "plugin.py").write_text(EXEC.replace("MISBEHAVE", "time.sleep(0.005)"))
    configure(
        daemon, "  file: {type: file, path: app.jsonl}\n  slow: {type: exec, command: [python3, plugin.py]}\n"
    ).start()
    expected = [f"m{number}" for number in range(600)]
    client = connect(daemon)
    for message in expected[:300]:
        client.log(message)
    until(lambda: len(lines(daemon.folder / "delivered")) > 50, "half of it")
    until(lambda: counted(daemon, "distlog_stored_total") == 300, "all stored")
    code = daemon.stop(how)
    assert code == (0 if how == signal.SIGTERM else -signal.SIGKILL)
    daemon.start()
    client = connect(daemon)
    for message in expected[300:]:
        client.log(message)
    for name, read in [("delivered", str), ("app.jsonl", lambda line: json.loads(line)["message"])]:
        path = daemon.folder / name
        until(lambda path=path: len(set(lines(path))) >= 600, name)
        got = [read(line) for line in lines(path)]
        assert unique(got) == expected
        if how == signal.SIGTERM and name == "app.jsonl":
            assert got == expected


def test_a_new_processor_starts_at_the_beginning(
    make_daemon: Callable[..., Any], connect: Callable[[Any], Client]
) -> None:
    """One that is added later reads what is in the store already."""
    daemon = make_daemon().start()
    connect(daemon).log("early")
    daemon.wait_for(1)
    configure(daemon, "  late: {type: file, path: late.jsonl}\n")
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: len(lines(daemon.folder / "late.jsonl")) == 1, "the early record")


def test_store_false_still_feeds_processors(make_daemon: Callable[..., Any], connect: Callable[[Any], Client]) -> None:
    """Without a store to search, processors work as ever."""
    daemon = make_daemon()
    daemon.configure("store: false\nrules: {a: {to: [f]}}\nprocessors: {f: {type: file, path: f.jsonl}}\n")
    daemon.start()
    connect(daemon).log("m")
    until(lambda: len(lines(daemon.folder / "f.jsonl")) == 1, "the delivery")


def test_the_example_plugins(make_daemon: Callable[..., Any], connect: Callable[[Any], Client]) -> None:
    """What stands under examples/plugins works as its head says."""
    root = Path(__file__).resolve().parents[2]
    daemon = configure(
        make_daemon(),
        '  counter: {type: python, plugin: "count_by_logger:CountByLogger", '
        f'path: ["{root}/examples/plugins", "{root}/python"], options: {{file: counts.json}}}}\n',
    ).start()
    client = connect(daemon)
    for _ in range(3):
        client.log("m", name="app.db")
    until(lambda: lines(daemon.folder / "counts.json"), "the counts")
    until(lambda: json.loads((daemon.folder / "counts.json").read_text() or "{}").get("app.db") == 3, "three")
    assert subprocess.run(["sh", "-n", root / "examples/plugins/page"], check=False).returncode == 0
    assert os.access(root / "examples/plugins/page", os.X_OK)
