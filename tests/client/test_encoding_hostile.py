"""Values that take long, take much, or are large: the record leaves in time, and says what is missing."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytest
from test_encoding import both, made, seen

MIB = 1 << 20
SLOW = 0.03


class Slow:
    def __repr__(self) -> str:
        time.sleep(SLOW)
        return "slow"


class SlowFields:
    """A mapping whose items take long."""

    def keys(self) -> Any:
        return range(100)

    def __iter__(self) -> Any:
        return iter(range(100))

    def __len__(self) -> int:
        return 100

    def __getitem__(self, name: int) -> int:
        time.sleep(SLOW)
        return name


class TestTime:
    """Code of the values has 100 ms for each record and form."""

    def test_values_after_the_time_are_passed_over(self) -> None:
        start = time.monotonic()
        written = seen([Slow() for _ in range(50)] + [1, "text", {"a": 2}])
        assert time.monotonic() - start < 2 * (0.1 + 3 * SLOW) + 0.5
        assert written[0] == "slow" and written[-3:] == [1, "text", {"a": 2}]
        assert written.count("<Slow: no time left>") > 30

    def test_each_record_has_its_own(self) -> None:
        seen([Slow() for _ in range(10)])
        assert seen(Slow()) == "slow"

    def test_a_message_comes_before_fields(self) -> None:
        fields = both(made("%s %s", Slow(), "x", value=[Slow() for _ in range(20)]), same=False)
        assert fields["message"] == "slow x" and "<Slow: no time left>" in fields["value"]

    def test_a_lazy_mapping_ends_in_time(self) -> None:
        import collections.abc

        collections.abc.Mapping.register(SlowFields)
        start = time.monotonic()
        both(made(value=SlowFields()), same=False)
        assert time.monotonic() - start < 1.5

    def test_exceptions_that_take_long_to_say_what(self) -> None:
        class Late(Exception):
            def __str__(self) -> str:
                time.sleep(0.15)
                return "late"

        first, second = Late(), Late()
        first.__cause__ = second
        said = both(made(exc_info=first), same=False)["exc_info"]
        assert said["message"] == "late" and said["cause"]["message"] == "<Late: no time left>"


class TestSize:
    @pytest.mark.parametrize("char", ["x", "é", "\n", "\U0001f600"])
    def test_long_texts_take_no_longer_than_short_ones(self, char: str) -> None:
        long = char * (50 * MIB)
        start = time.monotonic()
        fields = both(made("%s", long, value=long), same=False)
        assert time.monotonic() - start < 0.5
        for text in (fields["message"], fields["value"], fields["args"][0]):
            assert text.startswith(char * 100) and "…<clipped " in text
        # Reading it as UTF-8 would have left a copy with it.
        assert sys.getsizeof(long) < 50 * MIB * 4 + 1000

    def test_the_arguments_that_are_not_long_stay(self) -> None:
        message = both(made("%s and %d", "y" * MIB, 7))["message"]
        assert message.endswith(">") or message.endswith(" and 7")


class TestTables:
    def test_pandas(self) -> None:
        pandas = pytest.importorskip("pandas")
        table = pandas.DataFrame({"a": range(10_000), "b": ["x"] * 10_000})
        assert seen(table) == {
            "type": "DataFrame",
            "shape": [10_000, 2],
            "columns": ["a", "b"],
            "head": {"a": [0, 1, 2, 3, 4], "b": ["x"] * 5},
        }
        column = seen(table["a"])
        assert column == {"type": "Series", "shape": [10_000], "dtype": "int64", "head": [0, 1, 2, 3, 4]}
        assert seen(pandas.Index([3, 4])) == {"type": "Index", "shape": [2], "dtype": "int64", "head": [3, 4]}
        assert seen(pandas.Timestamp("2026-01-02T03:04:05")) == "2026-01-02T03:04:05"
        wide = seen(pandas.DataFrame([range(1_000)] * 3))
        assert wide["shape"] == [3, 1000] and len(wide["columns"]) == len(wide["head"]) == 20
        assert len(str(seen({"tables": [table] * 20}))) < 10_000

    def test_an_array_that_prints_whole_is_summarised_still(self) -> None:
        numpy = pytest.importorskip("numpy")
        with numpy.printoptions(threshold=sys.maxsize):
            assert len(str(seen(numpy.arange(1_000_000)))) < 200
