"""Runs CPython's own ``test.test_logging`` in one mode, and says on the last line of stdout, as JSON, what came of it.

    python cpython_logging.py MODE ENDPOINT

It is started by ``test_cpython_logging.py`` in a process of its own, with any interpreter that has its ``test`` package. Each mode is
a row of ``MODES``: a function that is called before the suite is loaded, and one that is called as each case is set up and
gives what to do when it is torn down. Nothing is imported that another interpreter may not have.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import unittest
from typing import Any, Callable

#: Cases that cannot hold with another handler on root, by what they say themselves; they run without ours.
ALONE = {"LastResortTest": "the handler of last resort is for loggers without handlers"}
ENDPOINT = sys.argv[2] if len(sys.argv) > 2 else "tcp://127.0.0.1:9"
sent: dict[str, int] = {}


def nothing() -> None:
    """No set-up, no tear-down."""


def without() -> Callable[[], None]:
    """A case of the mode that is the measure for the others."""
    return nothing


def import_only() -> None:
    """What ``import distlog`` alone does."""
    __import__("distlog")


def open_goal() -> None:
    """A goal that stays open: the factory is there, and every record of the main thread belongs to it."""
    import distlog

    distlog.task("the whole suite", suite="test_logging").__enter__()
    assert logging.getLogRecordFactory().__module__ == "distlog._distlog", logging.getLogRecordFactory()


def accelerated() -> None:
    """Native methods at every logger, and the factory."""
    open_goal()
    from distlog import accelerate

    accelerate.start()
    assert type(logging.getLogger()) is accelerate.RootLogger


def handler_on_root() -> Callable[[], None]:
    """A handler of its own for each case, since many close whatever they find."""
    import distlog

    assert logging.getLogRecordFactory().__module__ == "distlog._distlog", logging.getLogRecordFactory()
    handler = distlog.ZmqHandler(ENDPOINT, flush_timeout=1.0)
    logging.getLogger().addHandler(handler)

    def take_off() -> None:
        logging.getLogger().removeHandler(handler)
        handler.close()
        for name in ("sent", "queued"):
            sent[name] = sent.get(name, 0) + handler.stats()[name]
        for reason, count in handler.stats()["dropped"].items():
            sent["dropped " + reason] = sent.get("dropped " + reason, 0) + count

    return take_off


MODES: dict[str, tuple[Callable[[], None], Callable[[], Callable[[], None]]]] = {
    "without": (nothing, without),
    "imported": (import_only, without),
    "factory+handler": (open_goal, handler_on_root),
    "accelerated": (accelerated, without),
    "accelerated+handler": (accelerated, handler_on_root),
}


def around(suite: Any, set_up: Callable[[], Callable[[], None]]) -> None:
    """Have ``set_up`` called after, and what it gives before, the suite's own set-up and tear-down."""
    own_set_up, own_tear_down = suite.BaseTest.setUp, suite.BaseTest.tearDown

    def setUp(self: Any) -> None:
        own_set_up(self)
        self.distlog_tear_down = nothing if type(self).__name__ in ALONE else set_up()

    def tearDown(self: Any) -> None:
        self.distlog_tear_down()
        own_tear_down(self)

    suite.BaseTest.setUp, suite.BaseTest.tearDown = setUp, tearDown


def main() -> None:
    """Run the suite, and print one line."""
    prepare, set_up = MODES[sys.argv[1]]
    prepare()
    import test.test_logging as suite

    around(suite, set_up)
    suite.__dict__.pop("load_tests", None)
    cases = unittest.defaultTestLoader.loadTestsFromModule(suite)
    with contextlib.redirect_stdout(sys.stderr):
        result = unittest.TextTestRunner(stream=sys.stderr, verbosity=1).run(cases)
    wrong = {str(case): text for case, text in [*result.failures, *result.errors]}
    skipped = sorted(str(case) for case, _ in result.skipped)
    print(json.dumps({"run": result.testsRun, "wrong": wrong, "skipped": skipped, "sent": sent}))


if __name__ == "__main__":
    main()
