"""How much of a licence year's bytes is used, and how much will be at its end (spec S9)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from dataset_export.governance.entitlement import LicenseYear, entitled_bytes, license_year
from dataset_export.governance.licenses import Licenses, Thresholds

PACE_DAYS = 28
"""The forecast goes on at the pace of so many full days before today: whole weeks, since deliveries follow them."""

DeliveredBytes = Mapping[tuple[str, str], Mapping[date, int]]
"""Bytes delivered on each day (UTC) for each dataflow and dataset."""


class Level(StrEnum):
    """What the thresholds say."""

    OK = "ok"
    WARN = "warn"
    BLOCK = "block"


@dataclass(frozen=True)
class DataflowUsage:
    """The bytes of one dataflow in the licence year: delivered, and forecast for its end (None: no full day yet)."""

    dataflow: str
    used: int
    forecast: int | None


@dataclass(frozen=True)
class Usage:
    """The bytes delivered in a licence year, resends included.

    Attributes:
        year: the licence year.
        today: the day of the measurement (UTC).
        entitled: what the licences entitle to in the year; None without licences.
        thresholds: of the licences.
        dataflows: those that delivered anything, the largest first.
        days: by dataflow and day, of the licence year.
    """

    year: LicenseYear
    today: date
    entitled: int | None
    thresholds: Thresholds
    dataflows: tuple[DataflowUsage, ...]
    days: Mapping[str, Mapping[date, int]]

    @property
    def used(self) -> int:
        """Bytes delivered so far."""
        return sum(one.used for one in self.dataflows)

    @property
    def forecast(self) -> int | None:
        """Bytes at the end of the year, at the pace of the last weeks; None before there was a full day."""
        return _together([(one.used, one.forecast) for one in self.dataflows])

    @property
    def share(self) -> float | None:
        """Of what the licences entitle to; None without licences."""
        return self.share_of(self.used)

    def share_of(self, count: int | None) -> float | None:
        """The share of what the licences entitle to that a number of bytes is."""
        return None if self.entitled is None or count is None else count / self.entitled

    @property
    def level(self) -> Level:
        """What the thresholds say to the share that is used."""
        if self.share is None:
            return Level.OK
        if self.thresholds.block is not None and self.share >= self.thresholds.block:
            return Level.BLOCK
        if self.thresholds.warn is not None and self.share >= self.thresholds.warn:
            return Level.WARN
        return Level.OK

    def __str__(self) -> str:
        """One sentence."""
        text = f"{bytes_text(self.used)}{_of(self.share)} are used in the licence year {self.year}"
        if self.entitled is not None:
            text += f", of {bytes_text(self.entitled)} that the licences entitle to"
        if self.forecast is not None:
            text += f"; at the pace of the last weeks it will be {bytes_text(self.forecast)}{_of(self.share_of(self.forecast))}"
        return text


def measure(delivered: DeliveredBytes, licenses: Licenses | None, now: datetime) -> Usage:
    """What was delivered in the licence year that `now` (UTC) is in, and the forecast for its end."""
    year, today = license_year(licenses, now), now.astimezone(UTC).date()
    parts: dict[str, list[tuple[int, int | None]]] = {}
    days: dict[str, dict[date, int]] = {}
    for (dataflow, _), all_days in delivered.items():
        in_year = {day: count for day, count in all_days.items() if year.begin <= day <= today and count}
        if in_year:
            parts.setdefault(dataflow, []).append((sum(in_year.values()), forecast(in_year, year, today)))
        for day, count in in_year.items():
            of_flow = days.setdefault(dataflow, {})
            of_flow[day] = of_flow.get(day, 0) + count
    dataflows = [DataflowUsage(name, sum(used for used, _ in of), _together(of)) for name, of in parts.items()]
    return Usage(
        year=year,
        today=today,
        entitled=entitled_bytes(licenses) if licenses is not None else None,
        thresholds=licenses.thresholds if licenses is not None else Thresholds(),
        dataflows=tuple(sorted(dataflows, key=lambda one: (-one.used, one.dataflow))),
        days=days,
    )


def forecast(days: Mapping[date, int], year: LicenseYear, today: date) -> int | None:
    """Bytes of one dataset in one dataflow at the end of the licence year.

    It goes on at the average of the last `PACE_DAYS` full days. The first day of its deliveries does not count for the
    average: the first export is the whole dataset.

    Args:
        days: its bytes by day, none of them zero, all in the year and not later than `today`.
        year: the licence year.
        today: a day of which more may come.

    Returns:
        None before there was a full day to go by.
    """
    pace_begins = max(min(days) + timedelta(days=1), today - timedelta(days=PACE_DAYS))
    full_days = (today - pace_begins).days
    if full_days <= 0:
        return None
    pace = sum(count for day, count in days.items() if pace_begins <= day < today) / full_days
    before = sum(count for day, count in days.items() if day < today)
    days_left = (year.end - today).days - 1
    return round(before + max(days.get(today, 0), pace) + pace * days_left)


def bytes_text(count: int) -> str:
    """Bytes for people, in powers of 1000: `9.61 TB`."""
    value, unit = float(count), "bytes"
    for larger in ("KB", "MB", "GB", "TB", "PB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    if unit == "bytes":
        return f"{count} bytes"
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"


def _together(parts: Sequence[tuple[int, int | None]]) -> int | None:
    """The forecast of several, each with what it used: those without a forecast stay at that."""
    if all(expected is None for _, expected in parts):
        return None
    return sum(used if expected is None else expected for used, expected in parts)


def _of(share: float | None) -> str:
    return "" if share is None else f" ({share:.1%})"
