"""Rows of Iceberg data files that delete files delete: by position, by deletion vector, by value."""

import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyiceberg.manifest import DataFileContent, FileFormat, ManifestContent
from pyiceberg.table.snapshots import Operation
from pyiceberg.types import IntegerType, LongType
from pyroaring import BitMap64

from dataset_export.errors import CorruptFile, UnsupportedTable, VersionGone
from dataset_export.lake.iceberg_deletes import DeleteFiles, Target
from dataset_export.lake.iceberg_manifests import Content, Entry, Status
from dataset_export_tests.lake.iceberg_tables import IcebergBuilder, files_of, net_new, rows, shown
from dataset_export_tests.lake.test_iceberg import check


@pytest.fixture
def iceberg(tmp_path: Path) -> Iterator[IcebergBuilder]:
    builder = IcebergBuilder(tmp_path)
    yield builder
    builder.close()


def ids(*values: int) -> pa.Table:
    return pa.table({"id": pa.array(values, pa.int64())})


def only(iceberg: IcebergBuilder) -> str:
    (path,) = iceberg.live
    return path


def test_position_deletes(iceberg: IcebergBuilder) -> None:
    iceberg.append(1, 2, 3)
    first = only(iceberg)
    iceberg.append(4, 5)
    iceberg.delete_positions({first: [0, 2], **{path: [1] for path in iceberg.live if path != first}})
    assert iceberg.scanned(3) == iceberg.state(3)
    iceberg.delete_positions({first: [1]})
    table = iceberg.table()
    assert table.slice(2, 3).added == table.slice(2, 3).removed == (), "nothing new has to be compared with what went"
    assert table.row_count(3) is None
    check(iceberg)


def test_an_update_that_marks_rows_is_net_new(iceberg: IcebergBuilder) -> None:
    iceberg.append(1, 2, 3)
    path = only(iceberg)
    iceberg.delete_positions({path: [1]}, add=rows(2, 7))
    part = iceberg.table().slice(1, 2)
    assert [file.path for file in part.removed] == [path]
    assert part.removed[0].deletes is None
    assert part.removed[0].only is not None, "of the old file only the row that went"
    iceberg.delete_positions({path: [0]}, add=rows(1))
    check(iceberg)


def test_equality_deletes_go_for_older_files_only(iceberg: IcebergBuilder) -> None:
    iceberg.append(1, 2, 3)
    iceberg.append(2, 4)
    iceberg.delete_equal(ids(2, 9), add=rows(2, 5))
    iceberg.append(2, 6)
    iceberg.delete_equal(pa.table({"name": ["n0"], "id": pa.array([3], pa.int64())}))
    check(iceberg)
    assert net_new(iceberg.table(), iceberg.table().slice(2, 3)) == iceberg.state(3) - iceberg.state(2)


def test_equality_deletes_match_nulls(tmp_path: Path) -> None:
    iceberg = IcebergBuilder(tmp_path)
    iceberg.write(pa.table({"id": pa.array([1, None, 2, None], pa.int64()), "name": ["a", "a", None, None]}))
    iceberg.delete_equal(pa.table({"id": pa.array([None], pa.int64()), "name": ["a"]}))
    assert iceberg.state(2).total() == 3
    iceberg.delete_equal(pa.table({"name": pa.array([None], pa.string())}))
    assert iceberg.state(3).total() == 1
    check(iceberg)
    iceberg.close()


def test_equality_deletes_of_one_partition_and_of_all(tmp_path: Path) -> None:
    iceberg = IcebergBuilder(tmp_path)
    with iceberg.raw().update_spec() as update:
        update.add_identity("name")
    iceberg.write(pa.table({"id": pa.array([1, 1, 2], pa.int64()), "name": ["a", "b", "b"]}))
    iceberg.append(1, 4)
    in_b = next(path for path in iceberg.live if "name=b" in path)
    iceberg.delete_equal(ids(1), like=in_b)
    assert any("'a'" in row for row in iceberg.state(3)), "a delete of the partition b says nothing of others"
    iceberg.delete_equal(ids(1))
    assert not any("('id', 1)" in row for row in iceberg.state(4)), "one of an unpartitioned spec is about all"
    check(iceberg)
    iceberg.close()


def test_columns_are_compared_by_field_id(tmp_path: Path) -> None:
    """Also columns that were renamed, widened, or came after the file was written."""
    iceberg = IcebergBuilder(tmp_path, pa.schema([("id", pa.int32()), ("name", pa.string())]))
    iceberg.write(pa.table({"id": pa.array([1, 2], pa.int32()), "name": ["a", "b"]}))
    with iceberg.raw().update_schema() as update:
        update.rename_column("id", "number")
    with iceberg.raw().update_schema() as update:
        update.update_column("number", LongType())
        update.add_column("id", IntegerType())
    iceberg.live = {
        path: [shown(dict(eval(row.replace("'id'", "'number'")))) for row in found if row]
        for path, found in iceberg.live.items()
    }
    iceberg.delete_equal(pa.table({"number": pa.array([2], pa.int64())}))
    iceberg.delete_equal(pa.table({"id": pa.array([None], pa.int32()), "number": pa.array([7], pa.int64())}))
    table = iceberg.table()
    assert net_new(table, table.slice(None, 3)) == iceberg.state(3)
    assert iceberg.state(3).total() == 1
    iceberg.close()


