"""Locks, garbage collection and handlers that log: each case in a process that must end within ten seconds.

What is logged while something is logged is one more record: nothing waits for itself, and nothing goes round for ever.
"""

from __future__ import annotations

import collections
import logging
import subprocess
from typing import Any

import pytest
from distlog import JSONFormatter, ZmqHandler, task

LIMIT = 10.0
log = logging.getLogger("peers.locks")


def texts(collector: Any, count: int, settle: float = 0.1) -> collections.Counter[str]:
    return collections.Counter(r["message"] for r in collector.wait(count, settle=settle))


def quietly(run: Any, program: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run it; it ends in time, without a word."""
    done: subprocess.CompletedProcess[str] = run(program, *arguments, timeout=LIMIT, **options)
    assert (done.stdout, done.stderr) == ("", "")
    return done


def test_collected_while_logging(run: Any, collector: Any) -> None:
    """Cycles whose ``__del__`` logs are collected inside our handler, again and again."""
    quietly(
        run,
        """
        import gc
        class Cyclic:
            def __init__(self): self.me = self
            def __del__(self): log.info("deleted")
        class Allocates:
            def __str__(self):
                for _ in range(200): Cyclic()
                return "allocated"
        gc.set_threshold(50, 2, 2)
        for number in range(20):
            log.info("number %d %s", number, Allocates(), extra={"more": {"deep": [Allocates()]}})
        gc.collect()
        """,
    )
    found = texts(collector, 100)
    assert sum(count for text, count in found.items() if text.startswith("number")) == 20
    assert found["deleted"] >= 20 * 200


@pytest.mark.parametrize("threads", [1, 4])
def test_collected_at_every_allocation(run: Any, collector: Any, threads: int) -> None:
    """``gc.set_threshold(1)``: a soak in which every allocation may log, in goals, on several threads."""
    quietly(
        run,
        """
        import gc, random
        class Cyclic:
            def __init__(self, name): self.me, self.name = self, name
            def __del__(self): log.debug("deleted %s", self.name, extra={"about": {"name": self.name}})
        def work(name):
            for number in range(60):
                with task("work %s", name, number=number) as goal:
                    Cyclic(name)
                    goal.bind(cyclic=Cyclic(name).name)
                    with to("inner"): log.info("number %d", number, extra={"list": [Cyclic(name).name]})
        gc.set_threshold(1)
        workers = [threading.Thread(target=work, args=(n,)) for n in range(int(sys.argv[1]))]
        [w.start() for w in workers]
        [w.join() for w in workers]
        gc.set_threshold(700)
        gc.collect()
        """,
        str(threads),
    )
    found = texts(collector, 60 * threads * 6)
    assert sum(count for text, count in found.items() if text.startswith("number")) == 60 * threads
    assert sum(count for text, count in found.items() if text.startswith("deleted")) == 180 * threads
    assert found["inner"] == 2 * 60 * threads


def test_a_serializer_that_logs(run: Any, collector: Any) -> None:
    """A serializer of the program's own may log; what it logs is serialised too, to the end of the stack at most."""
    quietly(
        run,
        """
        class Talks(JSONFormatter):
            depth = 0
            def format(self, record):
                if Talks.depth < 3:
                    Talks.depth += 1
                    log.info("from the serializer %d", Talks.depth)
                    Talks.depth -= 1
                return super().format(record)
        handler.setFormatter(Talks())
        log.info("first")
        log.info("second")
        """,
    )
    found = texts(collector, 8)
    assert (found["first"], found["second"]) == (1, 1)
    assert sum(found.values()) == 8


def test_a_filter_that_logs(run: Any, collector: Any) -> None:
    """A filter may log something else."""
    quietly(
        run,
        """
        def talks(record):
            if record.name == "app": logging.getLogger("filter").info("saw %s", record.msg)
            return True
        handler.addFilter(talks)
        for n in range(100): log.info("record")
        """,
    )
    assert texts(collector, 200) == {"record": 100, "saw record": 100}


def test_a_socket_that_logs_does_not_go_round_for_ever(run: Any) -> None:
    """A socket-like endpoint that logs at each message: the program goes on, and the records it was given are sent."""
    done = run(
        """
        class Talks:
            sent = 0
            def send_multipart(self, frames, flags=0):
                Talks.sent += 1
                logging.getLogger("socket").warning("about to send")
        log.propagate = False
        handler = ZmqHandler(Talks())
        logging.getLogger().handlers = [handler]
        log.addHandler(handler)
        for _ in range(3): log.info("x")
        os.write(1, b"%d" % Talks.sent)
        """,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-300:]
    assert int(done.stdout) >= 3


@pytest.mark.parametrize("what", ["__str__", "__repr__", "__getattr__", "__iter__"])
def test_values_that_log(run: Any, collector: Any, what: str) -> None:
    """An argument whose methods log: its record and theirs arrive, and no lock is held between them."""
    quietly(
        run,
        """
        class Talks(dict):
            pass
        def talk(self, *_):
            log.warning("from a value")
            if sys.argv[1] == "__getattr__": raise AttributeError
            return iter(()) if sys.argv[1] == "__iter__" else "talked"
        setattr(Talks, sys.argv[1], talk)
        for number in range(10):
            log.info("hello %s %r", Talks(), Talks(), extra={"value": Talks()})
        """,
        what,
    )
    found = texts(collector, 10)
    assert sum(count for text, count in found.items() if text.startswith("hello")) == 10


def test_two_threads_and_two_locks(run: Any, collector: Any) -> None:
    """One thread holds a lock of the program and logs; the other logs a value that wants this lock: the classic deadlock."""
    quietly(
        run,
        """
        lock = threading.Lock()
        class Wants:
            def __str__(self):
                with lock: return "had it"
        def holds():
            for _ in range(200):
                with lock: log.info("holding")
        def wants():
            for _ in range(200): log.info("%s", Wants())
        workers = [threading.Thread(target=f) for f in (holds, wants)]
        [w.start() for w in workers]
        [w.join() for w in workers]
        """,
    )
    assert texts(collector, 400) == {"holding": 200, "had it": 200}


def test_handlers_that_are_pickled_take_no_lock_along(collector: Any) -> None:
    """A copy made while the handler is in use works at once."""
    import pickle
    import threading

    made = ZmqHandler(collector.endpoint)
    made.setFormatter(JSONFormatter())
    stopping = threading.Event()

    def use() -> None:
        while not stopping.is_set():
            made.handle(logging.makeLogRecord({"msg": "original", "levelno": 20}))
            stopping.wait(0.0005)

    user = threading.Thread(target=use)
    user.start()
    try:
        copies = [pickle.loads(pickle.dumps(made)) for _ in range(20)]
        for one in copies:
            one.handle(logging.makeLogRecord({"msg": "copied", "levelno": 20}))
            assert one.flush(5)
    finally:
        stopping.set()
        user.join()
    assert texts(collector, 20)["copied"] == 20
    for one in [made, *copies]:
        one.close()


LOCKS = {
    "handler": "handler.acquire()\n    handler.release()\n    log.info('thread')",
    "logging": "logging._lock.acquire()\n    try: log.info('thread')\n    finally: logging._lock.release()",
    "inside": "log.info('thread %s', Slow())",
}


@pytest.mark.parametrize("where", LOCKS)
def test_forks_while_locks_are_in_use(run: Any, collector: Any, where: str) -> None:
    """A hundred forks while a thread is inside the handler, or holds a lock around it: each child logs and ends."""
    program = f"""
class Slow:
    def __str__(self):
        time.sleep(0.001)
        return "slow"
stopping = threading.Event()
def use():
    while not stopping.is_set(): once(); time.sleep(0.0005)
def once():
    {LOCKS[where]}
user = threading.Thread(target=use)
user.start()
for number in range(100):
    pid = os.fork()
    if pid == 0:
        log.info("child %d", number)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
stopping.set()
user.join()
handler.flush()
"""
    quietly(run, program)
    found = texts(collector, 100)
    assert {text: count for text, count in found.items() if text.startswith("child")} == {
        f"child {number}": 1 for number in range(100)
    }


FIRSTS = {
    "standard": "log.info('thread %s', Slow(), extra={'a': 1})",
    "goals": "goal()",
    "accelerated": "log.info('thread %s', Slow(), extra={'a': 1}); goal()",
}


@pytest.mark.parametrize("first", FIRSTS)
def test_forks_while_the_first_record_is_made(run: Any, collector: Any, first: str) -> None:
    """What is found once, at the first record, may be in the middle of being found: no child waits for it.

    Each round is a fresh process that has logged nothing yet.
    """
    program = f"""
from distlog import accelerate
class Slow:
    def __str__(self):
        time.sleep(0.0005)
        return "slow"
def goal():
    with task("goal %s", Slow(), a=1) as one, to("inner"):
        one.bind(b=2)
        try: 1 / 0
        except ZeroDivisionError: log.exception("in it")
def once():
    {FIRSTS[first]}
def round(number):
    if {first == "accelerated"}: accelerate.start()
    sys.setswitchinterval(1e-5)
    user = threading.Thread(target=once)
    user.start()
    for _ in range(number * 15): pass
    pid = os.fork()
    if pid == 0:
        once()
        log.info("child %d", number)
        os._exit(0)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        if os.waitpid(pid, os.WNOHANG)[0]: break
        time.sleep(0.001)
    else:
        os.kill(pid, 9)
        os._exit(1)
    user.join()
    os._exit(0)
hung = 0
for number in range(40):
    pid = os.fork()
    if pid == 0: round(number)
    hung += os.waitpid(pid, 0)[1] != 0
    if hung: break
assert not hung, f"hung in round {{number}}"
"""
    quietly(run, program)
    found = texts(collector, 40)
    assert {text: count for text, count in found.items() if text.startswith("child")} == {
        f"child {number}": 1 for number in range(40)
    }


def test_a_lock_of_the_program_that_is_held_at_the_fork(run: Any, collector: Any) -> None:
    """The child cannot have that lock, but what it logs needs none."""
    quietly(
        run,
        """
        lock = threading.Lock()
        lock.acquire()
        pid = os.fork()
        if pid == 0:
            with task("in the child"): log.info("child")
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        lock.release()
        """,
    )
    assert texts(collector, 3) == {"in the child": 2, "child": 1}


def test_collected_handlers_and_forks(run: Any, collector: Any) -> None:
    """Handlers that were collected, or closed, before a fork are not missed there."""
    quietly(
        run,
        """
        import gc, weakref
        gone = []
        for _ in range(5):
            made = ZmqHandler(os.environ["ENDPOINT"])
            made.handle(logging.makeLogRecord({"msg": "early", "levelno": 20}))
            made.flush()
            gone.append(weakref.ref(made))
            del made
        closed = ZmqHandler(os.environ["ENDPOINT"])
        closed.close()
        gc.collect()
        assert [one() for one in gone] == [None] * 5
        pid = os.fork()
        if pid == 0:
            closed.handle(logging.makeLogRecord({"msg": "never", "levelno": 20}))
            log.info("child")
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        """,
    )
    assert texts(collector, 6) == {"early": 5, "child": 1}


def test_a_handler_that_is_dropped_sends_what_it_has(run: Any, collector: Any) -> None:
    """Nobody closed it, nobody holds it: what it was given arrives all the same."""
    quietly(
        run,
        """
        import gc
        for number in range(10):
            made = ZmqHandler(os.environ["ENDPOINT"])
            made.handle(logging.makeLogRecord({"msg": f"number {number}", "levelno": 20}))
            del made
        gc.collect()
        """,
    )
    assert texts(collector, 10) == {f"number {number}": 1 for number in range(10)}


def test_a_forked_child_leaves_them_to_its_parent(run: Any, collector: Any) -> None:
    """Records of a handler that was collected before the fork are sent once."""
    quietly(
        run,
        """
        for _ in range(20):
            made = ZmqHandler(os.environ["ENDPOINT"])
            made.handle(logging.makeLogRecord({"msg": "early", "levelno": 20}))
            del made
            pid = os.fork()
            if pid == 0:
                log.info("child")
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        """,
    )
    assert texts(collector, 40) == {"early": 20, "child": 20}


def test_goals_are_freed_without_the_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """A goal that has ended is not part of a cycle: it goes when nobody holds it, also after a failure."""
    import gc
    import weakref

    # The handlers of pytest keep what they get.
    for logger in (log, logging.getLogger(__name__)):
        monkeypatch.setattr(logger, "propagate", False)
        monkeypatch.setattr(logger, "handlers", [logging.NullHandler()])

    gc.collect()
    gc.disable()
    try:
        for error in (None, ValueError("x")):
            try:
                with task("freed") as goal:
                    log.info("x")
                    if error is not None:
                        raise error
            except ValueError:
                pass
            error = None
            gone = weakref.ref(goal)
            del goal
            assert gone() is None, gc.get_referrers(gone())
    finally:
        gc.enable()
