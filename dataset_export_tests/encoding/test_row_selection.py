"""Rows that do not count, by position: never delivered, never passed whole, and gone from both sides of a difference."""

import io
import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_export.encoding import parquet_input
from dataset_export.encoding.contract import Compression, Encoding, Format, RowRule, Source, Target, Way
from dataset_export.encoding.encode import choose_way, encode
from dataset_export.encoding.parquet_footer import read_footer
from dataset_export.errors import CorruptFile
from dataset_export_tests.encoding.tables import parquet, source

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SCHEMA = pa.schema([("t", pa.timestamp("us", "UTC")), ("n", pa.int64())])


@dataclass(frozen=True)
class Positions:
    dropped: np.ndarray
    only: np.ndarray | None = None


def positions(dropped: set[int], only: set[int] | None = None) -> Positions:
    return Positions(np.array(sorted(dropped), np.int64), None if only is None else np.array(sorted(only), np.int64))


@st.composite
def files(draw: st.DrawFn) -> tuple[Source, list[int]]:
    """A file of several row groups with few distinct rows, and the numbers in those of its rows that count."""
    numbers = draw(st.lists(st.integers(0, 5), max_size=40))
    places = st.sets(st.integers(0, max(0, len(numbers) - 1)) if numbers else st.nothing())
    dropped, only = draw(places), draw(st.none() | places)
    data = parquet(
        pa.table([pa.array(numbers, SCHEMA.field("t").type), numbers], schema=SCHEMA),
        row_group_size=draw(st.integers(1, 9)),
    )
    left = [n for at, n in enumerate(numbers) if at not in dropped and (only is None or at in only)]
    return source(data, selection=lambda: positions(dropped, only)), left


@settings(max_examples=150, deadline=None)
@given(
    st.lists(files(), min_size=1, max_size=2),
    st.lists(files(), max_size=2),
    st.none() | st.integers(0, 6),
    st.sampled_from(Format),
    st.integers(1, 7),
)
def test_rows_that_do_not_count_are_in_nothing(
    sources: list[tuple[Source, list[int]]],
    minus: list[tuple[Source, list[int]]],
    bound: int | None,
    form: Format,
    batch_rows: int,
) -> None:
    not_before = None if bound is None else EPOCH + timedelta(microseconds=bound)
    target = Target(Encoding(form, Compression.GZIP), SCHEMA, RowRule("t", not_before))
    out = io.BytesIO()
    with mock.patch.object(parquet_input, "BATCH_ROWS", batch_rows):
        encoded = encode([file for file, _ in sources], target, out.write, minus=[file for file, _ in minus])
    every = Counter(n for _, left in sources for n in left)
    net_new = every - Counter(n for _, left in minus for n in left)
    expected = Counter({n: count for n, count in net_new.items() if bound is None or n >= bound})
    assert delivered(out.getvalue(), form) == expected
    assert encoded.rows == expected.total()
    assert encoded.excluded == net_new.total() - expected.total()
    assert encoded.carried_over == every.total() - net_new.total()
    assert encoded.last_timestamp == (EPOCH + timedelta(microseconds=max(expected)) if expected.total() else None)


def delivered(data: bytes, form: Format) -> "Counter[int]":
    import gzip

    if form is Format.PARQUET:
        return Counter(pq.read_table(io.BytesIO(data)).column("n").to_pylist())
    return Counter(json.loads(line)["n"] for line in gzip.decompress(data).splitlines())


def test_such_a_file_never_passes_whole_even_when_all_of_it_counts() -> None:
    data = parquet(pa.table({"n": [1, 2, 3]}), compression="zstd")
    for compression in (Compression.ZSTD, Compression.GZIP, Compression.SOURCE):
        target = Target(Encoding(compression=compression), pq.read_schema(io.BytesIO(data)))
        for selection in (lambda: positions({1}), lambda: positions(set()), lambda: None):
            file = source(data, selection=selection, whole=True)
            assert choose_way(read_footer(file), file, target) is Way.REWRITE


@pytest.mark.parametrize("kind", [pa.string_view(), pa.binary_view(), pa.dictionary(pa.int32(), pa.string())])
def test_columns_of_every_layout_in_memory_lose_their_rows(kind: pa.DataType) -> None:
    """deltalake writes string views into its files' schema, which pyarrow filters not."""
    table = pa.table({"n": pa.array(["a", "b", "c"]).cast(kind)})
    out = io.BytesIO()
    encode([source(table, selection=lambda: positions({1}))], Target(Encoding(), table.schema), out.write)
    assert [
        str(value) for value in pq.read_table(io.BytesIO(out.getvalue())).column("n").cast(pa.string()).to_pylist()
    ] == ["a", "c"]


@pytest.mark.parametrize("marks", [positions({0, 3}), positions({-1}), positions(set(), {1, 7})])
def test_positions_that_the_file_does_not_have_are_an_error(marks: Positions) -> None:
    table = pa.table({"n": [1, 2, 3]})
    with pytest.raises(CorruptFile, match=r"part-1.parquet has 3 rows, and the table marks row"):
        encode([source(table, selection=lambda: marks)], Target(Encoding(), table.schema), io.BytesIO().write)
