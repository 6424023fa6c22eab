"""Dataflows that say how large their files are: source files are cut and merged, and every promise holds with that."""

from collections import Counter
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from dataset_export.destinations.contract import Store
from dataset_export.destinations.local import LocalStore
from dataset_export.encoding.contract import Compression, Encoding, Format
from dataset_export.encoding.openpgp_keys import read_recipients
from dataset_export.errors import ConfigError
from dataset_export.export.file_names import file_name, part_path, place_in_export
from dataset_export.export.file_shape import FileShape
from dataset_export.export.manifest import Manifest
from dataset_export.export.repair import Depth
from dataset_export.export.sweep import sweep
from dataset_export.export.verify import verify
from dataset_export_tests.export.exporter import (
    START,
    Exporter,
    Killed,
    MortalStore,
    live_manifests,
    named_files,
    rows_by_manifest,
    staged_files,
    visible_data_files,
)
from dataset_export_tests.lake.delta_tables import DeltaBuilder
from dataset_export_tests.servers.gnupg import GnuPG

JSON = Encoding(Format.JSON, Compression.GZIP)
ROWS = Counter(range(1, 12))
TWO_ROWS = FileShape(max_rows_per_file=2)


@pytest.fixture
def lake(tmp_path: Path) -> DeltaBuilder:
    """Files of five, one and five rows."""
    delta = DeltaBuilder(str(tmp_path / "lake"))
    for ids in (range(1, 6), [6], range(7, 12)):
        append(delta, *ids)
    return delta


def append(delta: DeltaBuilder, *ids: int) -> None:
    """A file that the first export time delivers."""
    delta.commit_time(delta.append(*ids), START - timedelta(hours=1))


@pytest.fixture
def local(tmp_path: Path) -> Store:
    return LocalStore(tmp_path / "delivered")


def whole(store: Store, rows: Counter[int] = ROWS) -> Manifest:
    """P5, P6, P7: one live manifest, its files and nothing else, each row once."""
    (manifest,) = live_manifests(store)
    assert rows_by_manifest(store) == rows
    assert visible_data_files(store) == named_files(store)
    assert staged_files(store) == []
    assert {finding.state for finding in verify(store, manifest, deep=True)} == {"="}
    return manifest


@pytest.mark.parametrize("encoding", [Encoding(), JSON], ids=["parquet", "json"])
def test_p4_a_file_becomes_several_under_names_that_are_derived(
    store: Store, lake: DeltaBuilder, encoding: Encoding
) -> None:
    exporter = Exporter(store, lake.uri, encoding=encoding, shape=TWO_ROWS)
    manifest = exporter.export(0)
    assert whole(store).path == manifest.path
    assert sorted(file.rows for file in manifest.files) == [1, 1, 1, 2, 2, 2, 2]
    places = [place_in_export(file.name) for file in manifest.files]
    # In which order the source files come is their names' affair.
    parts = Counter(place[0] for place in places if place)
    assert sorted(parts.values()) == [1, 3, 3]
    assert {place[:2] for place in places if place} == {(one, part) for one in parts for part in range(parts[one])}
    assert manifest.document["fileShape"] == {"maxRowsPerFile": 2}


def test_the_first_part_has_the_name_of_the_whole() -> None:
    path = f"orders/{file_name('part', 'tid-1000000000000000000-0', 3, '.gz.parquet.gpg')}"
    assert part_path(path, 0) == path
    assert part_path(path, 12) == path.replace("-c000.", "-c012.")
    assert place_in_export("somebody-elses.parquet") is None


@pytest.mark.parametrize("after", [False, True])
def test_p1_to_p7_hold_when_it_dies_at_any_call(tmp_path: Path, lake: DeltaBuilder, after: bool) -> None:
    total = MortalStore(LocalStore(tmp_path / "count"))
    Exporter(LocalStore(tmp_path / "count"), lake.uri, shape=TWO_ROWS).export(0, store=total)
    for death in range(1, len(total.calls) + 1):
        store = LocalStore(tmp_path / f"died-{death}")
        exporter = Exporter(store, lake.uri, shape=TWO_ROWS)
        run = str(uuid4())
        with pytest.raises(Killed):
            exporter.export(0, run, store=MortalStore(store, death, after=after))
        assert rows_by_manifest(store) in (Counter(), ROWS)
        exporter.export(0, run)
        assert {file.path for file in whole(store).files} == named_files(store)


def test_p6_what_a_dead_run_staged_of_a_cut_file_is_swept(local: Store, lake: DeltaBuilder) -> None:
    exporter = Exporter(local, lake.uri, shape=TWO_ROWS)
    with pytest.raises(Killed):
        exporter.export(0, store=MortalStore(local, 7))
    assert any("-c001." in path for path in staged_files(local))
    sweep(local, "hourly", "orders", exporter.ledger, dry_run=False)
    assert staged_files(local) == []
    assert visible_data_files(local) == set()


