"""Digests of rows, computed column by column over Arrow's buffers.

Two rows have equal digests when every value is equal, bit for bit: null differs from empty, -0.0 from 0.0, and the order of
a map's entries counts. Only NaN is one value, whatever its bits. A digest is two words of 64 bits, each a hash of its own
under keys that are drawn anew for every comparison, so that no data can be made to collide; by chance two different rows
have the same digest once in 2^128.

A hash is built from one step, `mix`, which is one to one on 64 bits: of the fields of a row, the hash so far and the next
field go through it in turn. A sequence (the words of a text, the values of a list) is the sum of its values, each mixed with its
position, so that it takes a few operations of numpy however long the longest one is.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from dataset_export.encoding.kinds import is_bytes, is_list, is_text
from dataset_export.encoding.nested import decoded, list_parts, map_parts, struct_parts

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

WORD_BYTES = 8
_LANES = 2


class RowDigests:
    """Digests under keys of its own: only those of one object can be compared."""

    def __init__(self) -> None:
        self._null, self._row, self._struct, self._length, self._wide, self._place = (_keys() for _ in range(6))
        self._stride, self._first, self._second = (_keys() | 1 for _ in range(3))

    def of(self, batch: pa.RecordBatch) -> np.ndarray:
        """One digest per row: an array of two rows of 64-bit words."""
        return self._fields(batch.columns, self._row, batch.num_rows)

    def _fields(self, columns: list[pa.Array], key: np.ndarray, rows: int) -> np.ndarray:
        import numpy as np

        found = np.repeat(key, rows, axis=1)
        for column in columns:
            found = self._mix(found ^ self._values(column))
        return found

    def _values(self, array: pa.Array) -> np.ndarray:
        """Words that are equal for equal values only: one for both hashes, or two rows of them."""
        import numpy as np
        from pyarrow import types

        array = decoded(array)
        if array.null_count == len(array) or types.is_null(array.type):
            return np.repeat(self._null, len(array), axis=1)
        found = self._present(array)
        if not array.null_count:
            return found
        return np.where(array.is_valid().to_numpy(zero_copy_only=False), found, self._null)

    def _present(self, array: pa.Array) -> np.ndarray:
        """As `_values`; what it has for nulls means nothing."""
        import pyarrow as pa
        from pyarrow import types

        kind = array.type
        if types.is_struct(kind):
            return self._fields(struct_parts(array), self._struct, len(array))
        if types.is_map(kind):
            offsets, keys, values = map_parts(array)
            return self._sequences(self._fields([keys, values], self._struct, len(keys)), offsets)
        if is_list(kind):
            offsets, values = list_parts(array)
            return self._sequences(self._values(values), offsets)
        if is_text(kind) or is_bytes(kind):
            return self._texts(array.cast(pa.large_binary()))
        if types.is_fixed_size_binary(kind):
            return self._texts(array.cast(pa.binary()).cast(pa.large_binary()))
        return self._fixed(array)

    def _fixed(self, array: pa.Array) -> np.ndarray:
        """Values of one width."""
        import numpy as np
        import pyarrow as pa
        from pyarrow import types

        if types.is_boolean(array.type):
            array = array.cast(pa.uint8())
        width = array.type.bit_width // 8
        data = array.buffers()[1]
        if width <= WORD_BYTES:
            words = np.frombuffer(data, f"<u{width}")[array.offset : array.offset + len(array)]
            if types.is_floating(array.type):
                numbers = words.view(f"<f{width}")
                words = np.where(np.isnan(numbers), np.array(np.nan, f"<f{width}").view(f"<u{width}"), words)
            return words.astype(np.uint64)
        count = width // WORD_BYTES
        every = np.frombuffer(data, "<u8")[array.offset * count : (array.offset + len(array)) * count]
        found = np.repeat(self._wide, len(array), axis=1)
        for words in every.reshape(-1, count).T:
            found = self._mix(found ^ words)
        return found

    def _texts(self, array: pa.Array) -> np.ndarray:
        import numpy as np

        _, offsets_buffer, data = array.buffers()
        offsets = np.frombuffer(offsets_buffer, "<i8")[array.offset : array.offset + len(array) + 1]
        first, size = int(offsets[0]), int(offsets[-1] - offsets[0])
        padded = np.zeros(size + WORD_BYTES, np.uint8)
        if size:
            padded[:size] = np.frombuffer(data, np.uint8)[first : first + size]
        lengths = np.diff(offsets)
        counts = -(-lengths // WORD_BYTES)
        bounds = np.concatenate([[0], np.cumsum(counts)])
        places = np.arange(bounds[-1]) - np.repeat(bounds[:-1], counts)
        starts = np.repeat(offsets[:-1] - first, counts) + places * WORD_BYTES
        # A word at every byte, of which those are taken that begin a word of a text.
        words = np.ndarray((size + 1,), "<u8", padded.data, strides=(1,))[starts]
        left = np.minimum(np.repeat(lengths, counts) - places * WORD_BYTES, WORD_BYTES)
        return self._sums(words & _byte_masks()[left], places, bounds, lengths)

    def _sequences(self, values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        import numpy as np

        lengths = np.diff(offsets)
        places = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        return self._sums(values, places, offsets, lengths)

    def _sums(self, words: np.ndarray, places: np.ndarray, bounds: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Of each sequence of words, from one of `bounds` to the next; `places` are those of the words in it."""
        import numpy as np

        terms = self._mix(words ^ (places.astype(np.uint64) * self._stride + self._place))
        sums = np.zeros((_LANES, len(places) + 1), np.uint64)
        np.cumsum(terms, axis=1, dtype=np.uint64, out=sums[:, 1:])
        found = sums[:, bounds[1:]] - sums[:, bounds[:-1]]
        return self._mix(found ^ self._mix(lengths.astype(np.uint64) ^ self._length))

    def _mix(self, words: np.ndarray) -> np.ndarray:
        """`words` afterwards: a new array."""
        import numpy as np

        high, middle = np.uint64(32), np.uint64(29)
        words ^= words >> high
        words *= self._first
        words ^= words >> middle
        words *= self._second
        words ^= words >> high
        return words


def _keys() -> np.ndarray:
    """A random key for each hash."""
    import numpy as np

    return np.frombuffer(os.urandom(_LANES * WORD_BYTES), np.uint64).reshape(_LANES, 1)


def _byte_masks() -> Any:
    """Masks of a word for its first 0 to 8 bytes."""
    import numpy as np

    return np.array([(1 << 8 * count) - 1 for count in range(WORD_BYTES + 1)], np.uint64)
