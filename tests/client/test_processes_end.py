"""The ways a process ends, and what is logged last. It ends when it should, in silence, and what it said has arrived."""

from __future__ import annotations

import collections
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

QUIET = ("", "")


def messages(collector: Any, count: int, settle: float = 0.15) -> collections.Counter[str]:
    """The messages that arrived, and how often."""
    return collections.Counter(r["message"] for r in collector.wait(count, settle=settle))


class TestExitHooks:
    @pytest.mark.parametrize("end", ["", "sys.exit(0)", "raise SystemExit"])
    def test_hooks_registered_at_any_time_may_log(self, run: Any, collector: Any, end: str) -> None:
        """Before ``import logging``, before ``import distlog``, before the handler is made, and after."""
        source = f"""
import atexit, os, sys
hook = lambda name: atexit.register(lambda: sys.modules["logging"].getLogger("app").warning("hook %s", name))
hook("before logging")
import logging
hook("before distlog")
import distlog
hook("before the handler")
logging.basicConfig(level=10, handlers=[distlog.ZmqHandler(os.environ["ENDPOINT"])])
hook("after all")
logging.info("main")
{end}
"""
        done = run("import subprocess; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)", source)
        assert (done.stdout, done.stderr) == QUIET
        found = messages(collector, 4)
        # logging's own hook runs before those registered earlier than it, and closes what there is to close.
        expected = ("main", "hook before distlog", "hook before the handler", "hook after all")
        assert {name: found[name] for name in expected} == dict.fromkeys(expected, 1)

    def test_flush_and_close_in_hooks(self, run: Any, collector: Any) -> None:
        done = run("""
            import atexit
            atexit.register(handler.close)
            atexit.register(handler.flush)
            atexit.register(logging.shutdown)
            log.info("main")
        """)
        assert (done.stdout, done.stderr) == QUIET
        assert messages(collector, 1) == {"main": 1}

    def test_threads_of_all_kinds_at_the_end(self, run: Any, collector: Any) -> None:
        """Threads that are waited for finish; daemons are stopped by the interpreter somewhere inside ``log()``."""
        done = run("""
            def daemon():
                while True:
                    with to("daemon"): log.debug("daemon %s", {"a": 1})
            def last(): time.sleep(0.1); log.warning("last")
            for n in range(4): threading.Thread(target=daemon, daemon=True).start()
            threading.Thread(target=last).start()
            log.warning("main")
        """)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        deadline = time.monotonic() + 10
        # Warnings have room in a queue that is full of the rest.
        while not {"main", "last"} <= {r["message"] for r in collector.records() if r["levelno"] > 20}:
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def test_daemons_in_the_midst_of_a_call(self, collector: Any) -> None:
        """Several programs at once, so that threads are interrupted in many places: none of them aborts."""
        source = """
import logging, os, sys, threading, time
from distlog import *
logging.basicConfig(level=10, handlers=[ZmqHandler(os.environ["ENDPOINT"]), logging.StreamHandler(open(os.devnull, "w"))])
configure(accelerate=sys.argv[1] == "accelerated")
class Slow:
    def __str__(self): return "".join(chr(97 + n % 26) for n in range(200))
def daemon():
    log = logging.getLogger("app")
    while True:
        with to("daemon"): log.debug("daemon %s", Slow(), extra={"a": Slow()})
for n in range(4): threading.Thread(target=daemon, daemon=True).start()
time.sleep(0.1)
"""
        environment = {**os.environ, "ENDPOINT": collector.endpoint, "DISTLOG_ENDPOINT": collector.endpoint}
        for tier in ("plain", "accelerated"):
            command = [sys.executable, "-c", source, tier]
            running = [
                subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                for _ in range(5)
            ]
            assert [(one.communicate(timeout=30)[0], one.returncode) for one in running] == [("", 0)] * 5


