"""Call sites: the same answers as the frame's own, however many places there are and whatever becomes of their code."""

from __future__ import annotations

import gc
import sys
from types import FrameType

from distlog import _distlog


def test_a_site_is_what_the_frame_says() -> None:
    def one() -> FrameType:
        return sys._getframe(1)

    for _ in range(2):
        frame = one()
        assert _distlog.site_of(frame) == (__name__, __file__, frame.f_lineno, frame.f_code.co_name)
        assert _distlog.site_of(frame)[2] == frame.f_lineno


def test_lines_of_one_function_are_told_apart() -> None:
    source = (
        "import sys\ndef many(site_of):\n    return [\n" + "        site_of(sys._getframe()),\n" * 8_500 + "    ]\n"
    )
    names: dict[str, object] = {"__name__": "long.module"}
    exec(compile(source, "/srv/long.py", "exec"), names)
    for _ in range(2):
        sites = names["many"](_distlog.site_of)  # type: ignore[operator]
        assert sites == [("long.module", "/srv/long.py", line, "many") for line in range(4, 8_504)]


def test_code_that_goes_and_comes_at_the_same_address() -> None:
    for number in range(300):
        names: dict[str, object] = {"__name__": "gone", "site_of": _distlog.site_of, "get": sys._getframe}
        lines = "\n" * (number % 50)
        exec(
            compile(f"{lines}def f_{number}():\n    return site_of(get())\nsite = f_{number}()", "gone.py", "exec"),
            names,
        )
        assert names["site"] == ("gone", "gone.py", number % 50 + 2, f"f_{number}")
        del names
        gc.collect(0)


def test_names_that_are_no_text() -> None:
    names: dict[str, object] = {"__name__": 5, "site_of": _distlog.site_of, "get": sys._getframe}
    exec(compile("site = site_of(get())", "a\udcff.py", "exec"), names)
    assert names["site"] == ("root", "a\udcff.py", 1, "<module>")
