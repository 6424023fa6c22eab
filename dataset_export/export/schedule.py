"""When exports happen: frequency, start, end, and the export times between them (spec S4, S5). All times are UTC."""

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

from dataset_export.errors import ConfigError, UsageError
from dataset_export.export.cron import check_cron

EXPORT_TIME_FORMAT = "%Y%m%d%H%M"
"""An export time as text: the Dagster partition key and the `exportTime=` folder (`202611010800`)."""

HOURLY_STEPS = (3, 6, 8, 12)
DEFAULT_MONTHS = 6
LEGACY_CREATED_BEFORE = datetime(2024, 11, 1, tzinfo=UTC)
LEGACY_END = datetime(2025, 9, 1, tzinfo=UTC)


class Frequency(StrEnum):
    """How often a dataflow exports (spec S4)."""

    ONCE = "once"
    DAILY = "daily"
    HOURLY = "hourly"
    CRON = "cron"


@dataclass(frozen=True)
class Schedule:
    """The export times of a dataflow: ticks of `cron` from `start` (inclusive) to `end` (exclusive; None is never).

    Build it with `make_schedule`, which applies the rules for defaults.
    """

    frequency: Frequency
    cron: str
    start: datetime
    end: datetime | None

    @property
    def once(self) -> bool:
        """Whether there is one export time only."""
        return self.frequency is Frequency.ONCE

    def export_times(self, until: datetime) -> Iterator[datetime]:
        """Export times at or before `until`, oldest first, none at or after the end (spec S5)."""
        for tick in self._ticks(self.start):
            if tick > until or (self.end is not None and tick >= self.end):
                return
            yield tick
            if self.once:
                return

    def next_export_times(self, after: datetime, count: int) -> list[datetime]:
        """The first `count` export times later than `after`."""
        if self.once:
            return [tick for tick in self.export_times(datetime.max.replace(tzinfo=UTC)) if tick > after]
        coming: list[datetime] = []
        for tick in self._ticks(max(self.start, after)):
            if len(coming) == count or (self.end is not None and tick >= self.end):
                break
            if tick > after:
                coming.append(tick)
        return coming

    def first_tick_from(self, moment: datetime) -> datetime:
        """The first tick of the cron at or after a moment, whether or not the dataflow has ended by then."""
        return next(self._ticks(moment))

    def ended(self, now: datetime) -> bool:
        """Whether no further export time will come."""
        return not self.next_export_times(now, 1)

    def has(self, moment: datetime) -> bool:
        """Whether a moment is one of the export times, whenever it is."""
        if moment < self.start or (self.end is not None and moment >= self.end):
            return False
        return moment == self.first_tick_from(self.start if self.once else moment)

    def check_export_time(self, export_time: datetime, now: datetime) -> None:
        """Raise UsageError, saying which and why, unless this is an export time that is due."""
        key = format_export_time(export_time)
        if export_time < self.start:
            raise UsageError(f"export time {key} is before the start of the dataflow, {format_export_time(self.start)}")
        if self.end is not None and export_time >= self.end:
            raise UsageError(
                f"export time {key} is at or after the end of the dataflow, {format_export_time(self.end)}"
            )
        if not self.has(export_time):
            near = ", ".join(format_export_time(t) for t in self.next_export_times(export_time, 2)) or "none"
            raise UsageError(
                f"{key} is none of the dataflow's export times (cron '{self.cron}' in UTC); the next ones after it: {near}"
            )
        if export_time > now:
            raise UsageError(f"export time {key} lies in the future; it is {format_export_time(now)} UTC now")

    def _ticks(self, moment: datetime) -> Iterator[datetime]:
        from cronsim import CronSim

        # CronSim gives ticks later than its start; a minute earlier makes the moment itself one of them.
        yield from (tick for tick in CronSim(self.cron, moment - timedelta(minutes=1)) if tick >= moment)


def make_schedule(
    frequency: Frequency,
    start: datetime,
    *,
    at: str | None = None,
    every_hours: int | None = None,
    cron: str | None = None,
    end: datetime | date | str | None = None,
    created: datetime | None = None,
) -> Schedule:
    """Build a schedule from what a person writes.

    Args:
        frequency: once, daily, hourly or cron.
        start: no export time is earlier (aware datetimes are converted to UTC, naive ones are UTC).
        at: `HH:MM` of daily exports, or one of the times of day of hourly ones; default: the start's time of day.
        every_hours: 3, 6, 8 or 12, for hourly.
        cron: five fields, for cron.
        end: no export time is at or after it; a date means the end of that day; `"never"` is no end; None is the
            default: six months after `start`, or 2025-09-01 for a dataflow created before 2024-11-01 (spec S5).
        created: when the dataflow was first declared; only the default end depends on it.

    Raises:
        ConfigError: for a field that is missing, superfluous or out of range, or an end that leaves no export time.
    """
    _check_year("start", start)
    start = to_utc(start)
    if start.second or start.microsecond:
        raise ConfigError(f"start {start.isoformat()} has seconds, and export times are whole minutes; leave them out")
    expression = _cron_expression(frequency, start, at, every_hours, cron)
    last = _resolve_end(end, start, created)
    if last is not None and last <= start:
        raise ConfigError(f"end {last.isoformat()} is not after start {start.isoformat()}; set a later end")
    schedule = Schedule(frequency=frequency, cron=expression, start=start, end=last)
    first = schedule.first_tick_from(start)
    if last is not None and first >= last:
        raise ConfigError(
            f"end {last.isoformat()} comes before the first export time after start {start.isoformat()}; set a later end"
        )
    return schedule


