"""The pytest fixture ``distlog_capture``; pytest finds it by the package's entry point.

When a test fails that uses the fixture, pytest's report shows what was captured, as text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distlog.testing import Captured

_KEPT = "_distlog_captured"


@pytest.fixture
def distlog_capture(request: pytest.FixtureRequest) -> Iterator[Captured]:
    """What the test logs: ``.records``, ``.messages()``, ``.goal(title)``, ``.tree()`` and ``.text()``."""
    from distlog.testing import capture

    with capture() as captured:
        setattr(request.node, _KEPT, captured)
        yield captured


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Add what was captured to the report of a test that failed."""
    outcome: Any = yield
    captured = getattr(item, _KEPT, None)
    report = outcome.get_result()
    if captured is not None and report.failed and report.when == "call":
        text = captured.text()
        if text:
            report.sections.append(("Captured goals", text))
