"""`python -m distlog run`: a program runs as ever, and what it logs arrives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import pytest

Done = subprocess.CompletedProcess[str]


@pytest.fixture
def go(collector: Any, tmp_path: Path) -> Any:
    """Run a program both ways: plainly, and with its records sent to the collector."""

    def run(
        source: str, *arguments: str, way: str = "file", options: tuple[str, ...] = (), **more: str
    ) -> tuple[Done, Done]:
        (tmp_path / "app.py").write_text(textwrap.dedent(source))
        program = {"file": ["app.py"], "-m": ["-m", "app"], "-c": ["-c", textwrap.dedent(source)]}[way]
        environment = {**os.environ, "DISTLOG_ENDPOINT": collector.endpoint, **more}

        def call(*command: str) -> Done:
            return subprocess.run(
                [sys.executable, *command],
                env=environment,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )

        return call(*program, *arguments), call("-m", "distlog", "run", *options, *program, *arguments)

    return run


def same(plain: Done, ours: Done) -> Done:
    """Nobody can tell the two from each other."""
    assert (ours.returncode, ours.stdout, ours.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    return ours


def logged(collector: Any, count: int, settle: float = 0.15) -> list[str]:
    """What the program logged, without its own goal's records."""
    found = collector.wait(count, settle=settle)
    return [r["message"] for r in found if r["name"] != "distlog.program"]


WAYS = ["file", "-m", "-c"]


@pytest.mark.parametrize("way", WAYS)
class TestLikePython:
    def test_what_a_program_sees(self, go: Any, way: str) -> None:
        source = """
            import sys, os
            print(sys.argv, sys.path, __name__, sorted(globals()), sys.modules["__main__"].__dict__ is globals())
            print(globals().get("__file__"), __package__, __spec__ and __spec__.name, type(__loader__).__name__, __doc__)
            class Thing: pass
            import pickle; print(type(pickle.loads(pickle.dumps(Thing()))) is Thing)
        """
        assert "'b c'" in same(*go(source, "a", "b c", "-m", "--level", way=way)).stdout

    def test_an_error(self, go: Any, way: str) -> None:
        done = same(*go("def work():\n    raise ValueError('boom')\nwork()", way=way))
        assert done.returncode == 1 and "boom" in done.stderr

    def test_an_error_with_a_cause(self, go: Any, way: str) -> None:
        source = """
            try:
                1 / 0
            except Exception as error:
                raise RuntimeError("outer") from error
        """
        assert same(*go(source, way=way)).stderr.count("Traceback") == 2

    def test_a_syntax_error(self, go: Any, way: str) -> None:
        assert "SyntaxError" in same(*go("x = = 1", way=way)).stderr

    @pytest.mark.parametrize(
        "end", ["sys.exit()", "sys.exit(7)", "sys.exit('words')", "os._exit(4)", "os.kill(os.getpid(), 9)"]
    )
    def test_ends(self, go: Any, way: str, end: str) -> None:
        same(*go(f"import os, sys; print('x', flush=True); {end}", way=way))

    def test_an_interrupt(self, go: Any, way: str) -> None:
        source = "import signal; signal.signal(2, signal.default_int_handler); signal.raise_signal(2)"
        assert same(*go(source, way=way)).returncode == -signal.SIGINT

    def test_hooks(self, go: Any, way: str) -> None:
        source = """
            import sys, traceback, atexit, threading
            def hook(kind, error, trace):
                print("hook", kind, error, [frame.name for frame in traceback.extract_tb(trace)][-2:])
            sys.excepthook = hook
            atexit.register(print, "atexit")
            thread = threading.Thread(target=print, args=("thread",)); thread.start(); thread.join()
            def work(): 1 / 0
            work()
        """
        assert "atexit" in same(*go(source, way=way)).stdout

    def test_a_hook_that_fails(self, go: Any, way: str) -> None:
        plain, ours = go("import sys\ndef hook(*a): raise KeyError('in hook')\nsys.excepthook = hook\n1/0", way=way)
        assert ours.returncode == plain.returncode
        assert ours.stderr == plain.stderr


class TestOutput:
    """What logging shows on stderr is what it shows without us."""

    @pytest.mark.parametrize(
        "source",
        [
            "import logging; logging.getLogger('a').warning('w'); logging.getLogger('a').info('i')",
            "import logging; logging.warning('w'); logging.info('i')",
            "import logging; logging.basicConfig(level='INFO', format='%(message)s!'); logging.getLogger('a').info('i')",
            "import logging; logging.basicConfig(level='ERROR'); logging.getLogger('a').warning('i')",
            "import logging; print(logging.getLogger().handlers); logging.getLogger().handlers = []; logging.error('e')",
            "import logging; logging.disable(50); logging.error('e')",
            "import logging; log = logging.getLogger('a'); log.propagate = False; log.warning('alone')",
            "import logging; logging.lastResort = None; logging.getLogger('a').error('e'); logging.getLogger('a').error('e')",
        ],
    )
    def test_same(self, go: Any, source: str) -> None:
        same(*go(source))

    def test_a_goal_that_fails(self, go: Any) -> None:
        """The program's own goal is told to the daemon, not to the console."""
        assert (
            same(*go("import logging; logging.basicConfig(level='INFO')\n1/0")).stderr.count("ZeroDivisionError") == 1
        )


