"""``python -m distlog run``: the records of a program that knows nothing of it.

The program runs as ``python`` would run it: the same ``sys.argv``, ``sys.path`` and ``__main__``, the same traceback, exit code and output.
What the program does with logging, it does as ever, and undoes nothing here:

The handler is not on the root logger but on one *above* it. So ``basicConfig`` still finds a root logger without handlers and does what the
program wants of it; ``dictConfig``, ``fileConfig`` and whoever empties ``root.handlers`` do not reach the handler; and nobody who goes
through the root's handlers meets one that he did not put there. Nothing of the standard library is exchanged for that, but
one attribute: ``root.propagate`` has no meaning without this, and some configurations switch it off; here it is always true.

A program that sets no level would log from WARNING on. Here it logs from INFO on, or what ``--level`` says, and for its own handlers not to
show more than they did, each of them gets a filter when it is added, which lets everything through once the program sets a level itself.
"""

from __future__ import annotations

import functools
import linecache
import logging
import os
import sys
import types
from importlib.machinery import BuiltinImporter, SourceFileLoader, SourcelessFileLoader
from typing import Any, Callable, NamedTuple, Optional

from distlog import __version__, options, settings
from distlog.context import task
from distlog.handler import ZmqHandler

__all__ = ["main", "resume"]

USAGE = """\
usage: python -m distlog run [option …] FILE [argument …]
       python -m distlog run [option …] -m MODULE [argument …]
       python -m distlog run [option …] -c COMMAND [argument …]

Runs a Python program and sends what it logs to a distlogd, in one goal that is named after the program.

  --endpoint ADDRESS     where the daemon is               DISTLOG_ENDPOINT, else tcp://127.0.0.1:5011
  --level LEVEL          the root logger's level           DISTLOG_LEVEL, else INFO
  --system LETTER        T, S or P                         DISTLOG_SYSTEM, else P
  --accelerate           native logging methods            DISTLOG_ACCELERATE
  --capture-warnings     log what warnings.warn shows      DISTLOG_CAPTURE_WARNINGS
  --capture-exceptions   log what nobody caught            DISTLOG_CAPTURE_EXCEPTIONS
  --propagate            goals follow work into threads, pools and processes
  --integrations         goals cross to other services by the libraries that the program uses
  --name TEXT            the goal's title, instead of the program's name
  --no-goal              no goal around the program
  --version, --help
"""

#: Options with a value, and without; those of `configure` reach child processes by the environment.
_VALUES = {"--endpoint": options.ENDPOINT, "--level": options.LEVEL, "--system": options.SYSTEM}
_FLAGS = {
    "--accelerate": options.ACCELERATE,
    "--capture-warnings": options.WARNINGS,
    "--capture-exceptions": options.EXCEPTIONS,
}
#: The logger of the program's own goal: its records go to the daemon only, whatever else the program's loggers do.
_LOGGER = "distlog.program"
_replaced: list[types.ModuleType] = []
_Trace = Optional[types.TracebackType]


class Order(NamedTuple):
    """What the command line asks for."""

    kind: str  # "file", "-m" or "-c"
    target: str
    arguments: list[str]
    endpoint: str | None
    name: str
    goal: bool
    propagate: bool
    integrations: bool


class ProgramHandler(ZmqHandler):
    """The handler above the root logger."""

    def handle(self, record: logging.LogRecord) -> Any:
        """Send it, unless the program sends it there itself; and let stderr have what it would have without this handler."""
        handlers = _below(record.name)
        if not handlers and record.name != _LOGGER:
            _without_handlers(record)
        if any(self._is_same(one) and record.levelno >= one.level for one in handlers):
            return False
        return super().handle(record)

    def _is_same(self, other: logging.Handler) -> bool:
        return isinstance(other, ZmqHandler) and settings.leads_to(other, self.endpoint, self.system)


class _Level(int):
    """A level of the root logger that the program did not set."""


class AboveRoot(settings.Place):
    """A logger above the root, and what keeps the program's own handlers as they would be without it."""

    kind = ProgramHandler

    def __init__(self) -> None:
        root = logging.getLogger()
        self.logger = root.parent = logging.Logger("(above the root)")
        self._programs_level = root.level
        kind: Any = type(root)
        kind.propagate = _Always()
        own = logging.getLogger(_LOGGER)
        own.parent, own.level = self.logger, 1
        self._watch_new_handlers()

    def set_level(self, handler: ZmqHandler, level: int, argument: object) -> None:
        """The program's loggers let through what the daemon shall have; its own handlers see no more of it than they would."""
        root = logging.getLogger()
        if argument is not None:
            root.setLevel(level)
            return
        if options.LEVEL.is_given():
            handler.setLevel(level)
        if root.level == self._programs_level and not isinstance(root.level, _Level):
            root.setLevel(_Level(min(level, root.level)))

    def _watch_new_handlers(self) -> None:
        add = logging.Logger.addHandler

        @functools.wraps(add)
        def add_handler(logger: logging.Logger, hdlr: logging.Handler) -> None:
            if isinstance(logging.getLogger().level, _Level) and logger is not self.logger:
                hdlr.addFilter(self.as_without_us)
            add(logger, hdlr)

        logging.Logger.addHandler = add_handler  # type: ignore[method-assign,assignment]

    def as_without_us(self, record: logging.LogRecord) -> bool:
        """Whether a handler would see the record if the root logger's level were what it was."""
        root = logging.getLogger()
        if record.levelno >= self._programs_level or not isinstance(root.level, _Level):
            return True
        logger: logging.Logger | None = _logger(record.name)
        while logger is not None and logger is not root:
            if logger.level:
                return True
            logger = logger.parent
        return False


