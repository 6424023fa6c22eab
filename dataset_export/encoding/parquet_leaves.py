"""Which column chunks of a parquet file hold the columns that are wanted, so that no others are read or copied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from dataset_export.encoding.column_path import ELEMENT, KEY, VALUE, ColumnPath
from dataset_export.encoding.kinds import is_list

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


def leaves_of(file: pq.ParquetFile, wanted: Iterable[pa.Field]) -> list[str]:
    """What of the file has to be read for the wanted fields, as `ParquetFile.iter_batches` takes it.

    A nested column of which the file lacks a part is read whole: the part is null in it, and only what is there can tell
    whether the value around it is.
    """
    found: list[str] = []
    chunks = _chunks(file)
    for field in wanted:
        in_file = {path: chunk for path, chunk in chunks if path[0] == field.name}
        needed = set(_leaves(field.type, (field.name,)))
        found += [chunk for path, chunk in in_file.items() if path in needed or not needed <= in_file.keys()]
    return found


def _chunks(file: pq.ParquetFile) -> list[tuple[ColumnPath, str]]:
    """Every leaf of the file in its order: its path as we write it, and as parquet does."""
    leaves = leaf_paths(file.schema_arrow)
    paths = [file.metadata.schema.column(at).path for at in range(file.metadata.num_columns)]
    if len(leaves) != len(paths):
        # Some leaf is several columns, or none, to Arrow: then columns are read whole, by their names.
        return [((name,), name) for name in file.schema_arrow.names]
    return list(zip(leaves, paths, strict=True))


def leaf_paths(fields: Iterable[pa.Field]) -> list[ColumnPath]:
    """The paths of what has no parts, in the order in which a parquet file has columns for it."""
    return [leaf for field in fields for leaf in _leaves(field.type, (field.name,))]


def _leaves(kind: Any, path: ColumnPath) -> Iterator[ColumnPath]:
    import pyarrow as pa
    from pyarrow import types

    if isinstance(kind, pa.BaseExtensionType):
        yield from _leaves(kind.storage_type, path)
    elif types.is_struct(kind):
        for field in kind:
            yield from _leaves(field.type, (*path, field.name))
    elif types.is_map(kind):
        yield from _leaves(kind.key_type, (*path, KEY))
        yield from _leaves(kind.item_type, (*path, VALUE))
    elif is_list(kind):
        yield from _leaves(kind.value_type, (*path, ELEMENT))
    else:
        yield path