class TestRecords:
    def test_without_any_set_up(self, go: Any, collector: Any) -> None:
        go("import logging; log = logging.getLogger('a'); log.info('i'); log.debug('d'); log.error('e')")
        assert logged(collector, 4) == ["i", "e"]

    def test_the_program_is_a_goal(self, go: Any, collector: Any) -> None:
        go("import logging\nlogging.getLogger('a').info('i')\nraise SystemExit(3)")
        begin, record, end = collector.wait(3, settle=0.1)
        assert (begin["goal"]["event"], begin["goal"]["title"]) == ("begin", "app.py")
        assert (end["goal"]["event"], end["goal"]["status"], end["goal"]["count"]) == ("end", "failed", 3)
        assert record["context"]["key"] == begin["context"]["key"].replace("0@", "1@")
        assert (begin["filename"], begin["funcName"], begin["lineno"]) == ("app.py", "<module>", 1)
        assert begin["pathname"].endswith("/app.py")

    def test_the_traceback_has_none_of_our_frames(self, go: Any, collector: Any) -> None:
        go("def work():\n    raise ValueError('boom')\nwork()")
        end = collector.wait(2)[-1]
        assert (end["levelname"], end["message"]) == ("ERROR", "FAILED app.py")
        assert [frame["function"] for frame in end["exc_info"]["frames"]] == ["<module>", "work"]
        assert "distlog" not in end["exc_text"]

    @pytest.mark.parametrize(
        ("options", "way", "title"),
        [
            (("--name", "nightly"), "file", "nightly"),
            (("--name=nightly",), "-c", "nightly"),
            ((), "-m", "app"),
            ((), "-c", "-c"),
            (("--no-goal",), "file", None),
        ],
    )
    def test_titles(self, go: Any, collector: Any, options: tuple[str, ...], way: str, title: str | None) -> None:
        go("import logging; logging.error('x')", options=options, way=way)
        found = collector.wait(1, settle=0.15)
        assert {r["goal"]["title"] for r in found if "goal" in r} == ({title} if title else set())
        assert [r["message"] for r in found if "goal" not in r] == ["x"]

    def test_options(self, go: Any, collector: Any) -> None:
        source = (
            "import logging, os, warnings; logging.debug('d'); warnings.warn('w'); print(os.environ['DISTLOG_LEVEL'])"
        )
        options = (
            "--level",
            "debug",
            "--system=T",
            "--capture-warnings",
            "--endpoint",
            collector.endpoint,
            "--no-goal",
        )
        done = go(source, options=options, DISTLOG_ENDPOINT="tcp://127.0.0.1:1", DISTLOG_LEVEL="error")[1]
        assert done.stdout == "debug\n"
        found = [(r["message"], r["topic"]) for r in collector.wait(2, settle=0.1)]
        assert found == [("d", "TLJ"), ("UserWarning: w", "TLJ")]

    @pytest.mark.parametrize(
        "source",
        [
            "logging.basicConfig(level='INFO')",
            "logging.basicConfig(level='INFO', force=True)",
            "logging.config.dictConfig({'version': 1, 'root': {'level': 'INFO', 'handlers': []}})",
            "logging.config.dictConfig({'version': 1, 'disable_existing_loggers': False, 'handlers': {'c': {'class': 'logging.StreamHandler'}}, "
            "'loggers': {'': {'level': 'INFO', 'handlers': ['c'], 'propagate': False}}})",
            "logging.getLogger().handlers = []; logging.getLogger().handlers.clear()",
            "[h.setFormatter(logging.Formatter()) or logging.getLogger().removeHandler(h) for h in logging.getLogger().handlers[:]]",
            "import distlog; distlog.configure(); distlog.configure()",
            "import distlog, os; logging.basicConfig(level='INFO', handlers=[distlog.ZmqHandler(os.environ['DISTLOG_ENDPOINT'])])",
            "logging.config.fileConfig(io.StringIO('[loggers]\\nkeys=root\\n[handlers]\\nkeys=\\n[formatters]\\nkeys=\\n[logger_root]\\nlevel=INFO\\nhandlers='))",
        ],
    )
    def test_programs_that_set_logging_up_themselves(self, go: Any, collector: Any, source: str) -> None:
        program = f"import io, logging, logging.config; log = logging.getLogger('__main__'); {source}; logging.getLogger('b').info('x')"
        plain, ours = go(program)
        assert plain.returncode == ours.returncode == 0, ours.stderr
        if "distlog" not in source:
            assert ours.stderr == plain.stderr
        sent_plainly = 1 if "distlog" in source else 0
        found = [r for r in collector.wait(3 + sent_plainly, settle=0.15) if r["message"] == "x"]
        assert len(found) == 1 + sent_plainly
        ends = [r["goal"]["count"] for r in collector.records() if r.get("goal", {}).get("event") == "end"]
        # The goal is told to each handler that sends a record of it.
        assert ends == [3] * (2 if "ZmqHandler" in source else 1)

    def test_another_endpoint_from_inside(self, go: Any, collector: Any, make_collector: Any) -> None:
        other = make_collector()
        go(
            f"import distlog, logging; distlog.configure({other.endpoint!r}); logging.error('x')",
            options=("--no-goal",),
        )
        assert logged(other, 2) == ["x", "x"]
        assert logged(collector, 0) == []

    @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
    def test_children_of_multiprocessing(self, go: Any, collector: Any, method: str) -> None:
        source = f"""
            import logging, multiprocessing
            def work(n):
                logging.getLogger("work").info("child %d", n)
            if __name__ == "__main__":
                context = multiprocessing.get_context({method!r})
                for n in range(2):
                    child = context.Process(target=work, args=(n,)); child.start(); child.join()
        """
        assert go(source, options=("--no-goal",))[1].stderr == ""
        assert [message for message in logged(collector, 2) if "child" in message] == ["child 0", "child 1"]

    def test_children_of_children(self, go: Any, collector: Any) -> None:
        source = """
            import logging, multiprocessing
            def work(n):
                logging.getLogger("work").info("child %d", n)
                if n:
                    start(n - 1)
            def start(n):
                child = multiprocessing.get_context("spawn").Process(target=work, args=(n,)); child.start(); child.join()
            if __name__ == "__main__":
                start(2)
        """
        go(source, options=("--no-goal",))
        assert [message for message in logged(collector, 3) if "child" in message] == ["child 2", "child 1", "child 0"]

    def test_threads_with_propagation(self, go: Any, collector: Any) -> None:
        source = """
            import logging, threading
            thread = threading.Thread(target=logging.getLogger("t").info, args=("in thread",)); thread.start(); thread.join()
        """
        go(source, options=("--propagate",))
        assert [r["context"]["key"][:2] for r in collector.wait(3) if r["message"] == "in thread"] == ["1@"]

    def test_without_a_daemon(self, go: Any) -> None:
        plain, ours = go("print('done')", DISTLOG_ENDPOINT="tcp://127.0.0.1:1")
        assert (ours.returncode, ours.stdout) == (0, plain.stdout)


