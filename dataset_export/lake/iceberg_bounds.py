"""What the manifests of an Iceberg table prove about a timestamp column: bounds as `SourceFile` has them."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dataset_export.lake.iceberg_manifests import Entry

if TYPE_CHECKING:
    from pyiceberg.schema import Schema
    from pyiceberg.types import IcebergType, NestedField

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400_000_000


def timestamp_field(schema: "Schema", column: str | None) -> "NestedField | None":
    """A column by its name, or the path of one inside a struct; None when the schema has none such."""
    try:
        return schema.find_field(column) if column is not None else None
    except ValueError:
        return None


class TimestampBounds:
    """Reads the bounds of one column, or of none."""

    def __init__(self, field: "NestedField | None") -> None:
        self._id = field.field_id if field is not None else -1
        self._bytes, self._micros, self._parts = _unit(field.field_type) if field is not None else (0, 0, 1)

    def least(self, entry: Entry) -> str | None:
        """A lower bound (ISO-8601, UTC) of the column in a file; None when none is known."""
        bound = entry.least.get(self._id)
        if bound is None or len(bound) != self._bytes:
            return None
        return _text(int.from_bytes(bound, "little", signed=True) * self._micros // self._parts)

    def greatest(self, entry: Entry) -> str | None:
        """An upper bound likewise; None also when a value may be null."""
        bound = entry.most.get(self._id)
        if bound is None or len(bound) != self._bytes or entry.null_counts.get(self._id) != 0:
            return None
        return _text(-(-int.from_bytes(bound, "little", signed=True) * self._micros // self._parts))


def _unit(kind: "IcebergType") -> tuple[int, int, int]:
    """Of the serialized values of a type: their size in bytes, and what one of them is in microseconds, as a fraction. A size that no
    bound has for a type that is no time."""
    from pyiceberg.types import DateType, TimestampNanoType, TimestampType, TimestamptzNanoType, TimestamptzType

    if isinstance(kind, TimestampType | TimestamptzType):
        return 8, 1, 1
    if isinstance(kind, TimestampNanoType | TimestamptzNanoType):
        return 8, 1, 1000
    return (4, _DAY, 1) if isinstance(kind, DateType) else (-1, 0, 1)


def _text(micros: int) -> str | None:
    """None for a moment that no `datetime` can have."""
    try:
        return (_EPOCH + timedelta(microseconds=micros)).isoformat()
    except OverflowError:
        return None
