"""Which exports are late: each is judged once, at its last moment, whenever the ticks come."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from dataset_export.alerts.alert import DEFAULT_LATE_AFTER, Event
from dataset_export.alerts.lateness import SHOWN, judged_between, late_alert, late_key
from dataset_export.export.schedule import Frequency, make_schedule

START = datetime(2026, 11, 1, 8, tzinfo=UTC)
HOURLY = make_schedule(Frequency.CRON, START, cron="0 * * * *", end=START + timedelta(hours=30))


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def test_s8_late_is_more_than_150_minutes_after_the_export_time() -> None:
    assert minutes(150) == DEFAULT_LATE_AFTER
    last = START + minutes(150)
    assert list(judged_between(HOURLY, DEFAULT_LATE_AFTER, START, last - minutes(1))) == []
    assert list(judged_between(HOURLY, DEFAULT_LATE_AFTER, START, last)) == [START]
    assert list(judged_between(HOURLY, DEFAULT_LATE_AFTER, last, last + minutes(59))) == []


@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=20),
    st.integers(1, 300),
    st.sampled_from(["0 * * * *", "0 */6 * * *", "17 3 * * *", "*/30 * * * *"]),
)
def test_every_export_time_is_judged_once_however_the_ticks_fall(waits: list[int], limit: int, cron: str) -> None:
    schedule = make_schedule(Frequency.CRON, START, cron=cron, end=START + timedelta(hours=30))
    now, judged = START - minutes(1), []
    for wait in waits:
        judged += judged_between(schedule, minutes(limit), now, now + minutes(wait))
        now += minutes(wait)
    assert judged == [time for time in schedule.export_times(now) if time + minutes(limit) <= now]


def test_once_is_judged_once() -> None:
    once = make_schedule(Frequency.ONCE, START, end="never")
    assert list(judged_between(once, minutes(60), START, START + timedelta(days=800))) == [START]
    assert list(judged_between(once, minutes(60), START + minutes(61), START + timedelta(days=800))) == []


def test_one_alert_names_all_that_turned_out_late_at_once() -> None:
    missing = {START + timedelta(hours=n): ("orders", "events") for n in (1, 0)}
    alert = late_alert("flow", missing, minutes(150), START + timedelta(hours=5))
    assert alert.event is Event.LATE
    assert alert.title == "flow: export of 2026-11-01 08:00 UTC is late, and 1 more"
    assert alert.keys == (late_key(START), late_key(START + timedelta(hours=1)))
    assert alert.text.splitlines() == [
        "Not delivered 150 minutes after the export time:",
        "2026-11-01 08:00 UTC: orders, events",
        "2026-11-01 09:00 UTC: orders, events",
    ]
    many = {START + timedelta(hours=n): ("orders",) for n in range(SHOWN + 5)}
    assert late_alert("flow", many, minutes(150), START).text.splitlines()[-1] == (
        "and 5 more, the last 2026-11-03 04:00 UTC"
    )
