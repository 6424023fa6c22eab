"""How many bytes a year an organization's licences entitle it to export, and from when to when that year goes (spec S9)."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from dataset_export.governance.licenses import Licenses, Tier

BYTES_PER_PROFILE = {Tier.PRIME: 500_000, Tier.ULTIMATE: 700_000}
"""A year, for each licensed profile: 500 KB and 700 KB, a KB being 1000 bytes."""


def entitled_bytes(licenses: Licenses) -> int:
    """Bytes a year: the largest of the applications' (they do not add up), and all add-ons'."""
    applications = [one.profiles * BYTES_PER_PROFILE[one.tier] for one in licenses.applications]
    return max(applications, default=0) + sum(one.bytes for one in licenses.add_ons)


@dataclass(frozen=True)
class LicenseYear:
    """From the first day (inclusive) to the day after the last (exclusive). UTC."""

    begin: date
    end: date

    @property
    def begins_at(self) -> datetime:
        """The instant at which it begins."""
        return datetime.combine(self.begin, time(), UTC)

    def __str__(self) -> str:
        return f"{self.begin} to {date.fromordinal(self.end.toordinal() - 1)}"


def license_year(licenses: Licenses | None, now: datetime) -> LicenseYear:
    """The licence year that `now` (UTC) is in; the calendar year without licences."""
    month, day = licenses.year_start if licenses is not None else (1, 1)
    today = now.astimezone(UTC).date()
    begin = date(today.year, month, day)
    if begin > today:
        begin = begin.replace(year=today.year - 1)
    return LicenseYear(begin, begin.replace(year=begin.year + 1))
