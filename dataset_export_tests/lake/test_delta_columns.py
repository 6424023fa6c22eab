"""Column mapping and widened types: what is delivered has the table's names and types, and no column that was dropped."""

import io
import json
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import QueryBuilder

from dataset_export.encoding.contract import Compression, Encoding, RowRule, Target, Way
from dataset_export.encoding.encode import encode
from dataset_export.errors import UnsupportedTable
from dataset_export.export.stage import source_of
from dataset_export_tests.lake.delta_mapped import MappedDelta, array, column, map_of, struct
from dataset_export_tests.lake.delta_tables import DeltaBuilder, day
from dataset_export_tests.lake.delta_vectors import VectorDeletes

INNER = pa.struct([("x", pa.int64()), ("y", pa.string())])
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("at", pa.timestamp("us", "UTC")),
        ("one", INNER),
        ("many", pa.list_(INNER)),
        ("named", pa.map_(pa.string(), INNER)),
        ("part", pa.string()),
    ]
)


def fields(inside: tuple[str, str] = ("x", "y"), **names: str) -> list[dict[str, Any]]:
    def inner(first: int) -> dict[str, Any]:
        return struct(column(inside[0], "long", first), column(inside[1], "string", first + 1))

    kinds = {
        "id": "long",
        "at": "timestamp",
        "one": inner(11),
        "many": array(inner(21)),
        "named": map_of(inner(31)),
        "part": "string",
    }
    return [column(names.get(name, name), kind, number) for number, (name, kind) in enumerate(kinds.items(), 1)]


def row(number: int, part: str = "p") -> dict[str, Any]:
    inner = {"x": number, "y": f"y{number}"}
    return {"id": number, "at": day(number), "one": inner, "many": [inner, None], "named": [("k", inner)], "part": part}


@pytest.fixture(params=["name", "id"])
def mapped(tmp_path: Path, request: pytest.FixtureRequest) -> MappedDelta:
    delta = MappedDelta(str(tmp_path / "mapped"))
    delta.define(request.param, fields(), ("part",))
    delta.add([row(1), row(2)], SCHEMA)
    delta.add([row(3, "q d")], SCHEMA)
    return delta


def delivered(
    delta: DeltaBuilder, lower: int | None, upper: int, codec: str = "gzip", **rule: Any
) -> tuple[pa.Table, set[Way]]:
    """The slice as it is delivered, and the ways of its files."""
    table = delta.table(rule.get("timestamp_column"))
    target = Target(Encoding(compression=Compression(codec)), table.schema(upper), RowRule(**rule))
    part = table.slice(lower, upper)
    minus = [source_of(file, target, table, upper) for file in part.removed]
    tables, ways = [], set()
    for group in [part.added] if part.removed else [(file,) for file in part.added]:
        out = io.BytesIO()
        encoded = encode([source_of(file, target, table, upper) for file in group], target, out.write, minus=minus)
        ways.add(encoded.way)
        tables.append(pq.read_table(io.BytesIO(out.getvalue())))
    return pa.concat_tables(tables), ways


def rows_of(table: pa.Table) -> "Counter[str]":
    return Counter(map(repr, table.to_pylist()))


def by_deltalake(delta: DeltaBuilder, version: int) -> "Counter[str]":
    reader = QueryBuilder().register("t", delta.raw(version)).execute("select * from t")
    return rows_of(pa.table(reader.read_all()).select(pa.schema(delta.raw(version).schema().to_arrow()).names))


def test_the_table_has_its_names_at_every_depth_and_its_partition_columns(mapped: MappedDelta) -> None:
    found, _ = delivered(mapped, None, 2)
    assert rows_of(found) == by_deltalake(mapped, 2)
    assert found.schema.names == SCHEMA.names
    assert sorted(found.column("part").to_pylist()) == ["p", "p", "q d"]
    assert sorted(v["x"] for v in found.column("one").to_pylist()) == [1, 2, 3]
    assert "col-" not in str(found.schema)
    assert mapped.table().schema(2) == pa.schema(SCHEMA)
    assert b"columnMapping" not in repr([f.metadata for f in mapped.table().schema(2)]).encode()


