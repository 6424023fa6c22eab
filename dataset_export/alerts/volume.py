"""Whether an export has far more or far fewer records than the ones before it (spec S8)."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

HISTORY = 28
"""Exports to compare with: four weeks of a daily dataflow."""

LEAST_HISTORY = 7
"""With fewer nothing is said: a week shows what a weekend looks like."""

FAR = 0.5
"""A number that is nearer to the median than this share of it is ordinary."""

WIDE = 5
"""A number that is within this many times the usual distance from the median is ordinary."""


@dataclass(frozen=True)
class VolumeAnomaly:
    """A number of records that stands out from `compared` earlier ones."""

    records: int
    median: float
    least: int
    most: int
    compared: int

    def __str__(self) -> str:
        return (
            f"{self.records:,} records; the {self.compared} exports before had {self.median:,.0f} in the median, "
            f"{self.least:,} to {self.most:,}"
        )


def volume_anomaly(records: int, earlier: Sequence[int]) -> VolumeAnomaly | None:
    """Whether a number of records stands out.

    It does when it is

    * farther from the median of the last 28 exports than half of the median,
    * farther than five times the median distance of those exports from it, so that a volume that always varies says
      nothing (or it is zero: nothing at all is noticed whatever the spread), and
    * at most one of them was half as far out on the same side (or was zero, like this one), so that what comes back every
      week says nothing either.

    Args:
        records: of the export.
        earlier: records of the exports before it, oldest first.
    """
    recent = earlier[-HISTORY:]
    if len(recent) < LEAST_HISTORY:
        return None
    middle = median(recent)
    distance = abs(records - middle)
    usual = median(abs(one - middle) for one in recent)
    ordinary = distance <= FAR * middle or (distance <= WIDE * usual and records > 0)
    if distance == 0 or ordinary:
        return None
    out = 1 if records > middle else -1
    alike = [one for one in recent if ((one - middle) * out >= distance / 2 if records > 0 else one == 0)]
    if len(alike) > 1:
        return None
    return VolumeAnomaly(records, middle, min(recent), max(recent), len(recent))
