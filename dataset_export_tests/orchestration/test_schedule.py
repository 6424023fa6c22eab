"""What the schedule asks for at a tick, at times that the tests pass in; nothing sleeps and nothing runs."""

from collections.abc import Iterator
from dataclasses import replace

import dagster as dg
import pytest

from dataset_export.export.schedule import Frequency, make_schedule
from dataset_export.orchestration.backlog import MAX_ATTEMPTS, MAX_REQUESTS
from dataset_export.orchestration.names import DATAFLOW_TAG, PARTITION_TAG, SCHEDULED_TAG, export_key
from dataset_export.orchestration.schedule import dataflow_schedule
from dataset_export_tests.instances import new_instance
from dataset_export_tests.orchestration.hourly import (
    EVENTS,
    HOURLY,
    ORDERS,
    START,
    add_run,
    dataflow,
    fail_run,
    hour,
    key,
    materialize,
    tick,
    times,
)


@pytest.fixture(scope="module")
def home() -> Iterator[dg.DagsterInstance]:
    with new_instance() as instance:
        yield instance


@pytest.fixture
def instance(home: dg.DagsterInstance) -> dg.DagsterInstance:
    """Empty: one for all tests takes less time than one for each."""
    for run in home.get_runs():
        home.delete_run(run.run_id)
    home.wipe_assets([ORDERS, EVENTS])
    return home


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
    tags = {PARTITION_TAG: key(0), DATAFLOW_TAG: "other"}
    instance.add_run(dg.DagsterRun("other", status=dg.DagsterRunStatus.STARTED, tags=tags, asset_selection=other))
    assert times(tick(instance, hour(0))) == [key(0)]


def test_a_run_of_checks_alone_exports_nothing(instance: dg.DagsterInstance) -> None:
    checks = frozenset({dg.AssetCheckKey(ORDERS, "files_match_manifest")})
    instance.add_run(
        dg.DagsterRun(
            "flow",
            status=dg.DagsterRunStatus.STARTED,
            tags={PARTITION_TAG: key(0), DATAFLOW_TAG: "flow"},
            asset_selection=frozenset(),
            asset_check_selection=checks,
        )
    )
    assert times(tick(instance, hour(0))) == [key(0)]


def test_s4_why_a_tick_asks_for_nothing_names_what_waits_and_what_was_given_up(instance: dg.DagsterInstance) -> None:
    flow = dataflow(replace(HOURLY, end=hour(2)))
    fail_run(instance, 0, hour(1))
    for _ in range(MAX_ATTEMPTS):
        fail_run(instance, 1, hour(1))
    assert tick(instance, hour(1), flow) == (
        f"{key(0)} of flow failed; the next try is at 2026-11-01 09:05 UTC; {key(1)} of flow failed {MAX_ATTEMPTS} times and "
        "will not be tried again; correct the cause, then `dataset-export run flow`"
    )


def test_scheduled_runs_are_told_to_deliver_only_what_is_missing(instance: dg.DagsterInstance) -> None:
    [request] = tick(instance, hour(0))
    assert request.tags[SCHEDULED_TAG] == "true"
    assert request.job_name == "flow"


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


def test_why_a_tick_asks_for_nothing_names_what_is_in_flight(instance: dg.DagsterInstance) -> None:
    add_run(instance, 0, dg.DagsterRunStatus.STARTED)
    assert tick(instance, hour(0)) == f"{key(0)} of flow: a run is queued or going on"


def test_keys_of_the_assets() -> None:
    assert [export_key(dataflow(), dataset) for dataset in dataflow().datasets] == [ORDERS, EVENTS]
