"""The pytest fixture ``distlog_capture``; pytest finds it by the package's entry point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distlog.testing import Captured


@pytest.fixture
def distlog_capture() -> Iterator[Captured]:
    """What the test logs: ``.records``, ``.messages()`` and ``.tree()``."""
    from distlog.testing import capture

    with capture() as captured:
        yield captured
