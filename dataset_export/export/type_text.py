"""The fields inside a type, read from the text that Arrow writes for it and manifests record.

`struct<id: int64 not null, tags: list<element: string>>` has the fields `id` and `tags`; `tags` has `element`.
"""

import re
from dataclasses import dataclass

NOT_NULL = " not null"

_NESTED = re.compile(
    r"(struct|list|large_list|list_view|large_list_view|fixed_size_list|map)<(.*)>(\[\d+\])?", re.DOTALL
)
_OPENING, _CLOSING = "<([", ">)]"


@dataclass(frozen=True)
class Column:
    """A column of a table, or a field inside one: its name, Arrow's text for its type, and whether it may be null."""

    name: str
    type: str
    nullable: bool

    def __str__(self) -> str:
        return self.type if self.nullable else self.type + NOT_NULL


@dataclass(frozen=True)
class Nested:
    """A type with fields: what kind it is, and the fields in their order."""

    kind: str
    fields: tuple[Column, ...]


def nested(type_text: str) -> Nested | None:
    """The fields of a type; None for one that has none, and for a text that can be read in several ways because of the
    names in it. (Such a type is then only ever compared as a whole.)"""
    match = _NESTED.fullmatch(type_text)
    if match is None:
        return None
    kind, inner, size = match[1], match[2], match[3] or ""
    parts = _parts(inner)
    if kind == "map":
        fields = [Column("key", parts[0], False), Column("value", parts[1], True)] if len(parts) == 2 else []
    else:
        fields = [_field(part) for part in parts]
    known = [field for field in fields if field is not None]
    if not known or len({field.name for field in known}) != len(fields):
        return None
    return Nested(kind + size, tuple(known))


def _parts(inner: str) -> list[str]:
    """`inner` cut at the commas that no bracket encloses; nothing when its brackets do not match."""
    parts: list[str] = []
    depth = start = 0
    for at, character in enumerate(inner):
        depth += (character in _OPENING) - (character in _CLOSING)
        if depth < 0:
            return []
        if depth == 0 and inner.startswith(", ", at):
            parts.append(inner[start:at])
            start = at + 2
    return [*parts, inner[start:]] if depth == 0 else []


def _field(part: str) -> Column | None:
    name, colon, type_text = part.partition(": ")
    if not colon:
        return None
    return Column(name, type_text.removesuffix(NOT_NULL), not type_text.endswith(NOT_NULL))
