"""Bounds of many files at once are those of each."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_export.lake.timestamp_bounds import lower_bound, lower_bounds, upper_bound, upper_bounds

TEXTS = st.sampled_from(["2026-11-01T08:00:00.000Z", "2026-11-01 08:00:00", "2026-11-01", "soon", ""])
FILES = st.lists(
    st.tuples(st.none() | st.datetimes(timezones=st.just(UTC)), st.none() | TEXTS, st.none() | st.integers(0, 2))
)


@given(FILES)
@pytest.mark.parametrize("zone", ["UTC", None])
def test_bounds_of_many_files_are_those_of_each(
    zone: str | None, files: list[tuple[datetime | None, str | None, int | None]]
) -> None:
    nulls = [count for *_, count in files]
    for place, kind in ((0, pa.timestamp("us", zone)), (1, pa.string())):
        values = [file[place] for file in files]
        column = pa.array([v.replace(tzinfo=None) if isinstance(v, datetime) and not zone else v for v in values], kind)
        assert lower_bounds(column) == [lower_bound(value) for value in values]
        assert upper_bounds(column, pa.array(nulls, pa.int64())) == [
            upper_bound(value, count) for value, count in zip(values, nulls, strict=True)
        ]


def test_a_moment_that_python_does_not_have_bounds_nothing() -> None:
    column = pa.array([253402300800000000, -62135596800000001, 0], pa.timestamp("us", "UTC"))
    assert lower_bounds(column) == [None, None, "1970-01-01T00:00:00.000000+00:00"]
    assert upper_bounds(column, pa.array([0, 0, 0])) == [None, None, "1970-01-01T00:00:00.001000+00:00"]
