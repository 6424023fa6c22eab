"""Move the column chunks of a parquet file into another file: copied, or page by page in another codec."""

from __future__ import annotations

from contextlib import closing

from dataset_export.encoding.chunk_transcode import Written, transcode_chunk
from dataset_export.encoding.contract import Source
from dataset_export.encoding.page_codecs import compressor
from dataset_export.encoding.parquet_fields import (
    ColumnChunk,
    ColumnMetaData,
    FileMetaData,
    OffsetIndex,
    PageLocation,
    RowGroup,
)
from dataset_export.encoding.parquet_footer import Footer
from dataset_export.encoding.parquet_layout import POINTERS, Kind, Piece, pages_start, pieces
from dataset_export.encoding.parquet_output import Output
from dataset_export.encoding.ranged_input import RangedInput
from dataset_export.encoding.thrift_compact import I32, I64, Malformed, Struct, read_struct, write_struct
from dataset_export.errors import CorruptFile

COPIED = 1 << 20
"""Bytes that are copied at once."""


def move_chunks(source: Source, footer: Footer, struct: Struct, codec: int | None, output: Output) -> None:
    """Write all that the column chunks in `struct` consist of, in the source's order, and put the new places, sizes and
    codecs into `struct`.

    Args:
        source: what is read, each byte once; memory holds a window of it, or one page where that is larger.
        footer: the source's, as it was read.
        struct: its FileMetaData, or one that has lost columns; it becomes that of the output.
        codec: what to compress pages in. A chunk that is in it already is copied; so is every chunk with None.
        output: where to write.

    Raises:
        CorruptFile: naming the source, the column and what is wrong. What the output has been given is no file then.
        TransientError: reading was interrupted.
    """
    found = pieces(struct, footer.start)
    with closing(RangedInput(source, footer, [(piece.start, piece.end) for piece in found])) as data:
        mover = _Mover(data, output, codec)
        for piece in found:
            try:
                mover.move(piece)
            except Malformed as error:
                raise CorruptFile(
                    f"{source.name} is damaged in column {piece.column}: {error}; restore it in the table."
                ) from None
    for group in struct.structs(FileMetaData.ROW_GROUPS):
        _finish(group)


class _Mover:
    """Moves pieces one by one, and remembers where the pages went of chunks whose offset index is still to come."""

    def __init__(self, data: RangedInput, output: Output, codec: int | None) -> None:
        self._data = data
        self._output = output
        self._codec = codec
        self._compress = compressor(codec) if codec is not None else None
        self._moved: dict[int, Written | int] = {}

    def move(self, piece: Piece) -> None:
        """Write a piece and put its new place into its struct. Raises Malformed."""
        if piece.kind is Kind.PAGES:
            moved = self._move_pages(piece)
            if ColumnChunk.OFFSET_INDEX_OFFSET in piece.chunk:
                self._moved[id(piece.chunk)] = moved
        elif piece.kind is Kind.OFFSET_INDEX:
            self._move_offset_index(piece)
        elif piece.pointer in piece.owner:
            piece.owner.put(piece.pointer, I64, self._copy(piece))

    def _move_pages(self, piece: Piece) -> Written | int:
        """What was written, or by how many bytes the chunk moved as it is."""
        # Deprecated, and writers did not agree on what it is; 0 is what the format asks for.
        piece.chunk.put(ColumnChunk.FILE_OFFSET, I64, 0)
        if self._codec is None or self._compress is None or self._codec == piece.owner.integer(ColumnMetaData.CODEC):
            shift = self._copy(piece) - piece.start
            for pointer in (ColumnMetaData.DATA_PAGE_OFFSET, ColumnMetaData.DICTIONARY_PAGE_OFFSET):
                if piece.owner.integer(pointer, 0) > 0:
                    piece.owner.put(pointer, I64, piece.owner.integer(pointer) + shift)
            return shift
        written = transcode_chunk(self._data, piece, self._compress, self._output)
        piece.owner.put(ColumnMetaData.CODEC, I32, self._codec)
        _put_written(piece.owner, written)
        return written

    def _copy(self, piece: Piece) -> int:
        """Write a piece as it is; where it begins now."""
        begin, at = self._output.position, piece.start
        while at < piece.end:
            size = min(COPIED, piece.end - at)
            self._output.write(self._data.ahead(at, size)[:size])
            at += size
        return begin

    def _move_offset_index(self, piece: Piece) -> None:
        moved = self._moved.pop(id(piece.chunk), None)
        index, _ = read_struct(self._data.ahead(piece.start, piece.size)[: piece.size])
        locations = index.structs(OffsetIndex.PAGE_LOCATIONS)
        if isinstance(moved, int):
            for location in locations:
                location.put(PageLocation.OFFSET, I64, location.integer(PageLocation.OFFSET) + moved)
        elif moved is not None and [one.integer(PageLocation.OFFSET) for one in locations] == list(moved.data_before):
            for location, after, size in zip(locations, moved.data_after, moved.data_sizes, strict=True):
                location.put(PageLocation.OFFSET, I64, after)
                location.put(PageLocation.COMPRESSED_SIZE, I32, size)
        else:
            # It is about other pages: a reader that trusted it would skip the wrong rows.
            for pointer in (*POINTERS[Kind.OFFSET_INDEX], *POINTERS[Kind.COLUMN_INDEX]):
                piece.chunk.pop(pointer, None)
            return
        data = write_struct(index)
        piece.chunk.put(ColumnChunk.OFFSET_INDEX_OFFSET, I64, self._output.position)
        piece.chunk.put(ColumnChunk.OFFSET_INDEX_LENGTH, I32, len(data))
        self._output.write(data)


def _put_written(meta: Struct, written: Written) -> None:
    meta.put(ColumnMetaData.TOTAL_COMPRESSED_SIZE, I64, written.compressed)
    meta.put(ColumnMetaData.TOTAL_UNCOMPRESSED_SIZE, I64, written.uncompressed)
    meta.put(ColumnMetaData.DATA_PAGE_OFFSET, I64, written.data_after[0] if written.data_after else written.begin)
    # Pages that it would point at are left out.
    meta.pop(ColumnMetaData.INDEX_PAGE_OFFSET, None)
    if written.dictionary is None:
        meta.pop(ColumnMetaData.DICTIONARY_PAGE_OFFSET, None)
    else:
        meta.put(ColumnMetaData.DICTIONARY_PAGE_OFFSET, I64, written.dictionary)


def _finish(group: Struct) -> None:
    """Put the totals of a row group, and drop the pointers to what was not moved."""
    chunks = group.structs(RowGroup.COLUMNS)
    metas = [chunk.struct(ColumnChunk.META_DATA) for chunk in chunks]
    for total, part in (
        (RowGroup.TOTAL_BYTE_SIZE, ColumnMetaData.TOTAL_UNCOMPRESSED_SIZE),
        (RowGroup.TOTAL_COMPRESSED_SIZE, ColumnMetaData.TOTAL_COMPRESSED_SIZE),
    ):
        group.put(total, I64, sum(meta.integer(part) for meta in metas))
    if chunks:
        group.put(RowGroup.FILE_OFFSET, I64, min(pages_start(meta) for meta in metas))
    for piece_kind, owners in ((Kind.BLOOM_FILTER, metas), (Kind.COLUMN_INDEX, chunks), (Kind.OFFSET_INDEX, chunks)):
        offset, length = POINTERS[piece_kind]
        for owner in owners:
            if length not in owner:
                owner.pop(offset, None)
