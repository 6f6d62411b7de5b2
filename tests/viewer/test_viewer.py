"""The program ``distlog`` from outside: what it prints, to where, and with which exit code.

A real daemon stores what a pyzmq PUSH socket sends, byte for byte what these tests say.
"""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import zmq

GOAL = "7f3a2c1e-0000-4000-8000-000000000001"
LEVELS = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR"}


def record(message: str, level: int = 20, **fields: Any) -> dict[str, Any]:
    """What a client sends for one record, the fields that matter here."""
    plain = {"name": "shop", "msg": message, "message": message, "levelno": level, "levelname": LEVELS[level]}
    return {**plain, "created": time.time(), "process": 7, "hostname": "here", **fields}


def in_goal(number: int, path: str = "", **goal: Any) -> dict[str, Any]:
    """The fields of a record that belongs to a goal."""
    fields: dict[str, Any] = {"context": {"key": f"{number}@{GOAL}{path}"}}
    return {**fields, "goal": goal} if goal else fields


def failing_task(last: bool = True) -> list[dict[str, Any]]:
    """A task whose one sub-goal fails; record 1 never arrives. Without its last record it is not finished."""
    records = [
        record("checkout", **in_goal(0, event="begin", title="checkout")),
        record("charge", **in_goal(0, "/2", event="begin", title="charge")),
        record("slow", 30, **in_goal(1, "/2")),
        record(
            "FAILED charge",
            40,
            **in_goal(2, "/2", event="end", title="charge", status="failed", duration=0.5, count=3),
            exc_text='Traceback:\n  File "/srv/pay.py", line 3, in charge\nPspError: declined',
        ),
        record(
            "FAILED checkout", 40, **in_goal(3, event="end", title="checkout", status="failed", duration=1, count=4)
        ),
    ]
    return records if last else records[:-1]


def send(daemon: Any, *records: dict[str, Any]) -> None:
    """Send the records and wait until they are stored."""
    before = json.loads(daemon.get("/api/v1/stats"))["next_offset"]
    push = zmq.Context.instance().socket(zmq.PUSH)
    push.connect(daemon.endpoint)
    for one in records:
        push.send_multipart([b"PLJ", json.dumps(one).encode()])
    push.close(linger=5000)
    deadline = time.monotonic() + 20
    while json.loads(daemon.get("/api/v1/stats"))["next_offset"] < before + len(records):
        assert time.monotonic() < deadline, "the records are not stored"
        time.sleep(0.01)


def program(daemon: Any) -> str:
    """The path of the viewer."""
    path = daemon.view.__globals__["program"]("distlog")
    assert isinstance(path, str)
    return path


