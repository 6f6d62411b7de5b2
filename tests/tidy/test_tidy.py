"""The house rules that a machine can hold: each test here is named by an invariant in ARCHITECTURE.md."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
PYTHON = [ROOT / name for name in TRACKED if name.endswith(".py") and (ROOT / name).exists()]
RUST = [ROOT / name for name in TRACKED if re.fullmatch(r"crates/.*\.rs", name)]
EDGES = {
    "distlog": set(),
    "distlog-transport": set(),
    "distlog-store": {"distlog"},
    "distlog-py": {"distlog", "distlog-transport"},
    "distlogd": {"distlog", "distlog-store", "distlog-transport"},
}
FORBIDDEN_WORDS = {"event", "sink", "manager", "util", "utils", "helper", "helpers", "common", "base", "impl"}


def metadata() -> list[dict]:
    """The workspace's own packages, as cargo sees them."""
    command = ["cargo", "metadata", "--format-version=1", "--no-deps", "--offline"]
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)["packages"]


def dependencies(package: dict) -> set[str]:
    """What the program itself links, tests aside."""
    return {d["name"] for d in package["dependencies"] if d["kind"] != "dev"}


def test_edges_between_crates() -> None:
    """The crates depend on each other as drawn, and in no other way."""
    found = {package["name"]: dependencies(package) & set(EDGES) for package in metadata()}
    assert found == EDGES


def test_one_crate_names_the_0mq_library() -> None:
    """The transport can be exchanged by touching one crate."""
    owners = {
        p["name"] for p in metadata() if any(name.startswith(("omq", "zmq", "zeromq")) for name in dependencies(p))
    }
    assert owners <= {"distlog-transport"}
    words = [path for path in RUST if "distlog-transport" not in str(path) and re.search(r"\bomq_", path.read_text())]
    assert words == []


def test_vocabulary_stays_light() -> None:
    """At most 15 crates come with the vocabulary: it is in every wheel, and fuzzed every day."""
    command = ["cargo", "tree", "--offline", "-p", "distlog", "-e", "normal", "--prefix", "none", "--no-dedupe"]
    tree = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert len(set(tree.strip().split("\n"))) <= 15, tree


def test_vocabulary_does_no_io() -> None:
    """No file, socket, clock, thread or environment in the vocabulary; time and bytes are arguments."""
    forbidden = re.compile(r"std::(fs|net|thread|env|process)\b|SystemTime|Instant::now")
    for path in RUST:
        if path.is_relative_to(ROOT / "crates/distlog/src") and not path.name.startswith("tests"):
            assert not forbidden.search(path.read_text()), path


def test_files_tell_one_story() -> None:
    """Every Rust and Python file starts by saying why it is there, and ends before line 800."""
    for path in [*RUST, *PYTHON]:
        text = path.read_text()
        if path.suffix == ".rs":
            told = text.startswith("//!")
        else:
            told = not text.strip() or ast.get_docstring(ast.parse(text)) is not None
        assert told, f"{path}: the first line says why the file is there"
        assert text.count("\n") <= 800, f"{path}: more than 800 lines"


def test_file_names_are_words_of_the_domain() -> None:
    """No drawers: a file's name says what is in it."""
    for name in TRACKED:
        assert not set(re.split(r"[/._-]", name)) & FORBIDDEN_WORDS, name


def test_no_unsafe_code() -> None:
    """The workspace forbids it, and no crate opts out."""
    assert 'unsafe_code = "forbid"' in (ROOT / "Cargo.toml").read_text()
    for package in metadata():
        assert re.search(r"\[lints\]\s*workspace = true", Path(package["manifest_path"]).read_text()), package["name"]


def test_dependencies_have_reasons() -> None:
    """Every dependency from outside says in the manifest why it is there."""
    for package in metadata():
        lines = Path(package["manifest_path"]).read_text().split("\n")
        start = lines.index("[dependencies]")
        for number, line in enumerate(lines[start:], start):
            match = re.match(r"([a-z0-9_-]+)(\.workspace)? *=", line)
            if line.startswith("[") and number > start and not line.startswith(("[dev-dep", "[target")):
                break
            if match and not match[1].startswith("distlog"):
                explained = "#" in line or lines[number - 1].startswith("#")
                assert explained, f"{package['name']}: why {match[1]}?"


