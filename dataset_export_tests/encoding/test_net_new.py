"""The net-new difference against a model that counts rows with a Counter."""

import errno
import io
from collections import Counter
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_export.encoding import digest_spill, net_new, parquet_input
from dataset_export.encoding.conform import plain_schema
from dataset_export.encoding.contract import Encoded, Encoding, RowRule, Target
from dataset_export.encoding.encode import encode
from dataset_export.encoding.net_new import DigestCounts
from dataset_export.encoding.row_digests import RowDigests
from dataset_export.errors import StorageFull
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


@settings(max_examples=100, deadline=None)
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


@settings(max_examples=60, deadline=None)
@given(pools(), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))
def test_the_disk_gives_what_memory_gives(
    drawn: tuple[pa.Table, list[int], list[int], list[int]], batch_rows: int, buffered: int, piece_rows: int
) -> None:
    pool, first, second, removed = drawn
    files = [source(pool.take(pa.array(rows, pa.int64()))) for rows in (first, second, removed)]
    schema = pq.read_schema(io.BytesIO(parquet(pool)))

    def difference() -> tuple[list, Encoded]:
        out = io.BytesIO()
        encoded = encode(files[:2], Target(Encoding(), schema), out.write, minus=[files[2]])
        return exact(read_back(out)), encoded

    expected = difference()
    with (
        mock.patch.object(net_new, "IN_MEMORY", 0),
        mock.patch.object(digest_spill, "BUFFERED_ROWS", buffered),
        mock.patch.object(digest_spill, "FILE_BITS", 2),
        mock.patch.object(digest_spill, "PIECE_ROWS", piece_rows),
        mock.patch.object(parquet_input, "BATCH_ROWS", batch_rows),
    ):
        assert difference() == expected


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=30),
    st.lists(st.lists(st.integers(0, 8), max_size=12), max_size=4),
    st.lists(st.sampled_from([0, 1]), min_size=9, max_size=9),
)
def test_counts_take_what_is_there_in_order(removed: list[int], batches: list[list[int]], words: list[int]) -> None:
    """Digests of few distinct words, so that many have the same first one."""
    digest = {number: (number, words[number]) for number in range(9)}
    left = Counter(removed)
    counts = DigestCounts(np.array([digest[n] for n in removed], np.uint64).reshape(-1, 2).T)
    for batch in batches:
        taken = []
        for number in batch:
            taken.append(left[number] > 0)
            left[number] -= taken[-1]
        assert counts.take(np.array([digest[n] for n in batch], np.uint64).reshape(-1, 2).T).tolist() == taken


@settings(max_examples=150, deadline=None)
@given(tables(max_rows=10))
def test_digests_are_equal_for_equal_rows_alone(table: pa.Table) -> None:
    """Also when the rows lie at other places of other batches."""
    digests = RowDigests()
    table = table.cast(plain_schema(table.schema))
    batch = table.combine_chunks().to_batches()[0] if table.num_rows else None
    if batch is None:
        return
    rows = exact(table)
    whole = list(zip(*digests.of(batch).tolist(), strict=True))
    for at, row in enumerate(rows):
        alone = pa.concat_batches([batch.slice(at, 1), batch.slice(0, 1)])
        assert list(zip(*digests.of(alone).tolist(), strict=True)) == [whole[at], whole[0]]
        assert list(zip(*digests.of(batch.slice(at)).tolist(), strict=True)) == whole[at:]
        for other, digest in zip(rows, whole, strict=True):
            assert (row == other) == (whole[at] == digest)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 15, 16, 17, 1000])
def test_each_byte_of_a_text_counts(length: int) -> None:
    text = bytes(range(256)) * 4
    texts = [text[:length] + b"\0" * padding for padding in range(9)]
    texts += [text[:at] + b"\xff" + text[at + 1 : length] for at in range(min(length, 40)) if text[at] != 0xFF]
    found = RowDigests().of(pa.record_batch([pa.array(texts, pa.large_binary())], ["c"]))
    assert len(set(zip(*found.tolist(), strict=True))) == len(texts)


def test_digests_of_two_comparisons_differ() -> None:
    batch = pa.record_batch({"n": [1]})
    assert RowDigests().of(batch).tolist() != RowDigests().of(batch).tolist()


def test_a_full_local_disk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    table = pa.table({"n": list(range(100))})
    monkeypatch.setattr(net_new, "IN_MEMORY", 0)
    monkeypatch.setattr(digest_spill.tempfile, "TemporaryFile", lambda: mock.MagicMock(write=full))
    with pytest.raises(StorageFull, match=r"no room in .* TMPDIR"):
        encode([source(table)], Target(Encoding(), table.schema), io.BytesIO().write, minus=[source(table)])
