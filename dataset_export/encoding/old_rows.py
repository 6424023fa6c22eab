"""Row groups of which no row is delivered, or each, because of their age: they are left out, or moved as they are (spec S10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from dataset_export.encoding.contract import Source, Target
from dataset_export.encoding.parquet_fields import FileMetaData, RowGroup
from dataset_export.encoding.parquet_footer import Footer
from dataset_export.encoding.thrift_compact import I16, I64, LIST, STRUCT, Malformed, write_struct
from dataset_export.encoding.timestamps import Age, TimestampColumn

if TYPE_CHECKING:
    import pyarrow.parquet as pq


def old_rows(sources: Sequence[Source], minus: Sequence[Source]) -> int | None:
    """Rows of the sources when the log proves that none is delivered; else None. What is compared with rows that were there
    before is not known to be old: it may be carried over."""
    counts = [source.old for source in sources]
    return None if minus or None in counts else sum(count for count in counts if count is not None)


def runs(metadata: pq.FileMetaData, source: Source, column: TimestampColumn | None) -> list[tuple[Age, list[int]]]:
    """The row groups of a file in order, those of one age that follow each other together."""
    groups = range(metadata.num_row_groups)
    if column is None or source.whole:
        return [(Age.NEW, list(groups))]
    # Of a group with rows that do not count nobody knows how many of the others there are.
    # A value that a folder is named for stands for that of the file.
    elsewhere = column.path[0] in source.partition or not column.is_in(metadata.schema.to_arrow_schema())
    if source.selection is not None or elsewhere:
        return [(Age.MIXED, list(groups))]
    ages = column.ages(metadata)
    return [(age, list(run)) for age, run in groupby(groups, key=lambda index: ages[index])]


def without_old_groups(footer: Footer, source: Source, target: Target) -> Footer | None:
    """The footer less row groups that are too old, when all others are delivered whole; None when that cannot be said, or there are none such.
    Positions in it are the file's."""
    if target.rule.not_before is None or target.rule.timestamp_column is None:
        return None
    found = runs(footer.metadata, source, TimestampColumn(target.schema, target.rule))
    if {age for age, _ in found} not in ({Age.OLD}, {Age.OLD, Age.NEW}):
        return None
    kept = {index for age, run in found for index in run if age is Age.NEW}
    try:
        struct = footer.copy()
        groups = [group for at, group in enumerate(struct.structs(FileMetaData.ROW_GROUPS)) if at in kept]
    except Malformed:
        return None
    for at, group in enumerate(groups):
        if RowGroup.ORDINAL in group:
            group.put(RowGroup.ORDINAL, I16, at)
    struct.put(FileMetaData.ROW_GROUPS, LIST, (STRUCT, groups))
    rows = sum(group.integer(RowGroup.NUM_ROWS) for group in groups)
    struct.put(FileMetaData.NUM_ROWS, I64, rows)
    return replace(footer, raw=write_struct(struct), left_out=footer.metadata.num_rows - rows)