@pytest.mark.parametrize("module", ["context", "formatters", "handler"])
def test_python_modules_combine_without_knowing_each_other(module: str) -> None:
    """Structured, record and multi-process logging are separate: none imports another."""
    others = {"context", "formatters", "handler"} - {module}
    tree = ast.parse((ROOT / f"python/distlog/{module}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None) or ""}
            assert not {name.split(".")[-1] for name in names} & others, ast.unparse(node)


@pytest.mark.skipif(sys.version_info < (3, 10), reason="this Python does not list its own modules")
def test_the_package_needs_nothing_else() -> None:
    """Other libraries are imported by what is there for them: an integration, the plugin of pytest."""
    for path in PYTHON:
        folder = path.relative_to(ROOT).parts
        if folder[:2] == ("python", "distlog") and folder[2] not in ("integrations", "pytest_plugin.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
                foreign = {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"distlog"}
                assert not foreign, f"{path}: {foreign}"


def test_every_page_is_in_the_readme() -> None:
    """A page that no index names is found by nobody."""
    index = (ROOT / "README.md").read_text().partition("## More")[2]
    for name in TRACKED:
        if re.fullmatch(r"docs/\w+\.md", name):
            assert f"]({name})" in index, f"README.md, More: {name} is missing"


def test_links_lead_somewhere() -> None:
    """Pages link to pages that exist, and to sections they have."""
    for page in [ROOT / name for name in TRACKED if name.endswith(".md")]:
        for target, section in re.findall(r"\]\((?!https?:|mailto:)([^)#]*)(?:#([^)]*))?\)", page.read_text()):
            other = (page.parent / target).resolve() if target else page
            assert other.exists(), f"{page} links to {target}"
            if section:
                heads = re.findall(r"^#+ (.*)$", other.read_text(), re.MULTILINE)
                names = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
                assert section in names, f"{page} links to {target}#{section}"


def test_every_processor_has_its_row_and_its_page() -> None:
    """A file in processors/ that is not in the table would be dead code; one without docs would be unknown."""
    folder = ROOT / "crates/distlogd/src/processors"
    registry = (folder / "mod.rs").read_text()
    page = (ROOT / "docs/processors.md").read_text()
    for path in folder.iterdir():
        name = path.name.removesuffix(".rs")
        if name in {"mod", "tests"}:
            continue
        assert f"{name}::KIND" in registry, f'add "{name}::KIND," to REGISTRY'
        assert f"## `{name}`" in page, f"docs/processors.md has no section {name}"


def test_map_is_true() -> None:
    """Every path that ARCHITECTURE.md names exists, and every module of every crate is in it."""
    for path in re.findall(r"`((?:crates|python|tests|testdata|fuzz|bench|docs|examples)/[^`:*<]+)`", ARCHITECTURE):
        assert (ROOT / path).exists(), f"ARCHITECTURE.md names {path}, which does not exist"
    for path in RUST:
        source = path.relative_to(ROOT).parts
        if "src" not in source or "tests" in path.name or path.name in {"lib.rs", "mod.rs"}:
            continue
        module = source[source.index("src") + 1].removesuffix(".rs")
        crate = ARCHITECTURE.split(f"### `crates/{source[1]}/`")[1].split("\n### ")[0]
        assert f"`{module}" in crate, f"ARCHITECTURE.md does not mention {path.relative_to(ROOT)}"


def test_invariants_name_tests_that_exist() -> None:
    """Each invariant is held by a test: `path::name`, and that name is defined in that file."""
    rows = re.findall(r"^\| (I\d+) \|(.*)\|$", ARCHITECTURE, re.MULTILINE)
    assert [name for name, _ in rows] == [f"I{number}" for number in range(1, len(rows) + 1)]
    for name, row in rows:
        tests = re.findall(r"`([\w./-]+)::(\w+)`", row)
        assert tests, f"{name} names no test"
        for path, test in tests:
            assert re.search(rf"\b(fn|def) {test}\b", (ROOT / path).read_text()), f"{name}: {path}::{test}"


def test_licence_and_changelog_are_there() -> None:
    """What every user looks for first."""
    for name in ["LICENSE-MIT", "LICENSE-APACHE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"]:
        assert (ROOT / name).stat().st_size > 200, name
