"""The footer of a parquet file: read once from its end, for pyarrow and as the Thrift struct that can be changed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dataset_export.encoding.contract import Source, Way
from dataset_export.encoding.parquet_input import blamed_on
from dataset_export.encoding.thrift_compact import Malformed, Struct, read_struct, write_struct

if TYPE_CHECKING:
    import pyarrow.parquet as pq

MAGIC = b"PAR1"
ENCRYPTED_MAGIC = b"PARE"

TAIL = 256 << 10
"""Bytes read from the end of a file: most footers, and small files whole, take one request."""

_ENDING = 8
"""The footer is followed by its length and the magic."""


@dataclass(frozen=True)
class Footer:
    """The footer of one file.

    Attributes:
        raw: its Thrift struct, as written.
        start: position in the file, in bytes; everything before it is data.
        file_size: bytes of the whole file.
        tail: the file's last bytes, so that a reader need not fetch them again; the whole footer is in them.
        renamed: whether `raw` has other names than the file.
        left_out: rows of the file in row groups that `raw` does not have.
    """

    raw: bytes = field(repr=False)
    start: int
    file_size: int
    tail: bytes = field(repr=False)
    renamed: bool = False
    left_out: int = 0

    @cached_property
    def metadata(self) -> pq.FileMetaData:
        """As pyarrow reads it."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        return pq.read_metadata(pa.BufferReader(MAGIC + footer_ending(self.raw)))

    @cached_property
    def struct(self) -> Struct:
        """As a struct, which is not to be changed. Raises Malformed."""
        return self.copy()

    def copy(self) -> Struct:
        """As a struct of the caller's own. Raises Malformed."""
        return read_struct(self.raw)[0]


@dataclass(frozen=True)
class Moved:
    """A source whose column chunks get into another file as they are, or page by page: its footer less what is not
    delivered (None: nothing is), what moving takes, and how many of its rows are too old."""

    source: Source
    footer: Footer | None
    way: Way
    left_out: int = 0


def read_footer(source: Source) -> Footer:
    """The footer of a source.

    Raises:
        CorruptFile: the source is missing, truncated or not parquet.
        UnsupportedTable: it is encrypted.
        TransientError: reading was interrupted.
    """
    with blamed_on(source):
        file = source.open()
        try:
            return footer_of(file, source)
        finally:
            file.close()


def footer_of(file: Any, source: Source) -> Footer:
    """The footer of an open file, with the names that the table has. Raises as pyarrow does, and UnsupportedTable."""
    from dataset_export.encoding.field_names import renamed

    footer = _read_footer(file)
    if source.columns is None:
        return footer
    try:
        raw = renamed(footer.raw, footer.metadata.schema.to_arrow_schema(), source.columns, source.name)
    except Malformed as error:
        raise OSError(f"its footer is damaged: {error}") from error
    return footer if raw is footer.raw else replace(footer, raw=raw, renamed=True)


def footer_ending(raw: bytes) -> bytes:
    """What a file ends with, from the footer on."""
    return raw + len(raw).to_bytes(4, "little") + MAGIC


def write_footer(struct: Struct) -> bytes:
    """What a file with this footer ends with."""
    return footer_ending(write_struct(struct))


def _read_footer(file: Any) -> Footer:
    size = file.seek(0, 2)
    tail = _read_at(file, max(0, size - TAIL), size)
    if tail[-4:] == ENCRYPTED_MAGIC:
        raise EOFError("its footer is encrypted")
    length = int.from_bytes(tail[-_ENDING:-4], "little")
    start = size - _ENDING - length
    if tail[-4:] != MAGIC or start < len(MAGIC):
        raise EOFError("it does not end with a footer")
    if length + _ENDING > len(tail):
        tail = _read_at(file, start, size - len(tail)) + tail
    footer = Footer(tail[-_ENDING - length : -_ENDING], start, size, tail)
    _ = footer.metadata
    return footer


def _read_at(file: Any, start: int, end: int) -> bytes:
    file.seek(start)
    data = bytes(file.read(end - start))
    if len(data) != end - start:
        raise EOFError(f"it ends before byte {end}")
    return data
