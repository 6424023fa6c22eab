"""Delta tables with column mapping, written as the Delta protocol says: no writer in Python makes them."""

import json
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_export_tests.lake.delta_tables import DeltaBuilder

Fields = list[dict[str, Any]]


def column(name: str, kind: Any, number: int, physical: str | None = None) -> dict[str, Any]:
    """A field of a Delta schema; `kind` is its type as the schema has it."""
    ids = {"delta.columnMapping.id": number, "delta.columnMapping.physicalName": physical or f"col-{number}"}
    return {"name": name, "type": kind, "nullable": True, "metadata": ids}


def struct(*fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "struct", "fields": list(fields)}


def array(kind: Any) -> dict[str, Any]:
    return {"type": "array", "elementType": kind, "containsNull": True}


def map_of(kind: Any) -> dict[str, Any]:
    return {"type": "map", "keyType": "string", "valueType": kind, "valueContainsNull": True}


class MappedDelta(DeltaBuilder):
    """A local table with column mapping; every method but `define` is one commit and returns its version."""

    def define(self, mode: str, fields: Fields, partition_by: tuple[str, ...] = ()) -> int:
        self.mode, self.partition_by = mode, partition_by
        self.log.mkdir(parents=True)
        self._id = str(uuid4())
        features = ["columnMapping", "deletionVectors"]
        protocol = {
            "minReaderVersion": 3,
            "minWriterVersion": 7,
            "readerFeatures": features,
            "writerFeatures": features,
        }
        return self._commit({"protocol": protocol}, self._metadata(fields))

    def redefine(self, fields: Fields) -> int:
        """Rename, drop or add columns; no file is touched."""
        return self._commit(self._metadata(fields))

    def add(self, rows: list[dict[str, Any]], schema: pa.Schema, *, replacing: bool = False, **options: Any) -> int:
        """Add a file of `rows`, which have the names that the table has now; of `schema` with the types to write."""
        partition = {name: rows[0][name] for name in self.partition_by}
        kept = [field for field in schema if field.name not in self.partition_by]
        stored = [_stored(field, self._known[field.name], ids=options.get("ids", True)) for field in kept]
        data = pa.Table.from_pylist([{f.name: row[f.name] for f in kept} for row in rows], pa.schema(kept))
        name = f"part-{uuid4()}.parquet"
        renamed = [_renamed(data.column(f.name).combine_chunks(), to.type) for f, to in zip(kept, stored, strict=True)]
        pq.write_table(pa.table(renamed, schema=pa.schema(stored)), Path(self.uri) / name)
        stats = {"numRecords": len(rows), "minValues": {}, "maxValues": {}, "nullCount": {}}
        for field, to in zip(kept, stored, strict=True):
            if pa.types.is_timestamp(field.type):
                stats["minValues"][to.name] = min(row[field.name] for row in rows).isoformat().replace("+00:00", "Z")
        add = {
            "path": name,
            "partitionValues": {
                self._known[column]["metadata"][PHYSICAL]: value for column, value in partition.items()
            },
            "size": (Path(self.uri) / name).stat().st_size,
            "modificationTime": int(time.time() * 1000),
            "dataChange": True,
            "stats": json.dumps(stats),
        }
        gone = [
            {
                "remove": {
                    **{k: old[k] for k in ("path", "partitionValues", "size")},
                    "dataChange": True,
                    "deletionTimestamp": 1,
                    "extendedFileMetadata": True,
                }
            }
            for old in (self._live if replacing else [])
        ]
        self._live = [add, *([] if replacing else self._live)]
        return self._commit(*gone, {"add": add})

    _live: list[dict[str, Any]] = []  # noqa: RUF012

    def _metadata(self, fields: Fields) -> dict[str, Any]:
        self._known = {field["name"]: field for field in fields}
        configuration = {"delta.columnMapping.mode": self.mode, "delta.columnMapping.maxColumnId": "99"}
        return {
            "metaData": {
                "id": self._id,
                "format": {"provider": "parquet", "options": {}},
                "schemaString": json.dumps(struct(*fields)),
                "partitionColumns": list(self.partition_by),
                "createdTime": 0,
                "configuration": configuration,
            }
        }

    def _commit(self, *entries: dict[str, Any]) -> int:
        version = len(list(self.log.glob("*.json")))
        lines = [{"commitInfo": {"timestamp": int(time.time() * 1000), "operation": "WRITE"}}, *entries]
        (self.log / f"{version:020}.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return version


PHYSICAL = "delta.columnMapping.physicalName"


def _stored(field: pa.Field, known: dict[str, Any], *, ids: bool) -> pa.Field:
    metadata = {"PARQUET:field_id": str(known["metadata"]["delta.columnMapping.id"])} if ids else None
    return pa.field(known["metadata"][PHYSICAL], _stored_type(field.type, known["type"], ids=ids), metadata=metadata)


def _stored_type(kind: pa.DataType, known: Any, *, ids: bool) -> pa.DataType:
    if pa.types.is_struct(kind):
        inside = {field["name"]: field for field in known["fields"]}
        return pa.struct([_stored(field, inside[field.name], ids=ids) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(kind.key_type, _stored_type(kind.item_type, known["valueType"], ids=ids))
    if pa.types.is_list(kind):
        return pa.list_(_stored_type(kind.value_type, known["elementType"], ids=ids))
    return kind


def _renamed(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """The same values with other names inside."""
    if pa.types.is_struct(kind):
        parts = [_renamed(part, field.type) for part, field in zip(array.flatten(), kind, strict=True)]
        return pa.StructArray.from_arrays(parts, fields=list(kind), mask=array.is_null())
    if pa.types.is_map(kind):
        return pa.MapArray.from_arrays(array.offsets, array.keys, _renamed(array.items, kind.item_type)).cast(kind)
    if pa.types.is_list(kind):
        return pa.ListArray.from_arrays(array.offsets, _renamed(array.values, kind.value_type), type=kind)
    return array
