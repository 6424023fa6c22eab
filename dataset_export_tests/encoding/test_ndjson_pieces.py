"""What the compiled writer compresses is what it writes, however it is cut, and is no larger than what isal makes of it."""

import gzip
import json
import zlib
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import isal_zlib

from dataset_export.encoding.conform import plain_schema
from dataset_export.encoding.gzip_member import HEADER, GzipMaker, gzip_end
from dataset_export.encoding.ndjson_text import Piece, Pieces, native_writer, text_by_arrow_rs
from dataset_export_tests.encoding.tables import tables
from dataset_export_tests.encoding.test_ndjson_text import needs_native

TABLES = tables().filter(lambda table: table.num_rows > 0)


def text_in(pieces: list[Piece]) -> bytes:
    """What a reader finds in a member of the pieces."""
    crc = size = 0
    for piece in pieces:
        crc, size = isal_zlib.crc32_combine(crc, piece.crc, piece.text_size), size + piece.text_size
    return gzip.decompress(HEADER + b"".join(piece.packed for piece in pieces) + gzip_end(crc, size))


def batch_of(table: pa.Table) -> pa.RecordBatch:
    return table.cast(plain_schema(table.schema)).combine_chunks().to_batches(max_chunksize=1 << 30)[0]


@settings(max_examples=200, deadline=None)
@given(TABLES, st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.booleans()), max_size=8))
def test_pieces_are_a_member(table: pa.Table, cuts: list[tuple[int, int, bool]]) -> None:
    batch = batch_of(table)
    pieces = Pieces(batch.schema)
    found: list[Piece] = []
    expected: list[bytes] = []
    for first, rows, alone in cuts:
        some = batch.slice(min(first, batch.num_rows - 1), rows)
        if some.num_rows:
            # Alone it may stand anywhere; what needs the piece before it stands behind that.
            found.append(pieces.alone(some) if alone else pieces.next(some))
            expected.append(text_by_arrow_rs(some))
    assert text_in(found) == b"".join(expected)


