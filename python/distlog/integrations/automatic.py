"""All integrations at once, each as soon as the program imports the library that it is for. Nothing is imported that the program does not.

::

    from distlog.integrations import automatic
    automatic.install()                     # or: python -m distlog run --integrations app.py

Clients and Celery are as after their own ``install()``, with its defaults; every Flask, Starlette or FastAPI application is as in a
``GoalMiddleware``, once, also where the program has put one there itself. Libraries that are imported already are served at once.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import MethodType, ModuleType
from typing import Any

from distlog.integrations.patching import Patches

__all__ = ["install", "uninstall"]

#: What is imported, and which of our modules is for it.
_CLIENTS = {
    "requests": "requests",
    "httpx": "httpx",
    "aiohttp": "aiohttp",
    "urllib.request": "urllib",
    "celery": "celery",
}
_SERVERS = ("flask", "starlette.applications")
_servers = {name: Patches() for name in _SERVERS}


def install(*names: str) -> None:
    """Do it for all libraries, or for those of these names (``"flask"``, ``"httpx"``, …). May be called again."""
    known = {name.partition(".")[0]: name for name in (*_CLIENTS, *_SERVERS)}
    for name in names:
        if name not in known:
            raise ValueError(f"there is no integration of {name!r}, only of {', '.join(sorted(known))}")
    for name in [known[name] for name in names or known]:
        if name in sys.modules:
            _install(name)
        else:
            _finder.waiting.add(name)
    if _finder.waiting and _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def uninstall() -> None:
    """Undo ``install()``."""
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
    _finder.waiting.clear()
    for name, ours in _CLIENTS.items():
        module = sys.modules.get(f"{__package__}.{ours}")
        if name in sys.modules and module is not None:
            module.uninstall()
    for patches in _servers.values():
        patches.uninstall()


class _Finder(MetaPathFinder):
    """Sees what is imported, finds nothing itself, and has somebody told when a module is there that was waited for."""

    def __init__(self) -> None:
        self.waiting: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the others find, with a change."""
        if fullname not in self.waiting:
            return None
        self.waiting.discard(fullname)
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None:
                _tell_afterwards(spec)
                return spec
        return None


_finder = _Finder()


def _tell_afterwards(spec: ModuleSpec) -> None:
    loader: Any = spec.loader
    execute = getattr(loader, "exec_module", None)
    if execute is None:
        return

    def exec_module(module: ModuleType) -> None:
        execute(module)
        _install(spec.name)

    try:
        loader.exec_module = exec_module
    except AttributeError:
        # A loader that cannot be changed: the program comes first.
        pass


def _install(name: str) -> None:
    try:
        if name == "flask":
            _servers[name].install([(sys.modules[name].Flask, "__call__", _flask)])
        elif name == "starlette.applications":
            _servers[name].install([(sys.modules[name].Starlette, "__call__", _starlette)])
        else:
            importlib.import_module(f"{__package__}.{_CLIENTS[name]}").install()
    except Exception as error:
        # A version that we do not know must not keep the program from running.
        if sys.stderr is not None:
            sys.stderr.write(f"distlog: no goals by way of {name}: {type(error).__name__}: {error}\n")


def _flask(call: Any, app: Any, environ: Any, start_response: Any) -> Any:
    from distlog.integrations.wsgi import GoalMiddleware

    return GoalMiddleware(MethodType(call, app))(environ, start_response)


def _starlette(call: Any, app: Any, scope: Any, receive: Any, send: Any) -> Any:
    from distlog.integrations.asgi import GoalMiddleware

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await call(app, scope, receive, send)

    # Its routes are known by the application that it is.
    inner.routes = app.routes  # type: ignore[attr-defined]
    return GoalMiddleware(inner)(scope, receive, send)
