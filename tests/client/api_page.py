"""Writes docs/api.md from the package itself: signatures and docstrings of everything that is public.

``python tests/client/api_page.py`` writes the page (``make format`` does); test_docs_api.py holds it up to date.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import distlog

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "python/distlog"
PAGE = ROOT / "docs/api.md"
HEAD = """\
# Reference

Every public name, as the package's own docstrings have it. Written by `make format`; not edited by hand. What it is for and how it fits together is on
the [other pages](../README.md#more).
"""
Definition = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def document() -> str:
    """The page."""
    front = {name: f"distlog.{name}" for name in exported(PACKAGE / "__init__.py")}
    parts = ["## `distlog`\n", *section(front_definitions(front))]
    for path in sorted(PACKAGE.rglob("*.py")):
        names = [name for name in exported(path) if name not in front] if path.stem != "__init__" else []
        if names and not is_inner(path):
            tree = ast.parse(path.read_text())
            module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
            parts += [f"## `{module}`\n", plain(ast.get_docstring(tree) or "")]
            parts += section((name, found) for name, found in definitions(tree) if name in names)
    return HEAD + "\n" + "\n".join(part.rstrip() + "\n" for part in parts if part)


def exported(path: Path) -> list[str]:
    """The names in `__all__`."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


def is_inner(path: Path) -> bool:
    """What no page speaks of is no interface."""
    pages = [page for page in (ROOT / "docs").glob("*.md") if page != PAGE]
    module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    return not any(re.search(rf"\b{re.escape(module)}\b", page.read_text()) for page in pages)


def front_definitions(front: dict[str, str]) -> Iterator[tuple[str, ast.AST]]:
    """Where the names of `distlog` itself are defined, in the order of the alphabet."""
    found = {
        name: node
        for path in sorted(PACKAGE.glob("*.py"))
        if path.stem != "__init__"
        for name, node in definitions(ast.parse(path.read_text()))
        if name in front
    }
    for name, node in definitions(ast.parse((PACKAGE / "_distlog.pyi").read_text())):
        if name in front:
            found[name] = told(node, getattr(distlog, name))
    return ((name, found[name]) for name in sorted(found, key=str.lower))


def told(node: ast.AST, native: object) -> ast.AST:
    """A definition of the stub, with the words that the native object has."""
    assert isinstance(node, Definition)
    if native.__doc__:
        node.body.insert(0, ast.Expr(ast.Constant(native.__doc__)))
    for member in node.body:
        if isinstance(member, Definition) and not member.name.startswith("_"):
            told(member, getattr(native, member.name))
    return node


def definitions(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Classes and functions of a module."""
    return ((node.name, node) for node in tree.body if isinstance(node, Definition))


def section(found: Iterator[tuple[str, ast.AST]]) -> Iterator[str]:
    """One heading each; a class with its public methods."""
    for name, node in found:
        yield f"### `{name}`\n"
        yield described(node)
        if isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, Definition) and not member.name.startswith("_") and ast.get_docstring(member):
                    yield f"**`.{heading(member)}`** " + plain(ast.get_docstring(member) or "")


def described(node: ast.AST) -> str:
    """Signature and docstring."""
    assert isinstance(node, Definition)
    signature = f"```\n{call(node)}\n```\n"
    return signature + "\n" + plain(ast.get_docstring(node) or "")


def call(node: ast.AST) -> str:
    """How it is called: a function as it is, a class as its `__init__` is."""
    if isinstance(node, ast.ClassDef):
        init = next(
            (one for one in node.body if isinstance(one, ast.FunctionDef) and one.name in ("__init__", "__new__")), None
        )
        return wrapped(f"class {node.name}", parameters(init), "") if init is not None else f"class {node.name}"
    assert isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    returns = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    kind = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    return wrapped(kind + node.name, parameters(node), returns)


def heading(member: ast.AST) -> str:
    """A method as it is called; a property by its name."""
    assert isinstance(member, Definition)
    decorators = {ast.unparse(one) for one in member.decorator_list}
    if decorators & {"property", "cached_property", "functools.cached_property"} or isinstance(member, ast.ClassDef):
        return member.name
    return f"{member.name}({arguments(member)})"


def arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """All but `self` and `cls`, as they are written."""
    return ", ".join(parameters(function))


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """One text each, the signs between them included."""
    given = function.args
    places = [*given.posonlyargs, *given.args]
    without: list[ast.expr | None] = [None] * (len(places) - len(given.defaults))
    texts = [parameter(one, default) for one, default in zip(places, without + given.defaults)]
    if given.posonlyargs:
        texts.insert(len(given.posonlyargs), "/")
    if places and places[0].arg in ("self", "cls"):
        texts = texts[2 if texts[1:2] == ["/"] else 1 :]
    if given.vararg is not None:
        texts.append("*" + parameter(given.vararg, None))
    elif given.kwonlyargs:
        texts.append("*")
    texts += [parameter(one, default) for one, default in zip(given.kwonlyargs, given.kw_defaults)]
    return texts + (["**" + parameter(given.kwarg, None)] if given.kwarg is not None else [])


def parameter(one: ast.arg, default: ast.expr | None) -> str:
    """Name, type and default."""
    text = one.arg + (f": {ast.unparse(one.annotation)}" if one.annotation is not None else "")
    return text if default is None else f"{text} = {ast.unparse(default)}"


def wrapped(name: str, parts: list[str], returns: str) -> str:
    """One line, or one argument a line."""
    line = f"{name}({', '.join(parts)}){returns}"
    if len(line) <= 110:
        return line
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){returns}"


def plain(docstring: str) -> str:
    """reStructuredText's marks, as far as we use them, in Markdown."""
    text = re.sub(r"``(.+?)``", r"`\1`", inspect.cleandoc(docstring))
    text = re.sub(r"^={3,}[= ]*$", "", text, flags=re.MULTILINE) if "====" in text else text
    return re.sub(r"(?:(?<=\n)|^)::\n\n((?:    .*\n?|\n)+)", example, text).strip() + "\n"


def example(found: re.Match[str]) -> str:
    """An indented block."""
    lines = [line[4:] for line in found[1].split("\n")]
    return "```\n" + "\n".join(lines).strip("\n") + "\n```\n\n"


if __name__ == "__main__":
    PAGE.write_text(document())
