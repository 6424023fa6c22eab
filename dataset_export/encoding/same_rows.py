"""When all rows of a file are delivered, so that no value need be decoded: what pass-through, column copying and page
transcoding have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dataset_export.encoding.contract import Source, Target
from dataset_export.encoding.parquet_input import batches, opened
from dataset_export.encoding.projection import Projection
from dataset_export.encoding.timestamps import TimestampColumn

if TYPE_CHECKING:
    import pyarrow.parquet as pq


def has_same_rows(metadata: pq.FileMetaData, source: Source, target: Target) -> bool:
    """True when the footer or the table proves that no row of the file is too old, and none may be deleted."""
    if source.selection is not None:
        return False
    rule = target.rule
    if source.whole or rule.not_before is None or rule.timestamp_column is None:
        return True
    column = TimestampColumn(target.schema, rule)
    return column.is_in(metadata.schema.to_arrow_schema()) and column.all_kept(metadata)


def timestamp_range(
    source: Source, metadata: pq.FileMetaData, target: Target, groups: Sequence[int] | None = None
) -> tuple[Any, Any]:
    """Range of the timestamp column over all rows (UTC), or over those of the row groups that `metadata` has: from the
    footer's statistics when they have it, else from the column itself, in the `groups` of the source with these numbers.
    None twice when there is no such column, no value in it, or it is not delivered as it is."""
    if target.rule.timestamp_column is None:
        return None, None
    column = TimestampColumn(target.schema, target.rule)
    if not Projection(target.schema, target.columns).keeps(column.path):
        return None, None
    found = column.range_in(metadata)
    if found is False:
        found = _range_of_column(source, column, groups)
    return (column.moment(found[0]), column.moment(found[1])) if isinstance(found, tuple) else (None, None)


def _range_of_column(source: Source, column: TimestampColumn, groups: Sequence[int] | None) -> tuple[int, int] | None:
    import pyarrow.compute as pc

    lows: list[int] = []
    highs: list[int] = []
    with opened(source) as file:
        for batch in batches(file, [column.path[0]], groups):
            seen = pc.call_function("min_max", [column.ticks(batch)]).as_py()
            if seen["min"] is not None:
                lows.append(seen["min"])
                highs.append(seen["max"])
    return (min(lows), max(highs)) if lows else None
