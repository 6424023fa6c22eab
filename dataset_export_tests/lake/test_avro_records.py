"""Wanted fields of Avro files, against pyiceberg's reader of whole records."""

import io
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.avro.encoder import BinaryEncoder
from pyiceberg.avro.file import AvroFile, AvroOutputFile
from pyiceberg.manifest import (
    MANIFEST_ENTRY_SCHEMAS,
    data_file_with_partition,
    manifest_entry_schema_with_data_file,
)
from pyiceberg.schema import Schema
from pyiceberg.typedef import Record
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FixedType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
    TimestampType,
    UUIDType,
)

from dataset_export.lake.avro_records import records, require_whole

PARTITION = StructType(
    NestedField(1000, "day", DateType(), required=False),
    NestedField(1001, "name", StringType(), required=False),
    NestedField(1002, "price", DecimalType(9, 2), required=False),
    NestedField(1003, "id", UUIDType(), required=False),
    NestedField(1004, "at", TimestampType(), required=False),
    NestedField(1005, "real", DoubleType(), required=False),
    NestedField(1006, "code", FixedType(3), required=False),
    NestedField(1007, "is", BooleanType(), required=False),
)
SCHEMAS = [
    manifest_entry_schema_with_data_file(version, data_file_with_partition(partition, version))  # type: ignore[arg-type]
    for version in (1, 2, 3)
    for partition in (StructType(), PARTITION)
] + [MANIFEST_ENTRY_SCHEMAS[2]]


class Memory:
    """A file in memory, as pyiceberg reads and writes it."""

    location = "memory"

    def __init__(self, data: bytes = b"") -> None:
        self.data = data

    def create(self, overwrite: bool = False) -> io.BytesIO:
        memory = self

        class Stream(io.BytesIO):
            def close(self) -> None:
                memory.data = self.getvalue()
                super().close()

        return Stream()

    def open(self) -> io.BytesIO:
        return io.BytesIO(self.data)


def values_of(kind: IcebergType) -> st.SearchStrategy[Any]:
    if isinstance(kind, StructType):
        fields = [values_of(f.field_type) if f.required else st.none() | values_of(f.field_type) for f in kind.fields]
        return st.tuples(*fields).map(lambda values: Record(*values))
    if isinstance(kind, ListType):
        return st.lists(values_of(kind.element_type), max_size=3)
    if isinstance(kind, MapType):
        return st.dictionaries(values_of(kind.key_type), values_of(kind.value_type), max_size=3)
    if isinstance(kind, DecimalType):
        return st.integers(-(10**8), 10**8).map(lambda number: Decimal(number).scaleb(-kind.scale))
    plain: Mapping[type, st.SearchStrategy[Any]] = {
        IntegerType: st.integers(-(2**31), 2**31 - 1),
        DateType: st.integers(-(2**31), 2**31 - 1),
        LongType: st.integers(-(2**63), 2**63 - 1),
        TimestampType: st.integers(-(2**63), 2**63 - 1),
        StringType: st.text(max_size=5),
        BinaryType: st.binary(max_size=5),
        DoubleType: st.floats(allow_nan=False),
        FixedType: st.binary(min_size=3, max_size=3),
        BooleanType: st.booleans(),
        UUIDType: st.uuids(),
    }
    return plain[type(kind)]


def written(schema: Schema, blocks: list[list[Any]], codec: str = "null") -> bytes:
    file = Memory()
    with AvroOutputFile[Any](file, schema, "manifest_entry", metadata={"avro.codec": codec}) as writer:  # type: ignore[arg-type]
        for block in blocks:
            writer.write_block(block)
    return file.data


def flat(struct: StructType, record: Any) -> Iterator[tuple[int, Any]]:
    """The fields of a record and of its data file, by their ids."""
    for place, field in enumerate(struct.fields):
        if field.name == "data_file" and isinstance(field.field_type, StructType):
            yield from flat(field.field_type, record[place])
        else:
            yield field.field_id, plain(record[place])


def plain(value: Any) -> Any:
    if isinstance(value, Record):
        return [plain(value[place]) for place in range(len(value))]
    return dict(value) if isinstance(value, Mapping) else value


