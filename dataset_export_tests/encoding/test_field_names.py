"""Columns that have other names in the table than in the file, or none: by field id, or by the names in the file."""

import io
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_export.encoding.contract import ColumnRule, Compression, Encoding, Format, Source, Target, Way
from dataset_export.encoding.encode import choose_way, encode
from dataset_export.encoding.parquet_footer import read_footer
from dataset_export.errors import UnsupportedTable
from dataset_export_tests.encoding.tables import parquet, source


@dataclass(frozen=True)
class Columns:
    by_id: dict[int, str] | None = None
    by_path: dict[tuple[str, ...], str] | None = None
    missing: dict[str, Any] = field(default_factory=dict)


def with_id(name: str, kind: pa.DataType, number: int) -> pa.Field:
    return pa.field(name, kind, metadata={"PARQUET:field_id": str(number)})


NESTED = pa.struct([with_id("x", pa.int32(), 11), with_id("y", pa.string(), 12)])
IN_FILE = pa.schema(
    [
        with_id("a", pa.int64(), 1),
        with_id("b", NESTED, 2),
        with_id("c", pa.list_(with_id("element", NESTED.field("x").with_type(pa.int64()).type, 31)), 3),
        with_id("d", pa.map_(pa.string(), pa.struct([with_id("v", pa.int64(), 41)])), 4),
        with_id("e", pa.list_(with_id("element", pa.struct([with_id("z", pa.int64(), 52)]), 51)), 5),
    ]
)
ROWS = [
    {"a": 1, "b": {"x": 1, "y": "p"}, "c": [1, 2], "d": [("k", {"v": 7})], "e": [{"z": 1}]},
    {"a": 2, "b": None, "c": None, "d": None, "e": []},
]
BY_ID = {1: "z", 2: "a", 11: "y", 12: "x", 3: "cc", 4: "d", 41: "w", 5: "e", 52: "zz"}
IN_TABLE = pa.schema(
    [
        ("z", pa.int64()),
        ("a", pa.struct([("y", pa.int32()), ("x", pa.string())])),
        ("cc", pa.list_(pa.int64())),
        ("d", pa.map_(pa.string(), pa.struct([("w", pa.int64())]))),
        ("e", pa.list_(pa.struct([("zz", pa.int64())]))),
    ]
)
EXPECTED = [
    {"z": 1, "a": {"y": 1, "x": "p"}, "cc": [1, 2], "d": [("k", {"w": 7})], "e": [{"zz": 1}]},
    {"z": 2, "a": None, "cc": None, "d": None, "e": []},
]


def made(files: list[Source], target: Target) -> tuple[Way, bytes]:
    out = io.BytesIO()
    way = encode(files, target, out.write).way
    if target.encoding.format is Format.PARQUET:
        pq.read_table(io.BytesIO(out.getvalue())).validate(full=True)
    return way, out.getvalue()


def rows(data: bytes) -> list[dict[str, Any]]:
    return pq.read_table(io.BytesIO(data)).to_pylist()


@pytest.mark.parametrize(
    ("compression", "way"),
    [
        (Compression.ZSTD, Way.COLUMN_COPY),
        (Compression.SOURCE, Way.COLUMN_COPY),
        (Compression.GZIP, Way.PAGE_TRANSCODE),
    ],
)
def test_renamed_columns_are_copied_and_transcoded_under_their_new_names(compression: Compression, way: Way) -> None:
    file = source(
        parquet(pa.Table.from_pylist(ROWS, IN_FILE), compression="zstd", row_group_size=1), columns=Columns(BY_ID)
    )
    found, data = made([file], Target(Encoding(compression=compression), IN_TABLE))
    assert found is way
    assert rows(data) == EXPECTED
    metadata = pq.read_metadata(io.BytesIO(data))
    paths = [metadata.row_group(1).column(at).path_in_schema for at in range(metadata.num_columns)]
    assert paths == [metadata.schema.column(at).path for at in range(metadata.num_columns)]


def test_a_rewrite_finds_them_too() -> None:
    file = source(parquet(pa.Table.from_pylist(ROWS, IN_FILE)), columns=Columns(BY_ID))
    wider = IN_TABLE.set(1, pa.field("a", pa.struct([("y", pa.int64()), ("x", pa.string())])))
    found, data = made([file], Target(Encoding(), wider))
    assert found is Way.REWRITE
    assert rows(data) == EXPECTED