def test_deletes_and_compaction(iceberg: IcebergBuilder) -> None:
    iceberg.append(1, 2, 3)
    path = only(iceberg)
    iceberg.append(4, 5)
    iceberg.delete_positions({path: [0]})
    iceberg.delete_equal(ids(4))
    iceberg.compact()
    iceberg.append(1, 4)
    iceberg.delete("id = 5")
    check(iceberg)
    table = iceberg.table()
    (file,) = (file for file in table.slice(None, 5).added)
    assert file.deletes is None, "the deletes are older than the file that they were applied to"


def test_files_that_are_deleted_whole_take_their_deleted_rows_along(iceberg: IcebergBuilder) -> None:
    iceberg.append(1, 2, 3)
    path = only(iceberg)
    iceberg.delete_positions({path: [1]})
    iceberg.commit(Operation.OVERWRITE, add=files_of(iceberg.raw(), rows(1, 2, 3)), remove=[path])
    check(iceberg)


def test_rewritten_delete_files_change_nothing(iceberg: IcebergBuilder) -> None:
    """A `replace` of delete files; and one that is taken back by a rollback gives its rows back."""
    iceberg.append(1, 2, 3)
    path = only(iceberg)
    iceberg.delete_positions({path: [0]})
    iceberg.delete_positions({path: [2]})
    before = [entry.data_file.file_path for entry in iceberg.entries(ManifestContent.DELETES)]
    table = pa.table([pa.array([path, path]), pa.array([0, 2], pa.int64())], names=["file_path", "pos"])
    like = iceberg.entries()[0].data_file
    merged = iceberg.delete_file(table, DataFileContent.POSITION_DELETES, like.partition, like.spec_id)
    iceberg.commit(Operation.REPLACE, deletes=[merged], remove=before)
    assert iceberg.state(4) == iceberg.state(3)
    check(iceberg)
    iceberg.rollback(1)
    iceberg.append(9)
    part = iceberg.table().slice(3, 5)
    assert net_new(iceberg.table(), part) == iceberg.state(5) - iceberg.state(3)
    assert iceberg.state(5).total() == 4


def vector(
    iceberg: IcebergBuilder, path: str, positions: list[int], name: str = "deletes.puffin", sequence: int = 9
) -> Entry:
    """A deletion vector in a file of its own, as an entry of a manifest of format version 3."""
    bitmap = bytes.fromhex("d1d33964") + BitMap64(positions).serialize()
    blob = len(bitmap).to_bytes(4, "big") + bitmap + zlib.crc32(bitmap).to_bytes(4, "big")
    file = iceberg.folder / name
    file.write_bytes(b"PFA1" + blob + b"PFA1")
    return Entry(
        Status.ADDED, 1, sequence, Content.POSITION_DELETES, str(file), "PUFFIN", 0, (), len(positions), file.stat().st_size,
        {}, {}, {}, (), path, 4, len(blob),
    )  # fmt: skip


