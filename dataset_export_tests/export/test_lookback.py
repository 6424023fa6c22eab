"""Rows of events that are too old are left out, and counted (spec S10)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from dataset_export.destinations.local import LocalStore
from dataset_export.export.dataflow import Behavior
from dataset_export.export.table_catalog import TableCatalog
from dataset_export.lake.delta import DeltaLakeTable
from dataset_export.lake.iceberg import IcebergTable
from dataset_export_tests.export.exporter import START, Exporter, rows_of
from dataset_export_tests.lake.delta_tables import DeltaBuilder
from dataset_export_tests.lake.iceberg_tables import IcebergBuilder

YEAR = timedelta(days=365)
MS = timedelta(milliseconds=1)
AGES = [timedelta(0), YEAR - timedelta(microseconds=1), YEAR, YEAR + timedelta(microseconds=1), 2 * YEAR]
"""Of the rows 0, 1, 2, …, before the first export time."""


@pytest.fixture
def table(tmp_path: Path) -> DeltaBuilder:
    lake = DeltaBuilder(str(tmp_path / "events"))
    at = pa.array([START - age for age in AGES], pa.timestamp("us", "UTC"))
    lake.commit_time(lake.write(pa.table({"id": list(range(len(AGES))), "at": at})), datetime(2026, 10, 31, tzinfo=UTC))
    return lake


def exporter(tmp_path: Path, table: DeltaBuilder, behavior: Behavior = Behavior.TIME_SERIES) -> Exporter:
    column = "at" if behavior is Behavior.TIME_SERIES else None
    return Exporter(LocalStore(tmp_path / "delivered"), table.uri, behavior=behavior, timestamp_column=column)


def exporter_of(lake: IcebergBuilder, to: Path) -> Exporter:
    catalog = TableCatalog("sql", lake.location.name, lake.location.table, lake.location.uri)
    return Exporter(
        LocalStore(to),
        catalog.address,
        format="iceberg",
        catalog=catalog,
        behavior=Behavior.TIME_SERIES,
        timestamp_column="at",
    )


def test_s10_events_older_than_365_days_before_the_export_time_are_left_out_and_counted(
    tmp_path: Path, table: DeltaBuilder
) -> None:
    events = exporter(tmp_path, table)
    manifest = events.export(0)
    assert set(rows_of(events.store, manifest)) == {0, 1, 2}
    assert manifest.document["excludedRecords"] == [{"reason": "older than 365 days", "recordCount": 2}]


def test_s10_days_are_counted_back_from_the_export_time_not_from_now(tmp_path: Path, table: DeltaBuilder) -> None:
    events = exporter(tmp_path, table)
    manifest = events.export(1)
    assert set(rows_of(events.store, manifest)) == {0}


def test_s10_how_far_back_is_configurable(tmp_path: Path, table: DeltaBuilder) -> None:
    events = exporter(tmp_path, table)
    events.dataset = replace(events.dataset, lookback_days=730)
    events.dataflow = replace(events.dataflow, datasets=(events.dataset,))
    manifest = events.export(0)
    assert set(rows_of(events.store, manifest)) == {0, 1, 2, 3, 4}
    assert manifest.document["excludedRecords"] == []


def test_s10_records_are_delivered_whatever_their_age(tmp_path: Path, table: DeltaBuilder) -> None:
    records = exporter(tmp_path, table, Behavior.RECORD)
    manifest = records.export(0)
    assert set(rows_of(records.store, manifest)) == {0, 1, 2, 3, 4}
    assert manifest.document["excludedRecords"] == []


def test_s10_files_that_the_log_proves_to_be_too_old_are_not_opened(
    tmp_path: Path, table: DeltaBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = pa.array([START - 2 * YEAR, START - 3 * YEAR], pa.timestamp("us", "UTC"))
    table.commit_time(table.write(pa.table({"id": [8, 9], "at": at})), datetime(2026, 10, 31, tzinfo=UTC))
    events = exporter(tmp_path, table)
    plan = events.plan(events.request(0))
    sources = [source for shard in plan.shards for file in shard.files for source in file.sources]
    (old,) = [source for source in sources if source.max_timestamp == (START - 2 * YEAR + MS).isoformat()]
    opened: list[str] = []
    whole = DeltaLakeTable.open
    monkeypatch.setattr(DeltaLakeTable, "open", lambda self, file: opened.append(file.path) or whole(self, file))
    manifest = events.export(0)
    assert set(rows_of(events.store, manifest)) == {0, 1, 2}
    assert manifest.document["excludedRecords"] == [{"reason": "older than 365 days", "recordCount": 4}]
    assert manifest.document["sourceRecordCount"] == 7
    assert opened
    assert old.path not in opened


def test_s10_files_that_manifests_prove_to_be_too_old_are_not_opened_unless_rows_of_them_are_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = IcebergBuilder(tmp_path, pa.schema([("id", pa.int64()), ("at", pa.timestamp("us", "UTC"))]))
    events = exporter_of(lake, tmp_path / "delivered")

    def write(*ages: timedelta | None) -> str:
        before = set(lake.live)
        at = pa.array([None if age is None else START - age for age in ages], pa.timestamp("us", "UTC"))
        lake.write(pa.table({"id": pa.array(range(len(ages)), pa.int64()), "at": at}))
        (path,) = lake.live.keys() - before
        return path

    marked = write(4 * YEAR, 5 * YEAR, 6 * YEAR)
    lake.delete_positions({marked: [1]})
    write(2 * YEAR, 3 * YEAR)
    mixed, null = write(*AGES), write(2 * YEAR, None)
    for version in range(1, lake.version + 1):
        lake.commit_time(version, datetime(2026, 10, 31, tzinfo=UTC))
    opened: set[str] = set()
    whole = IcebergTable.open
    monkeypatch.setattr(IcebergTable, "open", lambda self, file: opened.add(file.path) or whole(self, file))
    manifest = events.export(0)
    assert rows_of(events.store, manifest) == {0: 1, 1: 2, 2: 1}
    # How many rows of `marked` are left is not told by the manifest of a file of position deletes, which may be about others.
    assert manifest.document["excludedRecords"] == [{"reason": "older than 365 days", "recordCount": 2 + 2 + 2 + 1}]
    assert opened == {marked, mixed, null}
    lake.close()


def test_s10_an_export_of_old_files_only_has_no_files(tmp_path: Path) -> None:
    lake = DeltaBuilder(str(tmp_path / "events"))
    at = pa.array([START - 2 * YEAR], pa.timestamp("us", "UTC"))
    lake.commit_time(lake.write(pa.table({"id": [1], "at": at})), datetime(2026, 10, 31, tzinfo=UTC))
    events = exporter(tmp_path, lake)
    manifest = events.export(0)
    assert manifest.files == []
    assert manifest.document["excludedRecords"] == [{"reason": "older than 365 days", "recordCount": 1}]
    assert events.export(0, resend=True).document["sourceRecordCount"] == 1
