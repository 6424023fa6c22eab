"""The schema contract: how the columns of an export differ from those of the one before it.

Columns are compared by name, nested fields too; their paths are dotted, the values of a list are `<list>.element`, the keys and
values of a map `<map>.key` and `<map>.value`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dataset_export.export.type_text import Column, nested

SHOWN = 20
"""Columns that a sentence names of each sort at most; the manifest has all."""


class OnSchemaChange(StrEnum):
    """What a dataflow does when the columns of a dataset have changed since its last export."""

    EVOLVE = "evolve"
    NOTIFY = "notify"
    FAIL = "fail"


@dataclass(frozen=True)
class Changed:
    """A column that is there before and after, with another type or nullability."""

    path: str
    before: Column
    after: Column


@dataclass(frozen=True)
class SchemaChange:
    """A difference between two schemas; `str` says it in words.

    Attributes:
        added: columns that are new, by path. One that is new as a whole is named, the fields in it are not.
        removed: columns that are gone, likewise.
        changed: columns of another type or nullability.
        reordered: paths of what has its fields in another order; "" is the table with its columns.
    """

    added: Mapping[str, Column]
    removed: Mapping[str, Column]
    changed: tuple[Changed, ...] = ()
    reordered: tuple[str, ...] = ()

    @property
    def document(self) -> dict[str, Any]:
        """As the manifest writes it."""
        return {
            "added": [{"column": path, **_type(column)} for path, column in self.added.items()],
            "removed": [{"column": path, **_type(column)} for path, column in self.removed.items()],
            "changed": [
                {"column": change.path, "from": _type(change.before), "to": _type(change.after)}
                for change in self.changed
            ],
            "reordered": list(self.reordered),
        }

    def __str__(self) -> str:
        parts = {
            "added": [f"{path} ({column})" for path, column in self.added.items()],
            "removed": [f"{path} ({column})" for path, column in self.removed.items()],
            "changed": [f"{change.path} ({change.before} → {change.after})" for change in self.changed],
            "in another order": [path or "the columns" for path in self.reordered],
        }
        return "; ".join(f"{what}: {_listed(names)}" for what, names in parts.items() if names)


def columns_in(schema: Sequence[Mapping[str, Any]]) -> tuple[Column, ...]:
    """The columns of a schema as a manifest writes it."""
    return tuple(Column(column["name"], column["type"], column["nullable"]) for column in schema)


def change_in(document: Mapping[str, Any]) -> SchemaChange:
    """A change as a manifest writes it."""

    def column(entry: Mapping[str, Any], path: str) -> Column:
        return Column(path.rpartition(".")[2], entry["type"], entry["nullable"])

    return SchemaChange(
        added={entry["column"]: column(entry, entry["column"]) for entry in document["added"]},
        removed={entry["column"]: column(entry, entry["column"]) for entry in document["removed"]},
        changed=tuple(
            Changed(entry["column"], column(entry["from"], entry["column"]), column(entry["to"], entry["column"]))
            for entry in document["changed"]
        ),
        reordered=tuple(document["reordered"]),
    )


def schema_change(before: Sequence[Column], after: Sequence[Column]) -> SchemaChange | None:
    """What changed from one schema to another; None when nothing did."""
    added: dict[str, Column] = {}
    removed: dict[str, Column] = {}
    changed: list[Changed] = []
    reordered: list[str] = []
    for path, old, new in _levels("", before, after):
        here = {column.name: column for column in old}
        there = {column.name: column for column in new}
        added |= {_join(path, name): column for name, column in there.items() if name not in here}
        removed |= {_join(path, name): column for name, column in here.items() if name not in there}
        changed += [
            Changed(_join(path, name), here[name], there[name])
            for name in here
            if name in there and _differ(here[name], there[name])
        ]
        if [name for name in here if name in there] != [name for name in there if name in here]:
            reordered.append(path)
    if not (added or removed or changed or reordered):
        return None
    return SchemaChange(added, removed, tuple(changed), tuple(reordered))


def _levels(
    path: str, before: Sequence[Column], after: Sequence[Column]
) -> Iterator[tuple[str, Sequence[Column], Sequence[Column]]]:
    """The fields to compare at every level, outermost first: those of the table, and of each column that is nested in the
    same way before and after."""
    yield path, before, after
    after_by_name = {column.name: column for column in after}
    for old in before:
        new = after_by_name.get(old.name)
        if new is None or new.type == old.type:
            continue
        inside, inside_now = nested(old.type), nested(new.type)
        if inside is not None and inside_now is not None and inside.kind == inside_now.kind:
            yield from _levels(_join(path, old.name), inside.fields, inside_now.fields)


def _differ(old: Column, new: Column) -> bool:
    """Whether a column itself changed, not only fields in it."""
    if old.nullable != new.nullable:
        return True
    inside, inside_now = nested(old.type), nested(new.type)
    if inside is None or inside_now is None:
        return old.type != new.type
    return inside.kind != inside_now.kind


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _type(column: Column) -> dict[str, Any]:
    return {"type": column.type, "nullable": column.nullable}


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
