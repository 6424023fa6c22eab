"""The rows of one delivered file: read, given the target's columns, and counted.

Every row of every source that counts is delivered, excluded by the rule, or carried over; `Rows.batches` proves it at
the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from dataset_export.encoding.column_path import ColumnPath
from dataset_export.encoding.conform import conform, plain_schema
from dataset_export.encoding.contract import Encoded, Source, Target, Way
from dataset_export.encoding.net_new import Removed
from dataset_export.encoding.old_rows import runs
from dataset_export.encoding.parquet_input import batches, opened
from dataset_export.encoding.parquet_leaves import leaves_of
from dataset_export.encoding.projection import Projection
from dataset_export.encoding.row_selection import selection_of
from dataset_export.encoding.timestamps import Age, TimestampColumn
from dataset_export.errors import IntegrityError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


class Rows:
    """Reads the sources once and keeps the counts.

    Attributes:
        schema: what every batch has: the delivered columns of the target schema, in plain form.
        delivered, excluded, carried_over: rows so far.
    """

    def __init__(self, sources: Sequence[Source], target: Target, minus: Sequence[Source]) -> None:
        table = plain_schema(target.schema)
        self._projection = Projection(table, target.columns)
        self.schema = self._projection.schema
        self.delivered = self.excluded = self.carried_over = 0
        self._sources = sources
        self._minus = minus
        self._timestamps = TimestampColumn(table, target.rule) if target.rule.timestamp_column else None
        # An update of a column that is not delivered makes a row net new too, so the difference needs whole rows.
        self._read_schema = table if minus else self._projection.needed(self._timestamp_path)
        self._first: int | None = None
        self._last: int | None = None
        self._skipped = 0

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows to deliver, a bounded number at a time. Raises as `encode.encode` does."""
        seen = 0
        with Removed() as removed:
            self._take_in(removed)
            for source in self._sources:
                if source.old is not None and not self._minus:
                    seen, self.excluded = seen + source.old, self.excluded + source.old
                    continue
                for age, batch in _read(source, self._read_schema, partial(self._runs, source)):
                    seen += batch.num_rows
                    net_new = removed.take_from(batch)
                    self.carried_over += batch.num_rows - net_new.num_rows
                    kept = self._kept(net_new, age)
                    self.delivered += kept.num_rows
                    if kept.num_rows:
                        yield self._projection.apply(kept)
        seen += self._skipped
        self.excluded += self._skipped
        if self.delivered + self.excluded + self.carried_over != seen:
            raise IntegrityError(
                f"Of {seen} rows read, {self.delivered} were delivered, {self.excluded} excluded, and "
                f"{self.carried_over} carried over: that is not all of them."
            )

    def encoded(self, way: Way) -> Encoded:
        """What was written, after the last batch."""
        path = self._timestamp_path
        # What is not delivered is not told in another place either.
        moment = self._timestamps.moment if self._timestamps and path and self._projection.keeps(path) else None
        return Encoded(
            rows=self.delivered,
            excluded=self.excluded,
            carried_over=self.carried_over,
            first_timestamp=None if moment is None or self._first is None else moment(self._first),
            last_timestamp=None if moment is None or self._last is None else moment(self._last),
            way=way,
        )

    def _take_in(self, removed: Removed) -> None:
        for source in self._minus:
            for _, batch in _read(source, self._read_schema, _all_groups):
                removed.add(batch)
        removed.seal()
        for source in self._sources if removed.two_passes else ():
            for _, batch in _read(source, self._read_schema, _all_groups):
                removed.look_at(batch)

    def range_of(self, delivered: pa.Table) -> tuple[datetime | None, datetime | None]:
        """Range of the timestamp column over some of the delivered rows; as in `encoded`."""
        import pyarrow.compute as pc

        path = self._timestamp_path
        if self._timestamps is None or path is None or not self._projection.keeps(path):
            return None, None
        ranges = [
            pc.call_function("min_max", [self._timestamps.ticks(batch)]).as_py() for batch in delivered.to_batches()
        ]
        found = [one for one in ranges if one["min"] is not None]
        if not found:
            return None, None
        moment = self._timestamps.moment
        return moment(min(one["min"] for one in found)), moment(max(one["max"] for one in found))

    @property
    def _timestamp_path(self) -> ColumnPath | None:
        return tuple(self._timestamps.path) if self._timestamps is not None else None

    def _runs(self, source: Source, metadata: pq.FileMetaData) -> list[tuple[Age, list[int]]]:
        """The row groups to read and their age; those that are too old are counted."""
        found = runs(metadata, source, self._timestamps)
        if self._minus:
            return [(Age.NEW if age is Age.NEW else Age.MIXED, groups) for age, groups in found]
        old = (metadata.row_group(index).num_rows for age, groups in found if age is Age.OLD for index in groups)
        self._skipped += sum(old)
        return [(age, groups) for age, groups in found if age is not Age.OLD]

    def _kept(self, batch: pa.RecordBatch, age: Age) -> pa.RecordBatch:
        import pyarrow.compute as pc

        if self._timestamps is None:
            return batch
        ticks = self._timestamps.ticks(batch)
        mask = None if age is Age.NEW else self._timestamps.kept(ticks)
        if mask is not None and pc.call_function("all", [mask]).as_py() is False:
            rows = batch.num_rows
            batch, ticks = batch.filter(mask), ticks.filter(mask)
            self.excluded += rows - batch.num_rows
        found = pc.call_function("min_max", [ticks]).as_py()
        if found["min"] is not None:
            self._first = found["min"] if self._first is None else min(self._first, found["min"])
            self._last = found["max"] if self._last is None else max(self._last, found["max"])
        return batch


def _all_groups(metadata: pq.FileMetaData) -> list[tuple[Age, list[int]]]:
    return [(Age.NEW, list(range(metadata.num_row_groups)))]


def _read(
    source: Source, schema: pa.Schema, runs_of: Callable[[pq.FileMetaData], list[tuple[Age, list[int]]]]
) -> Iterator[tuple[Age, pa.RecordBatch]]:
    """The rows of one source that count, as batches of `schema`; the row groups that `runs_of` chooses are read as far as
    the footer says, and what it says of their age is passed on. Only what the schema has is read."""
    selected = selection_of(source)
    missing = source.columns.missing if source.columns is not None else None
    with opened(source, nanoseconds="timestamp[ns" in str(schema)) as file:
        wanted = leaves_of(file, [field for field in schema if field.name not in source.partition])
        for age, groups in runs_of(file.metadata):
            seen = 0
            for batch in batches(file, wanted, groups):
                first, seen = seen, seen + batch.num_rows
                # Plain types first: pyarrow filters no views.
                plain = conform(batch, schema, source.partition, source.name, missing)
                yield age, plain if selected is None else selected.of(plain, first)
            _require_all(source, seen, sum(file.metadata.row_group(index).num_rows for index in groups))
        if selected is not None:
            selected.require_within(file.metadata.num_rows)


def _require_all(source: Source, seen: int, expected: int) -> None:
    if seen != expected:
        raise IntegrityError(
            f"{source.name} has {expected} rows by its footer and {seen} were read: restore it in the table."
        )
