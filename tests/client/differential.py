"""One program of random logging calls, twice: printed as JSON lines is all that anybody could see of it.

    python differential.py SEED CALLS standard|accelerated

What the calls are is drawn from the seed alone, so both runs make the same ones, and must print the same. Times, numbers of processes and
addresses are left out. It is started by ``test_accelerate.py``, with any interpreter.
"""

from __future__ import annotations

import collections
import io
import json
import logging
import random
import re
import sys
import warnings
from typing import Any, Callable

seed, calls, mode = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
if mode == "accelerated":
    from distlog import accelerate

    accelerate.start()
    with_factory = seed % 3
    if with_factory:
        from distlog import stamp

        stamp.install()

draw = random.Random(seed)
lines: list[Any] = []
ADDRESS = re.compile(r"0x[0-9a-f]+")
#: Frames of the standard library's logging, of which native methods have fewer.
FRAME = re.compile(rf' *File "{re.escape(logging.__file__)}", line \d+, in .*\n(?:    .*\n)*')
LEFT_OUT = {"created", "msecs", "relativeCreated", "thread", "process", "_distlog"}


def note(*what: Any) -> None:
    lines.append(json.loads(ADDRESS.sub("0x", json.dumps(what, default=repr))))


def told(record: logging.LogRecord) -> dict[str, Any]:
    """A record's attributes, in their order; those with times by their type."""
    shown = {}
    for name, value in record.__dict__.items():
        if name in LEFT_OUT:
            shown[name] = type(value).__name__
        elif name == "exc_info" and isinstance(value, tuple) and len(value) == 3:
            shown[name] = [repr(value[0]), repr(value[1]), type(value[2]).__name__]
        else:
            shown[name] = f"{type(value).__name__}: {value!r}"
    return shown


class Keeper(logging.Handler):
    """A handler of a program's own."""

    def emit(self, record: logging.LogRecord) -> None:
        note("record", self.name, told(record))
        try:
            note("message", record.getMessage())
        except Exception as error:
            note("message", repr(error))


class Late(Keeper):
    """It looks at where it is called from."""

    def emit(self, record: logging.LogRecord) -> None:
        frame: Any = sys._getframe(1)
        names = []
        while frame is not None and frame.f_code.co_filename == logging.__file__:
            names.append(frame.f_code.co_name)
            frame = frame.f_back
        note("from", names[:3], None if frame is None else frame.f_code.co_name)


class Odd:
    """Nothing works."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


class Talks:
    """Logs while it is rendered."""

    def __str__(self) -> str:
        logging.getLogger("a").warning("inner %s", 1)
        return "talks"

    __repr__ = __str__


class Falsy(Exception):
    """An exception that is false."""

    def __bool__(self) -> bool:
        return False


class Mine(logging.Logger):
    """A class of loggers of a program's own."""

    def _log(self, *args: Any, **kwargs: Any) -> None:
        note("mine", repr(args[0]))
        super()._log(*args, **kwargs)


class Level(int):
    """A level that is a number, and more."""


stream = io.StringIO()


def set_up() -> list[logging.Logger]:
    """Loggers with handlers of many kinds."""
    text = logging.StreamHandler(stream)
    text.setFormatter(logging.Formatter("%(name)s|%(levelname)s|%(filename)s|%(lineno)d|%(funcName)s|%(message)s"))
    keeper, late, picky, deaf = Keeper(), Late(), Keeper(logging.ERROR), Keeper(1000)
    for handler, name in ((keeper, "keeper"), (late, "late"), (picky, "picky"), (deaf, "deaf")):
        handler.name = name
    picky.addFilter(lambda record: "7" not in str(record.msg))
    loggers = [logging.getLogger(name) for name in ("", "a", "a.b", "a.b.c", "lonely", "closed", "nobody", "deaf")]
    root, a, b, _, lonely, closed, nobody, unheard = loggers
    root.addHandler(keeper)
    root.addHandler(text)
    root.setLevel(logging.DEBUG)
    a.addHandler(late)
    b.addHandler(picky)
    b.setLevel(logging.INFO)
    lonely.addHandler(keeper)
    lonely.propagate = False
    closed.disabled = True
    nobody.propagate = False
    unheard.propagate = False
    unheard.addHandler(deaf)
    mine = Mine("mine")
    mine.addHandler(keeper)
    filtered = logging.getLogger("filtered")
    filtered.addFilter(lambda record: note("asked", record.getMessage()) or record.levelno > 20)
    return [*loggers, mine, filtered]


