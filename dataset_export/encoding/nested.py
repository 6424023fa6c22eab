"""Take nested Arrow arrays apart and put them together again, whatever slices and null slots they have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dataset_export.encoding.kinds import is_large

if TYPE_CHECKING:
    import pyarrow as pa


def decoded(array: pa.Array) -> pa.Array:
    """The array without a dictionary, run ends or an extension type around it."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    if isinstance(array, pa.ExtensionArray):
        return decoded(array.storage)
    if types.is_dictionary(array.type):
        return array.dictionary_decode()
    if types.is_run_end_encoded(array.type):
        return pc.call_function("run_end_decode", [array])
    return array


def struct_parts(array: pa.Array) -> list[pa.Array]:
    """The fields of a struct array; null where the struct is null."""
    return array.flatten()


def join_struct(like: pa.Array, parts: list[pa.Array], fields: list[pa.Field]) -> pa.Array:
    """A struct array of `parts` that is null where `like` is."""
    import pyarrow as pa

    if not fields:
        return like
    return pa.StructArray.from_arrays(parts, fields=fields, mask=like.is_null() if like.null_count else None)


def list_parts(array: pa.Array) -> tuple[Any, pa.Array]:
    """Offsets (a numpy array that starts at 0) and the values of a list array; a null list has none."""
    import numpy as np
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.call_function("list_value_length", [array]), 0).to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]), array.flatten()


def join_list(like: pa.Array, offsets: Any, values: pa.Array) -> pa.Array:
    """A list array of `values` that is null where `like` is; large if `like` is large."""
    import numpy as np
    import pyarrow as pa

    mask = like.is_null() if like.null_count else None
    if is_large(like.type):
        return pa.LargeListArray.from_arrays(pa.array(offsets), values, mask=mask)
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), values, mask=mask)


def map_parts(array: pa.Array) -> tuple[Any, pa.Array, pa.Array]:
    """Offsets (a numpy array that starts at 0), keys and values of a map array; a null map has none."""
    import numpy as np

    offsets = array.offsets.to_numpy()
    if array.null_count and np.diff(offsets)[array.is_null().to_numpy(zero_copy_only=False)].any():
        # Slots under a null may hold entries; taking every row writes the array anew without them.
        array = array.take(np.arange(len(array)))
        offsets = array.offsets.to_numpy()
    first, size = int(offsets[0]), int(offsets[-1] - offsets[0])
    return offsets.astype(np.int64) - first, array.keys.slice(first, size), array.items.slice(first, size)


def join_map(like: pa.Array, offsets: Any, keys: pa.Array, values: pa.Array) -> pa.Array:
    """A map array of `keys` and `values` that is null where `like` is."""
    import numpy as np
    import pyarrow as pa

    mask = like.is_null() if like.null_count else None
    return pa.MapArray.from_arrays(pa.array(offsets.astype(np.int32)), keys, values, mask=mask)
