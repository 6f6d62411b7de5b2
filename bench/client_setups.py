"""Loggers of distlog, in each of its forms, and of the standard library alone."""

from __future__ import annotations

import logging
import logging.handlers
import queue
from typing import Any, Callable

from client_places import Places, Setup, Skipped

QUEUE_BYTES = 256 << 20
"""So much that nothing is ever dropped, for dropping would be cheaper than sending. A row with drops is no figure."""

LOGGER = "client_calls"
STDLIB_INFO = logging.Logger.info


def plain_logger() -> logging.Logger:
    """The logger of the module that calls, so that goals begun there log to it as well; with nothing on the way up."""
    log = logging.getLogger(LOGGER)
    log.setLevel(logging.INFO)
    log.propagate = False
    return log


def zmq(letter: str = "J", form: Callable[[], object] = lambda: None) -> Callable[[Places], Setup]:
    """`ZmqHandler` on the logger, after `form` has been called."""

    def setup(places: Places) -> Setup:
        import distlog

        form()
        receiver = places.receiver("pull")
        handler = distlog.ZmqHandler(f"tcp://127.0.0.1:{receiver.port}", queue_bytes=QUEUE_BYTES)
        if letter == "P":
            handler.setFormatter(distlog.PickleFormatter())
        log = plain_logger()
        log.addHandler(handler)

        def drain() -> None:
            if not handler.flush(20):
                raise SystemExit(f"the receiver does not take the records: {handler.stats()}")

        def dropped() -> int:
            return sum(handler.stats()["dropped"].values())

        return Setup(log, receiver.arrived, drain, dropped)

    return setup


def use_a_goal() -> None:
    """From the first goal on, records are made by distlog's own factory."""
    import distlog

    with distlog.task("warm up"):
        pass


def accelerate() -> None:
    """`configure(accelerate=True)`, without the handler that comes with it."""
    import distlog

    handler = distlog.configure("tcp://127.0.0.1:9", accelerate=True)
    logging.getLogger().removeHandler(handler)
    handler.close()
    if type(logging.getLogger(LOGGER)).info is STDLIB_INFO:
        raise Skipped("not in this build")


def null(_: Places) -> Setup:
    """The floor."""
    log = plain_logger()
    log.addHandler(logging.NullHandler())
    return Setup(log, lambda: 0)


def file(places: Places) -> Setup:
    """A line of text: time, level, logger, message."""
    path, size = places.file()
    log = plain_logger()
    log.addHandler(file_handler(path))
    return Setup(log, size)


def file_handler(path: str) -> logging.FileHandler:
    """The usual one."""
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    return handler


def socket(places: Places) -> Setup:
    """Pickled dicts over TCP."""
    receiver = places.receiver("tcp")
    log = plain_logger()
    log.addHandler(logging.handlers.SocketHandler("127.0.0.1", receiver.port))
    return Setup(log, receiver.arrived, receiver.quiet)


def queue_to_file(places: Places) -> Setup:
    """A thread of Python's writes the file."""
    path, size = places.file()
    records: queue.Queue[Any] = queue.Queue()
    logging.handlers.QueueListener(records, file_handler(path)).start()
    log = plain_logger()
    log.addHandler(logging.handlers.QueueHandler(records))
    return Setup(log, size, records.join)


SETUPS: dict[str, Callable[[Places], Setup]] = {
    "null": null,
    "file": file,
    "socket": socket,
    "queue": queue_to_file,
    "zmq json": zmq("J"),
    "zmq pickle": zmq("P"),
    "factory json": zmq("J", use_a_goal),
    "factory pickle": zmq("P", use_a_goal),
    "accelerated json": zmq("J", accelerate),
    "accelerated pickle": zmq("P", accelerate),
}
