"""The text of a timestamp is the one that arrow-rs makes, whichever of the two makes it."""

import io

import numpy as np
import pyarrow as pa
import pytest
from arro3.io import write_ndjson
from hypothesis import given
from hypothesis import strategies as st

from dataset_export.encoding.json_moments import FIRST_DAY, LAST_DAY, moments
from dataset_export.encoding.timestamps import UNITS_PER_SECOND

FIRST = int(np.datetime64(FIRST_DAY, "s").astype(int))
LAST = int(np.datetime64(LAST_DAY, "s").astype(int)) + 86_399
TOGETHER = st.lists(
    st.tuples(st.integers(FIRST, LAST), st.integers(0, 10**9 - 1), st.sampled_from([1, 10**3, 10**6, 10**9])),
    max_size=9,
)


def by_arrow_rs(array: pa.Array) -> bytes:
    lines = io.BytesIO()
    write_ndjson(pa.record_batch([array], names=["t"]), lines)
    return lines.getvalue()


@given(TOGETHER, st.sampled_from(list(UNITS_PER_SECOND)), st.integers(0, 3), st.integers(0, 3))
def test_texts_are_those_of_arrow_rs(found: list[tuple[int, int, int]], unit: str, nulls: int, start: int) -> None:
    ticks = UNITS_PER_SECOND[unit]
    values = [(second * 10**9 + rest // zeros * zeros) // (10**9 // ticks) for second, rest, zeros in found]
    array = pa.array([*values, *[None] * nulls], pa.timestamp(unit, "UTC")).slice(start)
    texts = moments(array, "t")
    texts.validate(full=True)
    assert texts.type == (pa.string() if array.null_count < len(array) else array.type)
    assert by_arrow_rs(texts) == by_arrow_rs(array)


@pytest.mark.parametrize("unit", UNITS_PER_SECOND)
def test_years_far_away_are_for_arrow_rs(unit: str) -> None:
    ticks = UNITS_PER_SECOND[unit]
    for inside in (FIRST * ticks, (LAST + 1) * ticks - 1):
        array = pa.array([inside], pa.timestamp(unit, "UTC"))
        assert by_arrow_rs(moments(array, "t")) == by_arrow_rs(array)
        assert moments(array, "t").type == pa.string()
    for outside in (FIRST * ticks - 1, (LAST + 1) * ticks):
        array = pa.array([0, outside], pa.timestamp(unit, "UTC"))
        assert moments(array, "t") is array


def test_what_lies_below_a_null_does_not_matter() -> None:
    values = pa.array([0, 2**62, 5]).buffers()[1]
    valid = pa.array([True, False, True]).buffers()[1]
    array = pa.Array.from_buffers(pa.timestamp("us", "UTC"), 3, [valid, values])
    assert moments(array, "t").to_pylist() == ["1970-01-01T00:00:00Z", None, "1970-01-01T00:00:00.000005Z"]


@given(st.lists(st.none() | st.integers(FIRST // 86_400, LAST // 86_400), max_size=9), st.integers(0, 3))
def test_dates_are_those_of_arrow_rs(days: list[int | None], start: int) -> None:
    array = pa.array(days, pa.date32()).slice(start)
    texts = moments(array, "d")
    texts.validate(full=True)
    assert texts.type == (pa.string() if array.null_count < len(array) else array.type)
    assert by_arrow_rs(texts) == by_arrow_rs(array)
    assert moments(array.cast(pa.date64()), "d").equals(texts)


@pytest.mark.parametrize("outside", [FIRST // 86_400 - 1, LAST // 86_400 + 1])
def test_dates_far_away_are_for_arrow_rs(outside: int) -> None:
    array = pa.array([0, outside], pa.date32())
    assert moments(array, "d").equals(array)
