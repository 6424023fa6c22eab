"""Give the columns of a file the names that the table has for them.

A table that renames its columns does not touch its files: they keep the names they were written with, and the table says
by field id, or by the name in the file, which column is which. The footer is changed before anybody looks at it, so that
everything behind it knows one name only; what the table no longer has gets a name that no table has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dataset_export.encoding.column_path import ELEMENT, KEY, VALUE, ColumnPath
from dataset_export.encoding.contract import FileColumns
from dataset_export.encoding.kinds import is_list
from dataset_export.encoding.parquet_columns import reduce_notes
from dataset_export.encoding.parquet_fields import ColumnChunk, ColumnMetaData, FileMetaData, RowGroup, SchemaElement
from dataset_export.encoding.thrift_compact import BINARY, LIST, STRUCT, Malformed, Struct, read_struct, write_struct
from dataset_export.errors import UnsupportedTable

if TYPE_CHECKING:
    import pyarrow as pa

GONE = "\0"
"""What the names of columns end with that are in the file and not in the table."""

_ID = b"PARQUET:field_id"
_MAP, _MAP_KEY_VALUE, _LIST = 1, 2, 3  # ConvertedType
_LOGICAL_MAP, _LOGICAL_LIST = 2, 3  # fields of the union LogicalType
_ONE_COLUMN_LISTS = ("array", "_tuple")
"""Names, or their endings, of a repeated group of one column that is itself the element (parquet's rules for old lists)."""

NameOf = Callable[[int | None, ColumnPath], str | None]
"""(field id, path in the file) to the name in the table, or None when it has no such column."""


def renamed(raw: bytes, in_file: pa.Schema, columns: FileColumns, name: str) -> bytes:
    """The Thrift struct of a file's footer with the table's names; itself when they are the same.

    Args:
        raw: the struct as it was written.
        in_file: the schema that pyarrow sees in it.
        columns: how the table knows its columns.
        name: of the file, for errors.

    Raises:
        UnsupportedTable: the file has no field ids, and the table says nothing else.
        Malformed: the footer's schema does not fit its columns.
    """
    name_of = _rule(in_file, columns, name)
    if not _differs(in_file, (), name_of):
        return raw
    footer = read_struct(raw)[0]
    renamer = _Renamer(footer.structs(FileMetaData.SCHEMA), name_of)
    renamer.rename()
    leaves = renamer.leaves
    for group in footer.structs(FileMetaData.ROW_GROUPS):
        chunks = group.structs(RowGroup.COLUMNS)
        if len(chunks) != len(leaves):
            raise Malformed(f"a row group has {len(chunks)} column chunks for {len(leaves)} columns")
        for chunk, path in zip(chunks, leaves, strict=True):
            if ColumnChunk.META_DATA in chunk:
                chunk.struct(ColumnChunk.META_DATA).put(ColumnMetaData.PATH, LIST, (BINARY, path))
    reduce_notes(footer)
    return write_struct(footer)


def _rule(in_file: pa.Schema, columns: FileColumns, name: str) -> NameOf:
    by_id, by_path = columns.by_id, columns.by_path
    if by_id is not None and (by_path is None or any(_field_id(field) is not None for field in in_file)):
        if by_path is None and len(in_file) and all(_field_id(field) is None for field in in_file):
            raise UnsupportedTable(
                f"The columns of {name} have no field ids, and the table does not say by which names it knows them: give "
                "the table a name mapping (schema.name-mapping.default)."
            )
        return lambda field_id, _: None if field_id is None else by_id.get(field_id)
    paths: Mapping[ColumnPath, str] = by_path or {}
    return lambda _, path: paths.get(path)


def _differs(fields: Any, path: ColumnPath, name_of: NameOf) -> bool:
    """Whether any field has another name in the table."""
    return any(
        name_of(_field_id(field), (*path, field.name)) != field.name
        or _differs_inside(field.type, (*path, field.name), name_of)
        for field in fields
    )


def _differs_inside(kind: Any, path: ColumnPath, name_of: NameOf) -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        return _differs(kind, path, name_of)
    if types.is_map(kind):
        return _differs_inside(kind.key_type, (*path, KEY), name_of) or _differs_inside(
            kind.item_type, (*path, VALUE), name_of
        )
    return is_list(kind) and _differs_inside(kind.value_type, (*path, ELEMENT), name_of)


def _field_id(field: pa.Field) -> int | None:
    text = (field.metadata or {}).get(_ID)
    return None if text is None or int(text) < 0 else int(text)


class _Renamer:
    """Walks the schema of a footer, in its order, and changes it. `leaves` are the new paths of the columns."""

    def __init__(self, elements: list[Struct], name_of: NameOf) -> None:
        self._elements = iter(elements)
        self._name_of = name_of
        self.leaves: list[list[bytes]] = []

    def rename(self) -> None:
        """All columns. Raises Malformed."""
        root = self._next()
        for _ in range(root.integer(SchemaElement.CHILDREN, 0)):
            self._field(self._next(), (), [])

    def _field(self, element: Struct, around: ColumnPath, written: list[bytes]) -> None:
        """A column, or a field of a struct: it gets its name, and so does what is inside it."""
        old = element.text(SchemaElement.NAME)
        path = (*around, old)
        field_id = element.integer(SchemaElement.FIELD_ID, -1)
        name = self._name_of(None if field_id < 0 else field_id, path)
        element.put(SchemaElement.NAME, BINARY, (old + GONE if name is None else name).encode())
        self._inside(element, path, written)

    def _inside(self, element: Struct, path: ColumnPath, around: list[bytes]) -> None:
        written = [*around, _name(element)]
        children = element.integer(SchemaElement.CHILDREN, 0)
        if not children:
            self.leaves.append(written)
        elif children == 1 and _has_type(element, {_LIST}, _LOGICAL_LIST):
            repeated = self._next()
            if _is_element(repeated):
                self._inside(repeated, (*path, ELEMENT), written)
            else:
                self._inside(self._next(), (*path, ELEMENT), [*written, _name(repeated)])
        elif children == 1 and _has_type(element, {_MAP, _MAP_KEY_VALUE}, _LOGICAL_MAP):
            repeated = self._next()
            for part in (KEY, VALUE)[: repeated.integer(SchemaElement.CHILDREN, 0)]:
                self._inside(self._next(), (*path, part), [*written, _name(repeated)])
        else:
            for _ in range(children):
                self._field(self._next(), path, written)

    def _next(self) -> Struct:
        element = next(self._elements, None)
        if element is None:
            raise Malformed("its schema ends too early")
        return element


def _name(element: Struct) -> bytes:
    return element[SchemaElement.NAME][1]


def _is_element(repeated: Struct) -> bool:
    """Whether the repeated group of a list is its element, and not what is around it."""
    return repeated.integer(SchemaElement.CHILDREN, 0) != 1 or repeated.text(SchemaElement.NAME).endswith(
        _ONE_COLUMN_LISTS
    )


def _has_type(element: Struct, converted: set[int], logical: int) -> bool:
    if SchemaElement.CONVERTED_TYPE in element:
        return element.integer(SchemaElement.CONVERTED_TYPE) in converted
    kind, value = element.get(SchemaElement.LOGICAL_TYPE, (STRUCT, {}))
    return kind == STRUCT and logical in value
