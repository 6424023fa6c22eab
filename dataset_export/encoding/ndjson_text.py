"""Rows as NDJSON, plain and compressed: by the compiled writer where there is one and it knows all types of the schema, else by
arrow-rs and isal.

Both write the same text. The compiled one is several times as fast, lets other threads run meanwhile, and compresses better:
it knows which row had the same value (`native/deflate.c`).
"""

from __future__ import annotations

import io
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from dataset_export.encoding.gzip_member import GzipMaker
from dataset_export.encoding.json_values import json_values

if TYPE_CHECKING:
    import pyarrow as pa

    from dataset_export.encoding.ndjson_native import Writer


def native_writer(schema: pa.Schema) -> Writer | None:
    """The compiled writer for rows of a schema; None when it was not built, or for types that it does not write."""
    try:
        from dataset_export.encoding.ndjson_native import Writer
    except ImportError:
        return None
    try:
        return Writer(schema.__arrow_c_schema__())
    except ValueError:
        return None


def is_built() -> bool:
    """True when the compiled writer is there and can be loaded: a file that was built for another machine cannot."""
    try:
        import_module("dataset_export.encoding.ndjson_native")
    except ImportError:
        return False
    return True


@dataclass(frozen=True)
class Piece:
    """A piece of a gzip member: its bytes, and the CRC-32 and the bytes of its text."""

    packed: bytes
    crc: int
    text_size: int


class Pieces:
    """Makes pieces of gzip members: `gzip_member.HEADER`, pieces and `gzip_end` are a member. The same rows in the same
    order make the same pieces. Not for use by several threads at once.

    Both methods raise UnsupportedTable for a value that JSON cannot express."""

    def __init__(self, schema: pa.Schema) -> None:
        from isal import isal_zlib

        self._zlib = isal_zlib
        self._writer = native_writer(schema)
        self._gzip = GzipMaker()

    @property
    def are_compiled(self) -> bool:
        """True when the compiled writer makes them."""
        return self._writer is not None

    def next(self, rows: pa.RecordBatch) -> Piece:
        """A piece that is smaller for what the one before it has, and needs that before it."""
        return self._made(rows, alone=False)

    def alone(self, rows: pa.RecordBatch) -> Piece:
        """A piece that needs no other one."""
        return self._made(rows, alone=True)

    def _made(self, rows: pa.RecordBatch, *, alone: bool) -> Piece:
        if self._writer is not None:
            # Where it has no text, arrow-rs has one, or the column is named.
            with suppress(ValueError, OverflowError):
                packed = self._writer.deflated(rows.__arrow_c_array__()[1], 0, rows.num_rows, alone)
                with self._writer.last_text() as text:
                    return Piece(packed, self._zlib.crc32(text), text.nbytes)
        text = text_by_arrow_rs(rows)
        return Piece(self._gzip.piece(text), self._zlib.crc32(text), len(text))


def text_by_arrow_rs(rows: pa.RecordBatch) -> bytes:
    """Rows as text. Raises UnsupportedTable for a value that JSON cannot express."""
    from arro3.io import write_ndjson

    text = io.BytesIO()
    write_ndjson(json_values(rows), text)
    return text.getvalue()
