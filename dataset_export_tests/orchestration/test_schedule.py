"""What the schedule asks for at a tick, at times that the tests pass in; nothing sleeps and nothing runs."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import dagster as dg
import pytest

from dataset_export.export.dataflow import Behavior, Dataflow, Dataset, DestinationInfo
from dataset_export.export.folder import FolderTemplate
from dataset_export.export.schedule import Frequency, Schedule, format_export_time, make_schedule
from dataset_export.orchestration.names import DATAFLOW_TAG, export_key
from dataset_export.orchestration.schedule import MAX_ATTEMPTS, MAX_REQUESTS, dataflow_schedule, due_exports

START = datetime(2026, 11, 1, 8, tzinfo=UTC)
HOURLY = make_schedule(Frequency.CRON, START, cron="0 * * * *", end=START + timedelta(hours=6))
ORDERS, EVENTS = dg.AssetKey(["flow", "orders"]), dg.AssetKey(["flow", "events"])


@pytest.fixture(scope="module")
def home() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def instance(home: dg.DagsterInstance) -> dg.DagsterInstance:
    """Empty: one for all tests takes less time than one for each."""
    for run in home.get_runs():
        home.delete_run(run.run_id)
    home.wipe_assets([ORDERS, EVENTS])
    return home


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
    return result


def times(requests: list[dg.RunRequest] | str) -> list[str | None]:
    assert not isinstance(requests, str), requests
    return [request.partition_key for request in requests]


def materialize(instance: dg.DagsterInstance, number: int, *keys: dg.AssetKey) -> None:
    for asset in keys or (ORDERS, EVENTS):
        instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=key(number)))


def add_run(instance: dg.DagsterInstance, number: int, status: dg.DagsterRunStatus, root: str | None = None) -> str:
    run_id = str(uuid4())
    tags = {DATAFLOW_TAG: "flow", "dagster/partition": key(number)}
    if root is not None:
        tags |= {"dagster/root_run_id": root, "dagster/parent_run_id": root}
    instance.add_run(dg.DagsterRun("flow", run_id, status=status, tags=tags, root_run_id=root, parent_run_id=root))
    return run_id


def test_each_tick_asks_for_its_export_time(instance: dg.DagsterInstance) -> None:
    for number in range(3):
        [request] = tick(instance, hour(number))
        assert request.partition_key == key(number)
        assert set(request.asset_selection) == {ORDERS, EVENTS}
        materialize(instance, number)


def test_missed_ticks_are_asked_for_oldest_first(instance: dg.DagsterInstance) -> None:
    materialize(instance, 0)
    assert times(tick(instance, hour(4))) == [key(1), key(2), key(3), key(4)]


def test_a_gap_between_delivered_export_times_is_filled(instance: dg.DagsterInstance) -> None:
    for number in (0, 2):
        materialize(instance, number)
    assert times(tick(instance, hour(3))) == [key(1), key(3)]


def test_only_what_is_missing_of_an_export_time_is_asked_for(instance: dg.DagsterInstance) -> None:
    materialize(instance, 0, ORDERS)
    [request] = tick(instance, hour(0))
    assert request.asset_selection == [EVENTS]


@pytest.mark.parametrize("status", ["NOT_STARTED", "STARTING", "STARTED", "CANCELING"])
def test_an_export_time_in_flight_is_not_asked_for_again(instance: dg.DagsterInstance, status: str) -> None:
    add_run(instance, 0, dg.DagsterRunStatus[status])
    assert times(tick(instance, hour(1))) == [key(1)]


@pytest.mark.parametrize("other", [None, frozenset({dg.AssetKey(["other", "orders"])})])
def test_a_run_of_another_dataflow_at_the_same_time_is_none_of_ours(
    instance: dg.DagsterInstance, other: frozenset[dg.AssetKey] | None
) -> None:
    """Its whole job, or a selection of its assets."""
    tags = {"dagster/partition": key(0), DATAFLOW_TAG: "other"}
    instance.add_run(dg.DagsterRun("other", status=dg.DagsterRunStatus.STARTED, tags=tags, asset_selection=other))
    assert times(tick(instance, hour(0))) == [key(0)]


def test_a_failed_export_time_is_tried_again_until_the_limit(instance: dg.DagsterInstance) -> None:
    run_keys = set()
    for attempt in range(MAX_ATTEMPTS):
        [request] = tick(instance, hour(0) + timedelta(minutes=attempt))
        run_keys.add(request.run_key)
        add_run(instance, 0, dg.DagsterRunStatus.FAILURE)
    assert len(run_keys) == MAX_ATTEMPTS, "a run key is for life, so a new attempt needs a new one"
    assert times(tick(instance, hour(1))) == [key(1)]
    materialize(instance, 1)
    reason = tick(instance, hour(1))
    assert key(0) in reason
    assert str(MAX_ATTEMPTS) in reason


def test_retries_of_a_run_are_one_attempt(instance: dg.DagsterInstance) -> None:
    root = add_run(instance, 0, dg.DagsterRunStatus.FAILURE)
    for _ in range(MAX_ATTEMPTS):
        add_run(instance, 0, dg.DagsterRunStatus.FAILURE, root)
    assert times(tick(instance, hour(0))) == [key(0)]


def test_before_the_start_nothing_is_asked_for(instance: dg.DagsterInstance) -> None:
    assert tick(instance, hour(-1)) == f"nothing is due; the next export time of flow is {key(0)}"


def test_after_the_end_nothing_is_asked_for(instance: dg.DagsterInstance) -> None:
    """Spec S5: no export time is at or after the end; also long after, and when ticks go on."""
    for number in range(6):
        materialize(instance, number)
    for later in (hour(6), hour(7), hour(24 * 365)):
        assert tick(instance, later) == "dataflow flow has ended on 2026-11-01 14:00 UTC; set a later end to go on"


def test_what_was_missed_before_the_end_is_caught_up_after_it(instance: dg.DagsterInstance) -> None:
    for number in range(4):
        materialize(instance, number)
    assert times(tick(instance, hour(48))) == [key(4), key(5)]


def test_once_is_asked_for_once(instance: dg.DagsterInstance) -> None:
    flow = dataflow(make_schedule(Frequency.ONCE, START))
    assert times(tick(instance, hour(5), flow)) == [key(0)], "also when the daemon slept at the start"
    materialize(instance, 0)
    assert "has ended" in str(tick(instance, hour(6), flow))


def test_a_disabled_dataflow_asks_for_nothing(instance: dg.DagsterInstance) -> None:
    """Also when somebody turns its schedule on by hand: its runs would all be refused."""
    flow = dataflow(enabled=False)
    assert dataflow_schedule(flow).default_status is dg.DefaultScheduleStatus.STOPPED
    assert "disabled" in str(tick(instance, hour(3), flow))


def test_a_long_backlog_comes_in_portions(instance: dg.DagsterInstance) -> None:
    flow = dataflow(replace(HOURLY, end=None))
    requested = times(tick(instance, hour(10 * MAX_REQUESTS), flow))
    assert requested == [key(number) for number in range(MAX_REQUESTS)]


def test_due_exports_is_what_the_schedule_asks_for(instance: dg.DagsterInstance) -> None:
    materialize(instance, 0, EVENTS)
    due = due_exports(dataflow(), instance, hour(1.5))
    assert [(one.export_time, set(one.missing)) for one in due] == [(key(0), {ORDERS}), (key(1), {ORDERS, EVENTS})]


def test_keys_of_the_assets() -> None:
    assert [export_key(dataflow(), dataset) for dataset in dataflow().datasets] == [ORDERS, EVENTS]
