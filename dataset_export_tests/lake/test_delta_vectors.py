"""Deletion vectors: the rows they delete are in no slice, and those that a range deleted are told one by one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_export.errors import CorruptFile, UnsupportedTable, VersionGone
from dataset_export.lake.deletion_vectors import DeletionVector, deleted_rows, path_of
from dataset_export.lake.location import TableLocation
from dataset_export.lake.objects import ObjectFolder
from dataset_export.lake.table import Slice
from dataset_export_tests.lake.delta_tables import DeltaBuilder, net_new
from dataset_export_tests.lake.delta_vectors import VectorDeletes, bitmap_of, z85


@pytest.fixture
def delta(tmp_path: Path) -> DeltaBuilder:
    return DeltaBuilder(str(tmp_path / "a table"))


@pytest.fixture
def vectors(delta: DeltaBuilder) -> VectorDeletes:
    return VectorDeletes(delta)


def check(delta: DeltaBuilder, lower: int | None, upper: int) -> Slice:
    table = delta.table()
    found = table.slice(lower, upper)
    assert net_new(table, found) == delta.state(upper) - delta.state(lower)
    return found


def ids(*wanted: int) -> Callable[[dict[str, Any]], bool]:
    return lambda row: row["id"] in wanted


@pytest.mark.parametrize("storage", ["u", "i", "p"])
def test_the_tables_made_here_are_what_another_reader_takes_them_for(
    delta: DeltaBuilder, vectors: VectorDeletes, storage: str
) -> None:
    delta.append(*range(10))
    delta.append(*range(10, 20))
    vectors.delete(ids(1, 3, 12), storage)
    masks = pa.table(delta.raw().deletion_vectors()).to_pylist()
    kept = {Path(mask["filepath"]).name: mask["selection_vector"] for mask in masks}
    table = delta.table()
    for file in table.slice(None, 2).added:
        selection = table.row_selection(file)
        assert selection is not None
        assert [at for at, keep in enumerate(kept[Path(file.path).name]) if not keep] == selection.dropped.tolist()
    assert delta.state(2).total() == 17


def test_a_delete_alone_adds_nothing_and_compares_nothing(delta: DeltaBuilder, vectors: VectorDeletes) -> None:
    delta.append(*range(10))
    vectors.delete(ids(1, 3))
    found = check(delta, 0, 1)
    assert (found.added, found.removed) == ((), ())
    vectors.delete(ids(4))
    found = check(delta, 1, 2)
    assert (found.added, found.removed) == ((), ())
    assert delta.table().row_count(2) == 7


def test_an_update_compares_the_rows_that_it_deleted_and_no_others(delta: DeltaBuilder, vectors: VectorDeletes) -> None:
    delta.append(*range(100))
    vectors.delete(ids(1, 2))
    vectors.delete(ids(3))
    delta.append(3, 777)
    found = check(delta, 1, 3)
    assert [file.rows for file in found.added] == [2]
    assert [file.rows for file in found.removed] == [1]
    assert sum(net_new(delta.table(), found).values()) == 1
    assert [file.rows for file in check(delta, 0, 3).removed] == [3]


def test_a_file_added_in_the_range_counts_without_its_deleted_rows(delta: DeltaBuilder, vectors: VectorDeletes) -> None:
    delta.append(1)
    delta.append(*range(10, 20))
    vectors.delete(ids(11, 12, 13))
    found = check(delta, 0, 2)
    assert ([file.rows for file in found.added], found.removed) == ([7], ())
    assert check(delta, None, 2).added_rows == 8


def test_a_restore_brings_deleted_rows_back(delta: DeltaBuilder, vectors: VectorDeletes) -> None:
    delta.append(*range(10))
    vectors.delete(ids(1, 2))
    vectors.delete(ids(3, 4, 5))
    delta.change(lambda table: table.restore(1))
    delta.change(lambda table: table.restore(0))
    for upper, rows in ((3, 3), (4, 5)):
        (file,) = check(delta, 2, upper).added
        assert file.rows == rows
    check(delta, 3, 4)
    check(delta, 1, 3)


def test_vectors_that_went_apart_after_a_restore(delta: DeltaBuilder, vectors: VectorDeletes) -> None:
    delta.append(*range(10))
    vectors.delete(ids(1, 2))
    delta.change(lambda table: table.restore(0))
    vectors.delete(ids(2, 3, 4))
    found = check(delta, 1, 3)
    assert ([file.rows for file in found.added], [file.rows for file in found.removed]) == ([1], [2])


def test_a_purge_is_left_out_and_what_was_deleted_before_it_is_told_by_rows(
    delta: DeltaBuilder, vectors: VectorDeletes
) -> None:
    delta.append(*range(10))
    delta.append(*range(20, 30))
    vectors.delete(ids(1, 2))
    delta.compact()
    assert check(delta, 2, 3).added == ()
    delta.append(1, 40)
    found = check(delta, 1, 4)
    assert ([file.rows for file in found.added], [file.rows for file in found.removed]) == ([2], [2])
    delta.delete("id = 3 or id = 24")
    check(delta, 1, 5)
    check(delta, 2, 5)


def test_states_are_compared_when_files_count_twice(delta: DeltaBuilder, vectors: VectorDeletes) -> None:
    delta.append(1, 2, 3)
    delta.append(4, 5)
    vectors.delete(ids(2))
    delta.compact()
    delta.change(lambda table: table.restore(2))
    vectors.delete(ids(4))
    check(delta, 0, 5)
    check(delta, 3, 5)
    check(delta, 1, 5)


def test_the_vectors_of_a_checkpoint(delta: DeltaBuilder, vectors: VectorDeletes) -> None:
    delta.append(*range(10))
    delta.append(*range(10, 14))
    vectors.delete(ids(1, 11))
    delta.raw().create_checkpoint()
    vectors_before = delta.table().slice(None, 2)
    for number in range(2):
        (delta.log / f"{number:020}.json").unlink()
    assert delta.table().slice(None, 2) == vectors_before
    check(delta, None, 2)
    delta.append(50)
    check(delta, None, 3)


def as_parts(checkpoint: Path) -> None:
    rows = pq.read_table(checkpoint)
    for part, piece in enumerate((rows.slice(0, 3), rows.slice(3)), 1):
        name = checkpoint.name.replace(".parquet", f".{part:010}.{2:010}.parquet")
        pq.write_table(piece, checkpoint.with_name(name))


def as_v2_with_sidecars(checkpoint: Path) -> None:
    rows = pq.read_table(checkpoint)
    folder = checkpoint.parent / "_sidecars"
    folder.mkdir()
    is_add = [row is not None for row in rows.column("add").to_pylist()]
    adds = rows.filter(pa.array(is_add)).select(["add", "remove"])
    pq.write_table(adds, folder / "one.parquet")
    lines = [
        {key: value for key, value in row.items() if value is not None}
        for row in rows.filter(pa.array([not found for found in is_add])).select(["protocol", "metaData"]).to_pylist()
    ]
    lines = [{kind: _as_json(value) for kind, value in line.items()} for line in lines if line]
    lines.append({"checkpointMetadata": {"version": 2}})
    size = (folder / "one.parquet").stat().st_size
    lines.append({"sidecar": {"path": "one.parquet", "sizeInBytes": size, "modificationTime": 0}})
    name = f"{2:020}.checkpoint.3a0d65cd-4056-49b8-937b-95f9e3ee90e5.json"
    (checkpoint.parent / name).write_text("".join(json.dumps(line) + "\n" for line in lines))


def _as_json(value: Any) -> Any:
    """Maps are lists of pairs in Arrow."""
    if isinstance(value, dict):
        return {
            key: dict(inner) if key in {"configuration", "options"} else _as_json(inner) for key, inner in value.items()
        }
    return value


@pytest.mark.parametrize("write", [as_parts, as_v2_with_sidecars])
def test_other_kinds_of_checkpoints(delta: DeltaBuilder, vectors: VectorDeletes, write: Callable[[Path], None]) -> None:
    delta.append(*range(10))
    delta.append(*range(10, 14))
    vectors.delete(ids(1, 11))
    expected = delta.state(2)
    delta.raw().create_checkpoint()
    checkpoint = delta.log / f"{2:020}.checkpoint.parquet"
    write(checkpoint)
    checkpoint.unlink()
    (delta.log / "_last_checkpoint").unlink()
    for number in range(2):
        (delta.log / f"{number:020}.json").unlink()
    table = delta.table()
    assert net_new(table, table.slice(None, 2)) == expected == delta.state(2)


class TestDamage:
    def vector(self, delta: DeltaBuilder, **changes: Any) -> DeletionVector:
        fields = {"storage": "i", "place": z85(bitmap_of({1, 2})), "offset": None, "bytes": 36, "rows": 2}
        return DeletionVector(**{**fields, **changes})

    def read(self, delta: DeltaBuilder, vector: DeletionVector) -> list[int]:
        Path(delta.uri).mkdir(exist_ok=True)
        location = TableLocation("delta", delta.uri)
        return deleted_rows(vector, ObjectFolder(location), location).tolist()

    def test_positions_above_32_bits(self, delta: DeltaBuilder) -> None:
        data = bitmap_of({7, 2**33 + 1, 2**40})
        vector = self.vector(delta, place=z85(data + b"\0" * (-len(data) % 4)), bytes=len(data), rows=3)
        assert self.read(delta, vector) == [7, 2**33 + 1, 2**40]

    @pytest.mark.parametrize(
        "changes",
        [
            {"rows": 3},
            {"bytes": 35},
            {"bytes": 360},
            {"place": z85(b"\1" * 36)},
            {"place": z85(bitmap_of({1, 2})[:4] + b"\7" * 32)},
            {"place": "~" + z85(bitmap_of({1, 2}))[1:]},
            {"place": ""},
        ],
    )
    def test_in_the_log(self, delta: DeltaBuilder, changes: dict[str, Any]) -> None:
        assert self.read(delta, self.vector(delta)) == [1, 2]
        with pytest.raises(CorruptFile, match=r"deletion vector .* of the table .*a table is damaged"):
            self.read(delta, self.vector(delta, **changes))

    def test_a_name_that_is_no_uuid(self, delta: DeltaBuilder) -> None:
        with pytest.raises(CorruptFile, match="named by no UUID"):
            self.read(delta, self.vector(delta, storage="u", place="ab~~~~"))

    def test_a_storage_that_is_not_known(self, delta: DeltaBuilder) -> None:
        with pytest.raises(UnsupportedTable, match=r"storage type 'x'.*PURGE"):
            self.read(delta, self.vector(delta, storage="x"))

    @pytest.mark.parametrize("at", [1, 4, 7, 12, 30, -1])
    def test_in_a_file(self, delta: DeltaBuilder, vectors: VectorDeletes, at: int) -> None:
        delta.append(*range(10))
        vectors.delete(ids(1, 2))
        (file,) = Path(delta.uri).glob("ab/deletion_vector_*.bin")
        content = bytearray(file.read_bytes())
        content[at] ^= 1
        file.write_bytes(content)
        table = delta.table()
        with pytest.raises(CorruptFile, match=r"is damaged: .*restore it"):
            net_new(table, table.slice(None, 1))

    def test_in_a_file_that_was_cut(self, delta: DeltaBuilder, vectors: VectorDeletes) -> None:
        delta.append(*range(10))
        vectors.delete(ids(1, 2))
        (file,) = Path(delta.uri).glob("ab/deletion_vector_*.bin")
        file.write_bytes(file.read_bytes()[:-1])
        table = delta.table()
        with pytest.raises(CorruptFile, match=r"too short"):
            net_new(table, table.slice(None, 1))

    def test_a_file_that_is_gone(self, delta: DeltaBuilder, vectors: VectorDeletes) -> None:
        delta.append(*range(10))
        vectors.delete(ids(1, 2))
        table = delta.table()
        (file,) = table.slice(None, 1).added
        (stored,) = Path(delta.uri).glob("ab/deletion_vector_*.bin")
        stored.unlink()
        with pytest.raises(CorruptFile, match=r"ab/deletion_vector_.*missing although the table has it: restore it$"):
            table.row_selection(file)
        delta.overwrite(5)
        with pytest.raises(VersionGone, match=r"a vacuum removed the deletion vector ab/.*full mode"):
            delta.table().row_selection(file)


def test_where_a_vector_is() -> None:
    """The example of the Delta protocol."""
    vector = DeletionVector("u", "ab^-aqEH.-t@S}K{vb[*k^", 4, 40, 6)
    assert path_of(vector) == "ab/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin"
