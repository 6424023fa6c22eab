"""The sensor over all dataflows: it does what is due between the ticks of their schedules, and what their ends ask for."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from dataset_export.export.dataflow import Dataflow
from dataset_export.governance.licenses import Licenses
from dataset_export.orchestration.backlog import LONGEST_WAIT, backlog_of, failed_attempts, run_requests
from dataset_export.orchestration.ending import LifeTick, attend_end, cancel_what_is_queued_past_the_end, is_over
from dataset_export.orchestration.life_record import LifeRecords
from dataset_export.orchestration.names import LIFE_SENSOR, job_name
from dataset_export.orchestration.notices import Notify, record_notice
from dataset_export.orchestration.pools import keep_limits
from dataset_export.orchestration.schedule import between_ticks
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
    """The sensor `life_of_dataflows`; nothing when no dataflow is enabled.

    Args:
        dataflows: all of the code location, also those that are disabled: they are left alone.
        built: with their jobs; Dagster takes no other job of the same name.
        licenses: of the organization; what they entitle to may keep exports from starting.
        notify: who takes notices over, in this order.
        clock: the time now (UTC).
    """
    enabled = [dataflow for dataflow in dataflows if dataflow.enabled]
    if not enabled:
        return dg.Definitions()
    names = {job_name(dataflow) for dataflow in enabled}

    @dg.sensor(
        name=LIFE_SENSOR,
        jobs=[job for job in built.jobs or () if job.name in names],
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tries failed exports again. After the end of a dataflow delivers what is missing, stops its schedule "
        "and says so; warns ahead; starts it again when a later end is declared.",
    )
    def life_of_dataflows(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        instance = context.instance
        tick = LifeTick(instance, stored_schedules(context), LifeRecords(instance, enabled), notify, clock())
        cancel_what_is_queued_past_the_end(enabled, tick)
        for dataflow in enabled:
            attend_end(dataflow, tick)
        _try_again(enabled, tick)
        if tick.requests and (reason := stopped(instance, licenses, tick.now)) is not None:
            tick.requests.clear()
            tick.did.append(reason)
        if tick.requests:
            return dg.SensorResult(run_requests=tick.requests)
        return dg.SkipReason("; ".join(tick.did) or f"nothing to do for {len(enabled)} dataflow(s)")

    return dg.Definitions(sensors=[life_of_dataflows])


def _try_again(dataflows: Sequence[Dataflow], tick: LifeTick) -> None:
    """Ask for failed export times whose wait is over, so that those of a daily dataflow need not wait for tomorrow."""
    since = tick.now - LONGEST_WAIT - timedelta(days=1)
    failed = failed_attempts(tick.instance, [dataflow.name for dataflow in dataflows], since=since)
    with_failures = {name for name, _ in failed}
    for dataflow in dataflows:
        if dataflow.name not in with_failures or is_over(dataflow, tick.now):
            continue
        if not tick.schedules.running(dataflow) or not between_ticks(dataflow, tick.now):
            continue
        backlog = backlog_of(dataflow, tick.instance, tick.now)
        again = [due for due in backlog.ready if (dataflow.name, due.export_time) in failed]
        if again:
            keep_limits(dataflow, tick.instance)
            tick.requests += run_requests(dataflow, again, tick.now)