loggers = set_up()


def some_args() -> tuple[Any, tuple[Any, ...]]:
    named = collections.namedtuple("named", "x y")
    return draw.choice(
        [
            ("plain", ()),
            ("one %s", ("x",)),
            ("two %s %d", ("x", 7)),
            ("six %s %s %s %s %s %s", (1, 2.5, None, True, b"b", [1])),
            ("%(a)s and %(b)d", ({"a": 1, "b": 2},)),
            ("%(a)s", ({},)),
            ("%s", ({"a": 1},)),
            ("%s", (collections.OrderedDict(a=1),)),
            ("%(a)s", (collections.ChainMap({"a": 1}),)),
            ("bad %s %s", ("one",)),
            ("bad %d", ("x",)),
            ("bad %", (1,)),
            ("100%", ()),
            ("%r %5.2f %x", ("q", 1.5, 255)),
            ("%s", (Odd(),)),
            ("%s", (Talks(),)),
            (Odd(), ()),
            (None, ()),
            (17, ()),
            (17, (1,)),
            (("t", 1), ()),
            ("%s", (named(1, 2),)),
            ("%s", ((1, 2),)),
            ("ümläut \ud800 %s", ("\ud800",)),
            ("", ()),
            ("%s" * 4, (1, 2, 3, 4)),
            ("%s" * 5, (1, 2, 3, 4, 5)),
            ("%%", (1,)),
        ]
    )


def some_keywords() -> dict[str, Any]:
    if draw.random() < 0.4:
        return {}
    found: dict[str, Any] = {}
    error = ValueError("given")
    if draw.random() < 0.4:
        found["exc_info"] = draw.choice(
            [
                True,
                False,
                None,
                1,
                0,
                "text",
                "",
                (),
                (None, None, None),
                (ValueError, error, None),
                error,
                Falsy("no"),
                Odd,
                2.5,
            ]
        )
    if draw.random() < 0.5:
        found["extra"] = draw.choice(
            [
                {},
                None,
                {"request_id": "r"},
                {"request_id": "r", "user": {"id": 1}},
                {"name": "clash"},
                {"message": 1},
                {"asctime": 1},
                {"taskName": "t"},
                {"context": 1, "goal": 2, "hostname": 3},
                {1: 2},
                collections.OrderedDict(a=1),
                collections.ChainMap({"a": 1}),
                [("a", 1)],
                "text",
                5,
                {"exc_text": "x"},
            ]
        )
    if draw.random() < 0.1:
        found["stack_info"] = draw.choice([True, False, None, 0, 1])
    if draw.random() < 0.15:
        found["stacklevel"] = draw.choice([1, 2, 3, 0, -1, 100, True, 1.0, None])
    if draw.random() < 0.05:
        found[draw.choice(["unknown", "msg", "level", "args", "a", "rest"])] = draw.choice([1, "x"])
    return found


def some_method() -> tuple[str, tuple[Any, ...]]:
    name = draw.choice(
        ["debug", "info", "warning", "warn", "error", "exception", "critical", "fatal", "log", "log", "info"]
    )
    if name != "log":
        return name, ()
    return name, (draw.choice([5, 10, 20, 25, 30, 35, 40, 50, 60, 0, -1, True, "INFO", None, 2.5, Level(30), 10**30]),)


