"""NDJSON against an independent implementation of the rules in spec S6, which takes values one by one."""

import base64
import gzip
import io
import json
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from dataset_export.encoding.contract import Compression, Encoding, Format, Target
from dataset_export.encoding.encode import encode
from dataset_export.encoding.ndjson_text import text_by_arrow_rs
from dataset_export.errors import UnsupportedTable
from dataset_export_tests.encoding.tables import parquet, source, tables

NDJSON = Encoding(Format.JSON, Compression.GZIP)
MISSING = object()


def deliver(table: pa.Table) -> list[str]:
    out = io.BytesIO()
    raw = parquet(table)
    encode([source(raw)], Target(NDJSON, pq.ParquetFile(io.BytesIO(raw)).schema_arrow), out.write)
    text = gzip.decompress(out.getvalue()).decode()
    assert text == "" or text.endswith("\n")
    return text.split("\n")[:-1]


def expected(scalar: pa.Scalar) -> Any:
    """The JSON value of an Arrow value by spec S6; MISSING for what is left out."""
    kind = scalar.type
    if isinstance(scalar, pa.ExtensionScalar):
        return expected(scalar.value)
    if not scalar.is_valid:
        return MISSING
    if pa.types.is_struct(kind):
        return without_missing((field.name, expected(scalar[place])) for place, field in enumerate(kind))
    if pa.types.is_map(kind):
        return without_missing((key_text(entry[0]), expected(entry[1])) for entry in scalar.values)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        items = [expected(item) for item in scalar.values]
        return [None if item is MISSING else item for item in items]
    if pa.types.is_floating(kind):
        value = scalar.as_py()
        return value if math.isfinite(value) else MISSING
    if pa.types.is_temporal(kind):
        return moment(scalar)
    value = scalar.as_py()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def without_missing(pairs: Any) -> dict[str, Any]:
    return {name: value for name, value in pairs if value is not MISSING}


def key_text(scalar: pa.Scalar) -> str:
    value = expected(scalar)
    return value if isinstance(value, str) else json.dumps(value)


def moment(scalar: pa.Scalar) -> str:
    kind = scalar.type
    if pa.types.is_date32(kind):
        return str(np.datetime64(scalar.value, "D"))
    ticks = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]
    seconds, rest = divmod(scalar.value, ticks)
    fraction = f"{rest * (10**9 // ticks):09d}"
    while fraction.endswith("000"):
        fraction = fraction[:-3]
    dotted = f".{fraction}" if fraction else ""
    if pa.types.is_time(kind):
        return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{dotted}"
    return f"{np.datetime64(seconds, 's')}{dotted}Z"


