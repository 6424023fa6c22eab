"""A dataflow's export times as Dagster partitions; the key is the export time (design: "The Dagster shape")."""

import dagster as dg

from dataset_export.export.schedule import EXPORT_TIME_FORMAT, Schedule, format_export_time


def partitions_of(schedule: Schedule) -> dg.PartitionsDefinition[str]:
    """One partition for each export time: static for `once`, a time window for all else.

    With `end_offset=1` the key of a window is the instant at which it begins, so it equals the export time. Dagster
    relabels aware datetimes instead of converting them; those of a schedule are in UTC already.
    """
    if schedule.once:
        return dg.StaticPartitionsDefinition([format_export_time(schedule.first_tick_from(schedule.start))])
    return dg.TimeWindowPartitionsDefinition(
        start=schedule.start,
        # A key counts only when it is at least one tick before `end`, hence the first tick at or after ours.
        end=schedule.first_tick_from(schedule.end) if schedule.end is not None else None,
        cron_schedule=schedule.cron,
        fmt=EXPORT_TIME_FORMAT,
        timezone="UTC",
        end_offset=1,
    )
