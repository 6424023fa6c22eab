"""The schedule of a dataflow: at every tick it asks for what is due and missing, oldest first.

It reconciles instead of launching "the current partition", so that ticks missed while the daemon was down are caught up
in order, a failed export is tried again, and nothing runs after the end (spec S5; design: "The Dagster shape").
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import dagster as dg

from dataset_export.export.dataflow import Dataflow
from dataset_export.export.schedule import format_export_time
from dataset_export.governance.licenses import Licenses
from dataset_export.orchestration.backlog import MAX_ATTEMPTS, Backlog, backlog_of, run_requests
from dataset_export.orchestration.names import job_name, schedule_name
from dataset_export.orchestration.pools import keep_limits
from dataset_export.orchestration.usage import stopped

TICK_TAKES = timedelta(seconds=90)
"""Within this time a tick has been evaluated and its runs are in the queue."""


def dataflow_schedule(dataflow: Dataflow, licenses: Licenses | None = None) -> dg.ScheduleDefinition:
    """Build the schedule. It runs unless the dataflow is disabled."""

    @dg.schedule(
        name=schedule_name(dataflow),
        job_name=job_name(dataflow),
        cron_schedule=_tick_cron(dataflow),
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING if dataflow.enabled else dg.DefaultScheduleStatus.STOPPED,
        description=f"Delivers what is due and missing of {dataflow.name}.",
    )
    def reconcile(context: dg.ScheduleEvaluationContext) -> dg.SkipReason | list[dg.RunRequest]:
        now = context.scheduled_execution_time
        if not dataflow.enabled:
            # Its schedule is stopped by default; somebody turned it on by hand, and every run would be refused.
            return dg.SkipReason(f"dataflow {dataflow.name} is disabled; set enabled: true to export")
        backlog = backlog_of(dataflow, context.instance, now)
        if not backlog.ready:
            return dg.SkipReason(nothing_to_ask_for(dataflow, backlog, now))
        if (reason := stopped(context.instance, licenses, now)) is not None:
            return dg.SkipReason(reason)
        keep_limits(dataflow, context.instance)
        return run_requests(dataflow, backlog.ready, now)

    return reconcile


def between_ticks(dataflow: Dataflow, now: datetime) -> bool:
    """Whether no tick of its schedule is being evaluated or about to come, so that another may ask for its runs.

    Two that ask for the same export time at the same moment do no harm, since a scheduled run delivers only what is
    missing; but the second run is for nothing.
    """
    ticks = replace(dataflow.schedule, cron=_tick_cron(dataflow))
    return ticks.first_tick_from(now - TICK_TAKES) > now + TICK_TAKES


def _tick_cron(dataflow: Dataflow) -> str:
    schedule = dataflow.schedule
    # `once` ticks every hour, so that an export time that the daemon slept through is not lost for a year.
    return f"{schedule.start.minute} * * * *" if schedule.once else schedule.cron


def nothing_to_ask_for(dataflow: Dataflow, backlog: Backlog, now: datetime) -> str:
    """Why a tick asks for no run, in words."""
    reasons: list[str] = []
    if backlog.in_flight:
        reasons.append(f"{some(backlog.in_flight)} of {dataflow.name}: a run is queued or going on")
    if backlog.waiting:
        soonest = min(backlog.waiting.values())
        reasons.append(
            f"{some(tuple(backlog.waiting))} of {dataflow.name} failed; the next try is at {soonest:%Y-%m-%d %H:%M} UTC"
        )
    if backlog.given_up:
        reasons.append(
            f"{some(backlog.given_up)} of {dataflow.name} failed {MAX_ATTEMPTS} times and will not be tried again; correct "
            f"the cause, then `dataset-export run {dataflow.name}`"
        )
    if reasons:
        return "; ".join(reasons)
    schedule = dataflow.schedule
    if schedule.ended(now):
        end = f" on {schedule.end:%Y-%m-%d %H:%M} UTC" if schedule.end is not None and not schedule.once else ""
        return f"dataflow {dataflow.name} has ended{end}; set a later end to go on"
    coming = schedule.next_export_times(now, 1)
    return f"nothing is due; the next export time of {dataflow.name} is {format_export_time(coming[0])}"


def some(export_times: Sequence[str]) -> str:
    """Export times in words, the first ten of them."""
    return ", ".join(export_times[:10]) + (f" and {len(export_times) - 10} more" if len(export_times) > 10 else "")
