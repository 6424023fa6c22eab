"""NDJSON files that keep to limits: each is one gzip member, made of pieces that need no other one.

A piece is compressed before it is known whether the file has room for it; what does not fit is cut at a row and compressed
again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from dataset_export.encoding.contract import Encoded, Limits, OpenSink, Sink, Source, Target, Way
from dataset_export.encoding.file_series import FileSeries
from dataset_export.encoding.gzip_member import HEADER, gzip_end
from dataset_export.encoding.json_values import check_schema
from dataset_export.encoding.ndjson_text import Pieces
from dataset_export.encoding.rows import Rows

if TYPE_CHECKING:
    import pyarrow as pa

ENDS = len(HEADER) + len(gzip_end(0, 0))
"""Bytes of a file around its pieces."""

NEARLY_FULL = 1 / 64
"""A file with less room than this share of the limit ends."""

CAREFUL = 0.98
"""Of the rows that should fit by what the last ones took, so many are tried: rows differ."""


def write(
    sources: Sequence[Source], target: Target, limits: Limits, open_sink: OpenSink, minus: Sequence[Source]
) -> list[Encoded]:
    """Write the rows of `sources` as NDJSON. Raises as `encode.encode` does."""
    rows = Rows(sources, target, minus)
    check_schema(rows.schema)
    with FileSeries(open_sink) as files:
        writer = _Writer(files, limits, rows)
        for batch in rows.batches():
            writer.write(batch)
        writer.end()
        return files.encoded(rows.excluded, rows.carried_over, Encoded.nothing(Way.NDJSON))


class _Writer:
    def __init__(self, files: FileSeries, limits: Limits, rows: Rows) -> None:
        self._files = files
        self._most_rows = limits.rows
        self._most_bytes = limits.bytes
        self._rows = rows
        self._file: _File | None = None
        self._row_bytes = 0.0
        self._pieces = Pieces(rows.schema)

    def write(self, batch: pa.RecordBatch) -> None:
        at, most = 0, batch.num_rows
        while at < batch.num_rows:
            file = self._file
            if file is not None and self._is_full(file):
                self.end()
                continue
            tried = min(most, batch.num_rows - at, self._rows_to_try(file))
            piece = batch.slice(at, tried)
            packed, text = self._pieces.alone(piece)
            self._row_bytes = len(packed) / tried
            if self._fits(len(packed), file) or (tried == 1 and file is None):
                self._add(piece, text, packed)
                at, most = at + tried, batch.num_rows
            elif tried == 1:
                self.end()
            else:
                most = tried // 2

    def end(self) -> None:
        if self._file is not None:
            self._files.end(self._file.end())
            self._file = None

    def _add(self, piece: pa.RecordBatch, text: bytes, packed: bytes) -> None:
        import pyarrow as pa

        if self._file is None:
            self._file = _File(self._files.begin())
        self._file.add(text, packed, piece.num_rows, self._rows.range_of(pa.Table.from_batches([piece])))

    def _is_full(self, file: _File) -> bool:
        if self._most_rows is not None and file.rows >= self._most_rows:
            return True
        return self._most_bytes is not None and self._most_bytes - file.size < self._most_bytes * NEARLY_FULL

    def _fits(self, size: int, file: _File | None) -> bool:
        return self._most_bytes is None or (file.size if file is not None else ENDS) + size <= self._most_bytes

    def _rows_to_try(self, file: _File | None) -> int:
        used_rows, used_bytes = (file.rows, file.size) if file is not None else (0, ENDS)
        tried: list[int] = []
        if self._most_rows is not None:
            tried.append(self._most_rows - used_rows)
        if self._most_bytes is not None and self._row_bytes:
            tried.append(int((self._most_bytes - used_bytes) * CAREFUL / self._row_bytes))
        return max(1, min(tried, default=1 << 62))


class _File:
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._sink(HEADER)
        self._crc = self._text_size = self.rows = 0
        self._moments: list[datetime] = []
        self.size = ENDS

    def add(self, text: bytes, packed: bytes, rows: int, moments: tuple[datetime | None, datetime | None]) -> None:
        from isal import isal_zlib

        self._sink(packed)
        self._crc = isal_zlib.crc32(text, self._crc)
        self._text_size += len(text)
        self.rows += rows
        self.size += len(packed)
        self._moments += [moment for moment in moments if moment is not None]

    def end(self) -> Encoded:
        self._sink(gzip_end(self._crc, self._text_size))
        return Encoded(
            rows=self.rows,
            excluded=0,
            carried_over=0,
            first_timestamp=min(self._moments, default=None),
            last_timestamp=max(self._moments, default=None),
            way=Way.NDJSON,
        )
