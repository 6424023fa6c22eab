"""Deliver only some columns of a table and some fields inside them, and some as hashes or masked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dataset_export.encoding.column_path import ELEMENT, KEY, VALUE, ColumnPath
from dataset_export.encoding.column_tree import (
    Hashed,
    Masked,
    Node,
    Whole,
    column_tree,
    delivered_fields,
    left_out,
    needed_fields,
    node_at,
)
from dataset_export.encoding.contract import ColumnRule
from dataset_export.encoding.hashing import hashed
from dataset_export.encoding.nested import join_list, join_map, join_struct, list_parts, map_parts, struct_parts

if TYPE_CHECKING:
    import pyarrow as pa


class Projection:
    """What a column rule makes of a table's rows.

    Raises ConfigError when the rule names what the schema does not have, or leaves nothing.

    Attributes:
        schema: what is delivered.
        keeps_all: whether that is everything, as it is.
        changes_values: whether something is hashed or masked.
    """

    def __init__(self, schema: pa.Schema, rule: ColumnRule) -> None:
        import pyarrow as pa

        self._table = schema
        self._tree = column_tree(schema, rule)
        self._salt = rule.salt
        self.keeps_all = len(self._tree.parts) == len(schema) and all(
            isinstance(node, Whole) for node in self._tree.parts.values()
        )
        self.changes_values = bool(rule.hashed or rule.masked)
        # What other writers keep beside a schema may name columns that are left out.
        metadata = schema.metadata if self.keeps_all else None
        self.schema = pa.schema(delivered_fields(schema, self._tree.parts), metadata=metadata)

    def left_out(self) -> list[ColumnPath]:
        """What is not delivered, in the schema's order; of what is left out as a whole only itself."""
        return list(left_out(self._table, self._tree.parts))

    def keeps(self, path: Iterable[str]) -> bool:
        """Whether a column or field is delivered as it is."""
        return isinstance(node_at(self._tree, path), Whole)

    def needed(self, further: ColumnPath | None) -> pa.Schema:
        """The part of the table's schema that has to be read: for what is delivered, and `further`, the path of a field of
        structs that is needed in any case."""
        import pyarrow as pa

        # Nothing of a masked column is read; of a field inside one, whether the struct around it is null.
        read = {name: node for name, node in self._tree.parts.items() if not isinstance(node, Masked)}
        # Rows without any column could not be counted.
        fields = needed_fields(self._table, read, further) or list(self._table)[:1]
        return pa.schema(fields, metadata=self._table.metadata)

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The delivered columns of rows that have at least the `needed` ones. Raises UnsupportedTable for a value that has
        no text to hash."""
        import pyarrow as pa

        if self.keeps_all:
            return batch
        return pa.record_batch([self._column(batch, field) for field in self.schema], schema=self.schema)

    def _column(self, batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
        node = self._tree.parts[field.name]
        if isinstance(node, Masked):
            return _masked(batch.num_rows, node, field.type)
        return self._projected(batch.column(field.name), node, field.type, field.name)

    def _projected(self, array: pa.Array, node: Node, kind: Any, name: str) -> pa.Array:
        """What is delivered of an array, as `kind`. The array may have more fields than that, never fewer. `name` is what to
        call it in errors."""
        from pyarrow import types

        if isinstance(node, Whole):
            return array
        if isinstance(node, Hashed):
            return hashed(array, self._salt, name)
        if isinstance(node, Masked):
            return _masked(len(array), node, kind)
        parts = node.parts
        if types.is_struct(kind):
            have = dict(zip([field.name for field in array.type], struct_parts(array), strict=True))
            made = [
                self._projected(have[field.name], parts[field.name], field.type, f"{name}.{field.name}")
                for field in kind
            ]
            return join_struct(array, made, list(kind))
        if types.is_map(kind):
            offsets, keys, values = map_parts(array)
            keys = self._projected(keys, parts[KEY], kind.key_type, f"{name}.{KEY}")
            values = self._projected(values, parts[VALUE], kind.item_type, f"{name}.{VALUE}")
            return join_map(array, offsets, keys, values).cast(kind)
        offsets, values = list_parts(array)
        values = self._projected(values, parts[ELEMENT], kind.value_type, f"{name}.{ELEMENT}")
        return join_list(array, offsets, values).cast(kind)


def _masked(rows: int, node: Masked, kind: Any) -> pa.Array:
    import pyarrow as pa

    return pa.nulls(rows, kind) if node.text is None else pa.repeat(pa.scalar(node.text, kind), rows)
