"""Timestamps, dates and times of day as arrow-rs writes them right (spec S6).

Those of the years around now become text here, from tables: arrow-rs writes a text three times as fast as it makes one of a
timestamp or a date, and it keeps the interpreter's lock meanwhile. The text is the same.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from dataset_export.encoding.timestamps import UNITS_PER_SECOND
from dataset_export.errors import UnsupportedTable

if TYPE_CHECKING:
    import pyarrow as pa

LAST_SECOND = 8_210_266_876_799
FIRST_SECOND = -8_334_601_228_800
"""The range arrow-rs can write, in seconds since 1970: the years -262143 to 262142. Beyond it, it writes an error text
where the value should be."""

FIRST_DAY = "1900-01-01"
LAST_DAY = "2199-12-31"
"""The days whose text is kept in a table, 1 MB of it. Others are for arrow-rs."""

_DAY = 86_400
THREES = {"s": 0, "ms": 1, "us": 2, "ns": 3}
"""How often three digits of a second a unit has."""


def is_moment(kind: Any) -> bool:
    """True for timestamps, dates and times of day."""
    from pyarrow import types

    return types.is_timestamp(kind) or types.is_date(kind) or types.is_time(kind)


def moments(array: pa.Array, name: str) -> Any:
    """Moments that arrow-rs is right about, or their text. Raises UnsupportedTable naming the column for a moment outside the
    years -262143 to 262142, and for a time outside a day."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_time(array.type):
        integers = array.cast(pa.int32() if array.type.bit_width == 32 else pa.int64())
        _range(integers, 0, _DAY * UNITS_PER_SECOND[array.type.unit] - 1, name)
        return array
    if types.is_date(array.type):
        return _dates(array.cast(pa.date32()), name)
    return _timestamps(array, name)


def _dates(array: pa.Array, name: str) -> Any:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    integers = array.cast(pa.int32())
    found = _range(integers, FIRST_SECOND // _DAY, LAST_SECOND // _DAY, name)
    first, last, days = _days()
    if found is None or found[0] < first or found[1] > last:
        return array
    texts = np.take(days, pc.fill_null(integers, first).to_numpy() - first)
    return _with_nulls_of(array, _array_of(texts))


def _timestamps(array: pa.Array, name: str) -> Any:
    import pyarrow as pa

    unit = array.type.unit
    ticks = UNITS_PER_SECOND[unit]
    integers = array.cast(pa.int64())
    found = _range(integers, FIRST_SECOND * ticks, LAST_SECOND * ticks + ticks - 1, name)
    first, last, _ = _days()
    if found is not None and first * _DAY * ticks <= found[0] and found[1] < (last + 1) * _DAY * ticks:
        return _texts(integers, unit)
    utc = pa.timestamp(unit, tz="UTC")
    return array if array.type.equals(utc) else array.view(utc)


def _range(integers: pa.Array, low: int, high: int, name: str) -> tuple[int, int] | None:
    """The smallest and the largest value; None without any. Raises UnsupportedTable when they are beyond `low` or `high`."""
    import pyarrow.compute as pc

    found = pc.call_function("min_max", [integers]).as_py()
    if found["min"] is None:
        return None
    if not (low <= found["min"] and found["max"] <= high):
        raise UnsupportedTable(
            f"Column {name} has a moment that JSON text cannot express: deliver parquet, or correct the value."
        )
    return found["min"], found["max"]


def _texts(integers: pa.Array, unit: str) -> pa.Array:
    """`YYYY-MM-DDTHH:MM:SSZ`, with as many digits of a second as a value needs, in threes. All days are in the table."""
    import numpy as np
    import pyarrow.compute as pc

    seconds, rest = _divided(pc.fill_null(integers, 0).to_numpy(), UNITS_PER_SECOND[unit])
    day, seconds = _divided(seconds, _DAY)
    minute, second = _divided(seconds, 60)
    indices = [day - _days()[0], minute, second]
    needed = np.zeros(len(rest), np.int8)
    divisor = UNITS_PER_SECOND[unit]
    for threes in range(1, THREES[unit] + 1):
        divisor //= 1000
        three, rest = _divided(rest, divisor)
        needed[three != 0] = threes
        indices.append(three)
    return _with_nulls_of(integers, _of_needed_length(indices, needed))


def _divided(values: Any, by: int) -> tuple[Any, Any]:
    """Quotient, rounded down, and rest. NumPy divides by a constant several times as fast as it makes both in one."""
    quotient = values // by
    return quotient, values - quotient * by


def _of_needed_length(indices: list[Any], needed: Any) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    most = int(needed.max(initial=0))
    texts = [_of_one_length(indices, most)]
    order = np.arange(len(needed))
    for threes in range(most):
        places = np.flatnonzero(needed == threes)
        if len(places):
            order[places] = sum(map(len, texts)) + np.arange(len(places))
            texts.append(_of_one_length([index[places] for index in indices], threes))
    return texts[0] if len(texts) == 1 else pa.concat_arrays(texts).take(pa.array(order))


def _of_one_length(indices: list[Any], threes: int) -> pa.Array:
    """Texts with so many threes of digits; `indices` are places in the tables of days, minutes, seconds and threes."""
    import numpy as np

    tables = [_days()[2], *_clock(), *([_thousandths(first=True)] if threes else []), *[_thousandths()] * (threes - 1)]
    kinds = [(f"f{place}", table.dtype) for place, table in enumerate(tables)]
    rows = np.empty(len(indices[0]), [*kinds, ("z", "S1")])
    for (field, _), table, index in zip(kinds, tables, indices, strict=False):
        rows[field] = np.take(table, index)
    rows["z"] = b"Z"
    return _array_of(rows)


def _array_of(rows: Any) -> pa.Array:
    """A numpy array of texts, all of the same length, as strings."""
    import numpy as np
    import pyarrow as pa

    offsets = np.arange(len(rows) + 1, dtype=np.int32) * np.int32(rows.itemsize)
    return pa.Array.from_buffers(pa.string(), len(rows), [None, pa.py_buffer(offsets), pa.py_buffer(rows)])


def _with_nulls_of(array: pa.Array, texts: pa.Array) -> pa.Array:
    import pyarrow as pa

    valid = array.is_valid().buffers()[1] if array.null_count else None
    return pa.Array.from_buffers(pa.string(), len(texts), [valid, *texts.buffers()[1:]])


@cache
def _days() -> tuple[int, int, Any]:
    """First and last day since 1970, and the text of each from the first to the last."""
    import numpy as np

    days = np.arange(np.datetime64(FIRST_DAY), np.datetime64(LAST_DAY) + 1)
    return int(days[0].astype(int)), int(days[-1].astype(int)), np.datetime_as_string(days).astype("S10")


@cache
def _clock() -> tuple[Any, Any]:
    """`THH:MM` for every minute of a day, `:SS` for every second of a minute."""
    import numpy as np

    minutes = [f"T{minute // 60:02d}:{minute % 60:02d}" for minute in range(_DAY // 60)]
    return np.array(minutes, "S6"), np.array([f":{second:02d}" for second in range(60)], "S3")


@cache
def _thousandths(*, first: bool = False) -> Any:
    """Three digits for every number below a thousand; the first three come with a dot."""
    import numpy as np

    return np.array([f"{'.' if first else ''}{number:03d}" for number in range(1000)], "S4" if first else "S3")
