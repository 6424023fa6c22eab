"""Estimates by what earlier exports took, and by defaults before there are any."""

from hypothesis import given
from hypothesis import strategies as st

from dataset_export.encoding.contract import Way
from dataset_export.export.estimate import DEFAULTS, Measured, estimate


def test_earlier_exports_count_by_their_size() -> None:
    measured = [Measured(source_bytes=900, bytes=450, seconds=9), Measured(source_bytes=100, bytes=150, seconds=11)]
    found = estimate([(300, Way.REWRITE), (200, None)], measured)
    assert (found.bytes, found.seconds, found.exports) == (300, 10, 2)


def test_without_earlier_exports_each_way_has_its_default() -> None:
    assert estimate([(200_000_000, Way.PASS_THROUGH)], []).seconds == 1
    assert estimate([(7, Way.PASS_THROUGH)], []).bytes == 7
    assert estimate([(10, Way.DROPPED)], []).bytes == 0
    assert estimate([], []).bytes == 0
    assert set(DEFAULTS) == set(Way)


@given(st.lists(st.tuples(st.integers(0, 10**12), st.sampled_from([*Way, None]))))
def test_the_whole_is_about_the_sum_of_its_files(files: list[tuple[int, Way | None]]) -> None:
    whole = estimate(files, [])
    parts = [estimate([file], []) for file in files]
    assert abs(whole.bytes - sum(part.bytes for part in parts)) <= len(files)
    assert whole.seconds >= 0