def main(arguments: list[str]) -> int:
    """Run what the command line says. Returns an exit code where the program never started; otherwise the program's end is this one's."""
    order = _order(arguments)
    if isinstance(order, int):
        return order
    settings.place = AboveRoot()
    try:
        settings.configure(order.endpoint)
    except ValueError as error:
        return _refused(str(error))
    _take_children_along()
    if order.propagate:
        from distlog.threads import propagate

        propagate()
    if order.integrations:
        from distlog.integrations import automatic

        automatic.install()
    return _run(order)


def resume() -> None:
    """Set up a process that multiprocessing started afresh, as its parent is; options come by the environment."""
    if not isinstance(settings.place, AboveRoot):
        settings.place = AboveRoot()
        settings.configure()
        _take_children_along()


def _order(arguments: list[str]) -> Order | int:
    """What to run; an exit code if there is nothing to."""
    rest, name, flags = list(arguments), "", {"--no-goal": False, "--propagate": False, "--integrations": False}
    endpoint: str | None = None
    while rest and rest[0].startswith("-") and rest[0] not in ("-m", "-c"):
        word, equals, value = rest.pop(0).partition("=")
        if word in ("-h", "--help", "--version"):
            sys.stdout.write(USAGE if word != "--version" else f"distlog {__version__}\n")
            return 0
        if word == "--":
            break
        if word in _VALUES or word == "--name":
            if not equals and not rest:
                return _refused(f"{word} needs a value")
            value = value if equals else rest.pop(0)
            if word == "--name":
                name = value
            elif not _VALUES[word].takes(value):
                return _refused(f"{word[2:]} is {_VALUES[word].allowed}, not {value!r}")
            else:
                os.environ[_VALUES[word].variable] = value
                endpoint = value if word == "--endpoint" else endpoint
        elif word in _FLAGS and not equals:
            os.environ[_FLAGS[word].variable] = "1"
        elif word in flags and not equals:
            flags[word] = True
        else:
            return _refused(f"unknown option {word}")
    kind = rest.pop(0) if rest and rest[0] in ("-m", "-c") else "file"
    if not rest:
        return _refused({"-m": "-m needs a module", "-c": "-c needs a command"}.get(kind, "nothing to run"))
    target = rest.pop(0)
    name = name or {"-m": target, "-c": "-c"}.get(kind) or os.path.basename(os.path.abspath(target))
    goal, propagate, integrations = not flags["--no-goal"], flags["--propagate"], flags["--integrations"]
    return Order(kind, target, rest, endpoint, name, goal, propagate, integrations)


def _refused(reason: str) -> int:
    sys.stderr.write(f"python -m distlog run: {reason} (--help tells more)\n")
    return 2


class _Always:
    """An attribute that is true whatever is assigned to it."""

    def __get__(self, owner: object, kind: type | None = None) -> bool:
        return True

    def __set__(self, owner: object, value: object) -> None:
        pass


def _logger(name: str) -> logging.Logger:
    """The logger of this name, which is not made for that."""
    root = logging.getLogger()
    found = root.manager.loggerDict.get(name)
    return found if isinstance(found, logging.Logger) else root


def _below(name: str) -> list[logging.Handler]:
    """The handlers that a record of this logger meets on its way up to the root."""
    above = logging.getLogger().parent
    logger: logging.Logger | None = _logger(name)
    handlers: list[logging.Handler] = []
    while logger is not None and logger is not above:
        handlers += logger.handlers
        logger = logger.parent if logger.propagate else None
    return handlers


def _without_handlers(record: logging.LogRecord) -> None:
    """What the standard library does with a record for which there is no handler."""
    last: Any = logging.lastResort
    manager: Any = logging.getLogger().manager
    if last is not None:
        if record.levelno >= last.level:
            last.handle(record)
    elif logging.raiseExceptions and not manager.emittedNoHandlerWarning:
        sys.stderr.write(f'No handlers could be found for logger "{record.name}"\n')
        manager.emittedNoHandlerWarning = True


