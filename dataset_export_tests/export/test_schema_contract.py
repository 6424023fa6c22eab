"""What an export does when the columns of its dataset have changed since the last one."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from dataset_export.destinations.local import LocalStore
from dataset_export.errors import SchemaChanged
from dataset_export.export.manifest import Manifest
from dataset_export.export.repair import Depth
from dataset_export.export.schema_change import OnSchemaChange
from dataset_export.export.type_text import Column
from dataset_export_tests.export.exporter import Exporter, live_manifests, rows_by_manifest, visible_data_files
from dataset_export_tests.lake.delta_tables import DeltaBuilder


@pytest.fixture
def exporter(tmp_path: Path, delta: DeltaBuilder) -> Exporter:
    return Exporter(LocalStore(tmp_path / "delivered"), delta.uri)


def contract(exporter: Exporter, what: str) -> Exporter:
    exporter.dataflow = replace(exporter.dataflow, on_schema_change=OnSchemaChange(what))
    return exporter


def widen(delta: DeltaBuilder, *, hour: int = 8, minute: int = 30) -> None:
    """A column and a field in a struct are added, with one row."""
    data = pa.table({"id": [8], "name": ["x"], "home": [{"city": "Oslo"}]})
    version = delta.write(data, schema_mode="merge")
    delta.commit_time(version, datetime(2026, 11, 1, hour, minute, tzinfo=UTC))


def added(manifest: Manifest) -> list[str]:
    return [entry["column"] for entry in manifest.document["schemaChange"]["added"]]


@pytest.mark.parametrize("what", ["evolve", "notify"])
def test_a_change_is_delivered_and_recorded(exporter: Exporter, delta: DeltaBuilder, what: str) -> None:
    first = contract(exporter, what).export(0)
    widen(delta)
    second = exporter.export(1)
    third = exporter.export(2)
    assert "schemaChange" not in first.document
    assert second.document["schemaChange"] == {
        "added": [{"column": "home", "type": "struct<city: string>", "nullable": True}],
        "removed": [],
        "changed": [],
        "reordered": [],
    }
    assert "schemaChange" not in third.document
    assert sum(rows_by_manifest(exporter.store).values()) == 8


def test_fail_sends_nothing_and_says_what_changed(exporter: Exporter, delta: DeltaBuilder) -> None:
    contract(exporter, "fail").export(0)
    widen(delta)
    before = [entry.path for entry in exporter.store.list("")]
    with pytest.raises(SchemaChanged) as refused:
        exporter.export(1)
    assert str(refused.value) == (
        "hourly/orders at 202611010900: the columns are not those of 202611010800 (added: home (struct<city: string>)), "
        "and nothing was sent; set on_schema_change: evolve to deliver them, which makes them the ones that later exports "
        "are held to, leave out with columns: exclude what is new, or change the table back"
    )
    assert [entry.path for entry in exporter.store.list("")] == before
    assert list(exporter.store.leftovers("")) == []


def test_after_one_delivery_the_new_columns_are_the_contract(exporter: Exporter, delta: DeltaBuilder) -> None:
    exporter.export(0)
    widen(delta)
    exporter.export(1)
    delta.commit_time(delta.append(9, schema_mode="merge"), datetime(2026, 11, 1, 9, 30, tzinfo=UTC))
    assert contract(exporter, "fail").export(2).document["recordCount"] == 1


def test_what_was_delivered_once_can_be_delivered_again(exporter: Exporter, delta: DeltaBuilder) -> None:
    exporter.export(0)
    widen(delta)
    second = exporter.export(1)
    contract(exporter, "fail")
    again = exporter.export(1, resend=True)
    assert again.document["schemaChange"] == second.document["schemaChange"]
    exporter.store.delete(again.files[0].path)
    repaired = exporter.export(1, repair=Depth.LISTING)
    assert repaired.document["schemaChange"] == second.document["schemaChange"]
    assert sum(rows_by_manifest(exporter.store).values()) == 8
    assert visible_data_files(exporter.store) == {f.path for m in live_manifests(exporter.store) for f in m.files}


def test_a_gap_in_the_history_is_bridged(exporter: Exporter, delta: DeltaBuilder) -> None:
    """The export before is the nearest earlier one, also when hours lie between."""
    exporter.export(0)
    widen(delta)
    assert added(exporter.export(5)) == ["home"]
    # Between the two, the slice is cut at what the later one began with: the columns are the old ones.
    assert "schemaChange" not in exporter.export(3).document


def test_nested_changes_of_an_unrecorded_export_count(exporter: Exporter, delta: DeltaBuilder) -> None:
    """A run that died after its manifest: the plan of the next one knows its columns from there."""
    widen(delta, hour=7)
    with pytest.raises(BaseException, match="before the export was recorded"):
        exporter.export(0, die_unrecorded=True)
    data = pa.table({"id": [9], "home": [{"city": "Oslo", "zip": "0150"}]})
    delta.commit_time(delta.write(data, schema_mode="merge"), datetime(2026, 11, 1, 8, 30, tzinfo=UTC))
    assert added(exporter.export(1)) == ["home.zip"]


def test_a_table_without_versions_has_no_contract(tmp_path: Path) -> None:
    table = DeltaBuilder(str(tmp_path / "late"))
    table.commit_time(table.append(1), datetime(2026, 11, 1, 8, 30, tzinfo=UTC))
    exporter = contract(Exporter(LocalStore(tmp_path / "delivered"), table.uri), "fail")
    assert exporter.export(0).document["schema"] == []
    assert exporter.export(1).document["recordCount"] == 1


def test_the_ledger_knows_the_columns(exporter: Exporter) -> None:
    exporter.export(0)
    recorded = exporter.ledger.at(exporter.request(0).export_time)
    assert recorded is not None
    assert recorded.columns == (Column("id", "int64", True), Column("name", "string", True))