def test_renamed_columns_have_their_values_under_the_new_names(mapped: MappedDelta) -> None:
    version = mapped.redefine(fields(inside=("y", "x"), id="at", at="id", one="uno", part="id2"))
    mapped.partition_by = ("id2",)
    version = mapped.redefine(fields(inside=("y", "x"), id="at", at="id", one="uno", part="id2"))
    found, _ = delivered(mapped, None, version)
    assert rows_of(found) == by_deltalake(mapped, version)
    assert sorted(found.column("at").to_pylist()) == [1, 2, 3]
    assert sorted(v["y"] for v in found.column("uno").to_pylist()) == [1, 2, 3]
    assert sorted(found.column("id2").to_pylist()) == ["p", "p", "q d"]


def test_a_column_that_was_dropped_and_added_again_is_empty(mapped: MappedDelta) -> None:
    kept = [field for field in fields() if field["name"] != "one"]
    mapped.redefine(kept)
    again = [*kept, column("one", struct(column("x", "long", 51), column("y", "string", 52)), 50)]
    version = mapped.redefine(again)
    found, _ = delivered(mapped, None, version)
    assert found.column("one").to_pylist() == [None] * 3
    assert rows_of(found) == by_deltalake(mapped, version)
    version = mapped.add([row(4)], SCHEMA)
    newest, _ = delivered(mapped, version - 1, version)
    assert [v["x"] for v in newest.column("one").to_pylist()] == [4]


def test_a_field_inside_a_list_that_was_dropped_and_added_again_is_empty(mapped: MappedDelta) -> None:
    again = fields()
    again[3] = column("many", array(struct(column("x", "long", 61), column("y", "string", 22))), 4)
    version = mapped.redefine(again)
    found, _ = delivered(mapped, None, version)
    assert [[v and v["x"] for v in values] for values in found.column("many").to_pylist()] == [[None, None]] * 3
    assert sorted(values[0]["y"] for values in found.column("many").to_pylist()) == ["y1", "y2", "y3"]


@pytest.mark.parametrize("mode", ["name", "id"])
def test_chunks_are_copied_under_the_tables_names(tmp_path: Path, mode: str) -> None:
    delta = MappedDelta(str(tmp_path / "flat"))
    delta.define(mode, fields()[:4])
    delta.add([row(1), row(2)], pa.schema(list(SCHEMA)[:4]))
    for codec, way in (("snappy", Way.COLUMN_COPY), ("gzip", Way.PAGE_TRANSCODE)):
        found, ways = delivered(delta, None, 1, codec)
        assert ways == {way}
        assert rows_of(found) == by_deltalake(delta, 1)


def test_a_rewrite_under_mapping_delivers_what_is_net_new(mapped: MappedDelta) -> None:
    version = mapped.add([row(1), row(2), row(5)], SCHEMA, replacing=True)
    found, _ = delivered(mapped, version - 1, version)
    assert found.column("id").to_pylist() == [5]


def test_deletion_vectors_and_partitions_under_mapping(mapped: MappedDelta) -> None:
    VectorDeletes(mapped, "columnMapping").delete(lambda stored: stored["col-1"] == 1)
    found, _ = delivered(mapped, None, 3)
    assert sorted(found.column("id").to_pylist()) == [2, 3]
    assert rows_of(found) == by_deltalake(mapped, 3)


def test_a_removed_partition_needs_no_comparison_with_another(mapped: MappedDelta) -> None:
    version = mapped.add([row(9, "other")], SCHEMA, replacing=True)
    part = mapped.table().slice(version - 1, version)
    assert (len(part.added), part.removed) == (1, ())


def test_the_least_timestamp_is_found_under_its_physical_name(mapped: MappedDelta) -> None:
    table = mapped.table("at")
    for part in (table.slice(None, 2), table.slice(0, 2)):
        assert {file.min_timestamp for file in part.added} == {
            "2026-11-01T12:00:00.000000+00:00",
            "2026-11-03T12:00:00.000000+00:00",
        }
    found, _ = delivered(mapped, None, 2, timestamp_column="at", not_before=datetime(2026, 11, 2, tzinfo=UTC))
    assert sorted(found.column("id").to_pylist()) == [2, 3]


