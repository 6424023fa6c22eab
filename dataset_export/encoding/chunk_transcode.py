"""Write the pages of one column chunk in another codec."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from dataset_export.encoding.page_codecs import Compress, decompressor
from dataset_export.encoding.pages import Page, check_checksum, read_page, recoded
from dataset_export.encoding.parquet_fields import ColumnMetaData, PageType
from dataset_export.encoding.parquet_layout import Piece
from dataset_export.encoding.parquet_output import Output
from dataset_export.encoding.ranged_input import RangedInput
from dataset_export.encoding.thrift_compact import Malformed

HEADER = 8 << 10
"""Bytes in which a page header is looked for first."""

LONGEST_HEADER = 16 << 20
"""A header may hold the smallest and the largest value, which may be long; other readers stop here too."""


def _integers() -> array[int]:
    return array("q")


@dataclass
class Written:
    """A column chunk that was written, in bytes: where it begins; where its dictionary page went, if it has one; where each data page was
    and went, and its size with its header; and the sizes of all pages with their headers."""

    begin: int
    dictionary: int | None = None
    data_before: array[int] = field(default_factory=_integers)
    data_after: array[int] = field(default_factory=_integers)
    data_sizes: array[int] = field(default_factory=_integers)
    compressed: int = 0
    uncompressed: int = 0


def transcode_chunk(data: RangedInput, piece: Piece, compress: Compress, output: Output) -> Written:
    """Write the pages of a column chunk, one at a time.

    Pages of a kind that readers skip are left out, and so is what follows the last value.

    Raises Malformed when a page is not what its header says, or all of them do not hold as many values (nulls included)
    as the footer says.
    """
    decompress = decompressor(piece.owner.integer(ColumnMetaData.CODEC))
    values = piece.owner.integer(ColumnMetaData.NUM_VALUES)
    end = piece.end
    written = Written(output.position)
    at, seen = piece.start, 0
    try:
        while at < end and (seen < values or not values):
            page = _page_at(data, at, end)
            body_at = at + page.header_size
            after = body_at + page.stored
            if after > end:
                raise Malformed(f"it has {page.stored} bytes, more than its column chunk")
            body = data.ahead(body_at, page.stored)[: page.stored]
            check_checksum(page, body)
            if page.is_data or page.kind == PageType.DICTIONARY_PAGE:
                _write(recoded(page, body, decompress, compress), page, at, output, written)
            seen += page.values
            at = after
    except Malformed as error:
        raise Malformed(f"the page at byte {at}: {error}") from None
    if seen != values:
        raise Malformed(f"its pages hold {seen} values and the footer says {values}")
    written.compressed = output.position - written.begin
    return written


def _page_at(data: RangedInput, at: int, end: int) -> Page:
    size = min(HEADER, end - at)
    while True:
        try:
            return read_page(data.ahead(at, size))
        except Malformed:
            if size >= min(LONGEST_HEADER, end - at):
                raise
            size = min(size * 8, LONGEST_HEADER, end - at)


def _write(parts: list[bytes | memoryview], page: Page, before: int, output: Output, written: Written) -> None:
    after = output.position
    for part in parts:
        output.write(part)
    written.uncompressed += len(parts[0]) + page.size
    if page.is_data:
        written.data_before.append(before)
        written.data_after.append(after)
        written.data_sizes.append(output.position - after)
    elif written.dictionary is None:
        written.dictionary = after
