"""Export times: frequencies (spec S4), start and end (spec S5), and Dagster's partitions over them."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from itertools import pairwise
from typing import Any

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_export.errors import ConfigError, UsageError
from dataset_export.export.cron import check_cron
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


@given(
    start=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)),
    step=st.sampled_from([3, 6, 8, 12]),
    at=st.none() | st.times(),
)
def test_s4_hourly_export_times_are_a_step_apart_and_fall_on_the_time(
    start: datetime, step: int, at: time | None
) -> None:
    start = start.replace(second=0, microsecond=0, tzinfo=UTC)
    schedule = make_schedule(Frequency.HOURLY, start, every_hours=step, at=f"{at:%H:%M}" if at else None)
    times = list(schedule.export_times(start + timedelta(days=4)))
    assert start <= times[0] < start + timedelta(hours=step)
    assert {later - earlier for earlier, later in pairwise(times)} == {timedelta(hours=step)}
    anchor = at or start.time()
    assert (anchor.hour, anchor.minute) in {(time.hour, time.minute) for time in times}
    if at is None:
        assert times[0] == start


@given(
    start=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)),
    at=st.none() | st.times(),
)
def test_s4_daily_export_times_are_a_day_apart(start: datetime, at: time | None) -> None:
    start = start.replace(second=0, microsecond=0, tzinfo=UTC)
    schedule = make_schedule(Frequency.DAILY, start, at=f"{at:%H:%M}" if at else None)
    times = list(schedule.export_times(start + timedelta(days=4)))
    assert start <= times[0] < start + timedelta(days=1)
    assert {later - earlier for earlier, later in pairwise(times)} == {timedelta(days=1)}
    anchor = at or start.time()
    assert (times[0].hour, times[0].minute) == (anchor.hour, anchor.minute)


@given(start=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)))
def test_s4_once_is_at_the_start(start: datetime) -> None:
    """Also on the 29th of February, which its cron meets again only years later."""
    start = start.replace(second=0, microsecond=0, tzinfo=UTC)
    schedule = make_schedule(Frequency.ONCE, start)
    assert list(schedule.export_times(start + timedelta(days=3000))) == [start]
    assert schedule.next_export_times(start - timedelta(minutes=1), 5) == [start]
    assert schedule.next_export_times(start, 5) == []


def test_s4_any_cron() -> None:
    schedule = make_schedule(Frequency.CRON, START, cron="30 4 * * mon-fri")
    assert keys(schedule, START + timedelta(days=8)) == [f"2026110{day}0430" for day in (2, 3, 4, 5, 6, 9)]


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        (None, "needs the field cron"),
        ("@daily", "five are expected"),
        ("0 0 30 2 *", "never happens"),
        ("0 0 31 4 0", "never happens"),
        ("61 * * * *", "not valid"),
        ("0 0 * * fri-mon", "not valid"),
        ("0 5-5 * * *", "write 5"),
        ("0 0 * * MON-mon/2", "write MON"),
        ("0 4-19,* * * *", "write the '\\*' alone"),
        ("0 0 */16 * mon", r"1,11,21 instead of \*/10"),
        ("0 0 1 * */2", "programs read differently"),
        ("0 0 LW * *", "some programs only"),
    ],
)
def test_s4_a_cron_that_programs_read_differently_is_refused(cron: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_cron(cron)


def test_s5_default_end_is_six_months_after_the_start() -> None:
    assert make_schedule(Frequency.DAILY, START).end == datetime(2027, 5, 1, 8, tzinfo=UTC)
    assert make_schedule(Frequency.DAILY, datetime(2026, 8, 31, tzinfo=UTC)).end == datetime(2027, 2, 28, tzinfo=UTC)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2999, 1, 1)))
def test_s5_six_months_later_is_the_same_day_or_the_last_of_the_month(start: datetime) -> None:
    start = start.replace(second=0, microsecond=0, tzinfo=UTC)
    end = make_schedule(Frequency.DAILY, start).end
    assert end is not None
    assert (end.year * 12 + end.month) - (start.year * 12 + start.month) == 6
    assert end.time() == start.time()
    assert end.day == start.day or (end.day < start.day and (end + timedelta(days=1)).day == 1)


def test_s5_dataflows_created_before_november_2024_end_on_2025_09_01() -> None:
    schedule = make_schedule(Frequency.DAILY, datetime(2024, 3, 1, tzinfo=UTC), created=datetime(2024, 10, 31, 23))
    assert schedule.end == datetime(2025, 9, 1, tzinfo=UTC)
    later = make_schedule(Frequency.DAILY, datetime(2024, 11, 1, tzinfo=UTC), created=datetime(2024, 11, 1))
    assert later.end == datetime(2025, 5, 1, tzinfo=UTC)


@given(
    start=st.datetimes(datetime(2020, 1, 1), datetime(2025, 8, 31)),
    created=st.datetimes(datetime(2020, 1, 1), datetime(2026, 12, 31)),
    end=st.sampled_from([None, "never", "2026-02-01"]),
)
def test_s5_the_legacy_rule_is_for_old_dataflows_without_an_end(
    start: datetime, created: datetime, end: str | None
) -> None:
    start = start.replace(second=0, microsecond=0)
    schedule = make_schedule(Frequency.DAILY, start, end=end, created=created)
    legacy = end is None and created < datetime(2024, 11, 1)
    assert schedule.end == (
        datetime(2025, 9, 1, tzinfo=UTC) if legacy else make_schedule(Frequency.DAILY, start, end=end).end
    )


def test_s5_an_old_dataflow_that_starts_after_the_legacy_end_is_told_why() -> None:
    with pytest.raises(ConfigError, match=r"created before 2024-11-01 and has no end, .* write an end"):
        make_schedule(Frequency.DAILY, START, created=datetime(2024, 1, 1))


@pytest.mark.parametrize("end", [date(2026, 11, 3), "2026-11-03", "20261103", "2026-W45-2"])
def test_s5_a_date_means_the_end_of_that_day(end: date | str) -> None:
    schedule = make_schedule(Frequency.DAILY, START, at="23:59", end=end)
    assert keys(schedule, START + timedelta(days=9)) == ["202611012359", "202611022359", "202611032359"]


@given(day=st.dates(date(2026, 11, 1), date(2030, 12, 31)))
def test_s5_every_export_time_of_the_last_day_is_before_its_end(day: date) -> None:
    schedule = make_schedule(Frequency.CRON, START, cron="59 * * * *", end=day.isoformat())
    midnight = datetime.combine(day + timedelta(days=1), time(), UTC)
    assert schedule.end == midnight
    assert schedule.next_export_times(midnight - timedelta(hours=1), 9) == [midnight - timedelta(minutes=1)]
    assert schedule.ended(midnight - timedelta(minutes=1))


@pytest.mark.parametrize(
    ("end", "last"),
    [
        ("2026-11-03T08:00", datetime(2026, 11, 2, 8, tzinfo=UTC)),
        ("2026-11-03T08:01", datetime(2026, 11, 3, 8, tzinfo=UTC)),
        ("2026-11-03T10:00+02:00", datetime(2026, 11, 2, 8, tzinfo=UTC)),
        ("2026-11-03T00:00", datetime(2026, 11, 2, 8, tzinfo=UTC)),
    ],
)
def test_s5_a_time_is_exclusive_and_in_utc(end: str, last: datetime) -> None:
    schedule = make_schedule(Frequency.DAILY, START, end=end)
    assert list(schedule.export_times(START + timedelta(days=99)))[-1] == last


def test_s5_no_export_time_at_or_after_the_end() -> None:
    schedule = make_schedule(Frequency.DAILY, START, end=START + timedelta(days=2))
    assert keys(schedule, START + timedelta(days=9)) == ["202611010800", "202611020800"]
    with pytest.raises(UsageError, match="at or after the end"):
        schedule.check_export_time(START + timedelta(days=2), START + timedelta(days=9))


@given(
    fields=st.sampled_from(
        [
            (Frequency.DAILY, {}),
            (Frequency.HOURLY, {"every_hours": 3}),
            (Frequency.HOURLY, {"every_hours": 8}),
            (Frequency.CRON, {"cron": "*/20 * * * *"}),
            (Frequency.ONCE, {}),
        ]
    ),
    minutes=st.integers(1, 60 * 24 * 20),
    elapsed=st.integers(0, 60 * 24 * 30),
)
def test_s5_whatever_the_frequency_all_export_times_are_before_the_end(
    fields: tuple[Frequency, dict[str, Any]], minutes: int, elapsed: int
) -> None:
    end, now = START + timedelta(minutes=minutes), START + timedelta(minutes=elapsed)
    schedule = make_schedule(fields[0], START, end=end, **fields[1])
    times = list(schedule.export_times(now))
    assert all(START <= time < end and time <= now for time in times)
    assert schedule.ended(now) == (schedule.next_export_times(now, 1) == [])
    if now >= end:
        assert schedule.ended(now)
    for coming in schedule.next_export_times(now, 3):
        assert now < coming < end


@given(st.datetimes(datetime(2026, 11, 2), datetime(2300, 1, 1)))
def test_s5_never_has_no_end(now: datetime) -> None:
    schedule = make_schedule(Frequency.DAILY, START, end="never")
    assert schedule.end is None
    assert not schedule.ended(now.replace(tzinfo=UTC))


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
        (Frequency.CRON, {"cron": "0 0 30 2 *"}, "never happens"),
        (Frequency.CRON, {"cron": "0 1 * * *", "at": "02:00"}, "takes no 'at'"),
        (Frequency.DAILY, {"end": "someday"}, "neither a date"),
        (Frequency.DAILY, {"end": START}, "not after start"),
        (Frequency.DAILY, {"end": "9999-12-31"}, "years 1970 and 9900; write end: never"),
        (Frequency.CRON, {"cron": "0 0 1 1 *", "end": "2026-11-05"}, "comes before the first export time"),
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


def cron_fields(low: int, high: int, *words: str) -> st.SearchStrategy[str]:
    """A field of a cron expression, of every form."""
    value = st.integers(low, high)
    span = st.tuples(value, value).map(sorted)
    term = st.one_of(
        value.map(str),
        span.map(lambda ends: f"{ends[0]}-{ends[1]}"),
        st.tuples(span, st.integers(1, 7)).map(lambda both: f"{both[0][0]}-{both[0][1]}/{both[1]}"),
        st.integers(1, high).map(lambda step: f"*/{step}"),
        st.sampled_from(["*", *words]),
    )
    return st.one_of(st.just("*"), term, st.lists(term, min_size=2, max_size=3).map(",".join))


CRONS = st.sampled_from(
    [
        "0 8 * * *",
        "30 2-23/3 * * *",
        "* * * * *",
        "5 4 * * 1-5",
        "0 0 1 * *",
        "30 4 1,15 * *",
        "0 0 L * *",
        "0 0 1,15 * mon",
    ]
) | st.tuples(
    cron_fields(0, 59),
    cron_fields(0, 23),
    cron_fields(1, 31, "L"),
    cron_fields(1, 12, "jan", "NOV"),
    cron_fields(0, 7, "mon", "MON-FRI"),
).map(" ".join)


@given(
    cron=CRONS,
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
    for due in list(schedule.export_times(now))[:3]:
        schedule.check_export_time(due, now)


def test_the_next_export_time_is_the_next_one_to_the_second() -> None:
    schedule = make_schedule(Frequency.DAILY, START, end=START + timedelta(hours=30))
    last = START + timedelta(days=1)
    assert schedule.next_export_times(last - timedelta(seconds=10), 1) == [last]
    assert not schedule.ended(last - timedelta(seconds=10))
    assert schedule.next_export_times(last, 1) == []