class _Resumption:
    """Whoever unpickles it has set itself up, if distlog is there."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("try:\n    from distlog.run import resume\n    resume()\nexcept ImportError:\n    pass",)


def _take_children_along() -> None:
    """Children that multiprocessing starts afresh get one thing more in what they are told at their start."""
    from multiprocessing import spawn

    prepare = spawn.get_preparation_data

    @functools.wraps(prepare)
    def prepare_with_logging(name: str) -> dict[str, Any]:
        return {**prepare(name), "distlog": _Resumption()}

    spawn.get_preparation_data = prepare_with_logging


def _run(order: Order) -> int:
    program = types.ModuleType("__main__")
    # What stood there is still at work.
    _replaced.append(sys.modules["__main__"])
    sys.modules["__main__"] = program
    start = _prepared(order, program)
    if isinstance(start, int):
        return start
    path, execute = start
    goal = task("%s", order.name) if order.goal else None
    _in_goal(path, "goal.__enter__()", goal)
    error = _outcome(execute)
    if error is not None and not isinstance(error, SystemExit):
        _report(error)
        # It was shown. The interpreter ends as it does for this exception, and says no more.
        sys.excepthook = _silent
    _in_goal(path, "goal.__exit__(error and type(error), error, error and error.__traceback__)", goal, error)
    if error is not None:
        raise error
    return 0


def _outcome(execute: Callable[[], None]) -> BaseException | None:
    """What the program raised. It is handled by nobody when hooks are asked, as at the interpreter's own end."""
    try:
        execute()
    except BaseException as error:
        error.__traceback__ = _without_ours(error.__traceback__)
        return error
    return None


def _in_goal(path: str, statement: str, goal: Any, error: BaseException | None = None) -> None:
    """Begin or end the goal, from a place that is the program's: its records name where they come from."""
    if goal is None:
        return
    names = {"__name__": _LOGGER, "goal": goal, "error": error}
    try:
        exec(compile(statement, path, "exec"), names)
    except Exception:
        # The program matters, the goal does not.
        pass


def _prepared(order: Order, program: types.ModuleType) -> tuple[str, Callable[[], None]] | int:
    """The path that the program's records name, and what runs it; an exit code if it cannot be read."""
    names = program.__dict__
    names["__builtins__"] = sys.modules["builtins"]
    if sys.version_info < (3, 14):
        names["__annotations__"] = {}
    target = order.target
    if order.kind == "-c":
        sys.argv, sys.path[:1] = ["-c", *order.arguments], _first_path("")
        names["__loader__"] = BuiltinImporter
        if sys.version_info >= (3, 13):
            # Tracebacks show the lines of a command since then.
            linecache.cache["<string>"] = len(target), None, target.splitlines(True), "<string>"
        return "<string>", lambda: exec(compile(target, "<string>", "exec", dont_inherit=True), names)
    if order.kind == "-m":
        sys.argv, sys.path[:1] = ["-m", *order.arguments], _first_path(os.getcwd())
        return target, lambda: _module(target, alter_argv=True)
    sys.argv = [target, *order.arguments]
    if os.path.isdir(target) or _is_archive(target):
        sys.path[:1] = [target] if _safe_path() is False else [target, *sys.path[:1]]
        return os.path.join(target, "__main__.py"), lambda: _module("__main__", alter_argv=False)
    return _script(target, names)


def _script(target: str, names: dict[str, Any]) -> tuple[str, Callable[[], None]] | int:
    path = os.path.abspath(target)
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        sys.stderr.write(f"{sys.executable}: can't open file {path!r}: [Errno {error.errno}] {error.strerror}\n")
        return 2
    sys.path[:1] = _first_path(os.path.dirname(os.path.realpath(path)))
    compiled = path.endswith((".pyc", ".pyo"))
    loader: Any = (SourcelessFileLoader if compiled else SourceFileLoader)("__main__", path)
    names.update(__file__=path, __cached__=None, __loader__=loader)

    def execute() -> None:
        code = loader.get_code("__main__") if compiled else compile(source, path, "exec", dont_inherit=True)
        exec(code, names)

    return path, execute


def _module(name: str, alter_argv: bool) -> None:
    """As ``python -m`` does it, in the ``__main__`` that stands there."""
    import runpy

    run: Any = runpy._run_module_as_main  # type: ignore[attr-defined]
    run(name, alter_argv)


def _is_archive(target: str) -> bool:
    from zipfile import is_zipfile

    return is_zipfile(target)


def _safe_path() -> bool:
    return bool(getattr(sys.flags, "safe_path", False) or sys.flags.isolated)


def _first_path(path: str) -> list[str]:
    """What the first place of the module path becomes: it is ours, from ``-m``, unless the interpreter was told to put nothing there."""
    return [path] if not _safe_path() else sys.path[:1]


def _without_ours(trace: _Trace) -> _Trace:
    """The traceback from the program's first frame on; none if it never ran."""
    while trace is not None and trace.tb_frame.f_globals.get("__name__") == __name__:
        trace = trace.tb_next
    return trace


def _report(error: BaseException) -> None:
    """Show it as the interpreter does, with whatever hook the program has for that."""
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except SystemExit:
        raise
    except BaseException as other:
        other.__traceback__ = _without_ours(other.__traceback__)
        sys.stderr.write("Error in sys.excepthook:\n")
        sys.__excepthook__(type(other), other, other.__traceback__)
        sys.stderr.write("\nOriginal exception was:\n")
        sys.__excepthook__(type(error), error, error.__traceback__)


def _silent(*_: Any) -> None:
    pass