def same(written: Any, wanted: Any, kind_is_float32: bool = False) -> bool:
    if isinstance(wanted, dict):
        return list(written) == list(wanted) and all(same(written[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return len(written) == len(wanted) and all(map(same, written, wanted))
    if isinstance(wanted, float):
        # Shortest text that reads back to the same float32 or float64.
        return isinstance(written, Decimal) and (
            float(written).hex() == wanted.hex() or float(np.float32(written)).hex() == wanted.hex()
        )
    if isinstance(wanted, Decimal):
        return isinstance(written, Decimal | int) and str(Decimal(written)) == str(plain_decimal(wanted))
    return type(written) is type(wanted) and written == wanted


def plain_decimal(value: Decimal) -> Decimal:
    # JSON has no negative zero with a scale of its own, and integers come back as int.
    return Decimal(format(value, "f"))


@settings(max_examples=120, deadline=None)
@given(tables())
def test_ndjson_follows_the_rules(table: pa.Table) -> None:
    raw = parquet(table)
    read = pq.ParquetFile(io.BytesIO(raw)).read().combine_chunks()
    lines = deliver(table)
    assert len(lines) == table.num_rows
    for row, line in enumerate(lines):
        wanted = without_missing((name, expected(read.column(name)[row])) for name in read.schema.names)
        written = json.loads(line, parse_float=Decimal, parse_constant=pytest.fail)
        assert same(written, wanted), (line, wanted)


@pytest.mark.parametrize(
    ("array", "line"),
    [
        (pa.array([[1.5, math.nan, None]]), '{"c":[1.5,null,null]}'),
        (pa.array([{"a": math.inf, "b": 1.0}]), '{"c":{"b":1.0}}'),
        (pa.array([[("a", math.nan), ("b", 1.0)]], pa.map_(pa.string(), pa.float64())), '{"c":{"b":1.0}}'),
        (pa.array([[("a", None)]], pa.map_(pa.string(), pa.int64())), '{"c":{}}'),
        (pa.array([[(7, [b"\x00"])]], pa.map_(pa.int16(), pa.list_(pa.binary()))), '{"c":{"7":["AA=="]}}'),
        (pa.array([[(0.5, 1), (math.nan, 2)]], pa.map_(pa.float64(), pa.int8())), '{"c":{"0.5":1,"NaN":2}}'),
        (pa.array([{"a": None}]), '{"c":{}}'),
        (pa.array([None], pa.struct([("a", pa.int8())])), "{}"),
        (pa.array([b"ab"], pa.binary_view()), '{"c":"YWI="}'),
        (pa.array(["é"], pa.string_view()), '{"c":"é"}'),
        (pa.array([b"ab"]).dictionary_encode(), '{"c":"YWI="}'),
        (pa.array([0], pa.timestamp("us")), '{"c":"1970-01-01T00:00:00Z"}'),
        (pa.array([0], pa.timestamp("us", "Asia/Tokyo")), '{"c":"1970-01-01T00:00:00Z"}'),
        (pa.array([86_400_000], pa.date64()), '{"c":"1970-01-02"}'),
        (pa.array([Decimal("123456789012345678901234567890.1200")]), '{"c":123456789012345678901234567890.1200}'),
        (pa.array([["x", None], None], pa.list_(pa.string())), '{"c":["x",null]}'),
        (pa.array(['"\\\n\t\u2028\x01']), '{"c":"\\"\\\\\\n\\t\u2028\\u0001"}'),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_value_as_text(array: pa.Array, line: str) -> None:
    assert deliver(pa.table({"c": array}))[0] == line


@pytest.mark.parametrize(
    ("array", "named"),
    [
        (pa.array([2**62], pa.timestamp("ms")), "Column c"),
        (pa.array([[{"at": 2**60}]], pa.list_(pa.struct([("at", pa.timestamp("ms"))]))), "Column c.element.at"),
        (pa.array([-(2**31)], pa.date32()), "Column c"),
        (pa.array([1], pa.duration("us")), "duration"),
    ],
)
def test_what_json_cannot_express_is_refused_by_name(array: pa.Array, named: str) -> None:
    with pytest.raises(UnsupportedTable, match=named):
        deliver(pa.table({"c": array}))


def test_a_field_that_occurs_twice_is_refused() -> None:
    table = pa.table({"c": pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])})
    with pytest.raises(UnsupportedTable, match="Field a occurs twice in column c"):
        deliver(table)


def test_no_rows_make_an_empty_gzip_file() -> None:
    assert deliver(pa.table({"c": pa.array([], pa.int8())})) == []


def test_s6_structs_in_structs_are_written_from_any_row_on() -> None:
    inner = pa.struct([("n", pa.int8()), ("f", pa.float64())])
    rows = [{"s": {"n": 1, "f": 0.5}}, None, {"s": None}, {"s": {"n": 2, "f": float("nan")}}]
    batch = pa.record_batch({"c": pa.array(rows, pa.struct([("s", inner)]))})
    lines = ['{"c":{"s":{"n":1,"f":0.5}}}', "{}", '{"c":{}}', '{"c":{"s":{"n":2}}}']
    for first in range(4):
        assert text_by_arrow_rs(batch.slice(first)).decode().splitlines() == lines[first:]
