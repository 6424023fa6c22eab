"""Used, share and forecast of a licence year (spec S9)."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_export.governance.licenses import Application, License, Licenses, Thresholds, Tier
from dataset_export.governance.usage import DeliveredBytes, Level, Usage, bytes_text, measure
from dataset_export.governance.usage_picture import usage_png

BEGIN = date(2026, 1, 1)
YEAR = [BEGIN + timedelta(days=i) for i in range(365)]
LICENSES = Licenses((License(Application.REAL_TIME_CDP, Tier.PRIME, 2),))
"""One megabyte a year."""


def usage(delivered: DeliveredBytes, today: date, licenses: Licenses | None = LICENSES) -> Usage:
    return measure(delivered, licenses, datetime.combine(today, time(12), UTC))


def test_s9_usage_is_what_was_delivered_in_the_licence_year_by_dataflow() -> None:
    found = usage(
        {
            ("a", "x"): {date(2025, 12, 31): 7, BEGIN: 100, date(2026, 3, 1): 50},
            ("a", "y"): {date(2026, 3, 1): 1},
            ("b", "x"): {date(2026, 3, 2): 200_000},
            ("c", "x"): {date(2025, 12, 31): 7},
        },
        date(2026, 3, 2),
    )
    assert [(one.dataflow, one.used) for one in found.dataflows] == [("b", 200_000), ("a", 151)]
    assert found.days == {"a": {BEGIN: 100, date(2026, 3, 1): 51}, "b": {date(2026, 3, 2): 200_000}}
    assert (found.used, found.entitled, found.share) == (200_151, 1_000_000, 0.200151)


def test_s9_the_next_licence_year_begins_at_nothing() -> None:
    delivered = {("a", "x"): {date(2026, 12, 31): 900_000}}
    assert usage(delivered, date(2026, 12, 31)).level is Level.WARN
    after = usage(delivered, date(2027, 1, 1))
    assert (after.used, after.dataflows, after.forecast, after.level) == (0, (), None, Level.OK)


@given(st.integers(1, 10**12), st.integers(2, 364))
def test_s9_a_steady_pace_goes_on_to_the_end_of_the_year(daily: int, today: int) -> None:
    found = usage({("a", "x"): dict.fromkeys(YEAR[:today], daily)}, YEAR[today])
    assert found.forecast == pytest.approx(365 * daily, rel=1e-9)
    # What came today already is not expected a second time.
    again = usage({("a", "x"): dict.fromkeys(YEAR[: today + 1], daily)}, YEAR[today])
    assert again.forecast == found.forecast


@given(
    st.dictionaries(st.integers(0, 300), st.integers(1, 10**9), min_size=1),
    st.integers(0, 10**12),
    st.integers(300, 364),
)
def test_s9_the_first_export_of_everything_is_counted_and_not_forecast(
    daily: dict[int, int], backfill: int, today: int
) -> None:
    days = {YEAR[day]: count for day, count in daily.items() if day <= today}
    more = {**days, min(days): days[min(days)] + backfill}
    less, found = (usage({("a", "x"): one}, YEAR[today]).forecast for one in (days, more))
    if min(days) == YEAR[today]:
        assert (less, found) == (None, None)
    else:
        assert less is not None
        assert found == pytest.approx(less + backfill, abs=1)
        assert found >= sum(more.values())


def test_s9_the_forecast_forgets_what_is_longer_ago_than_four_weeks() -> None:
    days = {YEAR[0]: 500, YEAR[10]: 1000, **dict.fromkeys(YEAR[72:100], 10)}
    assert usage({("a", "x"): days}, YEAR[100]).forecast == 500 + 1000 + 28 * 10 + 265 * 10
    stopped = {day: count for day, count in days.items() if day < YEAR[20]}
    assert usage({("a", "x"): stopped}, YEAR[100]).forecast == 1500


def test_s9_no_forecast_before_a_full_day() -> None:
    found = usage({("a", "x"): {YEAR[9]: 10}}, YEAR[10])
    assert (found.forecast, found.dataflows[0].forecast) == (None, None)
    mixed = usage({("a", "x"): {YEAR[9]: 10}, ("a", "y"): {YEAR[1]: 1, YEAR[9]: 8}}, YEAR[10])
    assert mixed.forecast == 10 + 9 + 355


@pytest.mark.parametrize(
    ("warn", "block", "used", "level"),
    [
        (0.8, None, 799_999, Level.OK),
        (0.8, None, 800_000, Level.WARN),
        (0.8, None, 5_000_000, Level.WARN),
        (0.8, 1.0, 999_999, Level.WARN),
        (0.8, 1.0, 1_000_000, Level.BLOCK),
        (None, 0.5, 499_999, Level.OK),
        (None, 0.5, 500_000, Level.BLOCK),
        (None, None, 5_000_000, Level.OK),
    ],
)
def test_s9_thresholds_are_shares(warn: float | None, block: float | None, used: int, level: Level) -> None:
    licenses = Licenses(LICENSES.applications, thresholds=Thresholds(warn, block))
    assert usage({("a", "x"): {BEGIN: used}}, BEGIN, licenses).level is level


def test_s9_without_licences_bytes_are_counted_against_nothing() -> None:
    found = usage({("a", "x"): {BEGIN: 10**15}}, BEGIN, None)
    assert (found.used, found.entitled, found.share, found.level) == (10**15, None, None, Level.OK)
    assert str(found) == "1.00 PB are used in the licence year 2026-01-01 to 2026-12-31"


def test_usage_in_a_sentence() -> None:
    found = usage({("a", "x"): {YEAR[0]: 500_000, YEAR[1]: 10_000}}, YEAR[2])
    assert str(found) == (
        "510 KB (51.0%) are used in the licence year 2026-01-01 to 2026-12-31, of 1.00 MB that the licences entitle to; at "
        "the pace of the last weeks it will be 4.14 MB (414.0%)"
    )


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.00 KB"),
        (98_760, "98.8 KB"),
        (5 * 10**17, "500 PB"),
        (10**19, "10000 PB"),
    ],
)
def test_bytes_for_people(count: int, text: str) -> None:
    assert bytes_text(count) == text


@pytest.mark.parametrize("dataflows", [0, 1, 12])
@pytest.mark.parametrize("licenses", [LICENSES, None])
def test_the_picture_is_a_small_png(dataflows: int, licenses: Licenses | None) -> None:
    delivered = {(f"flow{i}", "x"): dict.fromkeys(YEAR[i : 200 + i], 100 + i) for i in range(dataflows)}
    png = usage_png(usage(delivered, YEAR[220], licenses))
    assert png.startswith(b"\x89PNG\r\n")
    assert 2_000 < len(png) < 60_000
