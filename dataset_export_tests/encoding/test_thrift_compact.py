"""Structs are read and written as other implementations do, whatever is in them."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_export.encoding.parquet_footer import read_footer
from dataset_export.encoding.thrift_compact import (
    BINARY,
    BOOL,
    BYTE,
    DOUBLE,
    I16,
    I32,
    I64,
    LIST,
    MAP,
    SET,
    STRUCT,
    UUID,
    Malformed,
    Struct,
    read_integers,
    read_struct,
    write_integers,
    write_struct,
)
from dataset_export_tests.encoding.tables import parquet, source, tables

PLAIN = {
    BYTE: st.binary(min_size=1, max_size=1),
    I16: st.integers(-(2**15), 2**15 - 1),
    I32: st.integers(-(2**31), 2**31 - 1),
    I64: st.integers(-(2**63), 2**63 - 1),
    DOUBLE: st.binary(min_size=8, max_size=8),
    BINARY: st.binary(max_size=200),
    UUID: st.binary(min_size=16, max_size=16),
}
FALSE, TRUE = b"\x02", b"\x01"


def structs() -> st.SearchStrategy[Struct]:
    return st.recursive(_structs(st.nothing()), _structs, max_leaves=12)


def _structs(inner: st.SearchStrategy[Struct]) -> st.SearchStrategy[Struct]:
    items = {**PLAIN, BOOL: st.sampled_from([FALSE, TRUE]), STRUCT: inner}
    kinds = st.sampled_from([*PLAIN, BOOL, *([] if inner.is_empty else [STRUCT])])
    lists = kinds.flatmap(lambda kind: st.tuples(st.just(kind), st.lists(items[kind], max_size=20)))
    maps = st.tuples(kinds, kinds).flatmap(
        lambda pair: st.lists(st.tuples(items[pair[0]], items[pair[1]]), max_size=5).map(
            lambda entries: (pair[0] << 4 | pair[1] if entries else 0, entries)
        )
    )
    values = st.one_of(
        st.tuples(st.just(BOOL), st.booleans()),
        kinds.filter(lambda kind: kind != BOOL).flatmap(lambda kind: st.tuples(st.just(kind), items[kind])),
        st.tuples(st.sampled_from([LIST, SET]), lists),
        st.tuples(st.just(MAP), maps),
    )
    return st.dictionaries(st.integers(1, 2**15 - 1) | st.integers(1, 20), values, max_size=8).map(Struct)


@settings(max_examples=100)
@given(structs(), st.binary(max_size=3), st.binary(max_size=3))
def test_what_is_written_is_read_back(struct: Struct, before: bytes, behind: bytes) -> None:
    data = write_struct(struct)
    found, end = read_struct(memoryview(before + data + behind), len(before))
    assert found == struct
    assert end == len(before) + len(data)


@settings(max_examples=50)
@given(structs(), st.data())
def test_a_struct_that_is_cut_is_malformed(struct: Struct, data: st.DataObject) -> None:
    whole = write_struct(struct)
    with pytest.raises(Malformed):
        read_struct(whole[: data.draw(st.integers(0, len(whole) - 1))])


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_struct_or_malformed(data: bytes) -> None:
    try:
        struct, end = read_struct(data)
    except Malformed:
        return
    assert end <= len(data)
    assert read_struct(write_struct(struct))[0] == struct


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x1c" * 10_000 + b"\x00" * 10_000, id="deep structs"),
        pytest.param(b"\x19" + b"\x19" * 10_000, id="deep lists"),
        pytest.param(b"\x19\xfc\xff\xff\xff\xff\x07", id="a list that is longer than the data"),
        pytest.param(b"\x1b\xff\xff\xff\xff\x07\x88", id="a map that is longer than the data"),
        pytest.param(b"\x18\xff\xff\xff\xff\x07", id="a string that is longer than the data"),
        pytest.param(b"\x16" + b"\xff" * 20, id="a number of 140 bits"),
        pytest.param(b"\x1e\x00", id="a type that does not exist"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_nonsense_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        read_struct(data)


@settings(max_examples=25)
@given(tables(), st.sampled_from(["1.0", "2.0"]))
def test_footers_of_pyarrow_are_written_as_they_were(table: pa.Table, version: str) -> None:
    footer = read_footer(source(parquet(table, data_page_version=version, write_page_index=True)))
    assert write_struct(footer.struct) == footer.raw


def test_a_footer_says_what_pyarrow_reads_in_it() -> None:
    data = parquet(pa.table({"a": [1, 2], "b": ["x", None]}))
    footer = read_footer(source(data))
    metadata = pq.read_metadata(io.BytesIO(data))
    assert footer.metadata.equals(metadata)
    struct = footer.struct
    assert struct.integer(3) == metadata.num_rows
    assert struct.text(6) == metadata.created_by
    assert [element.text(4) for element in struct.structs(2)] == ["schema", "a", "b"]
    assert [chunk.struct(3).integer(7) for chunk in struct.structs(4)[0].structs(1)] == [
        metadata.row_group(0).column(position).total_compressed_size for position in range(2)
    ]


@settings(max_examples=50)
@given(st.lists(PLAIN[I32], max_size=20), structs())
def test_leading_integers_are_read_apart(numbers: list[int], struct: Struct) -> None:
    rest = Struct({field + len(numbers) + 1: value for field, value in struct.items()})
    data = bytes(write_integers(numbers)) + write_struct(rest, after=len(numbers))
    whole = Struct({place: (I32, number) for place, number in enumerate(numbers, 1)} | rest)
    assert data == write_struct(whole)
    found, at = read_integers(data)
    assert found[: len(numbers)] == numbers
    assert read_struct(data, at, after=len(found))[0] == Struct(
        {field: value for field, value in whole.items() if field > len(found)}
    )


def test_a_field_of_another_kind_is_malformed() -> None:
    struct = Struct({1: (BINARY, b"text"), 2: (I32, 5), 3: (LIST, (I32, [1]))})
    assert struct.text(1) == "text"
    assert struct.integer(2) == 5
    assert (struct.integer(9, 7), struct.text(9), struct.structs(9)) == (7, "", [])
    for read in (
        lambda: struct.integer(1),
        lambda: struct.integer(9),
        lambda: struct.struct(2),
        lambda: struct.struct(9),
        lambda: struct.structs(2),
        lambda: struct.structs(3),
    ):
        with pytest.raises(Malformed):
            read()