def test_a_folder_and_an_archive(collector: Any, tmp_path: Path) -> None:
    folder, archive = tmp_path / "folder", tmp_path / "app.pyz"
    folder.mkdir()
    (folder / "__main__.py").write_text(
        "import sys, other; print(sys.argv, sys.path[0], __name__, __file__); raise ValueError('x')"
    )
    (folder / "other.py").write_text("")
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("__main__.py", "other.py"):
            file.write(folder / name, name)
    environment = {**os.environ, "DISTLOG_ENDPOINT": collector.endpoint}
    for target in (folder, archive):
        for flags in ([], ["-I"]):
            done = []
            for command in ([], ["-m", "distlog", "run"]):
                whole = [sys.executable, *flags, *command, str(target), "a"]
                done.append(
                    subprocess.run(whole, env=environment, capture_output=True, text=True, timeout=30, check=False)
                )
            assert same(*done).returncode == 1


def test_flags_of_the_interpreter(collector: Any, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import sys; print(sys.path, sys.flags, sys.warnoptions)")
    environment = {**os.environ, "DISTLOG_ENDPOINT": collector.endpoint}
    for flags in (["-I"], ["-O", "-W", "error"], ["-B", "-s"]):
        done = []
        for command in ([], ["-m", "distlog", "run"]):
            whole = [sys.executable, *flags, *command, "app.py"]
            done.append(
                subprocess.run(
                    whole, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
                )
            )
        assert same(*done).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to run"),
        (["-m"], "-m needs a module"),
        (["-c"], "-c needs a command"),
        (["--level"], "--level needs a value"),
        (["--level", "LOUD", "x.py"], "level is a level's name or number (DEBUG, INFO, 15, …), not 'LOUD'"),
        (["--system", "X", "x.py"], "system is T, S or P (test, staging, production), not 'X'"),
        (["--endpoint", "nowhere", "x.py"], 'bad endpoint "nowhere": it must start with tcp:// or ipc://'),
        (["--lavel", "x.py"], "unknown option --lavel"),
    ],
)
def test_wrong_command_lines(arguments: list[str], said: str) -> None:
    command = [sys.executable, "-m", "distlog", "run", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"python -m distlog run: {said} (--help tells more)\n"


@pytest.mark.parametrize("target", [["nowhere.py"], ["-m", "no_such_module"], ["-m", "json.nothing"]])
def test_programs_that_are_not_there(collector: Any, tmp_path: Path, target: list[str]) -> None:
    done, environment = [], {**os.environ, "DISTLOG_ENDPOINT": collector.endpoint}
    for command in ([], ["-m", "distlog", "run"]):
        whole = [sys.executable, *command, *target]
        done.append(
            subprocess.run(
                whole, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30, check=False
            )
        )
    assert same(*done).returncode != 0


def test_help() -> None:
    for arguments in ([], ["--help"], ["run", "--help"]):
        command = [sys.executable, "-m", "distlog", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        assert done.stdout.startswith("usage: python -m distlog run")
