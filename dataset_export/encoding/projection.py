"""Deliver only some columns of a table, and only some fields inside them.

A column rule and a schema make a tree: `Whole` for what is delivered as it is, `Inside` for a struct, list or map of which
only a part is; what is not delivered is not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dataset_export.encoding.column_path import ELEMENT, KEY, VALUE, ColumnPath, path_text
from dataset_export.encoding.contract import ColumnRule
from dataset_export.encoding.kinds import is_list, list_of
from dataset_export.encoding.nested import join_list, join_map, join_struct, list_parts, map_parts, struct_parts
from dataset_export.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

NAMED = 20
"""Columns that an error names at most."""


@dataclass(frozen=True)
class Whole:
    """Delivered as it is."""


@dataclass(frozen=True)
class Inside:
    """What is delivered of a struct's fields, of a list's values, or of a map's keys and values; the rest is not."""

    parts: Mapping[str, Node]


Node = Whole | Inside


class Projection:
    """What a column rule makes of a table's rows.

    Raises ConfigError when the rule names what the schema does not have, or leaves nothing.

    Attributes:
        schema: what is delivered.
    """

    def __init__(self, schema: pa.Schema, rule: ColumnRule) -> None:
        import pyarrow as pa

        _check_paths(schema, rule)
        self._table = schema
        self._tree = _parts(schema, (), rule, included=not rule.include)
        if len(schema) and not self._tree:
            raise ConfigError("of the table's columns none is left to deliver: exclude fewer")
        self.schema = pa.schema(_delivered(schema, self._tree), metadata=schema.metadata)
        self.keeps_all = self.schema.equals(schema)

    def left_out(self) -> list[ColumnPath]:
        """What is not delivered, in the schema's order; of what is left out as a whole only itself."""
        return list(_left_out(self._table, self._tree, ()))

    def keeps(self, path: Iterable[str]) -> bool:
        """Whether a column or field is delivered as it is."""
        node: Node | None = Inside(self._tree)
        for name in path:
            if isinstance(node, Whole):
                return True
            node = node.parts.get(name) if node is not None else None
        return isinstance(node, Whole)

    def needed(self, further: ColumnPath | None) -> pa.Schema:
        """The part of the table's schema that has to be read: what is delivered, and `further`, a field of it (of nested
        structs) that is needed in any case."""
        import pyarrow as pa

        return pa.schema(_needed(self._table, self._tree, further), metadata=self._table.metadata)

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The delivered columns of rows that have at least the `needed` ones."""
        import pyarrow as pa

        if self.keeps_all:
            return batch
        columns = [_projected(batch.column(field.name), self._tree[field.name], field.type) for field in self.schema]
        return pa.record_batch(columns, schema=self.schema)


def _check_paths(schema: Any, rule: ColumnRule) -> None:
    for setting, paths in {"include": rule.include, "exclude": rule.exclude}.items():
        for path in paths:
            around = _kind_at(schema, path, setting)
            if around is not schema and not _is_struct(around):
                raise ConfigError(
                    f"{setting} names {path_text(path)}, which is no column of its own; name {path_text(path[:-1])}, or "
                    "a field inside it"
                )


def _kind_at(schema: Any, path: ColumnPath, setting: str) -> Any:
    """The type whose part the last name of a path is. Raises ConfigError when there is no such part."""
    kind = schema
    for depth, name in enumerate(path):
        parts = {field.name: field.type for field in _fields(kind)}
        if name not in parts:
            raise ConfigError(f"{setting} names {path_text(path)}, and {_there_is(path[:depth], kind, list(parts))}")
        if depth + 1 < len(path):
            kind = parts[name]
    return kind


def _there_is(path: ColumnPath, kind: Any, names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    known = ", ".join(path_text((*path, name)) for name in names[:NAMED]) + more
    if not path:
        return f"the table has no such column; it has {known}"
    if not names:
        return f"{path_text(path)} is {kind}, with no fields in it"
    return f"{path_text(path)} has no such field; it has {known}"


def _is_struct(kind: Any) -> bool:
    from pyarrow import types

    return types.is_struct(kind)


def _fields(kind: Any) -> list[pa.Field]:
    """The parts of a schema or a nested type, under the names that paths give them; none of any other type."""
    import pyarrow as pa
    from pyarrow import types

    if isinstance(kind, pa.Schema) or types.is_struct(kind):
        return list(kind)
    if types.is_map(kind):
        return [kind.key_field.with_name(KEY), kind.item_field.with_name(VALUE)]
    return [kind.value_field.with_name(ELEMENT)] if is_list(kind) else []


def _parts(kind: Any, path: ColumnPath, rule: ColumnRule, *, included: bool) -> Mapping[str, Node]:
    found = {field.name: _node(field.type, (*path, field.name), rule, included=included) for field in _fields(kind)}
    return {name: node for name, node in found.items() if node is not None}


def _node(kind: Any, path: ColumnPath, rule: ColumnRule, *, included: bool) -> Node | None:
    from pyarrow import types

    if path in rule.exclude:
        return None
    included = included or path in rule.include
    fields = _fields(kind)
    if not fields:
        return Whole() if included else None
    parts = _parts(kind, path, rule, included=included)
    if types.is_map(kind):
        # Values without their keys say nothing, and keys come with the values they belong to.
        parts = {KEY: Whole(), VALUE: parts[VALUE]} if VALUE in parts else {}
    if not parts:
        return None
    whole = len(parts) == len(fields) and all(isinstance(part, Whole) for part in parts.values())
    return Whole() if whole else Inside(parts)


def _delivered(fields: Iterable[pa.Field], parts: Mapping[str, Node]) -> list[pa.Field]:
    return [field.with_type(_delivered_kind(field.type, parts[field.name])) for field in fields if field.name in parts]


def _delivered_kind(kind: Any, node: Node) -> pa.DataType:
    if isinstance(node, Whole):
        return kind
    return _rebuilt(kind, _delivered(_fields(kind), node.parts))


def _rebuilt(kind: Any, fields: list[pa.Field]) -> pa.DataType:
    """The nested type with these parts."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_struct(kind):
        return pa.struct(fields)
    if types.is_map(kind):
        return pa.map_(*(field.type for field in fields))
    return list_of(kind, fields[0].with_name(kind.value_field.name))


