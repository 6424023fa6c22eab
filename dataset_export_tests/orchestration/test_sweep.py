"""The daily job that removes what dead runs left."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from dataset_export.destinations.local import LocalDestination, LocalStore
from dataset_export.orchestration.names import SWEEP_JOB
from dataset_export.orchestration.sweep import sweep_dataflow, sweep_definitions
from dataset_export_tests.export.exporter import Exporter, Killed, MortalStore, visible_data_files
from dataset_export_tests.instances import new_instance
from dataset_export_tests.lake.delta_tables import DeltaBuilder


def test_p6_the_daily_job_removes_what_a_dead_run_left_and_nothing_else(tmp_path: Path) -> None:
    lake = DeltaBuilder(str(tmp_path / "lake"))
    for ids in ([1, 2], [3], [4]):
        lake.commit_time(lake.append(*ids), datetime(2026, 10, 31, 12, tzinfo=UTC))
    destination = LocalDestination(folder=str(tmp_path / "delivered"))
    store = destination.store()
    exporter = Exporter(store, lake.uri)
    foreign = f"{exporter.request(0).folder}/part-00000-tid-1234567890123456789-theirs.gz.parquet"
    store.put(foreign, b"theirs")
    mortal = MortalStore(store, 6, after=True)
    with pytest.raises(Killed):
        exporter.export(0, store=mortal)
    assert mortal.calls[-1] == "publish"
    assert len(visible_data_files(store)) > 1
    defs = dg.Definitions.merge(
        sweep_definitions([exporter.dataflow]),
        dg.Definitions(resources={exporter.dataflow.destination.id: destination}),
    )
    with new_instance() as instance:
        job = defs.resolve_job_def(SWEEP_JOB)
        result = job.execute_in_process(instance=instance)
        (done,) = [event for event in result.all_events if event.is_successful_output]
        counts = {name: value.value for name, value in done.step_output_data.metadata.items()}
        assert counts["runs"] == 1
        assert counts["visible_files"] + counts["staged_leftovers"] == 3
        assert visible_data_files(store) == {foreign}
        again = job.execute_in_process(instance=instance)
        (done,) = [event for event in again.all_events if event.is_successful_output]
        assert done.step_output_data.metadata["runs"].value == 0


def test_p6_a_dataset_that_was_taken_out_is_swept_too(tmp_path: Path) -> None:
    lake = DeltaBuilder(str(tmp_path / "lake"))
    lake.commit_time(lake.append(1, 2), datetime(2026, 10, 31, 12, tzinfo=UTC))
    store = LocalStore(tmp_path / "delivered")
    exporter = Exporter(store, lake.uri)
    with pytest.raises(Killed):
        exporter.export(0, store=MortalStore(store, 3, after=True))
    assert len(visible_data_files(store)) == 1
    without = replace(exporter.dataflow, datasets=(replace(exporter.dataset, id="other"),))
    with dg.DagsterInstance.ephemeral() as instance:
        (swept,) = sweep_dataflow(without, store, instance, dry_run=False)
    assert swept.entry.dataset == "orders"
    assert visible_data_files(store) == set()


def test_nothing_declared_makes_no_job() -> None:
    assert not list(sweep_definitions([]).jobs or [])
