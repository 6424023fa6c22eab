"""Whether row groups of several parquet files can stand in one file, and under which footer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dataset_export.encoding.parquet_columns import KEPT_KEYS, key_of
from dataset_export.encoding.parquet_fields import FileMetaData
from dataset_export.encoding.parquet_footer import Footer
from dataset_export.encoding.thrift_compact import LIST, STRUCT, Struct, write_struct

MEANING = (FileMetaData.SCHEMA, FileMetaData.CREATED_BY, FileMetaData.COLUMN_ORDERS)
"""By what the column chunks and their statistics are read: who wrote them decides which statistics readers trust."""


def joined(footers: Sequence[Footer]) -> list[Footer] | None:
    """The footers with what all of them say beside the row groups; None when they are read by different rules."""
    structs = [footer.copy() for footer in footers]
    first = structs[0]
    if any(_meaning(struct) != _meaning(first) for struct in structs[1:]):
        return None
    common = [note for note in _notes(first) if all(note in _notes(struct) for struct in structs[1:])]
    for struct in structs:
        struct.put(FileMetaData.KEY_VALUE_METADATA, LIST, (STRUCT, common))
    return [replace(footer, raw=write_struct(struct)) for footer, struct in zip(footers, structs, strict=True)]


def _meaning(struct: Struct) -> tuple[object, ...]:
    kept = sorted(write_struct(note) for note in _notes(struct) if key_of(note) in KEPT_KEYS)
    return (*(struct.get(field) for field in MEANING), kept)


def _notes(struct: Struct) -> list[Struct]:
    return struct.structs(FileMetaData.KEY_VALUE_METADATA)
