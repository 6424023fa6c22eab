"""Take columns out of a parquet footer. The column chunks of the others stay what they are, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress

from dataset_export.encoding.parquet_fields import FileMetaData, RowGroup, SchemaElement, SortingColumn
from dataset_export.encoding.thrift_compact import BINARY, I32, LIST, STRUCT, Malformed, Struct

KEPT_KEYS = frozenset(
    key.encode()
    for key in (
        "org.apache.spark.version",
        "org.apache.spark.timeZone",
        "org.apache.spark.legacyDateTime",
        "org.apache.spark.legacyINT96",
    )
)
"""Of what writers note beside a footer, that by which old dates are read. Anything else may tell of columns that are gone: Arrow,
pandas, Spark and Avro keep the whole schema there."""

_KEY = 1


def without_columns(footer: Struct, kept: Sequence[bool]) -> None:
    """Take columns out of a file's FileMetaData, which is changed.

    Groups of which nothing is left go too. What the footer says about the order of columns, and by which of them rows are
    sorted, is about the others afterwards.

    Args:
        footer: the caller's own.
        kept: for each leaf column, in the file's order, whether it stays. One at least does.

    Raises:
        Malformed: the footer has another number of columns.
    """
    elements, flags = iter(footer.structs(FileMetaData.SCHEMA)), iter(kept)
    schema = _kept_elements(elements, flags)
    if next(elements, None) is not None or next(flags, None) is not None:
        raise Malformed("its schema is not that of its columns")
    footer.put(FileMetaData.SCHEMA, LIST, (STRUCT, schema))
    for group in footer.structs(FileMetaData.ROW_GROUPS):
        chunks = group.structs(RowGroup.COLUMNS)
        if len(chunks) != len(kept):
            raise Malformed(f"a row group has {len(chunks)} column chunks for {len(kept)} columns")
        group.put(RowGroup.COLUMNS, LIST, (STRUCT, list(compress(chunks, kept))))
        _reduce_sorting(group, kept)
    _reduce_orders(footer, kept)
    reduce_notes(footer)


def _kept_elements(elements: Iterator[Struct], flags: Iterator[bool]) -> list[Struct]:
    """The next element with what is kept inside it; nothing when nothing is."""
    element, flag = next(elements, None), True
    if element is None:
        raise Malformed("its schema ends too early")
    children = element.integer(SchemaElement.CHILDREN, 0)
    if not children:
        flag = next(flags, None)
        if flag is None:
            raise Malformed("its schema has more columns than the file")
        return [element] if flag else []
    inside = [kept for _ in range(children) if (kept := _kept_elements(elements, flags))]
    if not inside:
        return []
    element.put(SchemaElement.CHILDREN, I32, len(inside))
    return [element, *(one for kept in inside for one in kept)]


def _reduce_sorting(group: Struct, kept: Sequence[bool]) -> None:
    """Rows stay sorted by the columns before the first one that goes."""
    left: list[Struct] = []
    for column in group.structs(RowGroup.SORTING_COLUMNS):
        at = column.integer(SortingColumn.COLUMN_INDEX)
        if not (0 <= at < len(kept) and kept[at]):
            break
        column.put(SortingColumn.COLUMN_INDEX, I32, sum(kept[:at]))
        left.append(column)
    _put_or_drop(group, RowGroup.SORTING_COLUMNS, left)


def _reduce_orders(footer: Struct, kept: Sequence[bool]) -> None:
    orders = footer.structs(FileMetaData.COLUMN_ORDERS)
    if orders and len(orders) != len(kept):
        raise Malformed(f"it has {len(orders)} column orders for {len(kept)} columns")
    _put_or_drop(footer, FileMetaData.COLUMN_ORDERS, list(compress(orders, kept)))


def key_of(note: Struct) -> bytes:
    """The key of a note beside a footer."""
    return note.get(_KEY, (BINARY, b""))[1]


def reduce_notes(footer: Struct) -> None:
    """Take out what was noted beside the footer, but for `KEPT_KEYS`."""
    notes = footer.structs(FileMetaData.KEY_VALUE_METADATA)
    left = [note for note in notes if key_of(note) in KEPT_KEYS]
    _put_or_drop(footer, FileMetaData.KEY_VALUE_METADATA, left)


def _put_or_drop(struct: Struct, field: int, items: list[Struct]) -> None:
    if items:
        struct.put(field, LIST, (STRUCT, items))
    else:
        struct.pop(field, None)
