"""Which exports are late: not delivered 150 minutes after their export time, or as long as the dataflow says (spec S8)."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from dataset_export.alerts.alert import Alert, Event
from dataset_export.export.schedule import Schedule, format_export_time

SHOWN = 40
"""Export times that an alert names at most."""


def judged_between(schedule: Schedule, late_after: timedelta, after: datetime, until: datetime) -> Iterator[datetime]:
    """Export times, oldest first, whose last moment to be in time lies after `after` and not after `until`."""
    moment = after - late_after
    while coming := schedule.next_export_times(moment, 1):
        [moment] = coming
        if moment + late_after > until:
            return
        yield moment


def late_key(export_time: datetime) -> str:
    """What an alert about a late export is remembered by."""
    return f"late:{format_export_time(export_time)}"


def late_alert(
    dataflow: str, missing: Mapping[datetime, tuple[str, ...]], late_after: timedelta, now: datetime
) -> Alert:
    """One alert for all export times of a dataflow that turned out to be late at once.

    Args:
        dataflow: name.
        missing: at least one export time, and the datasets of each that are not delivered in time.
        late_after: of the dataflow.
        now: UTC.
    """
    times = sorted(missing)
    first = f"{dataflow}: export of {times[0]:%Y-%m-%d %H:%M} UTC is late"
    title = first if len(times) == 1 else f"{first}, and {len(times) - 1} more"
    lines = [f"Not delivered {late_after / timedelta(minutes=1):,.0f} minutes after the export time:"]
    lines += [f"{time:%Y-%m-%d %H:%M} UTC: {', '.join(missing[time])}" for time in times[:SHOWN]]
    if len(times) > SHOWN:
        lines.append(f"and {len(times) - SHOWN} more, the last {times[-1]:%Y-%m-%d %H:%M} UTC")
    return Alert(Event.LATE, tuple(late_key(time) for time in times), title, "\n".join(lines), now)