def parse_export_time(text: str) -> datetime:
    """Parse `YYYYMMDDHHMM` (UTC), also as ISO-8601 such as `2026-11-01T08:00Z`.

    Raises:
        UsageError: for anything else.
    """
    if re.fullmatch(r"\d{12}", text):
        try:
            return datetime.strptime(text, EXPORT_TIME_FORMAT).replace(tzinfo=UTC)
        except ValueError:
            pass
    elif not text.isdigit():
        try:
            return to_utc(datetime.fromisoformat(text))
        except ValueError:
            pass
    raise UsageError(f"{text!r} is not an export time; write YYYYMMDDHHMM in UTC, for example 202611010800")


def format_export_time(moment: datetime) -> str:
    """An aware datetime as `YYYYMMDDHHMM` in UTC."""
    return moment.astimezone(UTC).strftime(EXPORT_TIME_FORMAT)


def to_utc(moment: datetime) -> datetime:
    """Convert an aware datetime; take a naive one as UTC. (Dagster relabels instead of converting.)"""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _cron_expression(
    frequency: Frequency, start: datetime, at: str | None, every_hours: int | None, cron: str | None
) -> str:
    if frequency is not Frequency.CRON and cron is not None:
        raise ConfigError(f"frequency {frequency} takes no cron; write frequency: cron")
    if frequency is not Frequency.HOURLY and every_hours is not None:
        raise ConfigError(f"frequency {frequency} takes no every_hours; write frequency: hourly")
    if frequency in {Frequency.CRON, Frequency.ONCE} and at is not None:
        raise ConfigError(
            f"frequency {frequency} takes no 'at', it follows from {'cron' if cron else 'start'}; take it out"
        )
    hour, minute = _time_of_day(at) if at is not None else (start.hour, start.minute)
    match frequency:
        case Frequency.ONCE:
            return f"{start.minute} {start.hour} {start.day} {start.month} *"
        case Frequency.DAILY:
            return f"{minute} {hour} * * *"
        case Frequency.HOURLY:
            if every_hours not in HOURLY_STEPS:
                raise ConfigError(
                    f"every_hours is {'missing' if every_hours is None else every_hours}; hourly exports run every 3, 6, 8 or "
                    "12 hours (or use cron)"
                )
            return f"{minute} {hour % every_hours}-23/{every_hours} * * *"
        case Frequency.CRON:
            return check_cron(cron)


def _time_of_day(at: str) -> tuple[int, int]:
    match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", at)
    if not match:
        raise ConfigError(f"at {at!r} is not a time of day; write HH:MM in UTC, quoted, for example at: '02:00'")
    return int(match[1]), int(match[2])


def _resolve_end(end: datetime | date | str | None, start: datetime, created: datetime | None) -> datetime | None:
    if end == "never":
        return None
    if end is None:
        return _default_end(start, created)
    written = _date_or_time(end) if isinstance(end, str) else end
    _check_year("end", written)
    if isinstance(written, datetime):
        return to_utc(written)
    return datetime.combine(written + timedelta(days=1), time(), UTC)


def _default_end(start: datetime, created: datetime | None) -> datetime:
    if created is None or to_utc(created) >= LEGACY_CREATED_BEFORE:
        return _add_months(start, DEFAULT_MONTHS)
    if start >= LEGACY_END:
        raise ConfigError(
            f"the dataflow was created before {LEGACY_CREATED_BEFORE:%Y-%m-%d} and has no end, so it ends on "
            f"{LEGACY_END:%Y-%m-%d}, which is not after start {start.isoformat()}; write an end"
        )
    return LEGACY_END


def _check_year(what: str, moment: date) -> None:
    # Beyond, arithmetic with times and cron expressions leaves the calendar.
    if not 1970 <= moment.year <= 9900:
        way_out = "; write end: never" if what == "end" and moment.year > 9900 else ""
        raise ConfigError(f"{what} {moment.isoformat()} is not between the years 1970 and 9900{way_out}")


def _date_or_time(end: str) -> datetime | date:
    # A date first: a time may be left out of what reads as a datetime, and would be the begin of the day.
    for parse in (date.fromisoformat, datetime.fromisoformat):
        try:
            return parse(end)
        except ValueError:
            continue
    raise ConfigError(
        f"end {end!r} is neither a date, a time nor 'never'; write 2026-11-02 (the end of that day), 2026-11-02T08:00 or never"
    )


def _add_months(moment: datetime, months: int) -> datetime:
    year, month = divmod(moment.month - 1 + months, 12)
    year, month = moment.year + year, month + 1
    return moment.replace(year=year, month=month, day=min(moment.day, calendar.monthrange(year, month)[1]))
