"""The manifest for those who read it (spec S7): by the published schema, with the original's keys, in a chain."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dataset_export.destinations.local import LocalStore
from dataset_export.export.folder import FolderTemplate
from dataset_export.export.manifest import manifest_schema
from dataset_export_tests.export.exporter import Exporter, rows_by_manifest, visible_data_files
from dataset_export_tests.lake.delta_tables import DeltaBuilder


@pytest.fixture
def delta(tmp_path: Path) -> DeltaBuilder:
    return DeltaBuilder(str(tmp_path / "lake"))


@pytest.fixture
def exporter(tmp_path: Path, delta: DeltaBuilder) -> Exporter:
    exporter = Exporter(LocalStore(tmp_path / "delivered"), delta.uri)
    for hour in (1, 2, 3):
        delta.commit_time(delta.append(hour, hour + 10), exporter.request(hour - 1).export_time)
    return exporter


def written(exporter: Exporter, tmp_path: Path) -> list[tuple[Path, dict[str, Any]]]:
    """What lies at the destination, oldest first, read as a stranger reads it."""
    found = [(path, json.loads(path.read_bytes())) for path in (tmp_path / "delivered").glob("**/manifest-*.json")]
    return sorted(found, key=lambda one: one[1]["scheduledTime"])


def test_s7_manifests_follow_the_published_schema_and_have_the_originals_keys(
    exporter: Exporter, tmp_path: Path
) -> None:
    for hour in (1, 2, 3, 4):
        exporter.export(hour)
    exporter.export(2, resend=True)
    validator = jsonschema.Draft202012Validator(manifest_schema())
    documents = [document for _, document in written(exporter, tmp_path)]
    assert [len(document["exportResults"]) for document in documents] == [1, 1, 1, 0], (
        "nothing new is no missing manifest"
    )
    for document in documents:
        validator.validate(document)
        assert {"flowRunId", "scheduledTime", "exportResults"} <= set(document)
        for result in document["exportResults"]:
            file = tmp_path / f"delivered{result['sinkPath']}" / result["name"]
            assert hashlib.sha256(file.read_bytes()).hexdigest() == result["sha256"]
            assert file.stat().st_size == result["size"]


def test_s7_every_key_of_the_published_schema_is_described() -> None:
    silent = [key for key, schema in _properties(manifest_schema()) if "description" not in schema]
    assert silent == []


def test_s7_a_reader_notices_an_export_that_it_has_missed(exporter: Exporter, tmp_path: Path) -> None:
    for hour in (1, 2, 3):
        exporter.export(hour)
    first, second, third = written(exporter, tmp_path)
    assert first[1]["previousManifest"] is None
    for (path, _), (_, later) in ((first, second), (second, third)):
        previous = later["previousManifest"]
        assert tmp_path / "delivered" / previous["path"] == path
        assert previous["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_s7_manifests_may_go_to_another_folder(exporter: Exporter, tmp_path: Path) -> None:
    destination = replace(exporter.dataflow.destination, manifest_folder=FolderTemplate("manifests/%DATASET_ID%"))
    exporter.dataflow = replace(exporter.dataflow, destination=destination)
    exporter.export(1)
    exporter.export(2)
    assert {path.parent for path, _ in written(exporter, tmp_path)} == {tmp_path / "delivered/manifests/orders"}
    assert sum(rows_by_manifest(exporter.store).values()) == 4


def test_s7_p5_without_manifests_readers_see_none_and_exports_go_on(exporter: Exporter, tmp_path: Path) -> None:
    destination = replace(exporter.dataflow.destination, manifest=False)
    exporter.dataflow = replace(exporter.dataflow, destination=destination)
    for hour in (1, 2):
        exporter.export(hour)
    before = set(visible_data_files(exporter.store))
    exporter.export(1, resend=True)
    after = set(visible_data_files(exporter.store))
    assert (len(after), len(after & before)) == (2, 1), (
        "the export that was resent has new files, and its old one is gone"
    )
    assert {path.relative_to(tmp_path / "delivered").parts[0] for path, _ in written(exporter, tmp_path)} == {
        ".dataset_export"
    }
    assert exporter.export(3).document["recordCount"] == 2


def _properties(schema: Any) -> Any:
    if isinstance(schema, list):
        for inner in schema:
            yield from _properties(inner)
    elif isinstance(schema, dict):
        yield from schema.get("properties", {}).items()
        for inner in schema.values():
            yield from _properties(inner)
