"""Whoever types strictly can use distlog: mypy and pyright find nothing in the examples, the documentation, and a test of the decorators."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from docs_pages import ROOT, pages

DECORATED = """
from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import distlog
from distlog import Task, current_task, import_task, task, to, wrap


@task("add %s", 1, customer="ann")
def add(one: int, two: int = 2) -> int:
    return one + two


@to("fetch")
async def fetch(url: str) -> bytes:
    return url.encode()


@to("count")
def numbers(limit: int) -> Iterator[int]:
    yield from range(limit)


@to("stream")
async def stream(limit: int) -> AsyncIterator[int]:
    for number in range(limit):
        yield number


class Shop:
    @to("sell")
    def sell(self, sku: str) -> float:
        return len(sku) / 2

    @classmethod
    @to("open")
    def open(cls, name: str) -> Shop:
        return cls()


async def use() -> None:
    async with to("outer") as goal:
        words: str = goal.id
        parent: str | None = goal.parent
        goal.bind(customer=words, parent=parent)
    with import_task(words, "inner") as imported:
        imported.success("done %d", 3, items=3)
    current: Task | None = current_task()
    body: bytes = await fetch("http://127.0.0.1")
    async for number in stream(add(1)):
        print(number, body, current, sum(numbers(3)), Shop().sell("A-17"), Shop.open("x"))


wrapped: int = wrap(add)(1, two=3)
handler: distlog.ZmqHandler = distlog.ZmqHandler("tcp://127.0.0.1:5010", system="T")
queued = handler.stats()["queued"]
"""
WRONG = {
    'add("1")': "arg",
    "add(1, three=3)": "call",
    "fetch(1)": "arg",
    "Shop().sell(17)": "arg",
    "wrap(add)(1, 2, 3)": "call",
    "handler.flush('soon')": "arg",
}
"""What both have to refuse: the decorators hide no signature."""

INNER = ("jobs", "processes", "options", "run", "site", "stamp", "steps")
"""Modules that nobody needs to import."""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that is checked."""
    folder = tmp_path_factory.mktemp("typing")
    for page in pages():
        (folder / f"page_{page.name}.py").write_text(page.program)
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "decorated.py").write_text(DECORATED)
    (folder / "wrong.py").write_text(
        "from decorated import Shop, add, fetch, handler\nfrom distlog import wrap\n" + "\n".join(WRONG) + "\n"
    )
    return folder


def refused(words: str) -> set[int]:
    """Lines of wrong.py that are complained of."""
    return {int(line.split(":")[1]) for line in words.split("\n") if "wrong.py:" in line and ": error" in line}


WRONG_LINES = set(range(3, 3 + len(WRONG)))


def test_mypy(programs: Path) -> None:
    """`mypy --strict`; a library without types is no fault of ours."""
    pytest.importorskip("mypy")
    options = [
        "--strict",
        "--disable-error-code=import-untyped",
        "--disable-error-code=import-not-found",
        "--no-color-output",
    ]
    command = [
        sys.executable,
        "-m",
        "mypy",
        *options,
        "--explicit-package-bases",
        "--cache-dir",
        str(ROOT / ".mypy_cache/docs"),
    ]
    done = subprocess.run([*command, "."], cwd=programs, capture_output=True, text=True, check=False)
    assert refused(done.stdout) == WRONG_LINES, done.stdout + done.stderr
    others = [line for line in done.stdout.split("\n") if ": error" in line and not line.startswith("wrong.py")]
    assert others == [], "\n".join(others)


def test_pyright(programs: Path) -> None:
    """pyright, in its strict mode as far as the libraries that are used have types."""
    pytest.importorskip("basedpyright", reason="has no version for this Python")
    unknown = ["Member", "Argument", "Variable", "Parameter", "Lambda"]
    settings = {
        "typeCheckingMode": "strict",
        "reportMissingTypeStubs": False,
        "reportMissingModuleSource": False,
        "reportUnusedExpression": False,
        # The blocks of a page are one program here, and each has its own imports.
        "reportDuplicateImport": False,
        # Forms that Python 3.9 needs.
        "reportDeprecated": False,
        **{f"reportUnknown{what}Type": False for what in unknown},
    }
    (programs / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, "--outputjson"]
    done = subprocess.run(command, cwd=programs, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)["generalDiagnostics"]
    errors = [(Path(one["file"]).name, one["range"]["start"]["line"] + 1, one["message"]) for one in found]
    assert {line for file, line, _ in errors if file == "wrong.py"} == WRONG_LINES, errors
    assert [one for one in errors if one[0] != "wrong.py"] == []


def test_the_public_interface_is_typed(tmp_path: Path) -> None:
    """`pyright --verifytypes`: nothing that is exported has an unknown type. (Ambiguous: inferred from what is assigned.)"""
    pytest.importorskip("basedpyright", reason="has no version for this Python")
    options = ["--pythonpath", sys.executable, "--verifytypes", "distlog", "--ignoreexternal", "--outputjson"]
    command = [sys.executable, "-m", "basedpyright", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    completeness = json.loads(done.stdout)["typeCompleteness"]
    symbols = [one for one in completeness["symbols"] if one["name"].split(".")[1] not in INNER]
    exported = [one for one in symbols if one["isExported"] and not one["isTypeAmbiguous"]]
    # A class of another library, which is not looked into here, may be a base.
    bases = {"Type of metaclass unknown", "Type of base class unknown"}
    unknown = [
        (symbol["name"], [one["message"] for one in symbol["diagnostics"]])
        for symbol in exported
        if not symbol["isTypeKnown"] and not {one["message"] for one in symbol["diagnostics"]} <= bases
    ]
    assert completeness["packageName"] == "distlog" and len(completeness["symbols"]) > 30
    assert unknown == []
