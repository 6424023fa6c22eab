"""Iceberg tables: versions, slices and what is refused."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.manifest import FileFormat
from pyiceberg.table.snapshots import Operation

from dataset_export.errors import CorruptFile, NotFound, UnsupportedTable, VersionGone
from dataset_export.lake import iceberg_manifests
from dataset_export.lake.location import IcebergCatalog
from dataset_export.lake.open import TableLocation, open_table
from dataset_export_tests.lake.iceberg_tables import NAME, IcebergBuilder, files_of, net_new, rows

NOW = datetime(2026, 11, 26, tzinfo=UTC)


@pytest.fixture
def iceberg(tmp_path: Path) -> Iterator[IcebergBuilder]:
    builder = IcebergBuilder(tmp_path)
    yield builder
    builder.close()


def check(iceberg: IcebergBuilder) -> None:
    """Every slice there is."""
    table = iceberg.table()
    versions = [None, *sorted(version.number for version in table.versions())]
    for at, lower in enumerate(versions):
        for upper in versions[at + 1 :]:
            assert upper is not None
            found = net_new(table, table.slice(lower, upper))
            assert found == iceberg.state(upper) - iceberg.state(lower), (lower, upper)


def test_appends_are_added_files(iceberg: IcebergBuilder) -> None:
    iceberg.append(1, 2)
    iceberg.append(2, 3)
    iceberg.append(4)
    table = iceberg.table()
    assert [version.number for version in table.versions()] == [3, 2, 1]
    assert [version.number for version in table.versions(1)] == [3]
    assert [file.rows for file in table.slice(1, 3).added] == [1, 2]
    assert table.slice(1, 3).removed == ()
    assert table.slice(2, 2).added == ()
    assert table.row_count(2) == 4
    assert table.schema(3).names == ["id", "name"]
    check(iceberg)


def test_overwrites_and_deletes_are_net_new_rows(iceberg: IcebergBuilder) -> None:
    iceberg.append(1, 2, 3)
    iceberg.append(1, 4)
    iceberg.delete("id = 1")
    iceberg.overwrite(2, 3, 9)
    iceberg.append(1, 5)
    check(iceberg)


def test_compaction_adds_nothing(iceberg: IcebergBuilder) -> None:
    iceberg.append(1, 2)
    iceberg.append(3)
    appended = set(iceberg.live)
    iceberg.compact()
    iceberg.append(4)
    table = iceberg.table()
    assert table.slice(2, 3).added == ()
    assert len(table.slice(2, 4).added) == 1
    assert table.slice(2, 4).removed == ()
    part = table.slice(1, 4)
    assert part.removed == (), "the file that was appended stands for its rows, not the one it was compacted into"
    assert {file.path for file in part.added} & appended
    check(iceberg)
    iceberg.compact([path for path in iceberg.live if path not in appended])
    iceberg.delete("id = 3")
    check(iceberg)


def test_what_was_appended_and_compacted_in_one_slice_is_one_file(iceberg: IcebergBuilder) -> None:
    iceberg.append(0)
    old = set(iceberg.live)
    for number in range(4):
        iceberg.append(number)
    iceberg.compact(set(iceberg.live) - old)
    part = iceberg.table().slice(1, iceberg.version)
    assert [file.path for file in part.added] == [path for path in iceberg.live if path not in old]
    check(iceberg)


def test_merged_manifests_do_not_hide_what_was_appended(tmp_path: Path) -> None:
    merge = {"commit.manifest-merge.enabled": "true", "commit.manifest.min-count-to-merge": "2"}
    iceberg = IcebergBuilder(tmp_path, properties=merge)
    for number in range(5):
        iceberg.append(number)
    assert len(iceberg.snapshot(5).manifests(iceberg.raw().io)) < 5
    iceberg.delete("id = 2")
    iceberg.append(7)
    check(iceberg)
    iceberg.close()


def test_partitions(tmp_path: Path) -> None:
    iceberg = IcebergBuilder(tmp_path, partition=lambda spec: spec.add_identity("name"))
    iceberg.write(pa.table({"id": pa.array([1, 2, 3], pa.int64()), "name": ["a b", "c/d%2F é", None]}))
    iceberg.append(1, 2, 3, 4)
    iceberg.delete("id = 1 and name = 'n1'")
    iceberg.append(1, 4, 7)
    table = iceberg.table()
    part = table.slice(2, iceberg.version)
    assert len(part.removed) == 1, "rows of other partitions are in no removed file"
    check(iceberg)
    iceberg.close()


def test_a_compaction_into_another_partition_spec(tmp_path: Path) -> None:
    iceberg = IcebergBuilder(tmp_path)
    iceberg.append(1, 2, 3)
    iceberg.append(4, 5)
    with iceberg.raw().update_spec() as update:
        update.add_identity("name")
    iceberg.append(1, 9)
    iceberg.compact()
    iceberg.delete("id = 9")
    check(iceberg)
    iceberg.close()


def test_newest_before_is_by_commit_time(iceberg: IcebergBuilder) -> None:
    table = iceberg.table()
    assert table.newest_before(NOW + timedelta(days=9)) is None
    for number in range(1, 4):
        iceberg.append(number)
        iceberg.commit_time(number, NOW + timedelta(hours=number))
    assert table.newest_before(NOW + timedelta(hours=1)) is None
    assert table.newest_before(NOW + timedelta(hours=3)).number == 2  # type: ignore[union-attr]
    assert table.newest_before(NOW + timedelta(hours=3, seconds=1)).number == 3  # type: ignore[union-attr]
    assert table.newest_before(NOW, at_least=2).number == 2  # type: ignore[union-attr]
    assert table.newest_before(NOW, at_least=2).committed_at == NOW + timedelta(hours=2)  # type: ignore[union-attr]
    with pytest.raises(VersionGone, match="its newest is 3"):
        table.newest_before(NOW, at_least=7)


def test_an_expired_lower_version_is_gone(iceberg: IcebergBuilder) -> None:
    for number in range(1, 5):
        iceberg.append(number)
    iceberg.expire(1, 2)
    table = iceberg.table()
    assert [version.number for version in table.versions()] == [4, 3]
    for ask in (lambda: table.slice(2, 4), lambda: table.schema(1), lambda: table.newest_before(NOW, at_least=2)):
        with pytest.raises(VersionGone, match=r"sequence number \d of .* has expired: launch the export in full mode"):
            ask()
    assert net_new(table, table.slice(3, 4)) == iceberg.state(4) - iceberg.state(3)
    assert net_new(table, table.slice(None, 4)) == iceberg.state(4)


def test_snapshots_that_expired_in_between_cost_nothing_but_reading(iceberg: IcebergBuilder) -> None:
    for number in range(1, 5):
        iceberg.append(number)
    iceberg.delete("id = 2")
    with iceberg.raw().manage_snapshots() as manage:
        manage.create_tag(iceberg.snapshot(1).snapshot_id, "kept")
    iceberg.expire(2, 3)
    table = iceberg.table()
    assert [version.number for version in table.versions()] == [5, 4]
    assert net_new(table, table.slice(1, 5)) == iceberg.state(5) - iceberg.state(1)


def test_a_rollback_gives_the_right_difference(iceberg: IcebergBuilder) -> None:
    iceberg.append(1, 2)
    iceberg.append(3)
    iceberg.append(4)
    iceberg.rollback(1)
    table = iceberg.table()
    assert [version.number for version in table.versions()] == [1]
    assert table.newest_before(NOW + timedelta(days=9), at_least=3).number == 3  # type: ignore[union-attr]
    iceberg.append(4, 5)
    assert [version.number for version in table.versions()] == [4, 1]
    found = table.slice(3, 4)
    assert net_new(table, found) == iceberg.state(4) - iceberg.state(3) == Counter({"[('id', 5), ('name', 'n2')]": 1})
    iceberg.expire(3)
    with pytest.raises(VersionGone, match="has expired"):
        iceberg.table().slice(3, 4)


def test_branches_are_not_followed(iceberg: IcebergBuilder) -> None:
    iceberg.append(1)
    with iceberg.raw().manage_snapshots() as manage:
        manage.create_branch(iceberg.snapshot(1).snapshot_id, "audit")
    iceberg.raw().append(rows(2), branch="audit")
    iceberg.append(3)
    table = iceberg.table()
    assert [version.number for version in table.versions()] == [3, 1]
    assert net_new(table, table.slice(1, 3)) == iceberg.state(3) - iceberg.state(1)


def test_tables_of_more_files_than_are_kept_in_memory(iceberg: IcebergBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iceberg_manifests, "ENTRIES_KEPT", 2)
    for number in range(6):
        iceberg.append(number)
    table = iceberg.table()
    for lower, upper in ((3, 5), (2, 4), (None, 6), (1, 6), (None, 3)):
        assert net_new(table, table.slice(lower, upper)) == iceberg.state(upper) - iceberg.state(lower)


def test_manifests_read_grow_with_what_changed(iceberg: IcebergBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        iceberg.append(number)
    table, reads = iceberg.table(), []
    read = iceberg_manifests.read_manifest
    monkeypatch.setattr(
        iceberg_manifests, "read_manifest", lambda *args: reads.append(args[1].manifest_path) or read(*args)
    )
    table.slice(27, 29)
    assert len(set(reads)) == len(reads) == 2
    table.slice(26, 29)
    assert len(reads) == 3, "and none is read twice"
    iceberg.delete("id = 28")
    reads.clear()
    table.slice(29, iceberg.version)
    assert len(reads) <= 3


def test_a_file_that_was_added_twice_is_refused(iceberg: IcebergBuilder) -> None:
    iceberg.append(1)
    (file,) = (entry.data_file for entry in iceberg.entries())
    iceberg.commit(Operation.APPEND, add=[file])
    with pytest.raises(UnsupportedTable, match=r"has the file .* twice"):
        iceberg.table().slice(None, 2)


def test_files_that_are_not_parquet_are_refused_by_name(iceberg: IcebergBuilder) -> None:
    iceberg.append(1)
    file = files_of(iceberg.raw(), rows(2))[0]
    file._data[2] = FileFormat.ORC
    iceberg.commit(Operation.APPEND, add=[file])
    table = iceberg.table()
    for lower in (None, 1):
        with pytest.raises(UnsupportedTable, match=r"has the ORC file .*write.format.default"):
            table.slice(lower, 2)


def test_format_version_1_is_refused_with_the_way_out(tmp_path: Path) -> None:
    iceberg = IcebergBuilder(tmp_path, properties={"format-version": "1"})
    iceberg.raw().append(rows(1, 2))
    with pytest.raises(UnsupportedTable, match=r"format version 1.*'format-version' = '2'"):
        iceberg.table().versions()
    with iceberg.raw().transaction() as change:
        change.upgrade_table_version(2)
    iceberg.seen()
    iceberg.append(3)
    table = iceberg.table()
    assert [version.number for version in table.versions()] == [1, 0]
    check(iceberg)
    iceberg.close()


def test_a_table_without_snapshots_has_no_versions(iceberg: IcebergBuilder) -> None:
    assert iceberg.table().versions() == []


def test_lost_files(iceberg: IcebergBuilder) -> None:
    iceberg.append(1)
    iceberg.append(2)
    table = iceberg.table()
    (file,) = table.slice(1, 2).added
    path = Path(file.path.removeprefix("file://"))
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(CorruptFile, match="by the table: restore it"):
        table.open(file)
    path.unlink()
    with pytest.raises(CorruptFile, match="is missing although the table has it"):
        table.open(file)
    iceberg.raw().delete("id = 2")
    with pytest.raises(VersionGone, match=r"the expiry of snapshots removed the file .*full mode"):
        table.open(file)
    manifest = Path(iceberg.snapshot(1).manifest_list.removeprefix("file://"))
    manifest.write_bytes(manifest.read_bytes()[:50])
    with pytest.raises(CorruptFile, match=r"snap-.* is damaged: restore it"):
        iceberg.table().slice(None, 1)
    manifest.unlink()
    with pytest.raises(CorruptFile, match=r"snap-.* is missing although the table has the snapshot"):
        iceberg.table().slice(None, 1)


def test_a_manifest_that_is_cut_off_between_blocks(iceberg: IcebergBuilder) -> None:
    iceberg.append(1)
    (listed,) = iceberg.snapshot(1).manifests(iceberg.raw().io)
    manifest = Path(listed.manifest_path.removeprefix("file://"))
    data = manifest.read_bytes()
    marker = data[-16:]
    manifest.write_bytes(data[: data.index(marker) + len(marker)])  # the header alone: an Avro file without records
    with pytest.raises(
        CorruptFile, match=r"-m0\.avro .* is damaged: restore it \(it has \d+ bytes, and its list says \d+"
    ):
        iceberg.table().slice(None, 1)


def test_a_table_by_its_metadata_file(iceberg: IcebergBuilder, tmp_path: Path) -> None:
    iceberg.append(1)
    iceberg.append(2)
    for uri in (iceberg.raw().metadata_location, iceberg.raw().metadata_location.removeprefix("file://")):
        table = open_table(TableLocation("iceberg", uri))
        assert net_new(table, table.slice(1, 2)) == iceberg.state(2) - iceberg.state(1)
    with pytest.raises(NotFound, match="there is no Iceberg table at"):
        open_table(TableLocation("iceberg", str(tmp_path / "v9.metadata.json"))).versions()


def test_a_missing_catalog_and_a_missing_table(iceberg: IcebergBuilder, tmp_path: Path) -> None:
    def opened(**changes: Any) -> Any:
        values = {"type": "sql", "name": "default", "table": NAME, "uri": iceberg.location.uri, **changes}
        return open_table(TableLocation("iceberg", "iceberg://default/x", catalog=IcebergCatalog(**values)))

    with pytest.raises(NotFound, match="there is no table"):
        opened(table="shop.nothing").versions()
    with pytest.raises(NotFound, match="there is no table"):
        opened(name="other").versions()
    with pytest.raises(NotFound, match="the SQLite file does not exist"):
        opened(uri=f"sqlite:///{tmp_path}/none.db").versions()
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "empty.db").touch()
    with pytest.raises(NotFound, match="no table iceberg_tables"):
        opened(uri=f"sqlite:///{tmp_path}/empty.db").versions()
    assert (tmp_path / "empty.db").stat().st_size == 0, "an export writes nothing"


def test_the_least_timestamp_of_a_file_is_known(tmp_path: Path) -> None:
    schema = pa.schema([("id", pa.int64()), ("at", pa.timestamp("us", "UTC"))])
    iceberg = IcebergBuilder(tmp_path, schema)
    iceberg.write(pa.table([[1, 2], [NOW, NOW - timedelta(hours=1)]], schema=schema))
    (file,) = iceberg.table("at").slice(None, 1).added
    assert datetime.fromisoformat(file.min_timestamp or "") == NOW - timedelta(hours=1)
    (file,) = iceberg.table("id").slice(None, 1).added
    assert file.min_timestamp is None
    iceberg.close()


def test_the_greatest_timestamp_of_a_file_is_known_unless_one_is_null(tmp_path: Path) -> None:
    schema = pa.schema([("id", pa.int64()), ("at", pa.timestamp("us", "UTC"))])
    iceberg = IcebergBuilder(tmp_path, schema)
    iceberg.write(pa.table([[1, 2], [NOW, NOW - timedelta(hours=1)]], schema=schema))
    iceberg.write(pa.table([[3, 4], [NOW, None]], schema=schema))
    whole, null = iceberg.table("at").slice(None, 1).added, iceberg.table("at").slice(1, 2).added
    assert [datetime.fromisoformat(file.max_timestamp or "") for file in whole] == [NOW]
    assert [file.max_timestamp for file in null] == [None]
    assert [file.max_timestamp for file in iceberg.table("id").slice(None, 1).added] == [None]
    iceberg.close()
