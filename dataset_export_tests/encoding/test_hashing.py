"""Hashes of values: reproducible by anyone who has the salt, stable over types and writers, equal for equal values only."""

import hashlib
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_export.encoding.hashing import hashed
from dataset_export.encoding.json_values import json_values
from dataset_export.errors import UnsupportedTable
from dataset_export_tests.encoding.tables import LEAVES, canonical

SALT = b"a salt of sixteen"


def sha(text: str | bytes) -> str:
    return hashlib.sha256(SALT + (text.encode() if isinstance(text, str) else text)).hexdigest()


def one(value: Any, kind: pa.DataType) -> str:
    [found] = hashed(pa.array([value], kind), SALT, "c").to_pylist()
    return found


AT = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (pa.string(), "größe", "größe"),
        (pa.string(), "", ""),
        (pa.large_string(), 'say "x"', 'say "x"'),
        (pa.int8(), -7, "-7"),
        (pa.int64(), 2**63 - 1, "9223372036854775807"),
        (pa.uint64(), 2**64 - 1, "18446744073709551615"),
        (pa.bool_(), True, "true"),
        (pa.decimal128(10, 2), Decimal("12.50"), "12.50"),
        (pa.decimal128(38, 0), Decimal(10**37), str(10**37)),
        (pa.float64(), 0.1, "0.1"),
        (pa.float32(), 0.1, "0.1"),
        (pa.float64(), 1.0, "1.0"),
        (pa.float64(), float("nan"), "NaN"),
        (pa.float64(), float("inf"), "Infinity"),
        (pa.float32(), float("-inf"), "-Infinity"),
        (pa.date32(), date(2026, 11, 2), "2026-11-02"),
        (pa.timestamp("us", "UTC"), AT, "2026-11-02T08:00:00Z"),
        (pa.timestamp("ms"), AT.replace(microsecond=250_000, tzinfo=None), "2026-11-02T08:00:00.250Z"),
        (pa.timestamp("ns", "Europe/Berlin"), AT, "2026-11-02T08:00:00Z"),
        (pa.time64("us"), time(8, 0, 1), "08:00:01"),
        (pa.binary(), b"\x00\xff", b"\x00\xff"),
        (pa.binary(2), b"ab", b"ab"),
        (pa.dictionary(pa.int32(), pa.string()), "x", "x"),
    ],
    ids=str,
)
def test_the_text_of_every_type(kind: pa.DataType, value: Any, text: str | bytes) -> None:
    assert one(value, kind) == sha(text)


def test_a_reader_with_the_salt_gets_the_same_in_sql() -> None:
    [[found]] = duckdb.execute("select sha256(? || 42::varchar)", [SALT.decode()]).fetchall()
    assert found == one(42, pa.int32())


def test_widening_a_column_changes_no_hash() -> None:
    assert one(7, pa.int8()) == one(7, pa.int64())
    assert one(AT, pa.timestamp("s", "UTC")) == one(AT, pa.timestamp("ns", "UTC"))
    assert one("x", pa.string()) == one("x", pa.large_string()) == one(b"x", pa.binary())


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from(sorted(LEAVES, key=str)))
def test_null_stays_null_and_equal_values_have_equal_hashes_and_no_others(
    data: st.DataObject, kind: pa.DataType
) -> None:
    values = data.draw(st.lists(st.none() | LEAVES[kind], max_size=8))
    array = pa.array([None, *values], kind).slice(1)
    found = hashed(array, SALT, "c").to_pylist()
    assert [value is None for value in found] == [value is None for value in values]
    if pa.types.is_temporal(kind):
        array = array.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
    by_hash = {canonical(value): text for value, text in zip(array.to_pylist(), found, strict=True)}
    assert len(set(by_hash.values())) == len(by_hash)
    # The same one by one, and with another salt none of them.
    assert found == [hashed(pa.array([value], kind), SALT, "c")[0].as_py() for value in values]
    others = hashed(pa.array(values, kind), SALT + b"!", "c").to_pylist()
    assert not set(found) & set(others) - {None}


def test_the_text_is_that_of_ndjson() -> None:
    """Whoever gets the column in NDJSON from one dataflow and hashed from another can compare the two."""
    array = pa.array([1.5, 1e300, -2.25e-9, 123456789.0])
    import io
    import json

    from arro3.io import write_ndjson

    out = io.BytesIO()
    write_ndjson(json_values(pa.record_batch([array], names=["c"])), out)
    texts = [line.removeprefix('{"c":').removesuffix("}") for line in out.getvalue().decode().splitlines()]
    assert [float(text) for text in texts] == array.to_pylist()
    assert json.loads(out.getvalue().splitlines()[0]) == {"c": 1.5}
    assert hashed(array, SALT, "c").to_pylist() == [sha(text) for text in texts]


def test_no_rows() -> None:
    for kind in LEAVES:
        assert hashed(pa.array([], kind), SALT, "c").type == pa.string()
    assert hashed(pa.nulls(2), SALT, "c").to_pylist() == [None, None]


def test_a_value_without_a_text_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedTable, match=r"Column home\.at has a moment"):
        hashed(pa.array([2**62], pa.timestamp("s")), SALT, "home.at")
    with pytest.raises(UnsupportedTable, match="Column took is duration"):
        hashed(pa.array([1], pa.duration("s")), SALT, "took")
