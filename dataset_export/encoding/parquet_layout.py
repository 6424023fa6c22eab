"""Where in a parquet file the pages of its column chunks lie, and the indexes and bloom filters that point at them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from dataset_export.encoding.page_codecs import READABLE
from dataset_export.encoding.parquet_fields import (
    REPEATED,
    ColumnChunk,
    ColumnMetaData,
    FileMetaData,
    RowGroup,
    SchemaElement,
)
from dataset_export.encoding.parquet_footer import MAGIC
from dataset_export.encoding.thrift_compact import Malformed, Struct

_SHORT_CHUNKS = re.compile(r"parquet-mr(?! version (1\.2\.(9|\d\d)|1\.([3-9]|\d\d)|[2-9]|\d\d))")
"""Writers that left the dictionary page's header out of a chunk's size (PARQUET-816): parquet-mr before 1.2.9."""


class Kind(Enum):
    """What a piece of a file is."""

    PAGES = auto()
    OFFSET_INDEX = auto()
    COLUMN_INDEX = auto()
    BLOOM_FILTER = auto()


POINTERS = {
    Kind.OFFSET_INDEX: (ColumnChunk.OFFSET_INDEX_OFFSET, ColumnChunk.OFFSET_INDEX_LENGTH),
    Kind.COLUMN_INDEX: (ColumnChunk.COLUMN_INDEX_OFFSET, ColumnChunk.COLUMN_INDEX_LENGTH),
    Kind.BLOOM_FILTER: (ColumnMetaData.BLOOM_FILTER_OFFSET, ColumnMetaData.BLOOM_FILTER_LENGTH),
    Kind.PAGES: (ColumnMetaData.DATA_PAGE_OFFSET, ColumnMetaData.TOTAL_COMPRESSED_SIZE),
}
"""Fields of a piece's owner that hold its position and size."""


@dataclass(frozen=True)
class Piece:
    """Bytes that belong to one column chunk: start and size in bytes, and the chunk's struct in the footer."""

    kind: Kind
    start: int
    size: int
    chunk: Struct

    @property
    def end(self) -> int:
        return self.start + self.size

    @property
    def owner(self) -> Struct:
        """The struct that has the piece's position: the chunk, or its metadata."""
        is_index = self.kind in (Kind.OFFSET_INDEX, Kind.COLUMN_INDEX)
        return self.chunk if is_index else self.chunk.struct(ColumnChunk.META_DATA)

    @property
    def pointer(self) -> int:
        """The field of the owner that has it."""
        return POINTERS[self.kind][0]

    @property
    def column(self) -> str:
        """Dotted path of the column."""
        _, (_, names) = self.chunk.struct(ColumnChunk.META_DATA)[ColumnMetaData.PATH]
        return ".".join(name.decode(errors="replace") for name in names)


def pieces(footer: Struct, data_end: int) -> list[Piece]:
    """All pieces of a file, in the order in which they lie in it.

    Bloom filters whose length the footer does not tell are not among them.

    Args:
        footer: the file's FileMetaData.
        data_end: where the footer starts.

    Raises:
        Malformed: the footer is not that of a file whose pages can be walked and decompressed; the message says why.
    """
    if FileMetaData.ENCRYPTION_ALGORITHM in footer:
        raise Malformed("columns are encrypted")
    if _SHORT_CHUNKS.match(footer.text(FileMetaData.CREATED_BY)):
        raise Malformed("its writer left the header of the dictionary page out of the size of a column chunk")
    found = sorted(_pieces(footer), key=lambda piece: (piece.start, piece.size))
    _check_places(found, data_end)
    return found


def codecs(footer: Struct) -> list[int]:
    """The codec of every column chunk. Raises Malformed."""
    groups = footer.structs(FileMetaData.ROW_GROUPS)
    metas = [chunk.struct(ColumnChunk.META_DATA) for group in groups for chunk in group.structs(RowGroup.COLUMNS)]
    return [meta.integer(ColumnMetaData.CODEC) for meta in metas]


def _pieces(footer: Struct) -> Iterator[Piece]:
    flat = _flat_columns(footer.structs(FileMetaData.SCHEMA))
    groups = footer.structs(FileMetaData.ROW_GROUPS)
    if sum(group.integer(RowGroup.NUM_ROWS) for group in groups) != footer.integer(FileMetaData.NUM_ROWS):
        raise Malformed("the rows of the row groups are not those of the file")
    for group in groups:
        chunks = group.structs(RowGroup.COLUMNS)
        if len(chunks) != len(flat):
            raise Malformed(f"a row group has {len(chunks)} column chunks for {len(flat)} columns")
        for chunk, is_flat in zip(chunks, flat, strict=True):
            pages = _pages(chunk)
            if is_flat and _values(chunk) != group.integer(RowGroup.NUM_ROWS):
                raise Malformed(f"column {pages.column} has another number of values than its row group has rows")
            yield pages
            yield from _about(chunk)


def _flat_columns(schema: list[Struct]) -> list[bool]:
    """For each column, in order, whether it has one value (or null) in every row."""
    elements = iter(schema)
    columns: list[bool] = []

    def walk(element: Struct, flat: bool) -> None:
        children = element.integer(SchemaElement.CHILDREN, 0)
        if not children:
            columns.append(flat)
        for _ in range(children):
            child = next(elements, None)
            if child is None:
                raise Malformed("its schema ends too early")
            walk(child, flat and child.integer(SchemaElement.REPETITION, 0) != REPEATED)

    root = next(elements, None)
    if root is not None and root.integer(SchemaElement.CHILDREN, 0):
        walk(root, True)
    return columns


def pages_start(meta: Struct) -> int:
    """Where the first page of a column chunk begins, by its metadata. A page that there is not may be said to be at 0; with
    no page at all that is the answer."""
    places = meta.integer(ColumnMetaData.DATA_PAGE_OFFSET), meta.integer(ColumnMetaData.DICTIONARY_PAGE_OFFSET, 0)
    return min((place for place in places if place > 0), default=0)


def _pages(chunk: Struct) -> Piece:
    elsewhere = ColumnChunk.FILE_PATH, ColumnChunk.CRYPTO_METADATA, ColumnChunk.ENCRYPTED_METADATA
    if any(field in chunk for field in elsewhere):
        raise Malformed("a column is encrypted or in another file")
    meta = chunk.struct(ColumnChunk.META_DATA)
    codec = meta.integer(ColumnMetaData.CODEC)
    if codec not in READABLE:
        raise Malformed(f"codec {codec} cannot be decompressed")
    return Piece(Kind.PAGES, pages_start(meta), meta.integer(ColumnMetaData.TOTAL_COMPRESSED_SIZE), chunk)


def _values(chunk: Struct) -> int:
    return chunk.struct(ColumnChunk.META_DATA).integer(ColumnMetaData.NUM_VALUES)


def _about(chunk: Struct) -> Iterator[Piece]:
    meta = chunk.struct(ColumnChunk.META_DATA)
    for kind in (Kind.BLOOM_FILTER, Kind.COLUMN_INDEX, Kind.OFFSET_INDEX):
        owner = meta if kind is Kind.BLOOM_FILTER else chunk
        offset, length = POINTERS[kind]
        if offset in owner and length in owner:
            yield Piece(kind, owner.integer(offset), owner.integer(length), chunk)


def _check_places(found: list[Piece], data_end: int) -> None:
    last = len(MAGIC)
    for piece in found:
        if piece.size == 0:
            continue
        if piece.size < 0 or piece.start < last or piece.end > data_end:
            raise Malformed(f"column {piece.column} lies over another or outside of the file")
        last = piece.end
