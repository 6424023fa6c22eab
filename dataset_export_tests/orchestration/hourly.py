"""A dataflow that exports every hour, what its schedule asks for at a tick, and what may have become of its export times."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import dagster as dg

from dataset_export.export.dataflow import Behavior, Dataflow, Dataset, DestinationInfo
from dataset_export.export.folder import FolderTemplate
from dataset_export.export.schedule import Frequency, Schedule, format_export_time, make_schedule
from dataset_export.orchestration.names import DATAFLOW_TAG, PARTITION_TAG, SCHEDULED_TAG
from dataset_export.orchestration.schedule import dataflow_schedule

START = datetime(2026, 11, 1, 8, tzinfo=UTC)
HOURLY = make_schedule(Frequency.CRON, START, cron="0 * * * *", end=START + timedelta(hours=6))
ORDERS, EVENTS = dg.AssetKey(["flow", "orders"]), dg.AssetKey(["flow", "events"])


def dataflow(schedule: Schedule = HOURLY, *, enabled: bool = True) -> Dataflow:
    datasets = tuple(
        Dataset(id=id, name=id, behavior=Behavior.RECORD, uri=f"/lake/{id}") for id in ("orders", "events")
    )
    return Dataflow(
        name="flow",
        datasets=datasets,
        destination=DestinationInfo(id="partner", name="Partner", type="local"),
        schedule=schedule,
        folder=FolderTemplate(),
        encoding=DestinationInfo(id="partner", name="Partner", type="local").encoding,
        enabled=enabled,
    )


def hour(number: float) -> datetime:
    return START + timedelta(hours=number)


def key(number: int) -> str:
    return format_export_time(hour(number))


def tick(instance: dg.DagsterInstance, now: datetime, flow: Dataflow | None = None) -> list[dg.RunRequest] | str:
    """What the real schedule of a dataflow returns at a tick: run requests, or the reason for none."""
    schedule = dataflow_schedule(flow or dataflow())
    with dg.build_schedule_context(instance, scheduled_execution_time=now) as context:
        result = schedule(context)
    if isinstance(result, dg.SkipReason):
        assert result.skip_message is not None
        return result.skip_message
    assert isinstance(result, list)
    return result


def times(requests: list[dg.RunRequest] | str) -> list[str | None]:
    assert not isinstance(requests, str), requests
    return [request.partition_key for request in requests]


def materialize(instance: dg.DagsterInstance, number: int, *keys: dg.AssetKey) -> None:
    for asset in keys or (ORDERS, EVENTS):
        instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=key(number)))


def add_run(
    instance: dg.DagsterInstance, number: int, status: dg.DagsterRunStatus, *, tags: Mapping[str, str] | None = None
) -> None:
    """A run of an export time that is not over."""
    tags = {DATAFLOW_TAG: "flow", PARTITION_TAG: key(number), SCHEDULED_TAG: "true", **(tags or {})}
    instance.add_run(dg.DagsterRun("flow", str(uuid4()), status=status, tags=tags))


def fail_run(
    instance: dg.DagsterInstance,
    number: int,
    at: datetime,
    *,
    root: str | None = None,
    scheduled: bool = True,
    canceled: bool = False,
) -> str:
    """A run of an export time that failed at a moment; its id."""
    tags = {DATAFLOW_TAG: "flow", PARTITION_TAG: key(number), **({SCHEDULED_TAG: "true"} if scheduled else {})}
    if root is not None:
        tags |= {"dagster/root_run_id": root, "dagster/parent_run_id": root}
    started = dg.DagsterRunStatus.STARTED
    run = dg.DagsterRun("flow", str(uuid4()), status=started, tags=tags, root_run_id=root, parent_run_id=root)
    instance.add_run(run)
    event = dg.DagsterEventType.RUN_CANCELED if canceled else dg.DagsterEventType.RUN_FAILURE
    instance.handle_run_event(run.run_id, dg.DagsterEvent(event.value, "flow"), update_timestamp=at)
    return run.run_id
