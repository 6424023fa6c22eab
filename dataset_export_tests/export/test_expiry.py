"""Files of a data landing zone live seven days, and everybody who looks is told until when (spec S3)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dataset_export.destinations.contract import HIDDEN_FOLDER, Store
from dataset_export.export.expiry import files_expire_at
from dataset_export.export.manifest import parse_manifest
from dataset_export.export.repair import Depth
from dataset_export_tests.export.exporter import Exporter, rows_of
from dataset_export_tests.lake.delta_tables import DeltaBuilder

EARLY = datetime(2026, 10, 31, 12, tzinfo=UTC)
LIFETIME = timedelta(days=7)
only_zone = pytest.mark.parametrize("place", ["data_landing_zone"], indirect=True)


@pytest.fixture
def exporter(store: Store, delta: DeltaBuilder) -> Exporter:
    exporter = Exporter(store, delta.uri)
    destination = replace(exporter.dataflow.destination, type="data_landing_zone", files_expire_after=LIFETIME)
    exporter.dataflow = replace(exporter.dataflow, destination=destination)
    return exporter


@only_zone
def test_s3_manifest_says_when_the_first_file_expires(exporter: Exporter) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    manifest = exporter.export(0)
    expire = files_expire_at(manifest)
    assert expire is not None
    assert before <= expire - LIFETIME <= datetime.now(UTC)
    with exporter.store.open(manifest.path) as stream:
        assert files_expire_at(parse_manifest(manifest.path, stream.read())) == expire


@only_zone
def test_s3_files_that_a_repair_keeps_expire_as_before(exporter: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    first = exporter.export(0)
    expire = files_expire_at(first)
    assert expire is not None
    exporter.store.delete(first.files[0].path)
    real = exporter.store.list
    shift = timedelta(days=3)

    def listed(folder: str):  # type: ignore[no-untyped-def]
        """As three days later: what was delivered then is older, what is delivered now is not."""
        kept = {file.path for file in first.files}
        return (replace(one, modified=one.modified - shift) if one.path in kept else one for one in real(folder))

    monkeypatch.setattr(exporter.store, "list", listed)
    repaired = exporter.export(0, repair=Depth.LISTING)
    assert len({file.path for file in repaired.files} & {file.path for file in first.files}) == len(first.files) - 1
    assert files_expire_at(repaired) == expire - shift


@only_zone
def test_s3_an_export_without_files_has_nothing_that_expires(exporter: Exporter) -> None:
    exporter.export(0)
    assert files_expire_at(exporter.export(1)) is None


@only_zone
def test_s3_once_the_zone_has_deleted_everything_exports_go_on(exporter: Exporter, delta: DeltaBuilder) -> None:
    """Also the journal and the manifests: the history is not the destination's."""
    first = exporter.export(0)
    for folder in ("", HIDDEN_FOLDER):
        for entry in list(exporter.store.list(folder)):
            exporter.store.delete(entry.path)
    delta.commit_time(delta.append(8), EARLY)
    second = exporter.export(1)
    assert second.bounds.lower == first.bounds.upper
    assert rows_of(exporter.store, second) == {8: 1}
    assert rows_of(exporter.store, exporter.export(0, resend=True)) == dict.fromkeys(range(1, 8), 1)


@pytest.mark.parametrize("place", ["local"], indirect=True)
def test_other_destinations_keep_their_files(store: Store, delta: DeltaBuilder) -> None:
    assert "filesExpireAt" not in Exporter(store, delta.uri).export(0).document
