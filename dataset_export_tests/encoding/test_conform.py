"""Old files get the columns of the table's schema; partition values come back as typed columns."""

import io
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_export.encoding.conform import partition_value
from dataset_export.encoding.contract import Encoding, Target
from dataset_export.encoding.encode import encode
from dataset_export.errors import UnsupportedTable
from dataset_export_tests.encoding.tables import parquet, source


def delivered(data: pa.Table | bytes, schema: pa.Schema, **fields: object) -> pa.Table:
    out = io.BytesIO()
    encode([source(data, **fields)], Target(Encoding(), schema), out.write)
    return pq.ParquetFile(io.BytesIO(out.getvalue())).read()


def test_added_columns_are_null_dropped_ones_go_and_the_order_is_the_tables() -> None:
    schema = pa.schema([("later", pa.list_(pa.int8())), ("b", pa.string()), ("a", pa.int64())])
    table = delivered(pa.table({"a": [1], "dropped": [2], "b": ["x"]}), schema)
    assert table.schema.equals(schema)
    assert table.to_pylist() == [{"later": None, "b": "x", "a": 1}]


@pytest.mark.parametrize(
    ("have", "kind"),
    [
        (pa.array([1, None], pa.int8()), pa.int64()),
        (pa.array([1.5, None], pa.float32()), pa.float64()),
        (pa.array([1, None], pa.int32()), pa.float64()),
        (pa.array([Decimal("1.5"), None], pa.decimal128(5, 2)), pa.decimal128(20, 4)),
        (pa.array([[1], None], pa.list_(pa.int32())), pa.list_(pa.int64())),
        (pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int32())), pa.map_(pa.string(), pa.int64())),
        (pa.array([1, None], pa.timestamp("ms", "UTC")), pa.timestamp("us", "UTC")),
        (pa.array([date(2026, 1, 1), None]), pa.timestamp("us")),
    ],
    ids=str,
)
def test_narrower_types_are_widened(have: pa.Array, kind: pa.DataType) -> None:
    column = delivered(pa.table({"c": have}), pa.schema([("c", kind)])).column("c")
    assert column.type == kind
    assert column.null_count == 1
    value, before = column[0].as_py(), have[0].as_py()
    assert (value.date() if isinstance(before, date) and not isinstance(before, datetime) else value) == before


def test_nested_fields_are_added_reordered_and_dropped_by_name() -> None:
    have = pa.array([[{"b": 1, "gone": 2, "a": "x"}, None], None])
    kind = pa.list_(pa.struct([("a", pa.string()), ("b", pa.int64()), ("new", pa.struct([("c", pa.int8())]))]))
    table = delivered(pa.table({"c": have}), pa.schema([("c", kind)]))
    assert table.column("c").to_pylist() == [[{"a": "x", "b": 1, "new": None}, None], None]


def test_a_value_that_does_not_fit_is_refused_with_column_and_file() -> None:
    with pytest.raises(UnsupportedTable, match=r"Column c of part-1\.parquet .* int8"):
        delivered(pa.table({"c": [1000]}), pa.schema([("c", pa.int8())]))


def test_a_null_survives_a_schema_that_forbids_it() -> None:
    schema = pa.schema([pa.field("c", pa.struct([pa.field("a", pa.int64(), nullable=False)]), nullable=False)])
    rows = [{"c": {"a": None}}, {"c": None}]
    assert (
        delivered(pa.Table.from_pylist(rows, pa.schema([("c", pa.struct([("a", pa.int64())]))])), schema).to_pylist()
        == rows
    )


def test_int96_far_from_today_is_not_wrapped() -> None:
    moment = datetime(9999, 12, 31, tzinfo=UTC)
    data = parquet(pa.table({"t": pa.array([moment.replace(tzinfo=None)])}), use_deprecated_int96_timestamps=True)
    table = delivered(data, pa.schema([("t", pa.timestamp("us", "UTC"))]))
    assert table.column("t").to_pylist() == [moment]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("7", pa.int8(), 7),
        ("-9223372036854775808", pa.int64(), -(2**63)),
        ("1.5", pa.float32(), 1.5),
        ("12.30", pa.decimal128(10, 4), Decimal("12.3000")),
        ("2026-11-01", pa.date32(), date(2026, 11, 1)),
        ("2026-11-01 08:00:00", pa.timestamp("us"), datetime(2026, 11, 1, 8)),
        ("2026-11-01 08:00:00.123456", pa.timestamp("us", "UTC"), datetime(2026, 11, 1, 8, 0, 0, 123456, tzinfo=UTC)),
        ("2026-11-01T08:00:00.5Z", pa.timestamp("us", "UTC"), datetime(2026, 11, 1, 8, 0, 0, 500000, tzinfo=UTC)),
        ("true", pa.bool_(), True),
        ("false", pa.bool_(), False),
        ("a b/c", pa.string(), "a b/c"),
        ("\u0001ÿ", pa.binary(), b"\x01\xff"),
        ("", pa.string(), None),
        ("", pa.int32(), None),
        (None, pa.date32(), None),
    ],
)
def test_partition_values(text: str | None, kind: pa.DataType, value: object) -> None:
    schema = pa.schema([("p", kind), ("n", pa.int64())])
    table = delivered(pa.table({"n": [1, 2]}), schema, partition={"p": text})
    assert table.schema.field("p").type == kind
    assert table.column("p").to_pylist() == [value, value]


def test_a_partition_value_of_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match="x7"):
        partition_value("x7", pa.int32())
    with pytest.raises(UnsupportedTable, match="Column p of part-1"):
        delivered(pa.table({"n": [1]}), pa.schema([("p", pa.int32())]), partition={"p": "x7"})
