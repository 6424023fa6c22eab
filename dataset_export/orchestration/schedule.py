"""The schedule of a dataflow: at every tick it asks for what is due and missing, oldest first.

It reconciles instead of launching "the current partition", so that ticks missed while the daemon was down are caught up
in order, a failed export is tried again, and nothing runs after the end (spec S5; design: "The Dagster shape").
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from dataset_export.export.dataflow import Dataflow
from dataset_export.export.schedule import format_export_time
from dataset_export.orchestration.ledger import UNFINISHED
from dataset_export.orchestration.names import DATAFLOW_TAG, export_key, job_name, schedule_name

MAX_ATTEMPTS = 5
"""Runs of one export time that may fail before the schedule leaves it to a person."""

MAX_REQUESTS = 100
"""Export times asked for at one tick; the rest of a long backlog comes at the next ones."""

PARTITION_TAG = "dagster/partition"


@dataclass(frozen=True)
class DueExport:
    """An export time and the assets of it that are not materialized yet."""

    export_time: str
    missing: tuple[dg.AssetKey, ...]


def dataflow_schedule(dataflow: Dataflow) -> dg.ScheduleDefinition:
    """Build the schedule. It runs unless the dataflow is disabled."""

    @dg.schedule(
        name=schedule_name(dataflow),
        job_name=job_name(dataflow),
        # `once` ticks every hour, so that an export time that the daemon slept through is not lost for a year.
        cron_schedule=f"{dataflow.schedule.start.minute} * * * *" if dataflow.schedule.once else dataflow.schedule.cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING if dataflow.enabled else dg.DefaultScheduleStatus.STOPPED,
        description=f"Delivers what is due and missing of {dataflow.name}.",
    )
    def reconcile(context: dg.ScheduleEvaluationContext) -> dg.SkipReason | list[dg.RunRequest]:
        now = context.scheduled_execution_time
        if not dataflow.enabled:
            # Its schedule is stopped by default; somebody turned it on by hand, and every run would be refused.
            return dg.SkipReason(f"dataflow {dataflow.name} is disabled; set enabled: true to export")
        due = due_exports(dataflow, context.instance, now)
        if not due:
            return dg.SkipReason(_nothing_due(dataflow, context.instance, now))
        return [
            dg.RunRequest(
                # Two ticks may ask for the same export time (the first run failed); a tick asks for it once.
                run_key=f"{export.export_time}@{format_export_time(now)}",
                partition_key=export.export_time,
                asset_selection=list(export.missing),
            )
            for export in due[:MAX_REQUESTS]
        ]

    return reconcile


def due_exports(dataflow: Dataflow, instance: dg.DagsterInstance, now: datetime) -> list[DueExport]:
    """Export times at or before `now`, oldest first, that are not materialized for every dataset, not in flight and not
    over the attempt limit."""
    open_times = _open_times(dataflow, instance, now)
    busy = _in_flight(instance, dataflow, list(open_times)) | _given_up(instance, dataflow, open_times)
    return [DueExport(export_time, missing) for export_time, missing in open_times.items() if export_time not in busy]


def _open_times(
    dataflow: Dataflow, instance: dg.DagsterInstance, now: datetime
) -> "dict[str, tuple[dg.AssetKey, ...]]":
    """Due export times, oldest first, and the assets of each that are not materialized."""
    keys = [export_key(dataflow, dataset) for dataset in dataflow.datasets]
    done = {key: instance.get_materialized_partitions(key) for key in keys}
    open_times: dict[str, tuple[dg.AssetKey, ...]] = {}
    for export_time in map(format_export_time, dataflow.schedule.export_times(now)):
        missing = tuple(key for key in keys if export_time not in done[key])
        if missing:
            open_times[export_time] = missing
    return open_times


def _in_flight(instance: dg.DagsterInstance, dataflow: Dataflow, export_times: Sequence[str]) -> set[str]:
    if not export_times:
        return set()
    keys = {export_key(dataflow, dataset) for dataset in dataflow.datasets}
    runs = instance.get_runs(RunsFilter(tags={PARTITION_TAG: list(export_times)}, statuses=UNFINISHED))
    # Also runs launched from an asset's page, which carry no dataflow's tag; but not those of another dataflow that happens to
    # have the same export times.
    return {
        run.tags[PARTITION_TAG]
        for run in runs
        if run.tags.get(DATAFLOW_TAG, dataflow.name) == dataflow.name
        and (run.asset_selection is None or run.asset_selection & keys)
    }


def _given_up(
    instance: dg.DagsterInstance, dataflow: Dataflow, export_times: "dict[str, tuple[dg.AssetKey, ...]]"
) -> set[str]:
    if not export_times:
        return set()
    wanted = RunsFilter(
        tags={DATAFLOW_TAG: dataflow.name, PARTITION_TAG: list(export_times)},
        statuses=[DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED],
    )
    failed: dict[str, set[str]] = {}
    for run in instance.get_runs(wanted):
        failed.setdefault(run.tags[PARTITION_TAG], set()).add(run.root_run_id or run.run_id)
    return {export_time for export_time, runs in failed.items() if len(runs) >= MAX_ATTEMPTS}


def _nothing_due(dataflow: Dataflow, instance: dg.DagsterInstance, now: datetime) -> str:
    given_up = sorted(_given_up(instance, dataflow, _open_times(dataflow, instance, now)))
    if given_up:
        return (
            f"{', '.join(given_up[:10])}{' and more' if len(given_up) > 10 else ''} of {dataflow.name} failed {MAX_ATTEMPTS} "
            "times and will not be tried again; correct the cause and materialize by hand"
        )
    schedule = dataflow.schedule
    if schedule.ended(now):
        end = f" on {schedule.end:%Y-%m-%d %H:%M} UTC" if schedule.end is not None and not schedule.once else ""
        return f"dataflow {dataflow.name} has ended{end}; set a later end to go on"
    coming = schedule.next_export_times(now, 1)
    return f"nothing is due; the next export time of {dataflow.name} is {format_export_time(coming[0])}"