def _left_out(kind: Any, parts: Mapping[str, Node], path: ColumnPath) -> Iterator[ColumnPath]:
    for field in _fields(kind):
        node = parts.get(field.name)
        here = (*path, field.name)
        if node is None:
            yield here
        elif isinstance(node, Inside):
            yield from _left_out(field.type, node.parts, here)


def _needed(fields: Iterable[pa.Field], parts: Mapping[str, Node], further: ColumnPath | None) -> list[pa.Field]:
    found: list[pa.Field] = []
    for field in fields:
        rest = further[1:] if further and further[0] == field.name else None
        kind = _needed_kind(field.type, parts.get(field.name), rest)
        if kind is not None:
            found.append(field.with_type(kind))
    return found


def _needed_kind(kind: Any, node: Node | None, further: ColumnPath | None) -> pa.DataType | None:
    if isinstance(node, Whole) or further == ():
        return kind
    if node is None and further is None:
        return None
    return _rebuilt(kind, _needed(_fields(kind), node.parts if node is not None else {}, further))


def _projected(array: pa.Array, node: Node, kind: Any) -> pa.Array:
    """The part of an array that is delivered, as `kind`. The array may have more fields than that, never fewer."""
    from pyarrow import types

    if isinstance(node, Whole):
        return array
    if types.is_struct(kind):
        have = dict(zip([field.name for field in array.type], struct_parts(array), strict=True))
        parts = [_projected(have[field.name], node.parts[field.name], field.type) for field in kind]
        return join_struct(array, parts, list(kind))
    if types.is_map(kind):
        offsets, keys, values = map_parts(array)
        keys = _projected(keys, node.parts[KEY], kind.key_type)
        return join_map(array, offsets, keys, _projected(values, node.parts[VALUE], kind.item_type)).cast(kind)
    offsets, values = list_parts(array)
    return join_list(array, offsets, _projected(values, node.parts[ELEMENT], kind.value_type)).cast(kind)
