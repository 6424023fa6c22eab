"""NDJSON files that keep to limits: each is one gzip member, made of pieces that need no other one.

A piece is compressed before it is known whether the file has room for it; what does not fit is cut at a row and compressed
again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from dataset_export.encoding.contract import Encoded, Limits, OpenSink, Sink, Source, Target, Way
from dataset_export.encoding.cut_rows import RowCutter
from dataset_export.encoding.file_series import FileSeries
from dataset_export.encoding.gzip_member import HEADER, gzip_end
from dataset_export.encoding.json_values import check_schema
from dataset_export.encoding.ndjson_text import Piece, Pieces
from dataset_export.encoding.rows import Rows

if TYPE_CHECKING:
    import pyarrow as pa

ENDS = len(HEADER) + len(gzip_end(0, 0))
"""Bytes of a file around its pieces."""

NEARLY_FULL = 1 / 64
"""A file with less room than this share of the limit ends."""


def write(
    sources: Sequence[Source], target: Target, limits: Limits, open_sink: OpenSink, minus: Sequence[Source]
) -> list[Encoded]:
    """Write the rows of `sources` as NDJSON. Raises as `encode.encode` does."""
    rows = Rows(sources, target, minus)
    check_schema(rows.schema)
    with FileSeries(open_sink) as files:
        written = _Files(files, limits, rows)
        cutter = RowCutter(written)
        for batch in rows.batches():
            cutter.write(batch)
        written.end()
        return files.encoded(rows.excluded, rows.carried_over, Encoded.nothing(Way.NDJSON))


class _Files:
    """`LimitedFiles` of which a piece is one of a gzip member."""

    def __init__(self, files: FileSeries, limits: Limits, rows: Rows) -> None:
        self._files = files
        self._limits = limits
        self._rows = rows
        self._file: _File | None = None
        self._pieces = Pieces(rows.schema)

    @property
    def room(self) -> Limits:
        used_rows, used_bytes = (self._file.rows, self._file.size) if self._file is not None else (0, ENDS)
        rows, size = self._limits.rows, self._limits.bytes
        return Limits(
            rows=None if rows is None else rows - used_rows,
            bytes=None if size is None else size - used_bytes,
        )

    @property
    def is_empty(self) -> bool:
        return self._file is None

    @property
    def is_nearly_full(self) -> bool:
        left, size = self.room.bytes, self._limits.bytes
        return left is not None and size is not None and left < size * NEARLY_FULL

    def encode(self, rows: pa.RecordBatch) -> tuple[Piece, int]:
        piece = self._pieces.alone(rows)
        return piece, len(piece.packed)

    def has_room(self, piece: Piece) -> bool:
        left = self.room.bytes
        return left is None or len(piece.packed) <= left

    def add(self, rows: pa.RecordBatch, piece: Piece) -> None:
        import pyarrow as pa

        if self._file is None:
            self._file = _File(self._files.begin())
        self._file.add(piece, rows.num_rows, self._rows.range_of(pa.Table.from_batches([rows])))

    def end(self) -> None:
        if self._file is not None:
            self._files.end(self._file.end())
            self._file = None


class _File:
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._sink(HEADER)
        self._crc = self._text_size = self.rows = 0
        self._moments: list[datetime] = []
        self.size = ENDS

    def add(self, piece: Piece, rows: int, moments: tuple[datetime | None, datetime | None]) -> None:
        from isal import isal_zlib

        self._sink(piece.packed)
        self._crc = isal_zlib.crc32_combine(self._crc, piece.crc, piece.text_size)
        self._text_size += piece.text_size
        self.rows += rows
        self.size += len(piece.packed)
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
