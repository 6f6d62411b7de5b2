"""What the package of 2017 got wrong, by number of the list: none of it may come back.

Those that need more than a few lines have their test elsewhere, named here.
"""

from __future__ import annotations

import json
import logging
import math
import os
import pickle
import platform
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest
from distlog import JSONFormatter, PickleFormatter, ZmqHandler, current_task, import_task, task, to
from distlog.testing import capture

log = logging.getLogger("app.defects")


def fields(record: logging.LogRecord) -> dict[str, Any]:
    return json.loads(JSONFormatter().format(record), parse_constant=pytest.fail)  # type: ignore[no-any-return]


def logged(msg: Any, *args: Any, **options: Any) -> dict[str, Any]:
    with capture() as captured:
        log.info(msg, *args, **options)
    return captured.records[-1]


def test_01_an_imported_goal_has_the_given_id() -> None:
    foreign = f"{uuid.uuid4()}/1"
    with import_task(foreign, "work") as goal:
        assert goal.id == foreign


def test_02_03_foreign_ids_are_below_their_goal() -> None:
    with task("root") as root, to("child") as child:
        assert root.get_foreign_task() not in (root.id, child.id)
        assert child.get_foreign_task().startswith(child.id + "/")
        assert root.get_foreign_task().startswith(root.id + "/")


def test_04_imports_and_roots_inside_a_goal_stand_alone() -> None:
    foreign = f"{uuid.uuid4()}/7"
    with task("outer"), import_task(foreign, "x") as imported, task("root") as root:
        assert (imported.id, root.parent) == (foreign, None)


def test_05_threads_have_their_own_goals() -> None:
    seen: list[Any] = []
    with task("main"):
        thread = threading.Thread(target=lambda: seen.append(current_task()))
        thread.start()
        thread.join()
    assert seen == [None]


def test_06_ending_takes_only_itself_away() -> None:
    outer, inner = task("outer"), to("inner")
    with outer:
        inner.__enter__()
    assert current_task() is inner
    inner.__exit__(None, None, None)
    assert current_task() is None


def test_07_to_needs_no_goal() -> None:
    with to("alone") as goal:
        assert goal.parent is None


def test_08_number_and_parent_are_of_one_goal() -> None:
    made = to("made outside")
    with task("root") as root, made:
        assert made.id == f"{root.id}/1"


def test_09_fields_have_any_name() -> None:
    with task("x", key="mine", msg=1, _id=2) as goal:
        assert logged("y")["context"] == {"key": f"1@{goal.id}", "key_": "mine", "msg": 1, "_id": 2}


def test_10_success_has_its_end_record() -> None:
    with capture() as captured, task("x"):
        pass
    assert captured.records[-1]["goal"]["status"] == "succeeded"


def test_11_12_begin_records_are_the_callers_and_set_nothing_up() -> None:
    before = list(logging.getLogger().handlers)
    with capture() as captured, task("x"):
        pass
    assert {(r["pathname"], r["name"]) for r in captured.records} == {(__file__, __name__)}
    assert logging.getLogger().handlers == before


def test_13_levels_hide_no_goal_of_a_record() -> None:
    with capture(level=logging.ERROR) as captured, task("x"):
        log.error("boom")
    assert [r["message"] for r in captured.records] == ["x", "boom", "x"]


def test_14_messages_need_not_be_text() -> None:
    for msg in (7, ValueError("x"), None, {"a": 1}, ("t",)):
        with capture() as captured:
            with pytest.raises(KeyError), task(msg):
                raise KeyError
        assert captured.records[-1]["message"] == f"FAILED {msg}"
    assert current_task() is None


def test_15_leaving_is_no_failure() -> None:
    for error in (SystemExit(0), GeneratorExit()):
        with capture() as captured:
            with pytest.raises(type(error)), task("x"):
                raise error
        assert (captured.records[-1]["levelname"], captured.records[-1]["message"]) == ("INFO", "x")


def test_16_17_18_records_and_their_factory() -> None:
    """The factory is installed late and chained (test_delivery); names stay free; making records draws no numbers."""
    with task("x") as goal:
        for _ in range(5):
            logging.makeLogRecord({})
        log.setLevel(logging.ERROR)
        log.info("hidden")
        log.setLevel(logging.NOTSET)
        record = logged("y", extra={"context": 1})
    assert (record["context"]["key"], record["context_"]) == (f"1@{goal.id}", 1)


