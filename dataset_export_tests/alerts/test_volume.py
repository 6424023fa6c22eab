"""Which numbers of records stand out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_export.alerts.volume import HISTORY, LEAST_HISTORY, volume_anomaly

COUNTS = st.integers(0, 10_000)
HISTORIES = st.lists(COUNTS, min_size=LEAST_HISTORY, max_size=2 * HISTORY)


@pytest.mark.parametrize(
    ("records", "earlier", "stands_out"),
    [
        (1_000, [1_000] * 28, False),
        (1_400, [1_000] * 28, False),
        (600, [1_000] * 28, False),
        (1_600, [1_000] * 28, True),
        (400, [1_000] * 28, True),
        (0, [1_000] * 28, True),
        (0, [1_000] * 27 + [0], True),
        (0, [1_000] * 26 + [0, 0], False),
        (1_000_000, [1_000] * 6, False),
        (1_000_000, [1_000] * 7, True),
        # A weekend every week is no news; a workday without records is.
        (90, ([1_000, 1_010, 990, 1_020, 1_005, 100, 95] * 4), False),
        (50, ([1_000, 1_010, 990, 1_020, 1_005, 100, 95] * 4), False),
        (0, ([1_000, 1_010, 990, 1_020, 1_005, 100, 95] * 4), True),
        (5_000, ([1_000, 1_010, 990, 1_020, 1_005, 100, 95] * 4), True),
        # Mostly nothing, now and then a load.
        (500, [0, 0, 0, 0, 0, 0, 500] * 4, False),
        (0, [0, 0, 0, 0, 0, 0, 500] * 4, False),
        (5_000, [0, 0, 0, 0, 0, 0, 500] * 4, True),
        (0, [0] * 28, False),
        # What always varies may vary.
        (4_000, [100, 3_000, 700, 2_500, 50, 1_200, 2_900] * 4, False),
    ],
)
def test_s8_a_volume_anomaly(records: int, earlier: list[int], stands_out: bool) -> None:
    found = volume_anomaly(records, earlier)
    assert (found is not None) == stands_out, found


def test_it_says_what_it_compared() -> None:
    assert str(volume_anomaly(0, [5, *[1_000] * 27, 1_200])) == (
        "0 records; the 28 exports before had 1,000 in the median, 1,000 to 1,200"
    )


@given(COUNTS, HISTORIES)
def test_the_order_of_the_last_exports_does_not_matter_and_older_ones_do_not_count(
    records: int, earlier: list[int]
) -> None:
    recent = earlier[-HISTORY:]
    assert volume_anomaly(records, earlier) == volume_anomaly(records, recent)
    assert volume_anomaly(records, recent) == volume_anomaly(records, sorted(recent))


@given(HISTORIES, COUNTS, st.integers(1, 1_000))
def test_what_is_farther_out_stands_out_all_the_more(earlier: list[int], records: int, farther: int) -> None:
    found = volume_anomaly(records, earlier)
    if found is not None and records > found.median:
        assert volume_anomaly(records + farther, earlier) is not None
    if found is not None and records < found.median:
        assert volume_anomaly(max(0, records - farther), earlier) is not None


@given(HISTORIES, st.integers(2, 50), COUNTS)
def test_units_do_not_matter(earlier: list[int], factor: int, records: int) -> None:
    scaled = [one * factor for one in earlier]
    assert (volume_anomaly(records, earlier) is None) == (volume_anomaly(records * factor, scaled) is None)


@given(HISTORIES)
def test_at_most_a_number_that_came_once_before_stands_out(earlier: list[int]) -> None:
    recent = earlier[-HISTORY:]
    for one in set(recent):
        if recent.count(one) > 1:
            assert volume_anomaly(one, recent) is None