@given(st.data())
def test_the_values_are_those_of_pyicebergs_reader(data: st.DataObject) -> None:
    schema = data.draw(st.sampled_from(SCHEMAS))
    struct = schema.as_struct()
    blocks = data.draw(st.lists(st.lists(values_of(struct), min_size=1, max_size=3), min_size=1, max_size=3))
    file = written(schema, blocks, data.draw(st.sampled_from(["null", "deflate"])))
    with AvroFile[Any](Memory(file)) as reader:  # type: ignore[arg-type]
        expected = [dict(flat(struct, record)) for record in reader]
    wanted = data.draw(st.lists(st.sampled_from(list(expected[0])), unique=True))
    found = [[plain(value) for value in values] for values in records(file, wanted[:3], [*wanted[3:], 9999])]
    assert found == [[*(row[field_id] for field_id in wanted), None] for row in expected]


@given(st.lists(values_of(SCHEMAS[2].as_struct()), min_size=2, max_size=2), st.data())
def test_a_file_that_is_cut_off_is_told_unless_it_ends_with_a_block(rows: list[Any], data: st.DataObject) -> None:
    whole, header = written(SCHEMAS[2], [rows[:1], rows[1:]]), len(written(SCHEMAS[2], []))
    first = len(written(SCHEMAS[2], [rows[:1]]))
    length = data.draw(st.integers(0, len(whole) - 1).filter(lambda length: length not in {header, first}))
    for read in (require_whole, lambda cut: list(records(cut, [0]))):
        read(whole)
        with pytest.raises((ValueError, EOFError)):
            read(whole[:length])


COUNTS = Schema(
    NestedField(1, "counts", MapType(2, IntegerType(), 3, LongType()), required=True),
    NestedField(4, "bounds", MapType(5, IntegerType(), 6, BinaryType()), required=True),
    NestedField(7, "last", LongType(), required=True),
)


def with_block(count: int, block: bytes) -> bytes:
    file = Memory()
    with AvroOutputFile[Any](file, COUNTS, "record", metadata={"avro.codec": "null"}) as writer:  # type: ignore[arg-type]
        writer.encoder.write_int(count)
        writer.encoder.write_bytes(block)
        writer.encoder.write(writer.sync_bytes)
    return file.data


def test_maps_may_come_in_several_parts_with_their_sizes() -> None:
    record = io.BytesIO()
    encoder = BinaryEncoder(record)  # type: ignore[arg-type]
    for entries in ([(1, 10), (2, 300)], [(1, b"a"), (2, b"bc")]):
        for part in entries:
            body = io.BytesIO()
            one = BinaryEncoder(body)  # type: ignore[arg-type]
            one.write_int(part[0])
            (one.write_int if isinstance(part[1], int) else one.write_bytes)(part[1])  # type: ignore[arg-type]
            encoder.write_int(-1)
            encoder.write_int(len(body.getvalue()))
            encoder.write(body.getvalue())
        encoder.write_int(0)
    encoder.write_int(77)
    file = with_block(1, record.getvalue())
    assert list(records(file, [1, 4, 7])) == [[{1: 10, 2: 300}, {1: b"a", 2: b"bc"}, 77]]
    assert list(records(file, [7])) == [[77]], "what is not wanted is passed over"


def test_damaged_files() -> None:
    whole = written(COUNTS, [[Record({}, {}, 5)]])
    with pytest.raises(ValueError, match=r"lack the fields \[8\]"):
        list(records(whole, [7, 8]))
    with pytest.raises(ValueError, match="no Avro file"):
        list(records(b"PAR1" + whole[4:], [7]))
    with pytest.raises(ValueError, match="compressed with lzma"):
        list(records(whole.replace(b"\x08null", b"\x08lzma"), [7]))
    with pytest.raises(ValueError, match="does not end where it should"):
        list(records(whole[:-1] + bytes([whole[-1] ^ 1]), [7]))
    with pytest.raises(ValueError, match="more bytes than its records"):
        list(records(with_block(1, b"\0\0\2\0\0\4"), [7]))
    with pytest.raises(EOFError):
        list(records(with_block(3, b"\0\0\2\0\0\4"), [7]))
