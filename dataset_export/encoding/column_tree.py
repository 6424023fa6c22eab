"""What a column rule makes of a schema: a tree that says of every column, and of every field inside one, how it is delivered.

What is not delivered is not in the tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dataset_export.encoding.column_path import ELEMENT, KEY, VALUE, ColumnPath, path_text
from dataset_export.encoding.contract import ColumnRule
from dataset_export.encoding.kinds import is_list, list_of
from dataset_export.errors import ConfigError
from dataset_export.suggestion import did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

NAMED = 20
"""Columns that an error names at most."""


@dataclass(frozen=True)
class Whole:
    """Delivered as it is."""


@dataclass(frozen=True)
class Hashed:
    """Delivered as the hash of its value."""


@dataclass(frozen=True)
class Masked:
    """Delivered as the same text for every row, or as null."""

    text: str | None


@dataclass(frozen=True)
class Inside:
    """What is delivered of a struct's fields, of a list's values, or of a map's keys and values; the rest is not."""

    parts: Mapping[str, Node]


Node = Whole | Hashed | Masked | Inside


def column_tree(schema: pa.Schema, rule: ColumnRule) -> Inside:
    """The tree. Raises ConfigError when the rule names what the schema does not have, or leaves nothing."""
    _check_paths(schema, rule)
    tree = Inside(_parts(schema, (), rule, included=not rule.include))
    if len(schema) and not tree.parts:
        raise ConfigError("of the table's columns none is left to deliver: exclude fewer")
    return tree


def fields_of(kind: Any) -> list[pa.Field]:
    """The parts of a schema or a nested type, under the names that paths give them; none of any other type."""
    import pyarrow as pa
    from pyarrow import types

    if isinstance(kind, pa.Schema) or types.is_struct(kind):
        return list(kind)
    if types.is_map(kind):
        return [kind.key_field.with_name(KEY), kind.item_field.with_name(VALUE)]
    return [kind.value_field.with_name(ELEMENT)] if is_list(kind) else []


def delivered_fields(fields: Iterable[pa.Field], parts: Mapping[str, Node]) -> list[pa.Field]:
    """Those of the fields that are delivered, with the types in which they are."""
    return [_delivered(field, parts[field.name]) for field in fields if field.name in parts]


def needed_fields(
    fields: Iterable[pa.Field], parts: Mapping[str, Node], further: ColumnPath | None = None
) -> list[pa.Field]:
    """Those of the fields that have to be read: for what is delivered, and for `further`, the path of a field of structs
    that is needed in any case."""
    found: list[pa.Field] = []
    for field in fields:
        rest = further[1:] if further and further[0] == field.name else None
        kind = _needed_kind(field.type, parts.get(field.name), rest)
        if kind is not None:
            found.append(field.with_type(kind))
    return found


def left_out(kind: Any, parts: Mapping[str, Node], path: ColumnPath = ()) -> Iterator[ColumnPath]:
    """Paths of what is not delivered, in the schema's order; of what is left out as a whole only itself."""
    for field in fields_of(kind):
        node = parts.get(field.name)
        here = (*path, field.name)
        if node is None:
            yield here
        elif isinstance(node, Inside):
            yield from left_out(field.type, node.parts, here)


def node_at(tree: Inside, path: Iterable[str]) -> Node | None:
    """How a column or field is delivered; None when it is not."""
    node: Node = tree
    for name in path:
        if not isinstance(node, Inside):
            return node
        if name not in node.parts:
            return None
        node = node.parts[name]
    return node


