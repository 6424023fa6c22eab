"""The net-new difference: rows of the added files minus rows of the removed files, as multisets.

A row is a 16-byte digest of its values, so memory depends on the removed rows alone. Two rows are equal when every
value is, bit for bit: null differs from empty, -0.0 from 0.0, and the order of a map's entries counts. Only NaN is one
value, whatever its bits. Two different rows have the same digest with a chance of 1 in 2^128.
"""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING, Any

from dataset_export.encoding.kinds import is_bytes, is_list, is_text
from dataset_export.encoding.nested import decoded, list_parts, map_parts, struct_parts
from dataset_export.errors import UnsupportedTable

if TYPE_CHECKING:
    import pyarrow as pa

LIMIT = 20_000_000
"""Removed rows of one difference: their digests and counts take 0.5 GB, and twice that while they are sorted."""

DIGEST_BYTES = 16
NULL = b"\0"
VALUE = b"\1"


class Removed:
    """The multiset of removed rows: `add` them all, `seal`, then take from it what is still there.

    Rows must have equal schemas, nested names and types included."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._rows = 0
        self._digests: Any = None
        self._left: Any = None

    def add(self, batch: pa.RecordBatch) -> None:
        """Add removed rows. Raises UnsupportedTable above `LIMIT` rows."""
        self._rows += batch.num_rows
        if self._rows > LIMIT:
            raise UnsupportedTable(
                f"More than {LIMIT:,} rows were rewritten in the table since the last export, too many to compare: "
                "export this dataset in full, or more often."
            )
        self._pieces.append(b"".join(digests(batch)))

    def seal(self) -> None:
        """End of the removed rows."""
        import numpy as np

        if self._rows:
            every = np.frombuffer(b"".join(self._pieces), dtype=f"S{DIGEST_BYTES}")
            self._digests, self._left = np.unique(every, return_counts=True)
        self._pieces = []

    def take_from(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of `batch` that are net new; each of the others uses up one removed row."""
        import numpy as np
        import pyarrow as pa

        if not self._rows:
            return batch
        rows = np.frombuffer(b"".join(digests(batch)), dtype=f"S{DIGEST_BYTES}")
        places = np.minimum(np.searchsorted(self._digests, rows), len(self._digests) - 1)
        net_new = self._digests[places] != rows
        for row in np.flatnonzero(~net_new):
            if self._left[places[row]]:
                self._left[places[row]] -= 1
            else:
                net_new[row] = True
        return batch if net_new.all() else batch.filter(pa.array(net_new))


def digests(batch: pa.RecordBatch) -> list[bytes]:
    """One digest per row."""
    columns = [_canonical(column) for column in batch.columns]
    if not columns:
        return [hashlib.blake2b(b"", digest_size=DIGEST_BYTES).digest()] * batch.num_rows
    return [
        hashlib.blake2b(b"".join(values), digest_size=DIGEST_BYTES).digest() for values in zip(*columns, strict=True)
    ]


def _canonical(array: pa.Array) -> list[bytes]:
    """One byte string per value, equal for equal values only; none is the beginning of another one."""
    from pyarrow import types

    array = decoded(array)
    kind = array.type
    if types.is_null(kind):
        return [NULL] * len(array)
    if types.is_struct(kind):
        payloads = [
            b"".join(values) for values in zip(*(_canonical(part) for part in struct_parts(array)), strict=True)
        ]
        return _with_nulls(array, payloads or [b""] * len(array))
    if types.is_map(kind):
        offsets, keys, values = map_parts(array)
        entries = [key + value for key, value in zip(_canonical(keys), _canonical(values), strict=True)]
        return _with_nulls(array, _counted(offsets, entries))
    if is_list(kind):
        offsets, values = list_parts(array)
        return _with_nulls(array, _counted(offsets, _canonical(values)))
    if is_text(kind) or is_bytes(kind):
        return [NULL if value is None else VALUE + _length(value) + value for value in _bytes(array)]
    return _with_nulls(array, _fixed(array))


def _with_nulls(array: pa.Array, payloads: list[bytes]) -> list[bytes]:
    if not array.null_count:
        return [VALUE + payload for payload in payloads]
    valid = array.is_valid().to_pylist()
    return [VALUE + payload if present else NULL for payload, present in zip(payloads, valid, strict=True)]


def _counted(offsets: Any, values: list[bytes]) -> list[bytes]:
    bounds = offsets.tolist()
    return [
        (end - start).to_bytes(8, "little") + b"".join(values[start:end]) for start, end in itertools.pairwise(bounds)
    ]


def _length(value: bytes) -> bytes:
    return len(value).to_bytes(8, "little")


def _bytes(array: pa.Array) -> list[bytes | None]:
    import pyarrow as pa

    return array.cast(pa.large_binary()).to_pylist()


def _fixed(array: pa.Array) -> list[bytes]:
    """The bytes of values of one width, those under a null included."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import types

    if types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    if types.is_floating(array.type):
        values = array.to_numpy(zero_copy_only=False).copy()
        values[np.isnan(values)] = np.nan
        raw, width, start = values.tobytes(), values.dtype.itemsize, 0
    elif (width := array.type.bit_width // 8) == 0:
        return [b""] * len(array)
    else:
        raw, start = array.buffers()[1].to_pybytes(), array.offset * width
    return [raw[place : place + width] for place in range(start, start + len(array) * width, width)]
