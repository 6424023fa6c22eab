"""NDJSON: one JSON object per row, gzip around it. The compiled writer or arrow-rs writes the text, isal compresses it.

arrow-rs keeps the interpreter's lock while it writes, so files that are made side by side would stand in line for it. But
it hands its text over 8 KB at a time. Some hundred KB of it are compressed then and there, without the lock: meanwhile
another file's text is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, cast

from dataset_export.encoding.contract import Encoded, Sink, Source, Target, Way
from dataset_export.encoding.gzip_member import GzipMaker
from dataset_export.encoding.json_values import check_schema, json_values
from dataset_export.encoding.ndjson_text import native_writer, text_of
from dataset_export.encoding.rows import Rows

if TYPE_CHECKING:
    from dataset_export.encoding.ndjson_native import Writer

COMPRESSED_AT_ONCE = 300_000
"""Bytes of text. Measured with two files at a time: of 60,000 the calls cost a tenth of the time, of a million the waiting
does."""

ROWS_AT_ONCE = 4096
"""Rows of the compiled writer: their text is compressed while it is in the processor's cache."""


def write(sources: Sequence[Source], target: Target, sink: Sink, minus: Sequence[Source]) -> Encoded:
    """Write the rows of `sources` into `sink` as gzip-compressed NDJSON (rules of the values: spec S6, `json_values`).
    Raises as `encode.encode` does; the sink then holds a part of a gzip member, never its end."""
    rows = Rows(sources, target, minus)
    check_schema(rows.schema)
    writer = native_writer(rows.schema)
    if writer is None:
        _write_by_arrow_rs(rows, sink)
    else:
        _write_natively(rows, writer, sink)
    return rows.encoded(Way.NDJSON)


def _write_natively(rows: Rows, writer: Writer, sink: Sink) -> None:
    gzip = GzipMaker()
    for batch in rows.batches():
        for first in range(0, batch.num_rows, ROWS_AT_ONCE):
            sink(gzip.compress(text_of(batch.slice(first, ROWS_AT_ONCE), writer)))
    sink(gzip.finish())


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