def through(target: Any, name: str, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """A function of the program between its code and the logger."""
    return getattr(target, name)(*args, **keywords)


def call(target: Any) -> None:
    name, first = some_method()
    msg, args = some_args()
    keywords = some_keywords()
    kind = draw.random()
    given: tuple[Any, ...] = (*first, msg, *args)
    if kind < 0.02:
        given = first
    elif kind < 0.04 and not args:
        given, keywords = first, {**keywords, "msg": msg}
    elif kind < 0.05:
        given = ()
    elif kind < 0.2:
        target = logging.LoggerAdapter(target, draw.choice([{}, {"adapted": 1}, {"name": "clash"}]))
    elif kind < 0.3:
        target = logging
    note("call", name, repr(type(target).__name__))
    try:
        if draw.random() < 0.5:
            result = getattr(target, name)(*given, **keywords)
        else:
            result = through(target, name, given, keywords)
        note("result", repr(result))
    except BaseException as error:
        note("raised", type(error).__name__, str(error))


def in_an_exception(function: Callable[[], None]) -> None:
    try:
        {}["missing"]
    except KeyError:
        function()


def patched(logger: logging.Logger) -> None:
    """Something is replaced, some calls are made, and it is put back."""
    replaced: list[tuple[Any, str]] = [
        *[
            (logging.Logger, name)
            for name in ("info", "error", "_log", "findCaller", "makeRecord", "handle", "callHandlers")
        ],
        *[(logging.Logger, name) for name in ("isEnabledFor", "exception", "log")],
        *[(logging.Filterer, "filter"), (logging.Handler, "handle"), (logging.RootLogger, "handle")],
        *[
            (logger, name)
            for name in ("info", "error", "_log", "handle", "isEnabledFor", "callHandlers", "makeRecord", "filter")
        ],
        *[(type(logger), name) for name in ("callHandlers", "error", "isEnabledFor", "info")],
    ]
    target, name = draw.choice(replaced)
    own = vars(target).get(name)
    before = getattr(target, name)

    def instead(*args: Any, **kwargs: Any) -> Any:
        note("patched", name, len(args))
        return before(*args, **kwargs)

    setattr(target, name, instead)
    try:
        for _ in range(3):
            call(logger)
    finally:
        if own is None:
            delattr(target, name)
        else:
            setattr(target, name, own)


def switched() -> None:
    """One of the module's switches is used."""
    name, value = draw.choice(
        [
            ("_srcfile", None),
            ("raiseExceptions", False),
            ("logThreads", False),
            ("logMultiprocessing", False),
            ("logProcesses", False),
            ("logAsyncioTasks", False),
            ("lastResort", None),
            ("_logRecordFactory", logging.LogRecord),
            ("currentframe", lambda: sys._getframe(2)),
        ]
    )
    if not hasattr(logging, name):
        return
    before = getattr(logging, name)
    setattr(logging, name, value)
    try:
        for _ in range(3):
            call(draw.choice(loggers))
    finally:
        setattr(logging, name, before)


def factory_of_its_own() -> None:
    class Record(logging.LogRecord):
        pass

    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(Record)
    call(draw.choice(loggers))
    logging.setLogRecordFactory(before)


def changed() -> None:
    """A logger is set otherwise from now on."""
    logger = draw.choice(loggers[1:])
    what = draw.randrange(9)
    if what == 0:
        logger.setLevel(draw.choice([0, 10, 20, 30, 40]))
    elif what == 1:
        logger.propagate = draw.choice([True, False, 0, 1])  # type: ignore[assignment]
    elif what == 2:
        logger.disabled = draw.choice([True, False, 0, 1])  # type: ignore[assignment]
    elif what == 3:
        logging.disable(draw.choice([0, 0, 10, 20, 30]))
    elif what == 4:
        logger.addHandler(logging.NullHandler())
    elif what == 5:
        logger.handlers[:] = logger.handlers[:1]
    elif what == 6:
        logging.addLevelName(draw.choice([20, 25, 35]), draw.choice(["INFO", "Other", ""]))
    elif what == 7:
        logger.seen = 1  # type: ignore[attr-defined]
    else:
        vars(logger)["another"] = 2


warnings.simplefilter("always")
sys.stderr = stream
for _ in range(calls):
    action = draw.random()
    one = draw.choice(loggers)
    if action < 0.7:
        call(one)
    elif action < 0.8:
        in_an_exception(lambda: call(draw.choice(loggers)))
    elif action < 0.88:
        patched(one)
    elif action < 0.93:
        switched()
    elif action < 0.95:
        factory_of_its_own()
    else:
        changed()
for line in lines:
    print(json.dumps(line))
print(json.dumps(["text", ADDRESS.sub("0x", FRAME.sub("", stream.getvalue()))]))
