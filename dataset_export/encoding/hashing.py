"""Columns as hashes: SHA-256 over a secret salt and the text of the value, in lower-case hex.

Equal values have equal hashes, whatever column or file they are in, so that a reader can join and count without seeing them. Null
stays null.

| value | its text |
| --- | --- |
| string | itself, in UTF-8 |
| binary | its bytes |
| anything else | as in NDJSON (`json_values`): `42`, `true`, `12.50`, `2026-11-02`, `2026-11-02T08:00:00Z` |
| NaN, infinities | `NaN`, `Infinity`, `-Infinity` |
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from dataset_export.encoding.json_values import float_text, value_texts
from dataset_export.encoding.kinds import is_bytes, is_text
from dataset_export.encoding.nested import decoded

if TYPE_CHECKING:
    import pyarrow as pa


def hashed(array: pa.Array, salt: bytes, name: str) -> pa.Array:
    """The hashes of an array that is not nested, as strings; null where a value is.

    Args:
        array: the values.
        salt: comes before the text of every value.
        name: what to call the column in errors.

    Raises:
        UnsupportedTable: for a moment outside the years -262143 to 262142, and for a type that has no text.
    """
    import pyarrow as pa

    seeded = hashlib.sha256(salt)

    def hash_of(text: bytes) -> str:
        digest = seeded.copy()
        digest.update(text)
        return digest.hexdigest()

    # Values repeat: each is hashed once.
    texts = _texts(decoded(array), name).dictionary_encode()
    hashes = pa.array([hash_of(text) for text in texts.dictionary.to_pylist()], pa.string())
    return hashes.take(texts.indices)


def _texts(array: Any, name: str) -> pa.Array:
    """The text of every value, as binary; null stays null."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_null(array.type):
        return array.cast(pa.large_binary())
    if is_text(array.type) or is_bytes(array.type) or types.is_fixed_size_binary(array.type):
        return array.cast(pa.large_binary())
    if types.is_floating(array.type):
        return _float_texts(array, name)
    return _spread(value_texts(array.drop_null(), name), array.is_valid())


def _float_texts(array: Any, name: str) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    finite = pc.fill_null(pc.call_function("is_finite", [array]), False)
    others = pc.call_function("and_not", [array.is_valid(), finite])
    texts = _spread(value_texts(array.filter(finite), name), finite)
    odd = pa.array([float_text(value).encode() for value in array.filter(others).to_pylist()], pa.large_binary())
    return pc.call_function("coalesce", [texts, _spread(odd, others)])


def _spread(texts: pa.Array, where: pa.Array) -> pa.Array:
    """An array that has `texts`, in their order, where `where` is true, and null elsewhere."""
    import pyarrow as pa
    import pyarrow.compute as pc

    positions = pc.call_function("subtract", [pc.call_function("cumulative_sum", [where.cast(pa.int64())]), 1])
    indices = pc.call_function("if_else", [where, positions, pa.scalar(None, pa.int64())])
    return texts.cast(pa.large_binary()).take(indices)