def test_p5_a_resend_in_another_shape_leaves_nothing_of_the_old_one(local: Store, lake: DeltaBuilder) -> None:
    first = Exporter(local, lake.uri, shape=TWO_ROWS)
    first.export(0)
    second = Exporter(local, lake.uri, shape=FileShape(target_bytes_per_file=10**6), ledger=first.ledger)
    manifest = second.export(0, resend=True)
    assert [file.rows for file in whole(local).files] == [11]
    assert manifest.files[0].way == "rewrite"  # three files with a few rows each


def test_p7_a_repair_makes_all_parts_of_a_bad_file_anew(local: Store, lake: DeltaBuilder) -> None:
    exporter = Exporter(local, lake.uri, shape=TWO_ROWS)
    first = exporter.export(0)
    bad = next(file.path for file in first.files if "-c001." in file.path)
    local.delete(bad)
    mortal = MortalStore(local)
    second = exporter.export(0, repair=Depth.DEEP, store=mortal)
    assert mortal.calls.count("stage") == 3
    kept = {file.path for file in first.files} & {file.path for file in second.files}
    cut = bad.rpartition("-c001.")[0]
    assert kept == {file.path for file in first.files if not file.path.startswith(cut)}
    assert whole(local).path == second.path


def test_p7_a_repair_after_the_shape_has_changed_sends_all_files_again(local: Store, lake: DeltaBuilder) -> None:
    first = Exporter(local, lake.uri, shape=TWO_ROWS)
    delivered = first.export(0)
    local.delete(delivered.files[1].path)
    other = Exporter(local, lake.uri, shape=FileShape(max_rows_per_file=3), ledger=first.ledger)
    plan = other.plan(other.request(0, repair=Depth.LISTING))
    assert "its fileShape was" in (plan.repair_note or "")
    other.export(0, repair=Depth.LISTING)
    assert sorted(file.rows for file in whole(local).files) == [1, 2, 2, 3, 3]


def test_net_new_rows_of_a_rewrite_keep_to_the_limits(local: Store, lake: DeltaBuilder) -> None:
    exporter = Exporter(local, lake.uri, shape=TWO_ROWS)
    exporter.export(1)
    lake.overwrite(*range(5, 17))
    lake.commit_time(lake.version, START.replace(hour=9, minute=30))
    manifest = exporter.export(2)
    assert [file.rows for file in manifest.files] == [2, 2, 1]
    assert manifest.document["carriedOverRecordCount"] == 7
    assert rows_by_manifest(local) == ROWS + Counter(range(12, 17))


def test_small_files_are_merged_up_to_the_target(local: Store, lake: DeltaBuilder) -> None:
    for row in (12, 13, 14):
        append(lake, row)
    plain = Exporter(local, lake.uri)
    sizes = [file.bytes for shard in plan_of(plain) for file in shard]
    target = 3 * max(sizes)
    merged = plan_of(Exporter(local, lake.uri, shape=FileShape(target_bytes_per_file=target)))
    files = [file for shard in merged for file in shard]
    assert 2 <= len(files) < len(sizes)
    assert all(file.bytes <= target for file in files)
    assert plan_of(Exporter(local, lake.uri, shape=FileShape(target_bytes_per_file=1))) != merged
    Exporter(local, lake.uri, shape=FileShape(target_bytes_per_file=target)).export(0)
    whole(local, ROWS + Counter([12, 13, 14]))


def plan_of(exporter: Exporter) -> list[list]:
    """The planned files by shard, with what does not depend on the run."""
    from dataset_export.export.bounds import Bounds
    from dataset_export.export.plan import describe
    from dataset_export.lake.open import open_table

    table = open_table(exporter.dataset.location())
    newest = table.versions(1)[0].number
    plan = describe(exporter.request(0, "run"), Bounds(None, newest), table)
    return [list(shard.files) for shard in plan.shards]


def test_encrypted_files_keep_to_the_limit_of_bytes(tmp_path: Path, gnupg: GnuPG) -> None:
    recipients = read_recipients([gnupg.public_key(gnupg.make_key("Limits <limits@example.com>"))], now=START)
    delta = DeltaBuilder(str(tmp_path / "lake"))
    append(delta, *range(60_000))
    store = LocalStore(tmp_path / "delivered")
    shape = FileShape(max_bytes_per_file=40_000)
    exporter = Exporter(store, delta.uri, encoding=JSON, recipients=recipients, shape=shape)
    manifest = exporter.export(0)
    assert len(manifest.files) > 1
    assert all(30_000 < file.bytes <= 40_000 for file in manifest.files[:-1])


def test_a_target_above_the_maximum_is_refused() -> None:
    with pytest.raises(ConfigError, match="target_bytes_per_file is 2,000 and max_bytes_per_file 1,000"):
        FileShape(max_bytes_per_file=1000, target_bytes_per_file=2000)
