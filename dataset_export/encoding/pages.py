"""One page of a column chunk: read its header, and write the same page in another codec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dataset_export.encoding.page_codecs import Compress, Decompress, exactly
from dataset_export.encoding.parquet_fields import (
    DataPageHeader,
    DataPageHeaderV2,
    DictionaryPageHeader,
    PageHeader,
    PageType,
)
from dataset_export.encoding.thrift_compact import (
    BOOL,
    Bytes,
    Malformed,
    Struct,
    read_integers,
    read_struct,
    write_integers,
    write_struct,
)

INT32_MAX = 2**31 - 1

_VERSION_1 = (
    DataPageHeader.NUM_VALUES,
    DataPageHeader.ENCODING,
    DataPageHeader.DEFINITION_LEVEL_ENCODING,
    DataPageHeader.REPETITION_LEVEL_ENCODING,
)
_VERSION_2 = (
    DataPageHeaderV2.NUM_VALUES,
    DataPageHeaderV2.NUM_NULLS,
    DataPageHeaderV2.NUM_ROWS,
    DataPageHeaderV2.ENCODING,
    DataPageHeaderV2.DEFINITION_LEVELS_LENGTH,
    DataPageHeaderV2.REPETITION_LEVELS_LENGTH,
)
_DICTIONARY = (DictionaryPageHeader.NUM_VALUES, DictionaryPageHeader.ENCODING)
"""Fields that a header of each kind must have."""


@dataclass(slots=True)
class Page:
    """A page as its header describes it; sizes in bytes.

    Attributes:
        kind: a PageType, or one that readers skip.
        size: of the body, decompressed.
        stored: of the body, in the file.
        crc: checksum of the stored body, None without one.
        rest: what follows these in the header, as it is written.
        header_size: of the header.
        levels: at the beginning of the body, never compressed (pages of version 2).
        compressed: False when the body is not, whatever the codec (pages of version 2).
        values: of a data page, nulls included.
    """

    kind: int
    size: int
    stored: int
    crc: int | None
    rest: bytes
    header_size: int
    levels: int = 0
    compressed: bool = True
    values: int = 0

    @property
    def is_data(self) -> bool:
        return self.kind in (PageType.DATA_PAGE, PageType.DATA_PAGE_V2)


def read_page(data: Bytes) -> Page:
    """The page whose header `data` begins with. Raises Malformed, also when the data ends within the header."""
    numbers, at = read_integers(data)
    if not PageHeader.COMPRESSED_SIZE <= len(numbers) <= PageHeader.CRC:
        raise Malformed("its header does not begin with its kind and sizes")
    fields, end = read_struct(data, at, after=len(numbers))
    kind, size, stored, *crc = numbers
    page = Page(kind, size, stored, crc[0] if crc else None, bytes(data[at:end]), end)
    if kind == PageType.DATA_PAGE:
        page.values, *_ = _integers(fields.struct(PageHeader.DATA_PAGE), _VERSION_1)
    elif kind == PageType.DATA_PAGE_V2:
        _read_version_2(page, fields.struct(PageHeader.DATA_PAGE_V2))
    elif kind == PageType.DICTIONARY_PAGE:
        _integers(fields.struct(PageHeader.DICTIONARY_PAGE), _DICTIONARY)
    if size < 0 or stored < 0:
        raise Malformed("it says that it has a negative size")
    return page


def check_checksum(page: Page, body: Bytes) -> None:
    """Raises Malformed when the header has a checksum and the stored body another one."""
    if page.crc is not None and page.crc != _crc([body]):
        raise Malformed("its checksum is not that of its bytes")


def recoded(page: Page, body: Bytes, decompress: Decompress, compress: Compress) -> list[Any]:
    """The page in another codec: its header, and its body in one or two parts. A header that had a checksum has the new
    one.

    Raises Malformed when the body does not hold what the header says.
    """
    values = body[page.levels :]
    size = page.size - page.levels
    if not page.compressed:
        decompressed = exactly(values, size)
    else:
        # Pages that hold nulls only have no values; some writers compress those nothing, some do not.
        decompressed = decompress(values, size) if len(values) or size else b""
    stored = compress(decompressed)
    rest = page.rest
    if page.kind == PageType.DATA_PAGE_V2:
        is_smaller = len(stored) < size
        stored = stored if is_smaller else decompressed
        rest = _compressed(page, is_smaller)
    parts = [body[: page.levels], stored] if page.levels else [stored]
    length = page.levels + len(stored)
    if length > INT32_MAX:
        raise Malformed(f"its {page.size} bytes are too many to be compressed anew")
    numbers = [page.kind, page.size, length] if page.crc is None else [page.kind, page.size, length, _crc(parts)]
    return [write_integers(numbers) + rest, *parts]


def _read_version_2(page: Page, about: Struct) -> None:
    page.values, _, _, _, definition, repetition = _integers(about, _VERSION_2)
    page.compressed = about.get(DataPageHeaderV2.IS_COMPRESSED, (BOOL, True))[1] is True
    page.levels = definition + repetition
    if page.levels > min(page.size, page.stored):
        raise Malformed(f"it says that {page.levels} of its {page.stored} bytes are levels")


def _integers(about: Struct, fields: tuple[int, ...]) -> list[int]:
    numbers = [about.integer(field) for field in fields]
    if min(numbers) < 0:
        raise Malformed("it says that it has a negative size")
    return numbers


def _compressed(page: Page, compressed: bool) -> bytes:
    """The rest of a header of version 2 which says whether the body is compressed."""
    if compressed is page.compressed:
        return page.rest
    before = PageHeader.COMPRESSED_SIZE if page.crc is None else PageHeader.CRC
    fields, _ = read_struct(page.rest, after=before)
    fields.struct(PageHeader.DATA_PAGE_V2).put(DataPageHeaderV2.IS_COMPRESSED, BOOL, compressed)
    return write_struct(fields, after=before)


def _crc(parts: list[Any]) -> int:
    from isal import isal_zlib

    crc = 0
    for part in parts:
        crc = isal_zlib.crc32(part, crc)
    return crc - 2**32 if crc > INT32_MAX else crc
