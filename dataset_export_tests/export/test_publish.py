"""Promises of one export, step by step, on every kind of store."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pytest

from dataset_export.destinations.contract import Store
from dataset_export.errors import IntegrityError, StalePlan, UsageError
from dataset_export.export.bounds import Bounds
from dataset_export.export.dataflow import ExportMode
from dataset_export_tests.export.exporter import (
    Exporter,
    Killed,
    MortalStore,
    live_manifests,
    named_files,
    rows_by_manifest,
    rows_of,
    staged_files,
    visible_data_files,
)
from dataset_export_tests.lake.delta_tables import DeltaBuilder


@pytest.fixture
def delta(tmp_path: Path) -> DeltaBuilder:
    """Version 0 holds rows 1 to 3, version 1 row 4: both committed long before every export time."""
    table = DeltaBuilder(str(tmp_path / "lake"))
    for ids in ([1, 2, 3], [4]):
        table.commit_time(table.append(*ids), _early())
    return table


@pytest.fixture
def exporter(store: Store, delta: DeltaBuilder) -> Exporter:
    return Exporter(store, delta.uri)


def test_p1_nothing_is_visible_before_everything_is_staged(exporter: Exporter) -> None:
    request = exporter.request(0)
    plan = exporter.plan(request)
    staged = exporter.stage(request, plan)
    assert len(staged) == 2
    assert visible_data_files(exporter.store) == set()
    assert live_manifests(exporter.store) == []
    exporter.publish(request, plan, staged)
    assert len(visible_data_files(exporter.store)) == 2


def test_p1_one_missing_staged_file_keeps_all_invisible(exporter: Exporter) -> None:
    request = exporter.request(0)
    plan = exporter.plan(request)
    staged = exporter.stage(request, plan)
    assert staged[1].staged is not None
    exporter.store.discard(staged[1].staged)
    with pytest.raises(IntegrityError):
        exporter.publish(request, plan, staged)
    assert visible_data_files(exporter.store) == set()


def test_p1_a_missing_receipt_keeps_all_invisible(exporter: Exporter) -> None:
    """A scheduler that forgets a worker must not lose its rows."""
    request = exporter.request(0)
    plan = exporter.plan(request)
    staged = exporter.stage(request, plan)
    with pytest.raises(IntegrityError, match="1 of 2 files are staged"):
        exporter.publish(request, plan, staged[:1])
    assert visible_data_files(exporter.store) == set()
    assert live_manifests(exporter.store) == []


def test_p6_a_run_whose_plan_was_cleared_sends_nothing(exporter: Exporter) -> None:
    request = exporter.request(0)
    plan = exporter.plan(request)
    staged = exporter.stage(request, plan)
    delivered = exporter.export(0)
    with pytest.raises(StalePlan, match="new run"):
        exporter.stage(request, plan)
    with pytest.raises(StalePlan, match="new run"):
        exporter.publish(request, plan, staged)
    assert staged_files(exporter.store) == []
    assert visible_data_files(exporter.store) == {file.path for file in delivered.files}


def test_p2_the_manifest_comes_after_every_file(exporter: Exporter) -> None:
    mortal = MortalStore(exporter.store)
    exporter.export(0, store=mortal)
    assert mortal.calls == ["put", "stage", "stage", "publish", "publish", "put"]


def test_p4_a_retry_of_the_same_run_makes_the_same_names(exporter: Exporter) -> None:
    run_id = str(uuid4())
    with pytest.raises(Killed):
        exporter.export(0, run_id, store=MortalStore(exporter.store, 4, after=True))
    before = visible_data_files(exporter.store)
    assert len(before) >= 1
    manifest = exporter.export(0, run_id)
    assert before <= {file.path for file in manifest.files}
    assert visible_data_files(exporter.store) == named_files(exporter.store)
    assert staged_files(exporter.store) == []


def test_p4_a_retry_keeps_the_slice_that_the_first_try_planned(exporter: Exporter, delta: DeltaBuilder) -> None:
    run_id = str(uuid4())
    with pytest.raises(Killed):
        exporter.export(0, run_id, store=MortalStore(exporter.store, 5, after=True))
    delta.commit_time(delta.append(5), _early())
    assert exporter.export(0, run_id).bounds.upper == 1
    assert exporter.export(1).bounds == Bounds(1, 2)
    assert rows_by_manifest(exporter.store) == {1: 1, 2: 1, 3: 1, 4: 1, 5: 1}


def test_p6_a_new_run_removes_what_a_dead_one_left_and_nothing_else(exporter: Exporter) -> None:
    foreign = f"{exporter.request(0).folder}/part-00000-tid-1234567890123456789-of-somebody-else.gz.parquet"
    exporter.store.put(foreign, b"theirs")
    with pytest.raises(Killed):
        exporter.export(0, store=MortalStore(exporter.store, 4, after=True))
    manifest = exporter.export(0)
    assert visible_data_files(exporter.store) == {foreign} | {file.path for file in manifest.files}
    assert staged_files(exporter.store) == []


def test_p5_a_resend_has_new_files_the_same_rows_and_one_live_manifest(exporter: Exporter, delta: DeltaBuilder) -> None:
    first = exporter.export(0)
    delta.append(9)
    second = exporter.export(0, resend=True)
    assert second.bounds == first.bounds
    assert {f.path for f in first.files}.isdisjoint({f.path for f in second.files})
    assert [ref.path for ref in second.supersedes] == [first.path]
    assert [m.path for m in live_manifests(exporter.store)] == [second.path]
    assert visible_data_files(exporter.store) == {f.path for f in second.files}


def test_p5_a_resend_cures_a_manifest_that_somebody_changed(exporter: Exporter) -> None:
    first = exporter.export(0)
    exporter.store.put(first.path, b"{}", replace=True)
    second = exporter.export(0, resend=True)
    assert visible_data_files(exporter.store) == {f.path for f in second.files}
    assert [m.path for m in live_manifests(exporter.store)] == [second.path]


def test_p7_two_exports_planned_side_by_side_do_not_both_publish(exporter: Exporter) -> None:
    requests = [exporter.request(hour) for hour in (0, 1)]
    plans = [exporter.plan(request) for request in requests]
    staged = [exporter.stage(request, plan) for request, plan in zip(requests, plans, strict=True)]
    exporter.record(exporter.publish(requests[0], plans[0], staged[0]))
    with pytest.raises(StalePlan, match="planned anew"):
        exporter.publish(requests[1], plans[1], staged[1])
    assert exporter.export(1).document["recordCount"] == 0
    assert rows_by_manifest(exporter.store) == {1: 1, 2: 1, 3: 1, 4: 1}


def test_p7_an_export_that_was_never_recorded_is_adopted_and_not_sent_again(exporter: Exporter) -> None:
    with pytest.raises(Killed):
        exporter.export(0, die_unrecorded=True)
    mortal = MortalStore(exporter.store)
    adopted = exporter.export(0, store=mortal)
    assert "stage" not in mortal.calls
    assert adopted.document["recordCount"] == 4
    assert exporter.export(1).document["recordCount"] == 0


def test_an_unrecorded_export_counts_for_the_next_export_time(exporter: Exporter) -> None:
    with pytest.raises(Killed):
        exporter.export(0, die_unrecorded=True)
    assert exporter.export(1).bounds.lower == 1


def test_an_adopted_export_that_is_damaged_is_refused_and_a_resend_cures_it(exporter: Exporter) -> None:
    with pytest.raises(Killed):
        exporter.export(0, die_unrecorded=True)
    exporter.store.delete(live_manifests(exporter.store)[0].files[0].path)
    with pytest.raises(IntegrityError, match="resend"):
        exporter.export(0)
    exporter.export(0, resend=True)
    assert rows_by_manifest(exporter.store) == {1: 1, 2: 1, 3: 1, 4: 1}
    assert visible_data_files(exporter.store) == named_files(exporter.store)


def test_a_run_that_is_going_on_is_not_disturbed(exporter: Exporter) -> None:
    request = exporter.request(0)
    exporter.plan(request)
    exporter.ledger.running.add(request.run_id)
    with pytest.raises(StalePlan, match=request.run_id):
        exporter.export(0)


def test_nothing_new_writes_a_manifest_without_files(exporter: Exporter) -> None:
    first = exporter.export(0)
    empty = exporter.export(1)
    assert empty.files == []
    assert empty.document["previousManifest"] == {"path": first.path, "sha256": first.sha256, "flowRunId": first.run_id}
    assert empty.document["schemaFingerprint"] == first.document["schemaFingerprint"]


def test_a_table_without_rows_is_delivered_as_no_files(store: Store, tmp_path: Path) -> None:
    table = DeltaBuilder(str(tmp_path / "empty"))
    table.commit_time(table.append(), _early())
    manifest = Exporter(store, table.uri).export(0)
    assert manifest.files == []
    assert [column["name"] for column in manifest.document["schema"]] == ["id", "name"]


def test_a_column_added_between_two_exports_is_delivered_with_the_new_schema(
    exporter: Exporter, delta: DeltaBuilder
) -> None:
    first = exporter.export(0)
    version = delta.write(pa.table({"id": [7], "name": ["x"], "note": ["new"]}), schema_mode="merge")
    delta.commit_time(version, _early())
    second = exporter.export(1)
    assert [column["name"] for column in second.document["schema"]] == ["id", "name", "note"]
    assert first.document["schemaFingerprint"] != second.document["schemaFingerprint"]
    assert rows_of(exporter.store, second, "note") == {"new": 1}


def test_s4_full_mode_delivers_the_whole_table_every_time(store: Store, delta: DeltaBuilder) -> None:
    exporter = Exporter(store, delta.uri, mode=ExportMode.FULL)
    assert exporter.export(0).document["recordCount"] == 4
    delta.commit_time(delta.append(5), _early())
    later = exporter.export(1)
    assert (later.document["recordCount"], later.bounds.lower) == (5, None)


def test_a_backfill_in_reverse_order_leaves_nothing_out(exporter: Exporter, delta: DeltaBuilder) -> None:
    for hour in (3, 1, 0, 2):
        exporter.export(hour)
    assert rows_by_manifest(exporter.store) == {1: 1, 2: 1, 3: 1, 4: 1}


@pytest.mark.parametrize(("hour", "reason"), [(-1, "before the start"), (5, "in the future")])
def test_export_times_that_are_not_due_are_refused_before_anything_is_written(
    exporter: Exporter, hour: int, reason: str
) -> None:
    request = exporter.request(hour)
    with pytest.raises(UsageError, match=reason):
        exporter.plan(request, now=exporter.request(2).export_time)
    assert list(exporter.store.list("")) == []


def _early() -> datetime:
    return datetime(2026, 10, 31, 12, tzinfo=UTC)
