"""The sensor over all dataflows: it does what is due between the ticks of their schedules, and what their ends ask for."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from dataset_export.export.dataflow import Dataflow
from dataset_export.governance.licenses import Licenses
from dataset_export.orchestration.backlog import LONGEST_WAIT, backlog_of, failed_attempts
from dataset_export.orchestration.dead_runs import fail_dead_runs
from dataset_export.orchestration.ending import LifeTick, ask_for, attend, cancel_what_is_queued_past_the_end, is_over
from dataset_export.orchestration.life_record import LifeRecords, Standing
from dataset_export.orchestration.names import LIFE_SENSOR, job_name
from dataset_export.orchestration.notices import Notify, record_notice
from dataset_export.orchestration.stored_schedules import stored_schedules
from dataset_export.orchestration.usage import stopped

INTERVAL_SECONDS = 30


def _utc_now() -> datetime:
    return datetime.now(UTC)


def life_definitions(
    dataflows: Iterable[Dataflow],
    built: dg.Definitions,
    licenses: Licenses | None = None,
    *,
    notify: Sequence[Notify] = (record_notice,),
    clock: Callable[[], datetime] = _utc_now,
) -> dg.Definitions:
    """The sensor `life_of_dataflows`; nothing without dataflows.

    Args:
        dataflows: all of the code location, also those that are disabled.
        built: with their jobs; Dagster takes no other job of the same name.
        licenses: of the organization; what they entitle to may keep exports from starting.
        notify: who takes notices over, in this order.
        clock: the time now (UTC).
    """
    dataflows = list(dataflows)
    if not dataflows:
        return dg.Definitions()
    names = {job_name(dataflow) for dataflow in dataflows}

    @dg.sensor(
        name=LIFE_SENSOR,
        jobs=[job for job in built.jobs or () if job.name in names],
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tries failed exports again, and lets new schedules catch up. After the end of a dataflow delivers what is missing, stops its schedule "
        "and says so; warns ahead; starts it again when a later end is declared.",
    )
    def life_of_dataflows(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        instance = context.instance
        tick = LifeTick(instance, stored_schedules(context), LifeRecords(instance, dataflows), notify, clock())
        tick.did += [f"run {run.run_id} was killed; it is marked as failed" for run in fail_dead_runs(instance)]
        cancel_what_is_queued_past_the_end(dataflows, tick)
        for dataflow in dataflows:
            attend(dataflow, tick)
        _try_again([dataflow for dataflow in dataflows if dataflow.enabled], tick)
        if tick.requests and (reason := stopped(instance, licenses, tick.now)) is not None:
            tick.requests.clear()
            tick.did.append(reason)
        if tick.requests:
            return dg.SensorResult(run_requests=tick.requests)
        return dg.SkipReason("; ".join(tick.did) or f"nothing to do for {len(dataflows)} dataflow(s)")

    return dg.Definitions(sensors=[life_of_dataflows])


def _try_again(dataflows: Sequence[Dataflow], tick: LifeTick) -> None:
    """Ask for failed export times whose wait is over, so that those of a daily dataflow need not wait for tomorrow."""
    since = tick.now - LONGEST_WAIT - timedelta(days=1)
    failed = failed_attempts(tick.instance, [dataflow.name for dataflow in dataflows], since=since)
    names = {name for name, _ in failed}
    for dataflow in dataflows:
        by_the_schedule = tick.records.of(dataflow).standing is Standing.NORMAL and not is_over(dataflow, tick.now)
        if dataflow.name in names and by_the_schedule and tick.schedules.running(dataflow):
            backlog = backlog_of(dataflow, tick.instance, tick.now)
            again = [due for due in backlog.ready if (dataflow.name, due.export_time) in failed]
            ask_for(dataflow, again, backlog, tick)
