"""The schedule of a dataflow: at every tick it asks for what is due and missing, oldest first.

It reconciles instead of launching "the current partition", so that ticks missed while the daemon was down are caught up
in order, a failed export is tried again, and nothing runs after the end (spec S5; design: "The Dagster shape").
"""

from datetime import datetime

import dagster as dg

from dataset_export.export.dataflow import Dataflow
from dataset_export.export.schedule import format_export_time
from dataset_export.governance.licenses import Licenses
from dataset_export.orchestration.backlog import MAX_ATTEMPTS, Backlog, backlog_of, run_requests
from dataset_export.orchestration.names import job_name, schedule_name
from dataset_export.orchestration.pools import keep_limits
from dataset_export.orchestration.usage import stopped


def dataflow_schedule(dataflow: Dataflow, licenses: Licenses | None = None) -> dg.ScheduleDefinition:
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
        backlog = backlog_of(dataflow, context.instance, now)
        if not backlog.ready:
            return dg.SkipReason(nothing_to_ask_for(dataflow, backlog, now))
        if (reason := stopped(context.instance, licenses, now)) is not None:
            return dg.SkipReason(reason)
        keep_limits(dataflow, context.instance)
        return run_requests(dataflow, backlog.ready, now)

    return reconcile


def nothing_to_ask_for(dataflow: Dataflow, backlog: Backlog, now: datetime) -> str:
    """Why a tick asks for no run, in words."""
    reasons: list[str] = []
    if backlog.in_flight:
        reasons.append(f"{_some(backlog.in_flight)} of {dataflow.name}: a run is queued or going on")
    if backlog.waiting:
        soonest = min(backlog.waiting.values())
        reasons.append(
            f"{_some(tuple(backlog.waiting))} of {dataflow.name} failed; the next try is at {soonest:%Y-%m-%d %H:%M} UTC"
        )
    if backlog.given_up:
        reasons.append(
            f"{_some(backlog.given_up)} of {dataflow.name} failed {MAX_ATTEMPTS} times and will not be tried again; correct "
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


def _some(export_times: tuple[str, ...]) -> str:
    return ", ".join(export_times[:10]) + (f" and {len(export_times) - 10} more" if len(export_times) > 10 else "")