@settings(max_examples=100, deadline=None)
@given(TABLES)
def test_p4_a_piece_alone_depends_on_its_rows_only(table: pa.Table) -> None:
    batch = batch_of(table)
    new, used = Pieces(batch.schema), Pieces(batch.schema)
    used.next(batch)
    used.next(batch.slice(batch.num_rows // 2))
    assert used.alone(batch) == new.alone(batch) == new.alone(batch)


WORDS = ["red", "green", "blue", "a longer word that is here again and again", "ü" * 40]


def rows_of(kind: str, count: int, seed: int = 1) -> pa.RecordBatch:
    random = Random(seed)
    numbers = [random.randrange(10**6) for _ in range(count)]
    if kind == "like a warehouse":
        return pa.record_batch(
            {
                "order": pa.array(range(count), pa.int64()),
                "part": numbers,
                "price": pa.array([number * 7 for number in numbers], pa.int64()).cast(pa.decimal128(19, 0)),
                "state": [random.choice(WORDS[:3]) for _ in range(count)],
                "day": pa.array([number % 2500 for number in numbers], pa.int32()).view(pa.date32()),
                "comment": [" ".join(random.choices(WORDS, k=random.randrange(4))) for _ in range(count)],
            }
        )
    if kind == "nested":
        lists = [[{"k": number % 10, "v": random.choice(WORDS)}] * (number % 4) for number in numbers]
        maps = [[(random.choice(WORDS[:3]), "v")] if number % 3 else None for number in numbers]
        return pa.record_batch({"l": lists, "m": pa.array(maps, pa.map_(pa.string(), pa.string()))})
    if kind == "noise":
        return pa.record_batch({"b": [random.randbytes(60) for _ in range(count)]})
    if kind == "runs":
        return pa.record_batch({"s": ["a" * (number % 3000) for number in numbers], "n": [None] * count})
    if kind == "digests, then words":
        digests = [random.randbytes(16).hex() for _ in range(count // 4)]
        return pa.record_batch(
            {"s": digests + [" ".join(random.choices(WORDS, k=5)) for _ in range(count - len(digests))]}
        )
    if kind == "tiny":
        return pa.record_batch({"n": pa.array([number % 2 for number in numbers], pa.int8())})
    return pa.record_batch({"s": ["".join(random.choices("ab", k=number % 50)) for number in numbers]})


KINDS = ["like a warehouse", "nested", "noise", "runs", "digests, then words", "tiny", "letters"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at_once", [1, 700, 20_000])
def test_large_pieces_and_many_of_them(kind: str, at_once: int) -> None:
    batch = rows_of(kind, min(20_000, at_once * 300))
    pieces = Pieces(batch.schema)
    found = [pieces.next(batch.slice(first, at_once)) for first in range(0, batch.num_rows, at_once)]
    assert text_in(found) == text_by_arrow_rs(batch)


def test_more_matches_than_a_block_has_room_for() -> None:
    batch = pa.record_batch({name: pa.array([1, 2] * 10_000, pa.int8()) for name in "abcdefghij"})
    assert text_in([Pieces(batch.schema).alone(batch)]) == text_by_arrow_rs(batch)


def test_a_value_of_megabytes() -> None:
    random = Random(3)
    values = [random.randbytes(700_000).hex(), "word " * 600_000, "", None, '\\"\n' * 300_000]
    batch = pa.record_batch({"s": values, "n": pa.array(range(5), pa.int64())})
    pieces = Pieces(batch.schema)
    found = [pieces.next(batch), pieces.next(batch.slice(2)), pieces.next(batch)]
    assert text_in(found) == b"".join(text_by_arrow_rs(rows) for rows in (batch, batch.slice(2), batch))


@needs_native
@pytest.mark.parametrize("kind", ["like a warehouse", "nested", "runs", "digests, then words"])
def test_it_is_no_larger_than_by_isal(kind: str) -> None:
    batch = rows_of(kind, 20_000)
    packed, text = Pieces(batch.schema).alone(batch).packed, text_by_arrow_rs(batch)
    print(f"{kind}: {len(packed)}, isal {len(GzipMaker().piece(text))}, zlib 6 {len(zlib.compress(text, 6))}")
    assert len(packed) <= len(GzipMaker().piece(text))


@needs_native
def test_noise_takes_little_more_than_it_has() -> None:
    piece = Pieces(rows_of("noise", 1).schema).alone(rows_of("noise", 5000))
    # Base64 has 6 bits in a byte.
    assert len(piece.packed) < piece.text_size * 0.8


@needs_native
def test_a_piece_refers_to_the_one_before_it() -> None:
    random = Random(5)
    batch = pa.record_batch({"s": [random.randbytes(8000).hex()]})
    pieces = Pieces(batch.schema)
    first, again, alone = (pieces.next(batch).packed, pieces.next(batch).packed, pieces.alone(batch).packed)
    assert len(again) < len(first) / 2
    assert first == alone


@needs_native
def test_rows_that_the_compiled_writer_refuses_are_between_others() -> None:
    kind = pa.timestamp("ms", "UTC")
    rows = pa.record_batch({"t": pa.array([1_790_000_000_000], kind)})
    pieces = Pieces(rows.schema)
    pieces._writer = _Refusing(native_writer(rows.schema), {1, 3})
    found = [pieces.next(rows) for _ in range(6)]
    assert [json.loads(line) for line in text_in(found).splitlines()] == [{"t": "2026-09-21T14:13:20Z"}] * 6


class _Refusing:
    """A writer that refuses the rows of some calls, as it does values that it has no text for."""

    def __init__(self, writer: Any, refused: set[int]) -> None:
        self._writer, self._refused, self._calls = writer, refused, 0

    def deflated(self, array: object, first: int, rows: int, alone: bool) -> bytes:
        self._calls += 1
        rows = rows + 1 if self._calls - 1 in self._refused else rows  # more than there are
        return self._writer.deflated(array, first, rows, alone)

    def last_text(self) -> memoryview:
        return self._writer.last_text()


@needs_native
def test_text_that_is_looked_at_does_not_change() -> None:
    batch = pa.record_batch({"n": [1, 2, 3]})
    array = batch.__arrow_c_array__()[1]
    writer = native_writer(batch.schema)
    assert writer is not None
    assert bytes(writer.last_text()) == b""
    writer.deflated(array, 0, 2, False)
    with writer.last_text() as text, writer.last_text() as again:
        for call in (lambda: writer.deflated(array, 0, 1, True), lambda: writer.text(array, 0, 1), writer.anchors):
            with pytest.raises(BufferError, match="in use"):
                call()
        assert text.readonly
        assert text == again == b'{"n":1}\n{"n":2}\n'
    writer.deflated(array, 2, 1, False)
    assert bytes(writer.last_text()) == b'{"n":3}\n'
