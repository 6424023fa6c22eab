"""When a file holds exactly the rows and columns to deliver, so that no value need be decoded: what pass-through and page
transcoding have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dataset_export.encoding.contract import Source, Target
from dataset_export.encoding.kinds import is_bytes, is_list, is_text
from dataset_export.encoding.parquet_input import batches, opened
from dataset_export.encoding.timestamps import TimestampColumn

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


def has_same_rows(metadata: pq.FileMetaData, source: Source, target: Target) -> bool:
    """True when all rows of the file are delivered, and in the columns that it has."""
    return (
        not source.partition
        and same_columns(metadata.schema.to_arrow_schema(), target.schema)
        and _has_no_row_too_old(metadata, source, target)
    )


def timestamp_range(source: Source, metadata: pq.FileMetaData, target: Target) -> tuple[Any, Any]:
    """Range of the timestamp column over all rows (UTC): from the footer's statistics when they have it, else from the
    column itself. None twice when there is no such column, or no value in it."""
    if target.rule.timestamp_column is None:
        return None, None
    column = TimestampColumn(target.schema, target.rule)
    found = column.range_in(metadata)
    if found is False:
        found = _range_of_column(source, column)
    return (column.moment(found[0]), column.moment(found[1])) if isinstance(found, tuple) else (None, None)


def same_columns(left: pa.Schema, right: pa.Schema) -> bool:
    """True when both schemas are the same parquet columns: names, order and types. Nullability may differ, and so may
    what is a matter of memory only (large and view variants of strings and lists)."""
    return left.names == right.names and all(_same_type(a.type, b.type) for a, b in zip(left, right, strict=True))


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


def _has_no_row_too_old(metadata: pq.FileMetaData, source: Source, target: Target) -> bool:
    rule = target.rule
    if source.whole or rule.not_before is None or rule.timestamp_column is None:
        return True
    return TimestampColumn(target.schema, rule).all_kept(metadata)


def _range_of_column(source: Source, column: TimestampColumn) -> tuple[int, int] | None:
    import pyarrow.compute as pc

    lows: list[int] = []
    highs: list[int] = []
    with opened(source) as file:
        for batch in batches(file, [column.path[0]]):
            seen = pc.call_function("min_max", [column.ticks(batch)]).as_py()
            if seen["min"] is not None:
                lows.append(seen["min"])
                highs.append(seen["max"])
    return (min(lows), max(highs)) if lows else None
