"""NDJSON: one JSON object per row, gzip around it. By the compiled writer, or by arrow-rs and isal.

arrow-rs keeps the interpreter's lock while it writes, so files that are made side by side would stand in line for it. But
it hands its text over 8 KB at a time. Some hundred KB of it are compressed then and there, without the lock: meanwhile
another file's text is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, cast

from dataset_export.encoding.contract import Encoded, Sink, Source, Target, Way
from dataset_export.encoding.gzip_member import HEADER, GzipMaker, gzip_end
from dataset_export.encoding.json_values import check_schema, json_values
from dataset_export.encoding.ndjson_text import Pieces
from dataset_export.encoding.rows import Rows

COMPRESSED_AT_ONCE = 300_000
"""Bytes of text. Measured with two files at a time: of 60,000 the calls cost a tenth of the time, of a million the waiting
does."""

TEXT_AT_ONCE = 1 << 20
"""Bytes of text, about, that the compiled writer compresses in one call: while it is in the processor's cache."""

FIRST_ROWS = 1024
"""Rows of the first call, when nothing is known of their text."""


def write(sources: Sequence[Source], target: Target, sink: Sink, minus: Sequence[Source]) -> Encoded:
    """Write the rows of `sources` into `sink` as gzip-compressed NDJSON (rules of the values: spec S6, `json_values`).
    Raises as `encode.encode` does; the sink then holds a part of a gzip member, never its end."""
    rows = Rows(sources, target, minus)
    check_schema(rows.schema)
    pieces = Pieces(rows.schema)
    if pieces.are_compiled:
        _write_in_pieces(rows, pieces, sink)
    else:
        _write_by_arrow_rs(rows, sink)
    return rows.encoded(Way.NDJSON)


def _write_in_pieces(rows: Rows, pieces: Pieces, sink: Sink) -> None:
    from isal import isal_zlib

    crc = size = written = 0
    sink(HEADER)
    for batch in rows.batches():
        at = 0
        while at < batch.num_rows:
            some = batch.slice(at, max(1, written * TEXT_AT_ONCE // size) if size else FIRST_ROWS)
            piece = pieces.next(some)
            sink(piece.packed)
            crc = isal_zlib.crc32_combine(crc, piece.crc, piece.text_size)
            size += piece.text_size
            at, written = at + some.num_rows, written + some.num_rows
    sink(gzip_end(crc, size))


def _write_by_arrow_rs(rows: Rows, sink: Sink) -> None:
    from arro3.io import write_ndjson

    text = _Compressed(sink)
    for batch in rows.batches():
        ready = json_values(batch)
        try:
            write_ndjson(ready, cast("IO[bytes]", text))
        except BaseException:
            # arrow-rs makes an error of its own of all that is raised inside it, an interrupt too.
            if text.failure is not None:
                raise text.failure from None
            raise
    text.end()


class _Compressed:
    """What arrow-rs asks of a Python file, over a sink that takes what is written as one gzip member. Remembers what was
    raised in it."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._gzip = GzipMaker()
        self._held: list[bytes] = []
        self._size = 0
        self.failure: BaseException | None = None

    def write(self, data: bytes) -> int:
        size = len(data)
        try:
            self._held.append(data)
            self._size += size
            if self._size >= COMPRESSED_AT_ONCE:
                self._compress()
        except BaseException as error:
            self.failure = error
            raise
        return size

    def seek(self, offset: int, whence: int = 0) -> int:
        """arro3 takes nothing for a file that has no such method, and does not call it."""
        raise OSError("What was written is compressed already.")

    def end(self) -> None:
        """Hand on what is left, and the end of the member."""
        if self._held:
            self._compress()
        self._sink(self._gzip.finish())

    def _compress(self) -> None:
        text = b"".join(self._held)
        self._held.clear()
        self._size = 0
        self._sink(self._gzip.compress(text))
