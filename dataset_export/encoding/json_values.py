"""The values of a delivered NDJSON file (spec S6), as far as arrow-rs would write them otherwise.

| value | in JSON |
| --- | --- |
| timestamp | ISO-8601 in UTC with `Z`; 0, 3, 6 or 9 digits of a second, as many as the value needs |
| date | `YYYY-MM-DD`; years beyond 9999 with a sign, as ISO-8601 has it |
| time | `HH:MM:SS` with the digits the value needs |
| decimal, integer | a number with all its digits |
| float | the shortest number that reads back equal; NaN and infinities as null |
| binary | base64 with padding |
| map | an object; keys that are not strings as the text they would have as a value |
| null | left out of an object, also as the value of a map; `null` in a list |
"""

from __future__ import annotations

import base64
import io
import json
import math
from functools import cache
from typing import TYPE_CHECKING, Any

from dataset_export.encoding.json_moments import is_moment, moments
from dataset_export.encoding.kinds import is_bytes, is_list, is_text
from dataset_export.encoding.nested import (
    decoded,
    join_list,
    join_map,
    join_struct,
    list_parts,
    map_parts,
    struct_parts,
)
from dataset_export.errors import UnsupportedTable

if TYPE_CHECKING:
    import pyarrow as pa


def check_schema(schema: pa.Schema) -> None:
    """Raise UnsupportedTable naming the column when a type has no JSON form or an object would have a key twice."""
    _check_names(schema.names, "the table")
    for field in schema:
        _check(field.type, field.name)


def json_values(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with the columns changed that arrow-rs would not write as spec S6 says. Raises UnsupportedTable for a
    moment outside the years -262143 to 262142."""
    import pyarrow as pa

    columns = [_ready(column, name) for column, name in zip(batch.columns, batch.schema.names, strict=True)]
    if all(new is old for new, old in zip(columns, batch.columns, strict=True)):
        return batch
    fields = [pa.field(name, column.type) for name, column in zip(batch.schema.names, columns, strict=True)]
    return pa.record_batch(columns, schema=pa.schema(fields))


def _ready(array: pa.Array, name: str) -> Any:
    """The array itself when arrow-rs is right about it, else one that it is right about."""
    from pyarrow import types

    if _is_right(array.type) and not _is_cut(array):
        return array
    array = decoded(array)
    if types.is_nested(array.type):
        return _ready_nested(array, name)
    if types.is_floating(array.type):
        return _finite(array)
    if is_moment(array.type):
        return moments(array, name)
    return _base64(array) if _is_binary(array.type) else array


def _ready_nested(array: pa.Array, name: str) -> Any:
    from pyarrow import types

    kind = array.type
    if types.is_struct(kind):
        parts = struct_parts(array)
        ready = [_ready(part, f"{name}.{field.name}") for part, field in zip(parts, kind, strict=True)]
        whole = _same(parts, ready) and not _is_cut(array)
        return array if whole else join_struct(array, ready, _fields(kind, ready))
    if types.is_map(kind):
        offsets, keys, values = map_parts(array)
        ready = [_key_text(keys, name), _ready(values, f"{name}.value")]
        return array if _same([keys, values], ready) else join_map(array, offsets, *ready)
    offsets, values = list_parts(array)
    ready = _ready(values, f"{name}.element")
    return array if ready is values else join_list(array, offsets, ready)


def _is_cut(array: pa.Array) -> bool:
    """True for structs that are a later part of others: where they hold structs themselves, arrow-rs panics."""
    from pyarrow import types

    return types.is_struct(array.type) and array.offset > 0


def _same(old: list[Any], new: list[Any]) -> bool:
    return all(a is b for a, b in zip(old, new, strict=True))


def _fields(kind: Any, arrays: list[Any]) -> list[pa.Field]:
    import pyarrow as pa

    return [pa.field(field.name, array.type) for field, array in zip(kind, arrays, strict=True)]


@cache
def _is_right(kind: Any) -> bool:
    """True when arrow-rs writes every value of the type as spec S6 says."""
    from pyarrow import types

    if types.is_struct(kind):
        return all(_is_right(field.type) for field in kind)
    if types.is_map(kind):
        return is_text(kind.key_type) and _is_right(kind.item_type)
    if is_list(kind):
        return _is_right(kind.value_type)
    return (
        is_text(kind)
        or types.is_integer(kind)
        or types.is_boolean(kind)
        or types.is_decimal(kind)
        or types.is_null(kind)
    )


def _finite(array: pa.Array) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    finite = pc.call_function("is_finite", [array])
    if pc.call_function("all", [finite]).as_py() is not False:
        return array
    return pc.call_function("if_else", [finite, array, pa.scalar(None, array.type)])


def _base64(array: pa.Array) -> Any:
    import pyarrow as pa

    texts = [None if value is None else base64.b64encode(value) for value in array.to_pylist()]
    return pa.array(texts, pa.large_binary()).cast(pa.large_string())


def _key_text(keys: pa.Array, name: str) -> Any:
    """Keys of a map as strings: the text that arrow-rs writes for them as values, so both always agree."""
    import pyarrow as pa
    from pyarrow import types

    if is_text(keys.type):
        return keys
    if types.is_floating(keys.type):
        return pa.array([float_text(value) for value in keys.to_pylist()], pa.string())
    return value_texts(keys, f"{name}.key")


def value_texts(array: pa.Array, name: str) -> pa.Array:
    """The text that arrow-rs writes for each value, without quotes: of values that are not nested, none of them null or not
    finite. Raises as `check_schema` and `json_values` do."""
    import pyarrow as pa
    from arro3.io import write_ndjson

    _check(array.type, name)
    lines = io.BytesIO()
    write_ndjson(pa.record_batch([_ready(array, name)], names=["k"]), lines)
    texts = [line[5:-1] for line in lines.getvalue().decode().splitlines()]
    return pa.array([json.loads(text) if text.startswith('"') else text for text in texts], pa.string())


def float_text(value: float) -> str:
    """The text of a float that is a key of a map, or not finite."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value)


def _check(kind: Any, name: str) -> None:
    import pyarrow as pa
    from pyarrow import types

    if isinstance(kind, pa.BaseExtensionType):
        _check(kind.storage_type, name)
    elif types.is_struct(kind):
        _check_names([field.name for field in kind], f"column {name}")
        for field in kind:
            _check(field.type, f"{name}.{field.name}")
    elif types.is_map(kind):
        if types.is_nested(kind.key_type):
            raise UnsupportedTable(
                f"Column {name} is a map with nested keys, which JSON cannot express: deliver parquet."
            )
        _check(kind.key_type, f"{name}.key")
        _check(kind.item_type, f"{name}.value")
    elif is_list(kind):
        _check(kind.value_type, f"{name}.element")
    elif not (_is_right(kind) or types.is_floating(kind) or _is_binary(kind) or is_moment(kind)):
        raise UnsupportedTable(f"Column {name} is {kind}, which JSON cannot express: deliver the dataset as parquet.")


def _check_names(names: list[str], where: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UnsupportedTable(f"Field {twice[0]} occurs twice in {where}, which JSON cannot express: deliver parquet.")


def _is_binary(kind: Any) -> bool:
    from pyarrow import types

    return is_bytes(kind) or types.is_fixed_size_binary(kind)