class TestFinalizers:
    def test_everywhere(self, run: Any, collector: Any) -> None:
        """In a module's names, in a cycle, in a class, in an exception that nobody caught; with goals around."""
        done = run(
            """
            class Late:
                def __init__(self, name): self.name = name
                def __del__(self, log=log):
                    log.info("del %s", self.name)
                    with to("goal of %s", self.name): pass
            in_module = Late("module")
            cycle = Late("cycle"); cycle.me = cycle
            class Holder: held = Late("class")
            sys.modules["foreign"] = Late("sys.modules")
            def at_end():
                local = Late("frame")
                raise KeyError("on purpose")
            try: at_end()
            except KeyError: pass
            import gc; gc.collect()
            log.info("main")
        """
        )
        assert (done.stdout, done.stderr) == QUIET
        assert {"main", "del frame"} <= set(messages(collector, 4))

    def test_while_a_record_is_made(self, run: Any, collector: Any) -> None:
        """A collection may begin anywhere; what it finalizes logs in the midst of a record."""
        done = run("""
            import gc
            class Late:
                def __del__(self): log.info("del")
            gc.set_threshold(1)
            for n in range(300):
                late = Late(); late.me = late
                del late
                with to("work %d", n): log.info("main %s", {"n": [n]})
            gc.set_threshold(700); gc.collect()
        """)
        assert (done.stdout, done.stderr) == QUIET
        found = messages(collector, 1200, settle=0.3)
        assert found["del"] == 300
        assert sum(n for name, n in found.items() if name.startswith("main")) == 300


