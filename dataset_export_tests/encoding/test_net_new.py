"""The net-new difference against a model that counts rows with a Counter."""

import io
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_export.encoding import net_new
from dataset_export.encoding.contract import Encoding, RowRule, Target
from dataset_export.encoding.encode import encode
from dataset_export.errors import UnsupportedTable
from dataset_export_tests.encoding.tables import parquet, source, tables
from dataset_export_tests.encoding.test_round_trip import exact

PAIR = pa.struct([("a", pa.int64()), ("b", pa.int64())])
NANS = (bytes.fromhex("000000000000f87f"), bytes.fromhex("010000000000f8ff"))


def read_back(out: io.BytesIO) -> pa.Table:
    return pq.ParquetFile(io.BytesIO(out.getvalue())).read()


@st.composite
def pools(draw: st.DrawFn) -> tuple[pa.Table, list[int], list[int], list[int]]:
    """Distinct-looking rows, and which of them two added files and one removed file hold, with repeats."""
    pool = draw(tables(max_rows=4).filter(lambda table: table.num_rows > 0))
    picks = st.lists(st.integers(0, pool.num_rows - 1), max_size=8)
    return pool, draw(picks), draw(picks), draw(picks)


@settings(max_examples=150, deadline=None)
@given(pools())
def test_equals_a_multiset_difference(drawn: tuple[pa.Table, list[int], list[int], list[int]]) -> None:
    pool, first, second, removed = drawn
    files = [parquet(pool.take(pa.array(rows, pa.int64()))) for rows in (first, second, removed)]
    read = [pq.ParquetFile(io.BytesIO(data)).read() for data in files]
    out = io.BytesIO()
    target = Target(Encoding(), read[0].schema)
    encoded = encode([source(files[0]), source(files[1])], target, out.write, minus=[source(files[2])])
    added = Counter(exact(read[0]) + exact(read[1]))
    left = added - Counter(exact(read[2]))
    assert Counter(exact(read_back(out))) == left
    assert encoded.rows == left.total()
    assert encoded.carried_over == added.total() - left.total()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([""]), pa.array([None], pa.string())),
        (pa.array([0.0]), pa.array([-0.0])),
        (pa.array([[1, None]]), pa.array([[1]])),
        (pa.array([[]], pa.list_(pa.int64())), pa.array([None], pa.list_(pa.int64()))),
        (pa.array([{"a": None, "b": 1}], PAIR), pa.array([{"a": 1, "b": None}], PAIR)),
        (pa.array([{"a": "x", "b": "yz"}]), pa.array([{"a": "xy", "b": "z"}])),
        (pa.array([["a", "b"]]), pa.array([["ab"]])),
        (pa.array([None], pa.struct([("a", pa.int64())])), pa.array([{"a": None}], pa.struct([("a", pa.int64())]))),
    ],
)
def test_different_rows_stay_different(one: pa.Array, other: pa.Array) -> None:
    out = io.BytesIO()
    added, removed = pa.table({"c": one}), pa.table({"c": other})
    encoded = encode([source(added)], Target(Encoding(), added.schema), out.write, minus=[source(removed)])
    assert (encoded.rows, encoded.carried_over) == (1, 0)


def test_nan_is_one_value_whatever_its_bits() -> None:
    quiet, other = (pa.Array.from_buffers(pa.float64(), 1, [None, pa.py_buffer(bits)]) for bits in NANS)
    out = io.BytesIO()
    schema = pa.schema([("c", pa.float64())])
    encoded = encode(
        [source(pa.table({"c": quiet}))], Target(Encoding(), schema), out.write, minus=[source(pa.table({"c": other}))]
    )
    assert (encoded.rows, encoded.carried_over) == (0, 1)


def test_rows_are_compared_in_the_target_schema() -> None:
    added = pa.table({"n": pa.array([1, 2], pa.int64()), "later": pa.array([None, "x"])})
    removed = pa.table({"n": pa.array([1, 2], pa.int32())})
    out = io.BytesIO()
    encoded = encode([source(added)], Target(Encoding(), added.schema), out.write, minus=[source(removed)])
    assert (encoded.rows, encoded.carried_over) == (1, 1)
    assert read_back(out).to_pylist() == [{"n": 2, "later": "x"}]


def test_rows_that_were_there_before_count_as_carried_over_and_not_as_excluded() -> None:
    from datetime import UTC, datetime

    table = pa.table({"t": pa.array([0, 1, 10**9], pa.timestamp("s", "UTC"))})
    rule = RowRule("t", datetime(2000, 1, 1, tzinfo=UTC))
    encoded = encode(
        [source(table)], Target(Encoding(), table.schema, rule), io.BytesIO().write, minus=[source(table.slice(0, 1))]
    )
    assert (encoded.rows, encoded.excluded, encoded.carried_over) == (1, 1, 1)


def test_too_many_removed_rows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(net_new, "LIMIT", 2)
    table = pa.table({"n": [1, 2, 3]})
    with pytest.raises(UnsupportedTable, match="More than 2 rows"):
        encode([source(table)], Target(Encoding(), table.schema), io.BytesIO().write, minus=[source(table)])