def test_ids_win_over_names_in_the_mode_of_ids(tmp_path: Path) -> None:
    """Two columns whose physical names went the other way in the file: only the ids tell them apart."""
    delta = MappedDelta(str(tmp_path / "ids"))
    delta.define("id", [column("a", "long", 1, "one"), column("b", "long", 2, "two")])
    schema = pa.schema([("a", pa.int64()), ("b", pa.int64())])
    delta.add([{"a": 1, "b": 2}], schema)
    delta.redefine([column("a", "long", 1, "two"), column("b", "long", 2, "one")])
    found, _ = delivered(delta, None, 2)
    assert found.to_pylist() == [{"a": 1, "b": 2}]


class TestWidening:
    KINDS = (
        ("integer", "long", pa.int32(), pa.int64(), [1, -(2**31)]),
        ("byte", "integer", pa.int8(), pa.int32(), [-128, 127]),
        ("short", "double", pa.int16(), pa.float64(), [-(2**15), 3]),
        ("integer", "double", pa.int32(), pa.float64(), [2**31 - 1, -(2**31)]),
        ("float", "double", pa.float32(), pa.float64(), [0.5, -0.0]),
        ("decimal(5,2)", "decimal(9,4)", pa.decimal128(5, 2), pa.decimal128(9, 4), [Decimal("999.99"), Decimal("-1.00")]),
        ("integer", "decimal(12,2)", pa.int32(), pa.decimal128(12, 2), [2**31 - 1, -5]),
        ("long", "decimal(20,0)", pa.int64(), pa.decimal128(20, 0), [2**63 - 1, -(2**63)]),
        ("date", "timestamp_ntz", pa.date32(), pa.timestamp("us"), [date(1, 1, 1), date(9999, 12, 31)]),
    )  # fmt: skip

    def widened(self, delta: DeltaBuilder, old: str, new: str) -> int:
        version = delta.version + 1
        features = ["typeWidening", "timestampNtz"]
        for file in sorted(delta.log.glob("*.json"))[:1]:
            entries = [json.loads(line) for line in file.read_text().splitlines()]
        metadata = next(entry["metaData"] for entry in entries if "metaData" in entry)
        schema = json.loads(metadata["schemaString"])
        change = {"fromType": old, "toType": new}
        for field in schema["fields"]:
            if field["name"] == "v":
                field.update(type=new, metadata={"delta.typeChanges": [change]})
            if field["name"] == "n":
                field["type"]["fields"][0].update(type=new, metadata={"delta.typeChanges": [change]})
        protocol = {
            "minReaderVersion": 3,
            "minWriterVersion": 7,
            "readerFeatures": features,
            "writerFeatures": features,
        }
        lines = [{"protocol": protocol}, {"metaData": {**metadata, "schemaString": json.dumps(schema)}}]
        (delta.log / f"{version:020}.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return version

    @pytest.mark.parametrize(("old", "new", "kind", "wide", "values"), KINDS)
    def test_old_files_are_read_with_the_new_type_exactly(
        self, tmp_path: Path, old: str, new: str, kind: pa.DataType, wide: pa.DataType, values: list[Any]
    ) -> None:
        delta = DeltaBuilder(str(tmp_path / "wide"))
        nested = pa.StructArray.from_arrays([pa.array([*values, None], kind)], ["v"])
        delta.write(pa.table({"v": pa.array([*values, None], kind), "n": nested}))
        version = self.widened(delta, old, new)
        found, ways = delivered(delta, None, version)
        assert ways == {Way.REWRITE}
        assert found.schema.field("v").type == wide
        expected = pa.array([*values, None], kind).cast(wide)
        assert found.column("v").combine_chunks().equals(expected)
        assert found.column("n").combine_chunks().field("v").equals(expected)

    @pytest.mark.parametrize(
        ("old", "new"), [("long", "integer"), ("string", "long"), ("long", "double"), ("decimal(9,4)", "decimal(9,5)")]
    )
    def test_what_is_no_widening_is_refused(self, tmp_path: Path, old: str, new: str) -> None:
        delta = DeltaBuilder(str(tmp_path / "odd"))
        delta.write(pa.table({"v": pa.array([1], pa.int32())}))
        version = self.widened(delta, old, new)
        with pytest.raises(UnsupportedTable, match=r"typeWidening \(of v from .* to "):
            delta.table().slice(None, version)
