"""One schema for files of several: every value of each fits, or the two types are named."""

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_export.encoding.conform import conform, plain_schema
from dataset_export.errors import UnsupportedTable
from dataset_export.lake.merged_schema import merged_schema

PAIRS = [
    (pa.int8(), pa.int64(), pa.int64()),
    (pa.uint8(), pa.uint32(), pa.uint32()),
    (pa.uint32(), pa.int8(), pa.int64()),
    (pa.int32(), pa.uint16(), pa.int32()),
    (pa.float32(), pa.float64(), pa.float64()),
    (pa.decimal128(5, 2), pa.decimal128(9, 4), pa.decimal128(9, 4)),
    (pa.decimal128(9, 0), pa.decimal128(5, 4), pa.decimal128(13, 4)),
    (pa.timestamp("ms", "UTC"), pa.timestamp("us", "UTC"), pa.timestamp("us", "UTC")),
    (pa.timestamp("s"), pa.timestamp("ms"), pa.timestamp("ms")),
    (pa.null(), pa.string(), pa.string()),
    (pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.string()),
    (pa.binary(), pa.large_binary(), pa.binary()),
    (pa.date32(), pa.null(), pa.date32()),
    (pa.list_(pa.int32()), pa.large_list(pa.int64()), pa.list_(pa.int64())),
    (pa.map_(pa.string(), pa.int8()), pa.map_(pa.large_string(), pa.int16()), pa.map_(pa.string(), pa.int16())),
    (pa.struct({"a": pa.int8()}), pa.struct({"b": pa.bool_()}), pa.struct({"a": pa.int8(), "b": pa.bool_()})),
    (
        pa.list_(pa.struct({"a": pa.int8()})),
        pa.list_(pa.struct({"a": pa.int64(), "b": pa.string()})),
        pa.list_(pa.struct({"a": pa.int64(), "b": pa.string()})),
    ),
]

STRANGERS = [
    (pa.int64(), pa.float64()),
    (pa.int64(), pa.uint64()),
    (pa.int64(), pa.string()),
    (pa.string(), pa.binary()),
    (pa.timestamp("us"), pa.timestamp("us", "UTC")),
    (pa.date32(), pa.timestamp("us")),
    (pa.decimal128(38, 0), pa.decimal128(38, 10)),
    (pa.struct({"a": pa.int8()}), pa.struct({"a": pa.string()})),
    (pa.list_(pa.int8()), pa.list_(pa.string())),
    (pa.map_(pa.string(), pa.int8()), pa.map_(pa.int8(), pa.int8())),
]


def merged(*kinds: pa.DataType) -> pa.Schema:
    return merged_schema([(f"{at}.parquet", pa.schema({"c": kind})) for at, kind in enumerate(kinds)], "/lake")


@pytest.mark.parametrize(("left", "right", "both"), PAIRS, ids=str)
def test_a_type_that_holds_both(left: pa.DataType, right: pa.DataType, both: pa.DataType) -> None:
    assert merged(left, right).field("c").type == both
    other = merged(right, left).field("c").type
    assert sorted(map(str, _leaves(other))) == sorted(map(str, _leaves(both)))  # new fields come last
    for kind in (left, right):
        batch = pa.record_batch([pa.array([None], kind)], ["c"])
        assert conform(batch, plain_schema(merged(left, right)), {}, "x").num_rows == 1


@pytest.mark.parametrize(("left", "right"), STRANGERS, ids=str)
def test_no_type_holds_both(left: pa.DataType, right: pa.DataType) -> None:
    for pair in ((left, right), (right, left)):
        with pytest.raises(UnsupportedTable, match=r"c of the folder /lake is .* in 0\.parquet and .* in 1\.parquet"):
            merged(*pair)


@given(st.integers(-(2**63), 2**63 - 1), st.decimals("-999.99", "999.99", places=2))
def test_values_stay_what_they_are(number: int, amount: Decimal) -> None:
    schema = plain_schema(
        merged_schema(
            [
                ("a", pa.schema({"n": pa.int8(), "d": pa.decimal128(9, 4)})),
                ("b", pa.schema({"n": pa.int64(), "d": pa.decimal128(5, 2)})),
            ],
            "/lake",
        )
    )
    batch = pa.record_batch([pa.array([number], pa.int64()), pa.array([amount], pa.decimal128(5, 2))], ["n", "d"])
    assert conform(batch, schema, {}, "b").to_pylist() == [{"n": number, "d": amount}]


def test_columns_keep_their_order_and_new_ones_come_last() -> None:
    first = pa.schema([pa.field("b", pa.int8(), nullable=False), pa.field("a", pa.int8(), nullable=False)])
    second = pa.schema([pa.field("c", pa.int8(), nullable=False), pa.field("b", pa.int8(), nullable=False)])
    found = merged_schema([("1", first), ("2", second)], "/lake")
    assert [(field.name, field.nullable) for field in found] == [("b", False), ("a", True), ("c", True)]


def test_a_name_twice() -> None:
    twice = pa.schema([pa.field("a", pa.int8()), pa.field("a", pa.int8())])
    with pytest.raises(UnsupportedTable, match="1 of the folder /lake has two columns of one name"):
        merged_schema([("1", twice)], "/lake")


def _leaves(kind: pa.DataType) -> list[pa.DataType]:
    parts = [kind.field(at).type for at in range(kind.num_fields)]
    return [leaf for part in parts for leaf in _leaves(part)] if parts else [kind]
