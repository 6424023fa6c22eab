"""The dataset's timestamp column: which rows are too old, and the range of those that are delivered.

Values are compared as integers in the column's own unit, so nothing is rounded and any year works.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from dataset_export.encoding.contract import RowRule
from dataset_export.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

UNITS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INT64 = 2**63


class Age(Enum):
    """What the row rule makes of the rows of a row group: none is delivered, all are, or each has to be looked at."""

    OLD = auto()
    NEW = auto()
    MIXED = auto()


class TimestampColumn:
    """The timestamp column of a schema. Naive timestamps are UTC, a date is its first instant.

    Raises ConfigError when the schema has no such column or it is neither a timestamp nor a date."""

    def __init__(self, schema: pa.Schema, rule: RowRule) -> None:
        self.path = _path(schema, rule.timestamp_column or "")
        self._kind = _type_at(schema, self.path)
        self._ticks, self._seconds = _resolution(self._kind, rule.timestamp_column or "")
        self._oldest = None if rule.not_before is None else self._ceiling(rule.not_before)

    def is_in(self, schema: pa.Schema) -> bool:
        """Whether a file of this schema has the column, in the same type: then its statistics are in the same unit."""
        try:
            return bool(_type_at(schema, self.path).equals(self._kind))
        except ConfigError:
            return False

    def ticks(self, batch: pa.RecordBatch) -> pa.Array:
        """The column's values as int64, in its own unit; null where the timestamp or a struct around it is null."""
        import pyarrow as pa

        column: Any = batch.column(self.path[0])
        for name in self.path[1:]:
            column = column.flatten()[column.type.get_field_index(name)]
        if column.type.bit_width == 32:
            column = column.cast(pa.int32())
        return column.cast(pa.int64())

    def kept(self, ticks: pa.Array) -> pa.Array | None:
        """A mask of the rows that are delivered, None for all of them. A null timestamp stays (spec S10)."""
        import pyarrow.compute as pc

        if self._oldest is None:
            return None
        return pc.fill_null(pc.call_function("greater_equal", [ticks, self._oldest]), True)

    def range_in(self, metadata: pq.FileMetaData) -> tuple[int, int] | bool | None:
        """Smallest and largest value by the footer's statistics; None when every value is null, False when the
        statistics do not say."""
        low, high = INT64, -INT64
        for index in range(metadata.num_row_groups):
            chunk = self._chunk(metadata.row_group(index))
            if chunk is None or (statistics := chunk.statistics) is None:
                return False
            if statistics.has_min_max:
                low, high = min(low, statistics.min_raw), max(high, statistics.max_raw)
            elif not (statistics.has_null_count and statistics.null_count == chunk.num_values):
                return False
        return (low, high) if low <= high else None

    def ages(self, metadata: pq.FileMetaData) -> list[Age]:
        """What the rule makes of each row group by the footer's statistics. `is_in` has to be true of the file."""
        return [self._age(metadata.row_group(index)) for index in range(metadata.num_row_groups)]

    def _age(self, group: Any) -> Age:
        if self._oldest is None:
            return Age.NEW
        chunk = self._chunk(group)
        if chunk is None or (statistics := chunk.statistics) is None:
            return Age.MIXED
        # A null timestamp stays, so a row group that may have one does not go as a whole.
        nulls = statistics.null_count if statistics.has_null_count else None
        if not statistics.has_min_max:
            return Age.NEW if nulls == group.num_rows else Age.MIXED
        if statistics.min_raw >= self._oldest:
            return Age.NEW
        whole = nulls == 0 and chunk.num_values == group.num_rows
        return Age.OLD if whole and statistics.max_raw < self._oldest else Age.MIXED

    def _chunk(self, group: Any) -> Any | None:
        """The column's chunk, None when there is not exactly one, or values of another width (INT96) have no statistics."""
        leaf = ".".join(self.path)
        columns = [group.column(position) for position in range(group.num_columns)]
        found = [column for column in columns if column.path_in_schema == leaf]
        return found[0] if len(found) == 1 and found[0].physical_type in ("INT32", "INT64") else None

    def all_kept(self, metadata: pq.FileMetaData) -> bool:
        """True when the footer's statistics prove that no row is too old."""
        return all(age is Age.NEW for age in self.ages(metadata))

    def moment(self, ticks: int) -> datetime:
        """A value as a UTC datetime, rounded down to microseconds; years a datetime cannot hold become its limits."""
        micros = ticks * self._seconds * 10**6 // self._ticks
        try:
            return EPOCH + timedelta(microseconds=micros)
        except OverflowError:
            return datetime.max.replace(tzinfo=UTC) if micros > 0 else datetime.min.replace(tzinfo=UTC)

    def _ceiling(self, moment: datetime) -> int:
        micros = (moment - EPOCH) // timedelta(microseconds=1)
        ticks = -(-micros * self._ticks // (self._seconds * 10**6))
        return max(-INT64, min(INT64 - 1, ticks))


def _path(schema: pa.Schema, column: str) -> list[str]:
    return [column] if schema.get_field_index(column) >= 0 else column.split(".")


def _type_at(schema: pa.Schema, path: list[str]) -> Any:
    from pyarrow import types

    fields: Any = schema
    kind: Any = None
    for depth, name in enumerate(path):
        position = fields.get_field_index(name)
        if position < 0:
            raise ConfigError(
                f"The table has no timestamp column {'.'.join(path)}: name one of {', '.join(f.name for f in fields)}."
            )
        kind = fields.field(position).type
        if depth + 1 < len(path) and not types.is_struct(kind):
            raise ConfigError(f"Timestamp column {'.'.join(path)} does not exist: {name} is {kind}, not a struct.")
        fields = kind
    return kind


def _resolution(kind: Any, column: str) -> tuple[int, int]:
    from pyarrow import types

    if types.is_timestamp(kind):
        return UNITS_PER_SECOND[kind.unit], 1
    if types.is_date32(kind):
        return 1, 86_400
    if types.is_date64(kind):
        return 1000, 1
    raise ConfigError(f"Timestamp column {column} is {kind}: name a column of type timestamp or date.")
