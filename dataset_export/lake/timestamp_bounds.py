"""What a Delta log's statistics of a timestamp column prove about the files: bounds as `SourceFile` has them."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_ISO = "%Y-%m-%dT%H:%M:%S+00:00"
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_CUT_OFF = timedelta(milliseconds=1)
"""Writers cut the greatest value off after its milliseconds (Delta: "Per-file Statistics")."""


def lower_bound(least: Any) -> str | None:
    """What no value of a file is below, ISO-8601 in UTC, by the log's least one; None when that is no time."""
    found = _moment(least)
    return found.isoformat(timespec="microseconds") if found is not None else None


def upper_bound(most: Any, nulls: Any) -> str | None:
    """What every value of a file is below, ISO-8601 in UTC, by the log's greatest one; None when that is no time, or some
    value may be null."""
    found = _moment(most)
    if found is None or nulls != 0:
        return None
    try:
        return (found + _CUT_OFF).isoformat(timespec="microseconds")
    except OverflowError:
        return None


def _moment(value: Any) -> datetime | None:
    """A statistic that is a datetime or its text, in UTC; None when it is neither."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    try:
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        return None


def lower_bounds(least: "pa.Array") -> list[str | None]:
    """`lower_bound` of many files."""
    moments = _moments(least)
    return [lower_bound(value) for value in least.to_pylist()] if moments is None else _texts(moments)


def upper_bounds(most: "pa.Array", nulls: "pa.Array") -> list[str | None]:
    """`upper_bound` of many files."""
    import pyarrow as pa
    import pyarrow.compute as pc

    moments = _moments(most)
    if moments is None:
        return [upper_bound(*pair) for pair in zip(most.to_pylist(), nulls.to_pylist(), strict=True)]
    none = pc.call_function("equal", [nulls, pa.scalar(0, nulls.type)])
    proven = pc.call_function("if_else", [none, moments, pa.scalar(None, moments.type)])
    return _texts(pc.call_function("add", [proven, pa.scalar(_CUT_OFF, pa.duration("us"))]))


def _moments(values: "pa.Array") -> "pa.Array | None":
    """Microseconds in UTC; None for a type that may be no time. A value that no `datetime` can have is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_timestamp(values.type):
        return None
    moments = values.cast(pa.timestamp("us", "UTC"), safe=False)
    first, last = (pa.scalar(bound, moments.type) for bound in (_FIRST, _LAST - _CUT_OFF))
    early, late = pc.call_function("less", [moments, first]), pc.call_function("greater", [moments, last])
    outside = pc.call_function("or", [early, late])
    return pc.call_function("if_else", [outside, pa.scalar(None, moments.type), moments])


def _texts(moments: "pa.Array") -> list[str | None]:
    import pyarrow.compute as pc

    return pc.call_function("strftime", [moments], pc.StrftimeOptions(_ISO)).to_pylist()
