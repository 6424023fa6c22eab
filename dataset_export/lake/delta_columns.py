"""How a Delta table knows the columns of its files: column mapping, and types that were widened since.

With column mapping the files, the log's partition values and its statistics have physical names, which never change and
are never used again; the schema says which column has which (Delta: "Column Mapping").
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dataset_export.lake.table import FileColumns

if TYPE_CHECKING:
    import pyarrow as pa

ELEMENT, KEY, VALUE = "element", "key", "value"

_MODE = "delta.columnMapping.mode"
_ID = "delta.columnMapping.id"
_PHYSICAL = "delta.columnMapping.physicalName"
_TYPE_CHANGES = "delta.typeChanges"
_INTEGERS = ("byte", "short", "integer", "long")
_DECIMAL = re.compile(r"decimal\((\d+),(-?\d+)\)")
_INTEGER_DIGITS = {"byte": 3, "short": 5, "integer": 10, "long": 20}


@dataclass(frozen=True)
class MappedColumns:
    """The names of a table's columns at one version.

    Attributes:
        by_path: paths of physical names to the last of their logical ones; empty without column mapping.
        by_id: ids to logical names, when it is by them that the columns of a file are known.
        physical: paths of logical names to those of physical ones.
        unknown_changes: changes of a type that are no widening known here, in words.
    """

    by_path: Mapping[tuple[str, ...], str] = field(default_factory=dict[tuple[str, ...], str])
    by_id: Mapping[int, str] | None = None
    physical: Mapping[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict[tuple[str, ...], tuple[str, ...]])
    unknown_changes: tuple[str, ...] = ()

    def stored_path(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """A path of names as the log's statistics have it; the same when it is none of the table's."""
        return self.physical.get(names, names)

    def stored_name(self, name: str) -> str:
        """The name of a column as the log's partition values have it."""
        return self.stored_path((name,))[0]

    def file_columns(self, partition_columns: list[str]) -> FileColumns | None:
        """As the encoding takes it; None without column mapping."""
        if not self.by_path:
            return None
        partition = {self.stored_name(name): name for name in partition_columns}
        return FileColumns(by_id=self.by_id, by_path=self.by_path, partition=partition)


def mapped_columns(schema: str, configuration: Mapping[str, Any]) -> MappedColumns:
    """The names by a table's schema (JSON, as its metadata has it) and its properties."""
    mode = configuration.get(_MODE, "none")
    fields = list(_fields(json.loads(schema), (), ()))
    unknown = tuple(change for found in fields for change in found.unknown_changes())
    if mode == "none":
        return MappedColumns(unknown_changes=unknown)
    return MappedColumns(
        by_path={found.physical: found.logical[-1] for found in fields},
        by_id={found.id: found.logical[-1] for found in fields if found.id is not None} if mode == "id" else None,
        physical={found.logical: found.physical for found in fields},
        unknown_changes=unknown,
    )


def without_mapping(schema: "pa.Schema") -> "pa.Schema":
    """The schema less what deltalake notes at its fields about column mapping and widened types."""
    import pyarrow as pa

    return pa.schema([_plain_field(found) for found in schema], metadata=schema.metadata)


@dataclass(frozen=True)
class _Field:
    logical: tuple[str, ...]
    physical: tuple[str, ...]
    id: int | None
    metadata: Mapping[str, Any]

    def unknown_changes(self) -> Iterator[str]:
        for change in self.metadata.get(_TYPE_CHANGES) or []:
            if not _is_widening(str(change.get("fromType")), str(change.get("toType"))):
                yield f"{'.'.join(self.logical)} from {change.get('fromType')} to {change.get('toType')}"


def _fields(kind: Any, logical: tuple[str, ...], physical: tuple[str, ...]) -> Iterator[_Field]:
    """Columns and fields of structs at any depth."""
    if not isinstance(kind, dict):
        return
    if kind["type"] == "struct":
        for found in kind["fields"]:
            metadata = found.get("metadata") or {}
            names = (*logical, found["name"])
            stored = (*physical, metadata.get(_PHYSICAL, found["name"]))
            yield _Field(names, stored, metadata.get(_ID), metadata)
            yield from _fields(found["type"], names, stored)
    elif kind["type"] == "array":
        yield from _fields(kind["elementType"], (*logical, ELEMENT), (*physical, ELEMENT))
    elif kind["type"] == "map":
        yield from _fields(kind["keyType"], (*logical, KEY), (*physical, KEY))
        yield from _fields(kind["valueType"], (*logical, VALUE), (*physical, VALUE))


def _is_widening(old: str, new: str) -> bool:
    """Whether every value of the old type is one of the new one: then it is read as that, exactly."""
    before, after = _DECIMAL.fullmatch(old), _DECIMAL.fullmatch(new)
    if before and after:
        scale = int(after[2]) - int(before[2])
        return scale >= 0 and int(after[1]) - int(before[1]) >= scale
    if old in _INTEGERS and after:
        return int(after[1]) - int(after[2]) >= _INTEGER_DIGITS[old]
    if old in _INTEGERS and new in _INTEGERS:
        return _INTEGERS.index(old) <= _INTEGERS.index(new)
    return (old, new) in {
        ("float", "double"),
        ("byte", "double"),
        ("short", "double"),
        ("integer", "double"),
        ("date", "timestamp_ntz"),
    }


def _plain_field(found: "pa.Field") -> "pa.Field":
    metadata = {
        key: value
        for key, value in (found.metadata or {}).items()
        if not key.startswith((b"delta.columnMapping.", _TYPE_CHANGES.encode()))
    }
    return found.with_type(_plain_type(found.type)).with_metadata(metadata or None)


def _plain_type(kind: Any) -> Any:
    import pyarrow as pa
    from pyarrow import types

    if types.is_struct(kind):
        return pa.struct([_plain_field(found) for found in kind])
    if types.is_map(kind):
        return pa.map_(_plain_field(kind.key_field), _plain_field(kind.item_field), keys_sorted=kind.keys_sorted)
    if types.is_large_list(kind):
        return pa.large_list(_plain_field(kind.value_field))
    return pa.list_(_plain_field(kind.value_field)) if types.is_list(kind) else kind
