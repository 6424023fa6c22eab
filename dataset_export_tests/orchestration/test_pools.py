"""The pools that runs are in, and their limits. That the daemon's queue keeps to them is shown in `test_daemon.py`."""

from collections.abc import Iterator
from dataclasses import replace

import dagster as dg
import pytest

from dataset_export.destinations.local import LocalDestination
from dataset_export.export.dataflow import Dataflow
from dataset_export.orchestration.dataflow import build_dataflow
from dataset_export.orchestration.lake_asset import lake_asset
from dataset_export.orchestration.names import export_key
from dataset_export.orchestration.pools import keep_limits
from dataset_export_tests.instances import new_instance
from dataset_export_tests.orchestration.hourly import dataflow, hour, key, tick


@pytest.fixture(scope="module")
def home() -> Iterator[dg.DagsterInstance]:
    """With pools as in the project's dagster.yaml."""
    pools = {"granularity": "run", "default_limit": 1}
    with new_instance({"concurrency": {"pools": pools}}) as instance:
        yield instance


def bounded(limit: int | None) -> Dataflow:
    flow = dataflow()
    return replace(flow, destination=replace(flow.destination, max_concurrent_exports=limit))


def limits(instance: dg.DagsterInstance) -> dict[str, int]:
    return {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}


def pools_of(flow: Dataflow, instance: dg.DagsterInstance, job_name: str, keys: frozenset[dg.AssetKey]) -> set[str]:
    """The pools of a run that Dagster would launch."""
    shared = dg.Definitions(
        assets=[lake_asset(dataset) for dataset in flow.datasets],
        resources={flow.destination.id: LocalDestination(folder="/tmp/nowhere")},
    )
    definitions = dg.Definitions.merge(build_dataflow(flow), shared)
    job = (
        definitions.resolve_job_def(job_name) if job_name else definitions.resolve_implicit_global_asset_job_def()
    ).get_subset(asset_selection=keys)
    run = instance.create_run_for_job(job, tags={"dagster/partition": key(0)}, asset_selection=keys)
    assert run.run_op_concurrency is not None
    return set(run.run_op_concurrency.all_pools or [])


@pytest.mark.parametrize("job_name", ["flow", ""], ids=["its job", "an asset's page"])
def test_s4_every_run_is_in_the_pool_of_its_dataflow_and_of_a_bounded_destination(
    home: dg.DagsterInstance, job_name: str
) -> None:
    keys = frozenset({export_key(dataflow(), dataflow().datasets[0])})
    assert pools_of(bounded(None), home, job_name, keys) == {"dataflow/flow"}
    assert pools_of(bounded(2), home, job_name, keys) == {"dataflow/flow", "destination/partner"}


def test_s4_limits_are_what_is_declared_before_runs_are_asked_for(home: dg.DagsterInstance) -> None:
    assert not isinstance(tick(home, hour(1), bounded(3)), str)
    assert limits(home) == {"dataflow/flow": 1, "destination/partner": 3}
    keep_limits(bounded(5), home)
    assert limits(home) == {"dataflow/flow": 1, "destination/partner": 5}


def test_no_limit_is_set_where_pools_are_counted_in_steps() -> None:
    """A run that is killed would keep its slots for ever."""
    with new_instance() as instance:
        keep_limits(bounded(3), instance)
        assert limits(instance) == {}
