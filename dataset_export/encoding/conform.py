"""Give the rows of a source file the columns of the target schema.

A file may be older than the table's schema: columns and nested fields that it lacks are null, narrower types are
widened. Partition columns are in the log and not in the file: they come back as typed columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dataset_export.encoding.kinds import is_list, plain
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


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """The schema in which rows are handled and written: see `nested.plain`. Every column is nullable."""
    import pyarrow as pa

    fields = [field.with_type(plain(field.type)).with_nullable(True) for field in schema]
    return pa.schema(fields, metadata=schema.metadata)


def conform(
    batch: pa.RecordBatch,
    schema: pa.Schema,
    partition: Mapping[str, str | None],
    name: str,
    missing: Mapping[str, Any] | None = None,
) -> pa.RecordBatch:
    """The batch with exactly the columns of `schema` (a plain one), in its order. What the file lacks is null, or the value
    (an Arrow scalar) that `missing` has for it.

    Raises UnsupportedTable naming the column and the file (`name`) when a value does not fit its type."""
    import pyarrow as pa

    columns: list[pa.Array] = []
    for field in schema:
        try:
            if field.name in partition:
                columns.append(pa.repeat(partition_value(partition[field.name], field.type), batch.num_rows))
            else:
                position = batch.schema.get_field_index(field.name)
                if position >= 0:
                    columns.append(_convert(batch.column(position), field.type))
                elif missing and field.name in missing:
                    columns.append(pa.repeat(missing[field.name].cast(field.type), batch.num_rows))
                else:
                    columns.append(pa.nulls(batch.num_rows, field.type))
        except (pa.ArrowException, ValueError, TypeError) as error:
            raise UnsupportedTable(
                f"Column {field.name} of {name} does not fit the table's type {field.type}: "
                f"{' '.join(str(error).split())}."
            ) from error
    return pa.record_batch(columns, schema=schema) if len(schema) else batch.select([])


def partition_value(text: str | None, kind: pa.DataType) -> pa.Scalar:
    """A partition value as the table log writes it, typed. Null and empty text are null, as the Delta protocol says;
    a timestamp is `YYYY-MM-DD HH:MM:SS[.ffffff]` or ISO-8601, in UTC. Raises ValueError for any other text."""
    import pyarrow as pa
    from pyarrow import types

    if not text:
        return pa.scalar(None, kind)
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        # The protocol writes each byte as the character of that number.
        return pa.scalar(text.encode("latin-1"), kind)
    if types.is_timestamp(kind):
        naive = pa.array([text.replace("T", " ", 1).removesuffix("Z")]).cast(pa.timestamp(kind.unit))
        return naive.cast(kind)[0]
    return pa.array([text]).cast(kind)[0]


def _convert(array: pa.Array, kind: Any) -> Any:
    from pyarrow import types

    array = array if array.type.equals(kind) else decoded(array)
    if array.type.equals(kind):
        return array
    if types.is_struct(kind) and types.is_struct(array.type):
        return _convert_struct(array, kind)
    if types.is_map(kind) and types.is_map(array.type):
        offsets, keys, values = map_parts(array)
        return join_map(array, offsets, _convert(keys, kind.key_type), _convert(values, kind.item_type)).cast(kind)
    if is_list(kind) and is_list(array.type) and not types.is_fixed_size_list(kind):
        offsets, values = list_parts(array)
        return join_list(array, offsets, _convert(values, kind.value_type)).cast(kind)
    return array.cast(kind)


def _convert_struct(array: pa.Array, kind: Any) -> pa.Array:
    import pyarrow as pa

    have = dict(zip([field.name for field in array.type], struct_parts(array), strict=True))
    parts = [
        _convert(have[field.name], field.type) if field.name in have else pa.nulls(len(array), field.type)
        for field in kind
    ]
    return join_struct(array, parts, list(kind))