class TestSignals:
    def started(self, collector: Any, source: str, tmp_path: Path) -> subprocess.Popen[str]:
        program = tmp_path / "program.py"
        program.write_text(
            "import logging, os, signal, sys, threading, time\nfrom distlog import *\nhandler = ZmqHandler(os.environ['ENDPOINT'])\n"
            "logging.basicConfig(level=10, handlers=[handler])\nlog = logging.getLogger('app')\n" + source
        )
        return subprocess.Popen(
            [sys.executable, str(program)],
            env={**os.environ, "ENDPOINT": collector.endpoint},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def test_a_default_end_takes_only_the_last_moment(self, collector: Any, tmp_path: Path) -> None:
        """SIGTERM runs nothing. What was logged a moment before had left by itself."""
        source = "for n in range(100): log.info('%d', n)\nprint('ready', flush=True)\ntime.sleep(30)"
        process = self.started(collector, source, tmp_path)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        process.terminate()
        assert process.communicate(timeout=5) == QUIET
        assert process.returncode == -signal.SIGTERM
        assert set(messages(collector, 100).values()) == {1}

    @pytest.mark.parametrize(
        "handler",
        ["lambda *_: sys.exit(0)", "lambda *_: (log.info('stopping'), sys.exit(0))", "signal.default_int_handler"],
    )
    def test_a_handled_end_takes_nothing(self, collector: Any, tmp_path: Path, handler: str) -> None:
        """The signal comes while the main thread is inside ``log()``; all that it said before is there, in order."""
        source = f"signal.signal(signal.SIGTERM, {handler})\nn = 0\nwhile True:\n    log.info('main %d', n); n += 1\n    if n == 500: print('ready', flush=True)\n    time.sleep(0.0001)"
        process = self.started(collector, source, tmp_path)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        process.communicate(timeout=5)
        assert process.returncode == (0 if "exit" in handler else -signal.SIGINT)
        time.sleep(0.2)
        found = [r["message"] for r in collector.records() if r["message"].startswith("main")]
        assert len(found) >= 500
        assert found == [f"main {n}" for n in range(len(found))]

    def test_they_reach_the_main_thread_while_it_waits(self, run: Any, collector: Any) -> None:
        """A blocking call in the main thread is interrupted at once: the sender's thread takes no signal from it."""
        done = run("""
            import select, signal
            log.info("started"); handler.flush(5)
            r, w = os.pipe()
            for n in range(20):
                came = []
                signal.signal(signal.SIGALRM, lambda *_: came.append(time.monotonic()) or os.write(w, b"x"))
                signal.setitimer(signal.ITIMER_REAL, 0.01)
                begun = time.monotonic()
                os.read(r, 1)
                assert time.monotonic() - begun < 0.5, "late"
            states = {}
            for task in os.listdir("/proc/self/task"):
                with open(f"/proc/self/task/{task}/status") as file:
                    lines = dict(line.rstrip("\\n").split(":\\t", 1) for line in file if ":\\t" in line)
                states[lines["Name"]] = int(lines["SigBlk"], 16)
            sender = states.pop("distlog-sender")
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGHUP, signal.SIGCHLD):
                assert sender >> (number - 1) & 1, number
            assert list(states.values()) == [0], states
        """)
        assert (done.stdout, done.stderr) == QUIET


class TestBounds:
    """Nobody listens: the end comes all the same."""

    def test_every_kind_of_handler_and_thread(self, run: Any, free_port: int) -> None:
        begun = time.perf_counter()
        done = run(
            """
            for n in range(5): log.addHandler(ZmqHandler(os.environ["ENDPOINT"]))
            def daemon():
                while True: log.info("busy"); time.sleep(0.01)
            threading.Thread(target=daemon, daemon=True).start()
            for n in range(1000): log.info("x")
            logging.shutdown()
        """,
            endpoint=f"tcp://127.0.0.1:{free_port}",
        )
        assert "could not be delivered" in done.stderr
        assert "Traceback" not in done.stderr
        # Once for this call, once for the end.
        assert time.perf_counter() - begun < 2 + 2 + 0.8

    def test_a_receiver_that_does_not_read(self, run: Any) -> None:
        """It is connected, and the kernel takes no more."""
        import socket

        with socket.socket() as place:
            place.bind(("127.0.0.1", 0))
            place.listen()
            begun = time.perf_counter()
            done = run(
                "for n in range(5000): log.info('x' * 1000)\nprint(time.monotonic())",
                endpoint=f"tcp://127.0.0.1:{place.getsockname()[1]}",
            )
            assert "could not be delivered" in done.stderr
            assert time.perf_counter() - begun < 3.5

    def test_an_end_by_exec(self, run: Any, free_port: int) -> None:
        begun = time.perf_counter()
        done = run(
            "log.info('x')\nos.execlp('no-such-program-' + '0', 'x')",
            check=False,
            endpoint=f"tcp://127.0.0.1:{free_port}",
        )
        assert done.stderr.splitlines()[-2].startswith("FileNotFoundError") or "FileNotFoundError" in done.stderr
        assert time.perf_counter() - begun < 4


class TestFlags:
    PROGRAM = """
import logging, os, sys, threading
from distlog import *
handler = ZmqHandler(os.environ["ENDPOINT"])
logging.basicConfig(level=10, handlers=[handler])
log = logging.getLogger("app")
with task("work"):
    log.info("main")
    thread = threading.Thread(target=wrap(lambda: log.info("thread")))
    thread.start(); thread.join()
if "fork" in sys.argv:
    pid = os.fork()
    if pid == 0: log.info("child"); os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
"""

    @pytest.mark.parametrize(
        "flags",
        [
            "-I",
            "-O",
            "-OO",
            "-X dev",
            "-W error",
            "-X dev -W error -b",
            "-B -E -s",
            "-X faulthandler -X tracemalloc",
            "-X utf8=0",
        ],
    )
    def test_nothing_is_said(self, collector: Any, flags: str) -> None:
        """No warning of unclosed things, no assert that is missing, no difference."""
        command = [sys.executable, *flags.split(), "-c", self.PROGRAM]
        if "-W" not in flags or sys.version_info < (3, 12):
            command.append("fork")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        done = subprocess.run(
            command,
            env={**environment, "ENDPOINT": collector.endpoint, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            timeout=30,
        )
        said = [line for line in done.stderr.splitlines() if "fork" not in line and "pid = " not in line]
        assert (done.returncode, done.stdout, said) == (0, "", [])
        names = {"work": 2, "main": 1, "thread": 1, **({"child": 1} if "fork" in command else {})}
        assert messages(collector, sum(names.values())) == names

    def test_without_site(self, collector: Any) -> None:
        import distlog

        path = str(Path(distlog.__file__).parents[1])
        done = subprocess.run(
            [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {path!r})\n" + self.PROGRAM],
            env={**os.environ, "ENDPOINT": collector.endpoint},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert messages(collector, 4) == {"work": 2, "main": 1, "thread": 1}

    def test_a_crash_is_told_of(self, run: Any, collector: Any) -> None:
        """``faulthandler`` writes the Python frames of every thread; ours is none of them."""
        done = run(
            "import faulthandler; faulthandler.enable(); log.info('x'); handler.flush(5); os.abort()", check=False
        )
        assert done.returncode == -signal.SIGABRT
        assert done.stderr.startswith("Fatal Python error: Aborted")
        assert done.stderr.count("most recent call first") == 1