def test_19_numbers_are_drawn_once() -> None:
    drawn: list[str] = []
    with task("root") as root:
        draw = root.get_foreign_task
        threads = [threading.Thread(target=lambda: drawn.extend(draw() for _ in range(5000))) for _ in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    assert sorted(int(child.rpartition("/")[2]) for child in drawn) == list(range(1, 20001))


def test_20_21_ids_are_text_and_stay() -> None:
    with task("root") as root, to("child") as child:
        inside = root.id, child.id
    assert (root.id, child.id) == inside
    assert all(isinstance(goal_id, str) for goal_id in inside)
    with pytest.raises(RuntimeError):
        child.__enter__()


def test_22_one_sequence_and_its_count() -> None:
    with capture() as captured, task("x"):
        log.info("a")
        with to("b"):
            pass
        log.info("c")
    keys = [r["context"]["key"] for r in captured.records if "/" not in r["context"]["key"]]
    assert [key.split("@")[0] for key in keys] == ["0", "1", "3", "4"]
    assert captured.records[-1]["goal"]["count"] == 5


def test_23_fields_are_inherited_and_taken_away() -> None:
    with task("x", a=1) as goal:
        goal.bind(b=2)
        goal.unbind("a")
        with to("y"):
            assert logged("z")["context"].items() >= {"b": 2}.items()
            assert "a" not in logged("z")["context"]


def test_24_25_decorators_and_end_records() -> None:
    @to("work")
    def work() -> int:
        return 7

    with capture() as captured:
        assert work() == 7
    assert [r["goal"]["event"] for r in captured.records] == ["begin", "end"]


def test_26_27_28_the_record_is_not_touched() -> None:
    try:
        raise ValueError("a\nb \\n")
    except ValueError:
        record = log.makeRecord("app", 20, "f", 1, "hello %s", ("x\ny",), sys.exc_info(), sinfo="Stack:\n  here")
    before = dict(record.__dict__)
    for formatter in (JSONFormatter(), PickleFormatter()):
        formatter.format(record)
    assert record.__dict__ == before
    told = fields(record)
    assert (told["message"], told["stack_info"]) == ("hello x\ny", "Stack:\n  here")
    assert told["exc_text"].endswith("ValueError: a\nb \\n")


def test_29_30_no_value_loses_a_record() -> None:
    import datetime
    import decimal

    values = [datetime.datetime.now(), decimal.Decimal(1), b"\xff", {1}, ValueError("x"), math.nan, math.inf, object()]
    for value in values:
        assert logged(value, extra={"value": value})["message"] == str(value)


def test_31_the_form_does_not_depend_on_what_is_installed(tmp_path: Path) -> None:
    (tmp_path / "jsonext.py").write_text("raise SystemExit('imported')")
    program = "import distlog, logging; print(distlog.JSONFormatter().format(logging.makeLogRecord({'msg': 'x'}))[:14])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == 'b\'{"message":"x"\'\n'


def test_32_arguments_and_exceptions_are_data() -> None:
    try:
        raise KeyError("k") from ValueError("v")
    except KeyError:
        record = logged("%s", 7, exc_info=True)
    assert record["args"] == [7]
    assert record["exc_info"]["cause"]["type"] == "ValueError"


def test_33_times_have_a_zone_and_hosts_a_name() -> None:
    record = logged("x")
    assert record["hostname"] == platform.node()
    assert len(record["asctime"]) == len("2026-01-02T03:04:05.678901+01:00")


def test_34_pickles_are_builtins() -> None:
    class Local:
        pass

    body = PickleFormatter().format(logging.makeLogRecord({"msg": "x", "value": Local(), "error": ValueError("e")}))
    assert b"Local" in body
    assert type(pickle.loads(body)["error"]) is dict


def test_35_36_nobody_listens_and_nothing_is_raised(free_port: int) -> None:
    made = ZmqHandler(f"tcp://127.0.0.1:{free_port}", flush_timeout=0.1)
    for _ in range(5000):
        made.handle(logging.makeLogRecord({"msg": "x" * 1000}))
    made.close()
    made.handle(logging.makeLogRecord({"msg": "late"}))
    assert made.stats()["dropped"]["closed"] >= 1


def test_37_38_39_44_without_pyzmq() -> None:
    """Exits and forks are in test_processes; no socket is shared, since none is Python's."""
    program = "import sys; sys.modules['zmq'] = None; import distlog; distlog.ZmqHandler().close()"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_40_a_formatter_is_not_needed(handler: ZmqHandler, collector: Any) -> None:
    log.info("x")
    assert collector.wait(1)[0]["topic"] == "PLJ"


def test_41_checks_hold_without_assertions() -> None:
    program = "import distlog\nfor s in ('', 'TS'):\n    try: distlog.ZmqHandler('tcp://a:1', None, s)\n    except ValueError: print('refused')"
    done = subprocess.run([sys.executable, "-O", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n" * 2


def test_51_no_name_hides_a_module() -> None:
    """``import distlog.x as y`` gives the module, whatever the package exports."""
    import distlog

    modules = {path.stem for path in Path(distlog.__file__).parent.glob("*.py")}
    assert not modules & set(distlog.__all__)


def test_52_it_is_typed() -> None:
    import distlog

    assert (Path(distlog.__file__).parent / "py.typed").exists()