@contextmanager
def running(daemon: Any, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A viewer that runs beside the test; it is killed at the end."""
    environment = {**os.environ, "DISTLOG_URL": daemon.http}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    with subprocess.Popen([program(daemon), *arguments], env=environment, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    """The next line it prints."""
    assert process.stdout is not None
    return process.stdout.readline()


def test_tail_shows_the_last_records_then_the_live_ones(daemon: Any) -> None:
    """History and live without a seam; Ctrl-C is a good end."""
    send(daemon, *(record(f"number {n}", n=n) for n in range(30)))
    with running(daemon, "tail", "--json") as tail:
        seen = [json.loads(line(tail))["n"] for _ in range(10)]
        send(daemon, *(record(f"number {n}", n=n) for n in range(30, 35)))
        seen += [json.loads(line(tail))["n"] for _ in range(5)]
        tail.send_signal(signal.SIGINT)
        assert tail.wait(10) == 0
    assert seen == list(range(20, 35))


def test_tail_selects(daemon: Any) -> None:
    """Filter words, level, goal, number, no following."""
    send(daemon, record("one", x=1), record("two", 40, x=2), record("three", 40), *failing_task())

    def messages(*arguments: str) -> list[str]:
        tail = daemon.view("tail", "--json", "--no-follow", *arguments)
        assert tail.returncode == 0, tail.stderr
        return [json.loads(text)["message"] for text in tail.stdout.splitlines()]

    assert messages("-l", "error", "name=shop", "-n", "1") == ["FAILED checkout"]
    assert messages("x:*", "or", "three") == ["one", "two", "three"]
    assert messages("-l", "error", "one or two") == ["two"]
    assert messages("--task", "7f3a") == [r["message"] for r in failing_task()]
    assert messages("--since", "1h", "one") == ["one"]
    assert messages("-n", "0") == []


def test_tail_goes_on_after_the_daemon_comes_back(make_daemon: Any) -> None:
    """The stream is taken up where it broke; what was missed is said."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    daemon = make_daemon(f'http: {{listen: "127.0.0.1:{port}"}}\n').start()
    send(daemon, record("before"))
    with running(daemon, "tail", "--json") as tail:
        assert json.loads(line(tail))["message"] == "before"
        daemon.stop()
        daemon.start()
        send(daemon, record("after"))
        assert json.loads(line(tail))["message"] == "after"
        tail.terminate()
        assert tail.wait(10) == 0
        assert tail.stderr is not None
        said = tail.stderr.read()
    assert "connection lost" in said and "connected again, nothing missed" in said


def test_search_answers_as_grep_does(daemon: Any) -> None:
    """0 found, 1 none, 2 trouble; ``--expect none`` turns the first two round."""
    send(daemon, *(record(f"number {n}", 40 if n % 2 else 20, n=n) for n in range(10)))
    found = daemon.view("search", "level>=error", "--json")
    assert (found.returncode, [json.loads(text)["n"] for text in found.stdout.splitlines()]) == (0, [1, 3, 5, 7, 9])
    for arguments, code, output in [
        (["nothing"], 1, ""),
        (["nothing", "--expect", "none"], 0, ""),
        (["number", "--expect", "none", "--count"], 1, "10\n"),
        (["level>=error", "--count"], 0, "5\n"),
        (["nothing", "--count"], 1, "0\n"),
        (["--count", "--json"], 0, '{"count":10}\n'),
        (["--by", "level"], 0, "COUNT  LEVEL\n    5  ERROR\n    5  INFO\n"),
        (["--by", "logger", "n>3"], 0, "COUNT  LOGGER\n    6  shop\n"),
    ]:
        searched = daemon.view("search", *arguments)
        assert (searched.returncode, searched.stdout, searched.stderr) == (code, output, ""), arguments
    newest = daemon.view("search", "--json", "--limit", "2")
    assert [json.loads(text)["n"] for text in newest.stdout.splitlines()] == [8, 9]


def test_json_is_what_the_api_answered(daemon: Any) -> None:
    """Byte for byte, unusual numbers and names included."""
    send(daemon, record("ä\u202e\x1b", x=1.50, big=123456789012345678901234567890), *failing_task())
    assert daemon.view("search", "--json").stdout.encode() == daemon.get("/api/v1/search")
    assert daemon.view("tasks", "--json").stdout.encode() == daemon.get("/api/v1/tasks?limit=20")
    assert daemon.view("tree", "--json", "--last").stdout.encode() == daemon.get(f"/api/v1/task/{GOAL}")


def test_search_with_context(daemon: Any) -> None:
    """What surrounds a hit is of the same task, or else of the same process."""
    other = [record(f"other {n}", process=8) for n in range(3)]
    send(daemon, other[0], *failing_task(), other[1], record("x", process=9), other[2])
    around = daemon.view("search", "slow", "-C", "1", "--json")
    messages = [json.loads(text)["message"] for text in around.stdout.splitlines()]
    assert messages == ["charge", "slow", "FAILED charge"]
    around = daemon.view("search", "'other 1'", "-C", "5", "--json")
    assert [json.loads(text)["message"] for text in around.stdout.splitlines()] == ["other 0", "other 1", "other 2"]


def test_tree_and_its_exit_codes(daemon: Any) -> None:
    """0 succeeded, 1 failed, 3 unfinished, 2 not found."""
    assert daemon.view("tree", "--last").returncode == 2
    send(daemon, *failing_task(last=False))
    assert daemon.view("tree", GOAL).returncode == 3
    with running(daemon, "tree", "--follow", "7f3a", "--json") as follow:
        time.sleep(0.3)
        assert follow.poll() is None
        send(daemon, failing_task()[-1])
        assert json.loads(line(follow))["status"] == "failed"
        assert follow.wait(10) == 1
    for arguments in [["7f3a"], ["--last"], ["--match", "slow"], [], [GOAL, "--json"]]:
        assert daemon.view("tree", *arguments).returncode == 1
    picture = daemon.view("tree", "7f3a", "--records", "warn").stdout
    assert "FAILED after 1.000 s" in picture and "(1 missing)" in picture
    assert "? record 1 of 7f3a never arrived" in picture and "WARN  slow" in picture
    assert json.loads(daemon.view("tree", f"{GOAL}/2", "--json").stdout)["title"] == "charge"
    for arguments in [["8"], ["7f3a/9"], ["xyz"], ["--match", "nothing"], ["--match", "level>="]]:
        tree = daemon.view("tree", *arguments)
        assert (tree.returncode, tree.stdout) == (2, ""), arguments
        assert tree.stderr.startswith("distlog: "), arguments


def test_tasks(daemon: Any) -> None:
    """A table for people, one object a line for programs."""
    assert (daemon.view("tasks").returncode, daemon.view("tasks").stdout) == (0, "")
    send(daemon, *failing_task())
    (task,) = [json.loads(text) for text in daemon.view("tasks", "--json").stdout.splitlines()]
    assert (task["id"], task["title"], task["status"], task["duration"]) == (GOAL, "checkout", "failed", 1)
    assert (task["records"], task["missing"]) == (5, 1)
    head, row = daemon.view("tasks").stdout.splitlines()
    assert head.split() == ["ID", "STATUS", "DURATION", "RECORDS", "MISSING", "BEGAN", "TITLE"]
    assert row.split()[:5] == [GOAL, "failed", "1.000s", "5", "1"]
    assert daemon.view("tasks", "nothing", "--json").stdout == ""


def test_wait(daemon: Any) -> None:
    """0 when a record matches, 124 when the time is up, 2 for a mistake."""
    send(daemon, record("ready already"))
    with running(daemon, "wait", "ready", "--timeout", "30s", "--json") as wait:
        time.sleep(0.3)
        assert wait.poll() is None, "records from before do not count"
        send(daemon, record("not this"), record("ready now"))
        assert json.loads(line(wait))["message"] == "ready now"
        assert wait.wait(10) == 0
    began = time.monotonic()
    late = daemon.view("wait", "never", "--timeout", "300ms")
    assert (late.returncode, late.stdout) == (124, "")
    assert 0.3 <= time.monotonic() - began < 5
    assert daemon.view("wait", "ready", "--since", "1h", "--timeout", "1").returncode == 0
    assert daemon.view("wait", "(", "--timeout", "1s").returncode == 2
    assert daemon.view("wait", "x", "--timeout", "soon").returncode == 2


@pytest.mark.parametrize("view", ["tail", "search", "tree", "tasks", "wait x"])
def test_no_daemon_is_one_clear_line(make_daemon: Any, view: str) -> None:
    """What, where, and what to do; exit code 2; nothing on stdout."""
    daemon = make_daemon()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        daemon.http = f"http://127.0.0.1:{closed.getsockname()[1]}"
        shown = daemon.view(*view.split())
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr.startswith(
        f"distlog: cannot reach distlogd at {daemon.http}: connection refused. Start it with"
    )
    assert shown.stderr.count("\n") == 1


def test_a_wrong_filter_is_pointed_at(make_daemon: Any) -> None:
    """With a caret under the place, without asking any daemon."""
    shown = make_daemon().view("tail", "level>=error", "status:(500, 502", env={"DISTLOG_URL": "http://127.0.0.1:9"})
    lines = shown.stderr.splitlines()
    assert (shown.returncode, shown.stdout) == (2, "")
    assert lines[0].startswith("distlog: ") and lines[1] == "  | level>=error status:(500, 502"
    assert re.fullmatch(r"  \|  +\^+", lines[2]), lines
    assert make_daemon().view("tail", "--sinse", "1h").returncode == 2


def test_a_reader_that_goes_away_ends_the_viewer_quietly(daemon: Any) -> None:
    """As in ``distlog search | head -1``: no panic, no message, good exit code."""
    send(daemon, *(record("x" * 500, n=n) for n in range(3000)))
    for arguments in (["search"], ["search", "--json"], ["tail", "-n", "3000"]):
        with running(daemon, *arguments) as viewer:
            assert line(viewer)
            assert viewer.stdout is not None and viewer.stderr is not None
            viewer.stdout.close()
            assert viewer.wait(10) == 0
            assert viewer.stderr.read() == ""


def test_a_tail_ends_with_its_reader_and_not_with_the_next_record(daemon: Any) -> None:
    """As in ``distlog tail | head -1`` while nothing is logged."""
    send(daemon, record("only one"))
    with running(daemon, "tail") as viewer:
        assert "only one" in line(viewer)
        assert viewer.stdout is not None
        viewer.stdout.close()
        assert viewer.wait(10) == 0


def test_a_filter_may_begin_with_a_minus(daemon: Any) -> None:
    """Also where its first letters are those of an option."""
    send(daemon, record("healthcheck"), record("loud", 30), record("pay"))
    for filters, expected in [
        (["-healthcheck"], "2\n"),
        (["-level:warning", "-healthcheck"], "1\n"),
        (["-noise", "-Cache", "-(loud or pay)"], "1\n"),
        (["-lwarning"], "1\n"),
    ]:
        assert daemon.view("search", *filters, "--count").stdout == expected, filters


def test_counts_by_what_is_bound_and_since_seconds(daemon: Any) -> None:
    """``--by`` takes the names that filters take; ``--since`` takes a record's ``created``."""
    now = time.time()
    bound = {"context": {"key": f"1@{GOAL}", "user": "ann"}}
    send(daemon, record("old", created=now - 100), record("new", created=now - 10, **bound))
    assert daemon.view("search", "--by", "user", "--count").stdout.split() == ["COUNT", "USER", "1", "ann"]
    assert daemon.view("search", "--by", "task").stdout.split() == ["COUNT", "TASK", "1", GOAL]
    assert daemon.view("search", "--count", "--since", str(now - 50)).stdout == "1\n"


def test_names_of_fields_are_what_was_sent(daemon: Any) -> None:
    """Also where JSON has to escape them."""
    names = ['"quoted"', "line\nbreak", "back\\slash", "ü"]
    send(daemon, record("strange", **dict.fromkeys(names, 1)))
    assert set(names) <= set(json.loads(daemon.get("/api/v1/fields"))["fields"])


def on_terminal(daemon: Any, *arguments: str, **environment: str) -> str:
    """What the viewer writes to a terminal, to stdout and stderr."""
    ours, theirs = pty.openpty()
    variables = {**os.environ, "DISTLOG_URL": daemon.http, "TERM": "xterm", "LANG": "C.UTF-8", **environment}
    for name in ("NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "LC_ALL"):
        if name not in environment:
            variables.pop(name, None)
    with subprocess.Popen([program(daemon), *arguments], env=variables, stdout=theirs, stderr=theirs) as viewer:
        os.close(theirs)
        written = b""
        try:
            while piece := os.read(ours, 65536):
                written += piece
        except OSError:
            pass
        viewer.wait(10)
    os.close(ours)
    return written.decode()


def test_colours_only_where_they_are_wanted(daemon: Any) -> None:
    """On a terminal; not in a pipe; NO_COLOR and --color decide."""
    send(daemon, record("plain", 40))
    search = ["search", "plain"]
    assert "\x1b[" in on_terminal(daemon, *search)
    assert "\x1b" not in on_terminal(daemon, *search, NO_COLOR="1")
    assert "\x1b" not in on_terminal(daemon, *search, TERM="dumb")
    assert "\x1b" not in on_terminal(daemon, *search, "--color", "never")
    assert "\x1b" not in daemon.view(*search).stdout
    assert "\x1b[" in daemon.view(*search, "--color", "always").stdout
    assert "\x1b[" in on_terminal(daemon, *search, "--color", "always", NO_COLOR="1")


def test_what_records_say_never_reaches_the_terminal_raw(daemon: Any) -> None:
    """Escape sequences, titles, the clipboard, 8-bit controls, bidi overrides, forged lines; names of fields too."""
    evil = "\x1b]0;owned\x07\x1b[2J\x9b2J\x1b]52;c;AAAA\x07\u202eabc\u200b\r12:00:00.000 ERROR forged"
    goal = in_goal(0, event="begin", title=evil)
    send(daemon, record(evil + "\n" + evil, name=evil, processName=evil, **{f"field{evil}": evil}, **goal))
    for arguments in (["search"], ["tree", "--last", "--records", "all"], ["tasks"], ["search", "--by", "logger"]):
        written = on_terminal(daemon, *arguments, NO_COLOR="1").replace("\r\n", "\n")
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b-\u200f]", written), arguments
        assert "\\x1b]0;owned\\x07" in written, arguments
        if arguments[0] == "search":
            assert "<U+202E>" in written, arguments


def test_a_locale_without_unicode_gets_ascii(daemon: Any) -> None:
    """The symbols and lines of a tree, at least."""
    send(daemon, *failing_task())
    assert on_terminal(daemon, "tree", "--last", LC_ALL="C", NO_COLOR="1").isascii()


def test_times_are_shown_where_the_reader_lives(daemon: Any) -> None:
    """Local time with its offset, or UTC when asked for."""
    send(daemon, record("then", created=1795352527.118))
    zone = {"TZ": "Asia/Kolkata"}
    assert daemon.view("search", env=zone).stdout.startswith("2026-11-22T18:32:07.118+05:30 ")
    assert daemon.view("search", "--utc", env=zone).stdout.startswith("2026-11-22T13:02:07.118+00:00 ")
    since = daemon.view("search", "--count", "--since", "2026-11-22T18:32:08", env=zone)
    assert since.stdout == "0\n"
    assert daemon.view("search", "--count", "--since", "2026-11-22T18:32:07", env=zone).stdout == "1\n"


def test_export_gives_whole_records_from_any_place(daemon: Any) -> None:
    """As JSON, whether asked for or not; an export can be continued."""
    send(daemon, *(record(f"number {n}", n=n) for n in range(10)))
    everything = daemon.view("export")
    assert (everything.returncode, everything.stdout.encode()) == (0, daemon.get("/api/v1/search"))
    some = daemon.view("export", "--from", "4", "--limit", "2")
    assert [json.loads(text)["_offset"] for text in some.stdout.splitlines()] == [4, 5]
    assert (daemon.view("export", "nothing").returncode, daemon.view("export", "nothing").stdout) == (0, "")