def _check_paths(schema: Any, rule: ColumnRule) -> None:
    for setting, paths in {"include": rule.include, "exclude": rule.exclude}.items():
        for path in paths:
            around, _ = _kinds_at(schema, path, setting)
            if around is not schema and not _is_struct(around):
                raise ConfigError(
                    f"{setting} names {path_text(path)}, which is no column of its own; name {path_text(path[:-1])}, or "
                    "a field inside it"
                )
    for path in rule.hashed:
        _, kind = _kinds_at(schema, path, "hash")
        if inside := fields_of(kind):
            names = ", ".join(path_text((*path, field.name)) for field in inside[:NAMED])
            raise ConfigError(f"hash names {path_text(path)}, which has parts; name those to hash: {names}")
    for path in rule.masked:
        around, _ = _kinds_at(schema, path, "mask")
        if path[-1] == KEY and not _is_struct(around) and around is not schema:
            raise ConfigError(
                f"mask names {path_text(path)}, and a map whose keys are all the same is none; hash them, or mask "
                f"{path_text(path[:-1])}"
            )


def _kinds_at(schema: Any, path: ColumnPath, setting: str) -> tuple[Any, Any]:
    """The type whose part the last name of a path is, and the type of that part. Raises ConfigError when there is none."""
    around = kind = schema
    for depth, name in enumerate(path):
        around = kind
        parts = {field.name: field.type for field in fields_of(around)}
        if name not in parts:
            raise ConfigError(f"{setting} names {path_text(path)}, and {_there_is(path[: depth + 1], around, parts)}")
        kind = parts[name]
    return around, kind


def _there_is(path: ColumnPath, kind: Any, known: Iterable[str]) -> str:
    """What there is where the last name of the path was looked for, and that it is not there."""
    around = path[:-1]
    names = [path_text((*around, name)) for name in known]
    if not names:
        return f"{path_text(around)} is {kind}, with no fields in it"
    listed = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    what = f"{path_text(around)} has no such field" if around else "the table has no such column"
    return f"{what}; it has {listed}{did_you_mean(path_text(path), names)}"


def _is_struct(kind: Any) -> bool:
    from pyarrow import types

    return types.is_struct(kind)


def _parts(kind: Any, path: ColumnPath, rule: ColumnRule, *, included: bool) -> Mapping[str, Node]:
    found = {field.name: _node(field.type, (*path, field.name), rule, included=included) for field in fields_of(kind)}
    return {name: node for name, node in found.items() if node is not None}


def _node(kind: Any, path: ColumnPath, rule: ColumnRule, *, included: bool) -> Node | None:
    from pyarrow import types

    included = included or path in rule.include
    if path in rule.exclude:
        return None
    if path in rule.masked:
        return Masked(rule.masked[path]) if included else None
    fields = fields_of(kind)
    if not fields:
        return (Hashed() if path in rule.hashed else Whole()) if included else None
    parts = _parts(kind, path, rule, included=included)
    if types.is_map(kind):
        # Values without their keys say nothing, and keys come with the values they belong to: hashed where the rule says so.
        key = _node(kind.key_type, (*path, KEY), rule, included=True)
        parts = {KEY: key, VALUE: parts[VALUE]} if key is not None and VALUE in parts else {}
    if not parts:
        return None
    whole = len(parts) == len(fields) and all(isinstance(part, Whole) for part in parts.values())
    return Whole() if whole else Inside(parts)


def _delivered(field: pa.Field, node: Node) -> pa.Field:
    import pyarrow as pa

    match node:
        case Whole():
            return field
        case Hashed():
            return field.with_type(pa.string())
        case Masked(text):
            return field.with_nullable(True) if text is None else field.with_type(pa.string())
        case Inside(parts):
            return field.with_type(_rebuilt(field.type, delivered_fields(fields_of(field.type), parts)))


def _needed_kind(kind: Any, node: Node | None, further: ColumnPath | None) -> pa.DataType | None:
    if further == () or (node is not None and not isinstance(node, Inside)):
        return kind
    if node is None and further is None:
        return None
    return _rebuilt(kind, needed_fields(fields_of(kind), node.parts if node is not None else {}, further))


def _rebuilt(kind: Any, fields: list[pa.Field]) -> pa.DataType:
    """The nested type with these parts."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_struct(kind):
        return pa.struct(fields)
    if types.is_map(kind):
        return pa.map_(*(field.type for field in fields))
    return list_of(kind, fields[0].with_name(kind.value_field.name))
