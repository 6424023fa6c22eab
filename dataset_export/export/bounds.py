"""Which table versions an export lies between: rules 1 to 4 of the design ("Which rows belong to an export")."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from dataset_export.export.ledger import Ledger

NewestBefore = Callable[[datetime, int | None], int | None]
"""(moment, at_least) to the newest version committed strictly before the moment, seen now, never below `at_least`."""


@dataclass(frozen=True)
class Bounds:
    """A slice is what was added after version `lower` up to and including `upper`.

    `lower` None is the beginning of the table. `upper` None: nothing belongs to the export. `fingerprint` tells whether `upper`
    still is what it was, for a table whose log does not (`Table.fingerprint`).
    """

    lower: int | None
    upper: int | None
    fingerprint: str | None = field(default=None, compare=False)


def choose_bounds(ledger: Ledger, export_time: datetime, newest_before: NewestBefore, *, full: bool) -> Bounds:
    """Apply the rules, given what was delivered so far.

    Args:
        ledger: recorded exports of this dataset in this dataflow.
        export_time: the export to plan (UTC).
        newest_before: looks into the table.
        full: every export delivers the whole table, so only its upper version matters.
    """
    recorded = ledger.at(export_time)
    if recorded is not None:
        return Bounds(recorded.lower, recorded.upper, recorded.fingerprint)
    if full:
        return Bounds(None, newest_before(export_time, None))
    earlier = ledger.nearest_before(export_time)
    lower = earlier.upper if earlier else None
    newest = newest_before(export_time, lower)
    upper = lower if newest is None or (lower is not None and newest < lower) else newest
    later = ledger.nearest_after(export_time)
    return Bounds(lower, upper if later is None else _cut(lower, upper, later.lower))


def still_valid(planned: Bounds, ledger: Ledger, export_time: datetime, *, full: bool) -> bool:
    """Whether the exports recorded since leave no gap and no overlap around a planned slice.

    Read again right before publishing: two exports of one dataset launched side by side may both have been planned from
    the same ledger.
    """
    recorded = ledger.at(export_time)
    if recorded is not None:
        return planned == Bounds(recorded.lower, recorded.upper)
    if full:
        return True
    earlier = ledger.nearest_before(export_time)
    if planned.lower != (earlier.upper if earlier else None):
        return False
    later = ledger.nearest_after(export_time)
    return later is None or planned.upper == _cut(planned.lower, planned.upper, later.lower)


def _cut(lower: int | None, upper: int | None, later_lower: int | None) -> int | None:
    # A later export that began at the beginning has taken everything: nothing is left for this one.
    if later_lower is None or upper is None:
        return lower
    cut = min(upper, later_lower)
    return cut if lower is None else max(lower, cut)
