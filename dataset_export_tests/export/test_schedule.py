"""Export times: frequencies (spec S4), start and end (spec S5), and Dagster's partitions over them."""

from datetime import UTC, date, datetime, timedelta, timezone

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_export.errors import ConfigError, UsageError
from dataset_export.export.schedule import Frequency, Schedule, format_export_time, make_schedule, parse_export_time
from dataset_export.orchestration.partitions import partitions_of

START = datetime(2026, 11, 1, 8, tzinfo=UTC)


def keys(schedule: Schedule, until: datetime) -> list[str]:
    return [format_export_time(time) for time in schedule.export_times(until)]


def test_s4_daily_at_a_time() -> None:
    schedule = make_schedule(Frequency.DAILY, START, at="02:30")
    assert keys(schedule, START + timedelta(days=2)) == ["202611020230", "202611030230"]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (3, ["202611010800", "202611011100", "202611011400"]),
        (6, ["202611010800", "202611011400", "202611012000"]),
        (8, ["202611010800", "202611011600", "202611020000"]),
        (12, ["202611010800", "202611012000", "202611020800"]),
    ],
)
def test_s4_hourly_every_3_6_8_12_hours_from_a_time(step: int, expected: list[str]) -> None:
    schedule = make_schedule(Frequency.HOURLY, START, every_hours=step)
    assert keys(schedule, START + timedelta(days=2))[:3] == expected


def test_s4_once_has_one_export_time() -> None:
    schedule = make_schedule(Frequency.ONCE, START, end="never")
    assert keys(schedule, START + timedelta(days=900)) == ["202611010800"]
    assert schedule.ended(START)
    assert not schedule.ended(START - timedelta(minutes=1))


def test_s5_default_end_is_six_months_after_the_start() -> None:
    assert make_schedule(Frequency.DAILY, START).end == datetime(2027, 5, 1, 8, tzinfo=UTC)
    assert make_schedule(Frequency.DAILY, datetime(2026, 8, 31, tzinfo=UTC)).end == datetime(2027, 2, 28, tzinfo=UTC)


def test_s5_dataflows_created_before_november_2024_end_on_2025_09_01() -> None:
    schedule = make_schedule(Frequency.DAILY, datetime(2024, 3, 1, tzinfo=UTC), created=datetime(2024, 10, 31, 23))
    assert schedule.end == datetime(2025, 9, 1, tzinfo=UTC)
    later = make_schedule(Frequency.DAILY, datetime(2024, 11, 1, tzinfo=UTC), created=datetime(2024, 11, 1))
    assert later.end == datetime(2025, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize("end", [date(2026, 11, 3), "2026-11-03"])
def test_s5_a_date_means_the_end_of_that_day(end: date | str) -> None:
    schedule = make_schedule(Frequency.DAILY, START, at="23:59", end=end)
    assert keys(schedule, START + timedelta(days=9)) == ["202611012359", "202611022359", "202611032359"]


def test_s5_no_export_time_at_or_after_the_end() -> None:
    schedule = make_schedule(Frequency.DAILY, START, end=START + timedelta(days=2))
    assert keys(schedule, START + timedelta(days=9)) == ["202611010800", "202611020800"]
    with pytest.raises(UsageError, match="at or after the end"):
        schedule.check_export_time(START + timedelta(days=2), START + timedelta(days=9))


def test_times_of_other_zones_are_converted_not_relabelled() -> None:
    berlin = timezone(timedelta(hours=2))
    assert make_schedule(Frequency.DAILY, datetime(2026, 11, 1, 10, tzinfo=berlin)).start == START


@pytest.mark.parametrize(
    ("frequency", "fields", "message"),
    [
        (Frequency.HOURLY, {"every_hours": 5}, "3, 6, 8 or 12"),
        (Frequency.HOURLY, {}, "3, 6, 8 or 12"),
        (Frequency.DAILY, {"at": "25:00"}, "HH:MM"),
        (Frequency.DAILY, {"every_hours": 3}, "hourly"),
        (Frequency.DAILY, {"cron": "* * * * *"}, "frequency: cron"),
        (Frequency.CRON, {}, "needs the field cron"),
        (Frequency.CRON, {"cron": "* * * *"}, "five are expected"),
        (Frequency.CRON, {"cron": "0 0 30 2 *"}, "not valid or never"),
        (Frequency.CRON, {"cron": "0 1 * * *", "at": "02:00"}, "takes no 'at'"),
        (Frequency.DAILY, {"end": "someday"}, "neither a date"),
        (Frequency.DAILY, {"end": START}, "not after start"),
        (Frequency.CRON, {"cron": "0 0 1 1 *", "end": "2026-11-05"}, "no export time lies between"),
    ],
)
def test_what_cannot_be_a_schedule(frequency: Frequency, fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_schedule(frequency, START, **fields)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("text", ["20261101", "202613010800", "yesterday", "", "2026110108000"])
def test_what_is_no_export_time(text: str) -> None:
    with pytest.raises(UsageError, match="YYYYMMDDHHMM"):
        parse_export_time(text)


@given(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)))
def test_an_export_time_reads_back(moment: datetime) -> None:
    moment = moment.replace(second=0, microsecond=0, tzinfo=UTC)
    assert parse_export_time(format_export_time(moment)) == moment


CRONS = ["0 8 * * *", "30 2-23/3 * * *", "15 0-23/8 * * *", "* * * * *", "5 4 * * 1-5", "0 0 1 * *", "30 4 1,15 * *"]


@given(
    cron=st.sampled_from(CRONS),
    start=st.integers(0, 60 * 24 * 40),
    length=st.one_of(st.none(), st.integers(1, 60 * 24 * 80)),
    elapsed=st.integers(-60 * 24, 60 * 24 * 5),
)
def test_partition_keys_are_the_export_times(cron: str, start: int, length: int | None, elapsed: int) -> None:
    """What Dagster lists as partitions and what we export are the same set, at any time."""
    begin = START + timedelta(minutes=start)
    end = "never" if length is None else begin + timedelta(minutes=length)
    try:
        schedule = make_schedule(Frequency.CRON, begin, cron=cron, end=end)
    except ConfigError:
        return  # No export time lies in so short a span.
    now = begin + timedelta(minutes=elapsed)
    with dg.partition_loading_context(effective_dt=now):
        listed = list(partitions_of(schedule).get_partition_keys())
    if now < schedule.first_tick_from(begin):
        # Dagster lists the first key ahead of its time; `check_export_time` refuses it until then.
        assert set(listed) <= {format_export_time(schedule.first_tick_from(begin))}
        assert keys(schedule, now) == []
    else:
        assert listed == keys(schedule, now)
    for time in list(schedule.export_times(now))[:3]:
        schedule.check_export_time(time, now)
