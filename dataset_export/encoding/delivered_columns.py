"""Whether the columns to deliver are columns of a file as they stand, so that their chunks can be copied."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dataset_export.encoding.contract import ColumnRule, Source, Target
from dataset_export.encoding.kinds import is_bytes, is_list, is_text
from dataset_export.encoding.parquet_columns import without_columns
from dataset_export.encoding.parquet_footer import Footer
from dataset_export.encoding.parquet_leaves import leaf_paths
from dataset_export.encoding.projection import Projection
from dataset_export.encoding.thrift_compact import Malformed, write_struct

if TYPE_CHECKING:
    import pyarrow as pa


def delivered_columns(footer: Footer, source: Source, target: Target) -> Footer | None:
    """The footer less what is not delivered, or itself when the file has nothing else; positions in it are the file's.

    None when the file lacks something, has it in another type or order, or what is delivered is not what is stored.
    """
    in_file = footer.metadata.schema.to_arrow_schema()
    if target.columns == ColumnRule():
        return footer if not source.partition and same_columns(in_file, target.schema) else None
    projection = Projection(target.schema, target.columns)
    if projection.changes_values or any(name in source.partition for name in projection.schema.names):
        return None
    left = _without(footer, set(leaf_paths(in_file)) - set(leaf_paths(projection.schema)), in_file)
    if left is None:
        return None
    # What is left is looked at as a reader would: the types around what was taken out have to be those to deliver.
    return left if same_columns(left.metadata.schema.to_arrow_schema(), projection.schema) else None


def same_columns(left: pa.Schema, right: pa.Schema) -> bool:
    """True when both schemas are the same parquet columns: names, order and types. Nullability may differ, and so may
    what is a matter of memory only (large and view variants of strings and lists)."""
    return left.names == right.names and all(_same_type(a.type, b.type) for a, b in zip(left, right, strict=True))


def _without(footer: Footer, gone: set[tuple[str, ...]], in_file: pa.Schema) -> Footer | None:
    if not gone:
        return footer
    kept = [path not in gone for path in leaf_paths(in_file)]
    if not any(kept):
        return None
    try:
        struct = footer.copy()
        without_columns(struct, kept)
    except Malformed:
        return None
    return replace(footer, raw=write_struct(struct))


def _same_type(left: Any, right: Any) -> bool:
    from pyarrow import types

    if types.is_struct(left) and types.is_struct(right):
        return [f.name for f in left] == [f.name for f in right] and all(
            _same_type(a.type, b.type) for a, b in zip(left, right, strict=True)
        )
    if types.is_map(left) and types.is_map(right):
        return _same_type(left.key_type, right.key_type) and _same_type(left.item_type, right.item_type)
    if types.is_fixed_size_list(left) or types.is_fixed_size_list(right):
        return left.equals(right)
    if is_list(left) and is_list(right):
        return _same_type(left.value_type, right.value_type)
    return left.equals(right) or any(is_one(left) and is_one(right) for is_one in (is_text, is_bytes))