def test_deletion_vectors(iceberg: IcebergBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyiceberg writes no tables of format version 3, so the manifest entry is made by hand; the file is a real one."""
    iceberg.append(*range(10))
    path = only(iceberg)
    entry = vector(iceberg, path, [1, 3, 2**33])
    monkeypatch.setattr("dataset_export.lake.iceberg_state.State.delete_entries", lambda *_: [entry])
    table = iceberg.table()
    (file,) = table.slice(None, 1).added
    assert file.rows == 7
    selection = table.row_selection(file)
    assert selection is not None
    assert selection.dropped.tolist() == [1, 3, 2**33]
    puffin = Path(entry.path)
    data = bytearray(puffin.read_bytes())
    data[-9] ^= 1
    puffin.write_bytes(data)
    with pytest.raises(CorruptFile, match=r"deletion vector in .* is damaged"):
        table.row_selection(file)
    puffin.unlink()
    with pytest.raises(VersionGone, match="was removed with the snapshots"):
        table.row_selection(file)


def test_of_a_file_with_another_vector_the_rows_that_changed_are_counted(
    iceberg: IcebergBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    iceberg.append(*range(10))
    path = only(iceberg)
    iceberg.append(10)
    iceberg.append(11)
    vectors = {2: [1, 3], 3: [3, 5, 6]}
    monkeypatch.setattr(
        "dataset_export.lake.iceberg_state.State.delete_entries",
        lambda _, snapshot: [
            vector(iceberg, path, positions, f"{number}.puffin", number)
            for number, positions in vectors.items()
            if number == snapshot.sequence_number
        ],
    )
    monkeypatch.setattr("dataset_export.lake.iceberg_slice._by_changes", lambda *_: None)
    monkeypatch.setattr("dataset_export.lake.iceberg_slice._touched", lambda *arguments: arguments[-1])
    for lower, upper, back, gone in ((1, 2, 0, 2), (2, 3, 1, 2)):
        table = iceberg.table()
        part = table.slice(lower, upper)
        assert [file.rows for file in part.added] == [1] + [back] * bool(back)
        assert [(file.path, file.rows) for file in part.removed] == [(path, gone)]
        for file in (*part.added[1:], *part.removed):
            selection = table.row_selection(file)
            assert selection is not None
            assert len(np.setdiff1d(selection.only, selection.dropped)) == file.rows


def test_a_vector_takes_the_place_of_position_deletes() -> None:
    def entry(
        sequence: int, form: str, path: str, content: Content = Content.POSITION_DELETES, **more: object
    ) -> Entry:
        values = {"referenced": "f", "offset": 4, "length": 40, "spec_id": 0, "partition": (), **more}
        return Entry(
            status=Status.ADDED, snapshot_id=1, sequence=sequence, content=content, path=path, form=form, rows=1, bytes=1,
            null_counts={}, least={}, most={}, equality_ids=(), **values,
        )  # type: ignore[arg-type]  # fmt: skip

    found = [
        entry(5, "PARQUET", "old"),
        entry(6, "PUFFIN", "vector"),
        entry(5, "PARQUET", "equal", Content.EQUALITY_DELETES, referenced=None),
        entry(4, "PARQUET", "too old"),
        entry(5, "PARQUET", "other file", referenced="g"),
        entry(5, "PARQUET", "other spec", referenced=None, spec_id=1),
    ]
    deletes = DeleteFiles(found, frozenset({0}), "t")
    assert [one.path for one in deletes.applying(Target("f", 4, 0, "()"))] == ["equal", "vector"]
    assert [one.path for one in deletes.applying(Target("f", 5, 0, "()"))] == ["vector"]
    assert [one.path for one in deletes.applying(Target("f", 7, 0, "()"))] == []
    assert [one.path for one in deletes.applying(Target("h", 4, 1, "()"))] == ["equal", "other spec"]


def test_other_delete_files_are_refused_by_name(iceberg: IcebergBuilder) -> None:
    iceberg.append(1, 2)
    table = pa.table([pa.array([only(iceberg)]), pa.array([0], pa.int64())], names=["file_path", "pos"])
    like = iceberg.entries()[0].data_file
    file = iceberg.delete_file(table, DataFileContent.POSITION_DELETES, like.partition, like.spec_id)
    file._data[2] = FileFormat.AVRO
    iceberg.commit(Operation.DELETE, deletes=[file])
    with pytest.raises(UnsupportedTable, match=r"the AVRO delete file .* rewrite its data files"):
        iceberg.table().slice(None, 2)


def test_damaged_and_lost_delete_files(iceberg: IcebergBuilder) -> None:
    iceberg.append(1, 2)
    iceberg.delete_positions({only(iceberg): [0]})
    path = Path(iceberg.entries(ManifestContent.DELETES)[0].data_file.file_path.removeprefix("file://"))
    data = path.read_bytes()
    (file,) = iceberg.table().slice(None, 2).added
    path.write_bytes(b"x" * len(data))
    with pytest.raises(CorruptFile, match=r"the delete file .* is damaged"):
        iceberg.table().row_selection(file)
    path.unlink()
    with pytest.raises(CorruptFile, match=r"vanished|is missing"):
        iceberg.table().row_selection(file)


def test_what_travels_is_small(iceberg: IcebergBuilder) -> None:
    iceberg.append(1, 2)
    for _ in range(5):
        iceberg.delete_equal(ids(9))
    (file,) = iceberg.table().slice(None, 6).added
    assert json.loads(file.deletes or "") == {"at": 6, "sequence": 1, "spec": 0, "partition": "()"}


def test_manifests_of_other_partitions_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataset_export.lake import iceberg_manifests

    iceberg = IcebergBuilder(tmp_path, partition=lambda spec: spec.add_identity("name"))
    for number in range(12):
        iceberg.write(pa.table({"id": pa.array([number], pa.int64()), "name": [f"p{number:02}"]}))
    path = next(path for path in iceberg.live if "p03" in path)
    iceberg.delete_positions({path: [0]}, add=pa.table({"id": pa.array([3], pa.int64()), "name": ["p03"]}))
    table, reads = iceberg.table(), []
    read = iceberg_manifests.read_manifest
    monkeypatch.setattr(iceberg_manifests, "read_manifest", lambda *args: reads.append(args[2]) or read(*args))
    part = table.slice(12, 13)
    assert len(reads) == 3, "that of the partition, what was added, and the delete file's"
    assert net_new(table, part) == iceberg.state(13) - iceberg.state(12)
    iceberg.close()