def test_names_that_are_the_same_pass_through() -> None:
    same = {1: "a", 2: "b", 11: "x", 12: "y", 3: "c", 4: "d", 41: "v", 5: "e", 52: "z"}
    data = parquet(pa.Table.from_pylist(ROWS, IN_FILE), compression="zstd")
    file = source(data, columns=Columns(same))
    plain = pq.read_schema(io.BytesIO(data)).remove_metadata()
    found, copied = made([file], Target(Encoding(compression=Compression.ZSTD), plain))
    assert found is Way.PASS_THROUGH
    assert copied == data


def test_a_column_dropped_and_added_again_is_another_one() -> None:
    file = source(parquet(pa.Table.from_pylist(ROWS, IN_FILE)), columns=Columns({1: "a", 9: "c"}))
    _, data = made([file], Target(Encoding(), pa.schema([("a", pa.int64()), ("c", pa.list_(pa.int64()))])))
    assert rows(data) == [{"a": 1, "c": None}, {"a": 2, "c": None}]


def test_names_that_change_places() -> None:
    table = pa.Table.from_pylist(
        [{"a": 1, "b": 2}], pa.schema([with_id("a", pa.int64(), 1), with_id("b", pa.int64(), 2)])
    )
    file = source(parquet(table), columns=Columns({1: "b", 2: "a"}))
    _, data = made([file], Target(Encoding(), pa.schema([("b", pa.int64()), ("a", pa.int64())])))
    assert rows(data) == [{"b": 1, "a": 2}]


def test_columns_that_the_file_lacks_have_their_value() -> None:
    table = pa.table({"a": [1, 2]}, schema=pa.schema([with_id("a", pa.int64(), 1)]))
    columns = Columns({1: "a", 2: "p", 3: "q"}, missing={"p": pa.scalar(""), "a": pa.scalar(9)})
    _, data = made(
        [source(parquet(table), columns=columns)],
        Target(Encoding(), pa.schema([("a", pa.int64()), ("p", pa.string()), ("q", pa.int8())])),
    )
    assert rows(data) == [{"a": 1, "p": "", "q": None}, {"a": 2, "p": "", "q": None}]


def test_files_without_ids_are_known_by_their_names_or_not_at_all() -> None:
    plain = pa.Table.from_pylist(ROWS, IN_FILE).select(["a", "b"])
    schema = pa.schema([("a", pa.int64()), ("b", pa.struct([("x", pa.int32()), ("y", pa.string())]))])
    data = parquet(plain.cast(schema))
    by_path = {("a",): "n", ("b",): "m", ("b", "x"): "q"}
    target = Target(Encoding(), pa.schema([("n", pa.int64()), ("m", pa.struct([("q", pa.int32())]))]))
    _, found = made([source(data, columns=Columns({1: "n"}, by_path))], target)
    assert rows(found) == [{"n": 1, "m": {"q": 1}}, {"n": 2, "m": None}]
    with pytest.raises(UnsupportedTable, match="no field ids"):
        made([source(data, columns=Columns({1: "n"}))], target)
    by_id = parquet(plain.cast(pa.schema([IN_FILE.field("a"), IN_FILE.field("b")])))
    _, found = made([source(by_id, columns=Columns(None, by_path))], target)
    assert rows(found) == [{"n": 1, "m": {"q": 1}}, {"n": 2, "m": None}]


def test_a_column_rule_sees_the_names_of_the_table() -> None:
    file = source(parquet(pa.Table.from_pylist(ROWS, IN_FILE), compression="zstd"), columns=Columns(BY_ID))
    target = Target(Encoding(compression=Compression.ZSTD), IN_TABLE, columns=ColumnRule(exclude=(("cc",), ("a", "x"))))
    found, data = made([file], target)
    assert found is Way.COLUMN_COPY
    assert rows(data)[0] == {"z": 1, "a": {"y": 1}, "d": [("k", {"w": 7})], "e": [{"zz": 1}]}


@settings(max_examples=60, deadline=None)
@given(st.permutations(["z", "a", "cc", "d", "e", "other"]), st.sampled_from([Compression.ZSTD, Compression.GZIP]))
def test_any_names(names: list[str], compression: Compression) -> None:
    by_id = {**BY_ID, **dict(zip([1, 2, 3, 4, 5], names, strict=False))}
    schema = pa.schema([column.with_name(name) for column, name in zip(IN_TABLE, names, strict=False)])
    file = source(parquet(pa.Table.from_pylist(ROWS, IN_FILE), compression="zstd"), columns=Columns(by_id))
    target = Target(Encoding(compression=compression), schema)
    assert choose_way(read_footer(file), file, target) is not Way.REWRITE
    _, data = made([file], target)
    assert rows(data) == [dict(zip(names, row.values(), strict=False)) for row in EXPECTED]
