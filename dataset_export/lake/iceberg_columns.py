"""The columns of an Iceberg table: as Arrow has them, by field id, and what a file that lacks one has instead."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dataset_export.errors import UnsupportedTable
from dataset_export.lake.iceberg_manifests import Entry
from dataset_export.lake.table import FileColumns

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.manifest import ManifestFile
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.types import IcebergType, NestedField


def arrow_schema(schema: "Schema", table: str) -> "pa.Schema":
    """The schema in Arrow's types.

    Raises:
        UnsupportedTable: for a type that is not known.
    """
    import pyarrow as pa
    from pyiceberg.io.pyarrow import schema_to_pyarrow

    try:
        converted = schema_to_pyarrow(schema, include_field_ids=False)
    except (NotImplementedError, ValueError) as error:
        raise UnsupportedTable(f"the table {table} has a column of a type that cannot be read: {error}") from error
    return pa.schema([field.with_type(_small(field.type)).remove_metadata() for field in converted])


def columns_of(
    metadata: "TableMetadata", schema: "Schema", partition: Mapping[str, str | None], table: str
) -> FileColumns:
    """How a schema knows the columns of a file with these partition values (as `partition_texts` writes them).

    Raises:
        UnsupportedTable: for a default value inside a struct, which a file may lack.
    """
    by_id = {field.field_id: field.name for field in _named_fields(schema.as_struct())}
    mapping = metadata.name_mapping()
    return FileColumns(
        by_id=by_id,
        by_path=dict(_mapped_paths(mapping.root, (), by_id)) if mapping is not None else None,
        missing=dict(_missing(schema, partition, table)),
    )


def partition_texts(entry: Entry, spec: "PartitionSpec", schema: "Schema") -> dict[str, str | None]:
    """The partition values of a file as texts, by the field ids of their source columns, with the transform after a colon
    when it is not the column's value itself. Equal values have equal texts."""
    if not spec.fields:
        return {}
    from pyiceberg.conversions import to_json
    from pyiceberg.transforms import IdentityTransform
    from pyiceberg.types import PrimitiveType

    found: dict[str, str | None] = {}
    for field, value in zip(spec.fields, entry.partition, strict=True):
        source = _find(schema, field.source_id)
        if not isinstance(field.transform, IdentityTransform) or source is None:
            found[f"{field.source_id}:{field.transform}"] = None if value is None else repr(value)
        elif value is None or not isinstance(source.field_type, PrimitiveType):
            found[str(field.source_id)] = None
        else:
            found[str(field.source_id)] = json.dumps(to_json(source.field_type, value))
    return found


def exact_partitions(metadata: "TableMetadata") -> frozenset[str]:
    """Keys of `partition_texts` of which equal rows always have equal values: not those of floating-point columns, where 0.0
    equals -0.0."""
    from pyiceberg.types import DoubleType, FloatType

    schema = metadata.schema()
    keys: set[str] = set()
    for spec in metadata.partition_specs:
        for field in spec.fields:
            source = _find(schema, field.source_id)
            if source is not None and not isinstance(source.field_type, FloatType | DoubleType):
                keys |= {str(field.source_id), f"{field.source_id}:{field.transform}"}
    return frozenset(keys)


def field_kind(schema: "Schema", metadata: "TableMetadata", field_id: int, table: str) -> "tuple[str, pa.DataType]":
    """Name and type of a column, or of a field inside a struct, by its id; of one that was dropped, by the schema that had it
    last.

    Raises:
        UnsupportedTable: no schema of the table has it.
    """
    import pyarrow as pa
    from pyiceberg.io.pyarrow import schema_to_pyarrow

    for known in (schema, *reversed(metadata.schemas)):
        field = _find(known, field_id)
        if field is not None:
            kind = _small(schema_to_pyarrow(field.field_type))
            return field.name, kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    raise UnsupportedTable(
        f"an equality delete of the table {table} compares the field {field_id}, which no schema of the table has: rewrite its data files, "
        "which applies its deletes (CALL system.rewrite_data_files)"
    )


def mapped_path(metadata: "TableMetadata", field_id: int) -> tuple[str, ...] | None:
    """The path of a field in files without field ids; None when the table does not say."""

    def search(fields: Any, around: tuple[str, ...]) -> tuple[str, ...] | None:
        for field in fields:
            for name in field.names:
                path = (*around, name)
                found = path if field.field_id == field_id else search(field.fields, path)
                if found is not None:
                    return found
        return None

    mapping = metadata.name_mapping()
    return search(mapping.root, ()) if mapping is not None else None


