"""Rows cut so that they fit into files with limits.

How many bytes rows come to is known once they are encoded. So as many are tried as should fit by what the last ones took, and
half as many when they do not; a single row that is too large for any file gets one of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from dataset_export.encoding.contract import Limits

if TYPE_CHECKING:
    import pyarrow as pa

CAREFUL = 0.97
"""Of the rows that should fit by what the last ones took, so many are tried: rows differ."""

Rows = TypeVar("Rows", "pa.RecordBatch", "pa.Table")
Rows_contra = TypeVar("Rows_contra", "pa.RecordBatch", "pa.Table", contravariant=True)
Piece = TypeVar("Piece")


class LimitedFiles(Protocol[Rows_contra, Piece]):
    """Files that are written one after the other, and what becomes of rows in them."""

    @property
    def room(self) -> Limits:
        """What the open file can still take; without one, a new one."""
        ...

    @property
    def is_empty(self) -> bool:
        """Whether the next piece begins a file."""
        ...

    @property
    def is_nearly_full(self) -> bool:
        """Whether a piece for what is left of the open file would be tiny."""
        ...

    def encode(self, rows: Rows_contra) -> tuple[Piece, int]:
        """The rows as a piece of a file, and its bytes; nothing is written yet."""
        ...

    def has_room(self, piece: Piece) -> bool:
        """Whether the open file, or without one a new one, can take a piece."""
        ...

    def add(self, rows: Rows_contra, piece: Piece) -> None:
        """Write a piece behind the others, or as the first one of a new file."""
        ...

    def end(self) -> None:
        """The file that is open, if any, is whole."""
        ...


class RowCutter(Generic[Rows, Piece]):
    """Writes rows into files, and ends each that the next row has no room in. The same rows in the same order, cut in the
    same way before, make the same files (promise P4)."""

    def __init__(self, files: LimitedFiles[Rows, Piece]) -> None:
        self._files = files
        self._row_bytes = 0.0

    def write(self, rows: Rows) -> None:
        """Write all the rows; the last file stays open."""
        files = self._files
        at, most = 0, rows.num_rows
        while at < rows.num_rows:
            if not files.is_empty and (files.room.rows == 0 or files.is_nearly_full):
                files.end()
                continue
            tried = min(most, rows.num_rows - at, self._should_fit(files.room))
            some = rows.slice(at, tried)
            piece, size = files.encode(some)
            self._row_bytes = size / tried
            if files.has_room(piece) or (tried == 1 and files.is_empty):
                files.add(some, piece)
                at, most = at + tried, rows.num_rows
            elif tried == 1:
                files.end()
            else:
                most = tried // 2

    def _should_fit(self, room: Limits) -> int:
        by_rows = [] if room.rows is None else [room.rows]
        by_bytes = [] if room.bytes is None or not self._row_bytes else [int(room.bytes * CAREFUL / self._row_bytes)]
        return max(1, min([*by_rows, *by_bytes], default=1 << 62))
