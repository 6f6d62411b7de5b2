"""docs/api.md says what the package's docstrings say, and every public name has one."""

from __future__ import annotations

import sys

import api_page
import distlog
import pytest


@pytest.mark.skipif(sys.version_info < (3, 11), reason="older Pythons write expressions in another way")
def test_the_page_is_up_to_date() -> None:
    """`make format` writes it."""
    assert api_page.PAGE.read_text() == api_page.document(), "run: make format"


def test_every_public_name_is_on_it() -> None:
    """None is left out, none without words."""
    page = api_page.PAGE.read_text()
    for name in distlog.__all__:
        if not name.startswith("__"):
            assert f"### `{name}`\n" in page, name
            assert getattr(distlog, name).__doc__, name