def admits(
    manifest: "ManifestFile", spec: "PartitionSpec", metadata: "TableMetadata", partition: tuple[Any, ...]
) -> bool:
    """Whether a manifest may have files of a partition, by its summary of them."""
    from pyiceberg.conversions import from_bytes

    summaries = manifest.partitions or []
    try:
        kinds = [field.field_type for field in spec.partition_type(metadata.schema()).fields]
        for summary, kind, value in zip(summaries, kinds, partition, strict=False):
            bounds = summary.lower_bound, summary.upper_bound
            if value is None or None in bounds or isinstance(value, float):
                continue
            least, most = (from_bytes(kind, bound or b"") for bound in bounds)  # pyright: ignore[reportArgumentType]
            if not least <= value <= most:
                return False
    except (TypeError, ValueError):
        return True  # values of a column that is gone, or that do not compare: the manifest is read
    return True


def _missing(schema: "Schema", partition: Mapping[str, str | None], table: str) -> "Iterator[tuple[str, pa.Scalar]]":
    """Iceberg, "Column Projection": the value of an identity partition, else the column's default."""
    from pyiceberg.conversions import from_json
    from pyiceberg.types import PrimitiveType

    for field in schema.fields:
        for inner in _named_fields(field.field_type):
            if inner.initial_default is not None:
                raise UnsupportedTable(
                    f"the field {inner.name} inside the column {field.name} of the table {table} has a default value, which "
                    "files may lack: rewrite the table's files"
                )
        text = partition.get(str(field.field_id))
        if text is not None and isinstance(field.field_type, PrimitiveType):
            yield field.name, _scalar(from_json(field.field_type, json.loads(text)), field.field_type)
        elif str(field.field_id) not in partition and field.initial_default is not None:
            yield field.name, _scalar(field.initial_default, field.field_type)


def _scalar(value: Any, kind: "IcebergType") -> "pa.Scalar":
    """A value as pyiceberg has it, dates and times as numbers."""
    import pyarrow as pa
    from pyiceberg.io.pyarrow import schema_to_pyarrow

    target = schema_to_pyarrow(kind)
    if isinstance(value, int) and not isinstance(value, bool) and pa.types.is_temporal(target):
        return pa.scalar(value, pa.int32() if target.bit_width == 32 else pa.int64()).cast(target)
    if isinstance(target, pa.BaseExtensionType):
        value, target = getattr(value, "bytes", value), target.storage_type
    return pa.scalar(value, target)


def _named_fields(kind: Any) -> "Iterator[NestedField]":
    """The fields of structs inside a type, at any depth; elements of lists and maps have no names of their own."""
    from pyiceberg.types import ListType, MapType, StructType

    if isinstance(kind, StructType):
        for field in kind.fields:
            yield field
            yield from _named_fields(field.field_type)
    elif isinstance(kind, ListType):
        yield from _named_fields(kind.element_type)
    elif isinstance(kind, MapType):
        yield from _named_fields(kind.key_type)
        yield from _named_fields(kind.value_type)


def _mapped_paths(
    fields: Any, around: tuple[str, ...], by_id: Mapping[int, str]
) -> Iterator[tuple[tuple[str, ...], str]]:
    for field in fields:
        for name in field.names:
            path = (*around, name)
            if field.field_id in by_id:
                yield path, by_id[field.field_id]
            yield from _mapped_paths(field.fields, path, by_id)


def _find(schema: "Schema", field_id: int) -> "NestedField | None":
    try:
        return schema.find_field(field_id)
    except ValueError:
        return None


def _small(kind: Any) -> Any:
    """The type with 32-bit offsets, as other table formats have it: that is a matter of memory."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_large_string(kind):
        return pa.string()
    if types.is_large_binary(kind):
        return pa.binary()
    if types.is_large_list(kind):
        return pa.list_(kind.value_field.with_type(_small(kind.value_type)))
    if types.is_struct(kind):
        return pa.struct([field.with_type(_small(field.type)) for field in kind])
    if types.is_map(kind):
        return pa.map_(
            kind.key_field.with_type(_small(kind.key_type)), kind.item_field.with_type(_small(kind.item_type))
        )
    return kind
