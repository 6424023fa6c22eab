"""Tables of very many files, of which only the metadata is ever written: planning reads no more."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

from deltalake import DeltaTable
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    ManifestWriterV2,
    write_manifest_list,
)
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import new_table_metadata
from pyiceberg.table.refs import SnapshotRef, SnapshotRefType
from pyiceberg.table.snapshots import Operation, Snapshot, Summary
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER
from pyiceberg.typedef import Record
from pyiceberg.types import LongType, NestedField, StringType, TimestamptzType

FIELDS = [
    {"name": "id", "type": "long", "nullable": True, "metadata": {}},
    {"name": "at", "type": "timestamp", "nullable": True, "metadata": {}},
    {"name": "part", "type": "string", "nullable": True, "metadata": {}},
]

SCHEMA = Schema(
    NestedField(1, "id", LongType(), required=False),
    NestedField(2, "at", TimestamptzType(), required=False),
    NestedField(3, "part", StringType(), required=False),
)
_EPOCH_MICROS = 1_767_225_600_000_000
"""2026-01-01, as Iceberg writes a bound."""


VECTORS = {
    "minReaderVersion": 3,
    "minWriterVersion": 7,
    "readerFeatures": ["deletionVectors"],
    "writerFeatures": ["deletionVectors"],
}
"""The protocol of a table with deletion vectors in use."""


def write_delta_log(
    folder: Path, versions: int, files: int, checkpoint_at: int | None, protocol: dict[str, Any] | None = None
) -> None:
    """A Delta log of appends of `files` files each, of 10 rows; deltalake makes the checkpoint, unless there is to be none."""
    log = folder / "_delta_log"
    log.mkdir(parents=True)
    stats = {
        "numRecords": 10,
        "minValues": {"id": 1, "at": "2026-01-01T00:00:00.000Z"},
        "maxValues": {},
        "nullCount": {},
    }
    metadata = {
        "id": str(uuid4()),
        "format": {"provider": "parquet", "options": {}},
        "schemaString": json.dumps({"type": "struct", "fields": FIELDS}),
        "partitionColumns": ["part"],
        "configuration": {},
    }
    for version in range(versions):
        entries: list[dict[str, Any]] = [
            {"commitInfo": {"timestamp": 1_790_000_000_000 + version, "operation": "WRITE"}}
        ]
        if version == 0:
            entries += [
                {"protocol": protocol or {"minReaderVersion": 1, "minWriterVersion": 2}},
                {"metaData": metadata},
            ]
        entries += [
            {
                "add": {
                    "path": f"part={version % 10}/part-{version:05}-{number:05}-{uuid4()}.parquet",
                    "partitionValues": {"part": str(version % 10)},
                    "size": 1000,
                    "modificationTime": 1_790_000_000_000,
                    "dataChange": True,
                    "stats": json.dumps(stats),
                }
            }
            for number in range(files)
        ]
        (log / f"{version:020}.json").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    if checkpoint_at is not None:
        DeltaTable(str(folder), version=checkpoint_at).create_checkpoint()


def mark_delta_rows(folder: Path, version: int) -> None:
    """A commit after the newest one, which deletes 3 rows of every file that `version` added, by deletion vectors."""
    log = folder / "_delta_log"
    vector = {
        "storageType": "u",
        "pathOrInlineDv": "ab^-aqEH.-t@S}K{vb[*k^",
        "offset": 4,
        "sizeInBytes": 40,
        "cardinality": 3,
    }
    entries: list[dict[str, Any]] = [{"commitInfo": {"timestamp": 1_790_000_100_000, "operation": "DELETE"}}]
    for line in (log / f"{version:020}.json").read_text().splitlines():
        if add := json.loads(line).get("add"):
            entries.append({"remove": {key: add[key] for key in ("path", "partitionValues", "size", "dataChange")}})
            entries.append({"add": {**add, "deletionVector": vector}})
    newest = len(list(log.glob("*.json"))) - 1
    (log / f"{newest + 1:020}.json").write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def write_iceberg_metadata(folder: Path, versions: int, files: int, readable: int = 10) -> Path:
    """The metadata of an Iceberg table of appends of `files` files each, of 10 rows, without a catalog: its metadata file. Every append
    has a manifest of its own; only the newest `readable` snapshots have the list of theirs."""
    io = PyArrowFileIO()
    (folder / "metadata").mkdir(parents=True)
    metadata = new_table_metadata(
        SCHEMA, UNPARTITIONED_PARTITION_SPEC, UNSORTED_SORT_ORDER, f"file://{folder}", {"format-version": "2"}
    )
    schema, spec = metadata.schema(), metadata.spec()
    bound = _EPOCH_MICROS.to_bytes(8, "little")
    manifests: list[ManifestFile] = []
    snapshots: list[Snapshot] = []
    for version in range(1, versions + 1):
        with ManifestWriterV2(
            spec, schema, io.new_output(f"{folder}/metadata/{version}.avro"), version, "deflate"
        ) as writer:
            for number in range(files):
                writer.add(
                    ManifestEntry.from_args(
                        status=ManifestEntryStatus.ADDED,
                        data_file=DataFile.from_args(
                            content=DataFileContent.DATA,
                            file_path=f"file://{folder}/data/part-{version:05}-{number:05}-{uuid4()}.parquet",
                            file_format=FileFormat.PARQUET,
                            partition=Record(),
                            record_count=10,
                            file_size_in_bytes=1000,
                            column_sizes={1: 100, 2: 100, 3: 100},
                            value_counts={1: 10, 2: 10, 3: 10},
                            null_value_counts={1: 0, 2: 0, 3: 0},
                            lower_bounds={1: bound, 2: bound, 3: b"0"},
                            upper_bounds={1: bound, 2: bound, 3: b"9"},
                            spec_id=0,
                        ),
                    )
                )
        manifest = writer.to_manifest_file()
        manifest.sequence_number = manifest.min_sequence_number = version
        manifests.append(manifest)
        path = f"{folder}/metadata/snap-{version}.avro"
        parent = version - 1 or None
        if version > versions - readable:
            with write_manifest_list(2, io.new_output(path), version, parent, version, "deflate") as lists:
                lists.add_manifests(manifests)
        snapshots.append(
            Snapshot(
                snapshot_id=version,
                parent_snapshot_id=parent,
                sequence_number=version,
                timestamp_ms=1_790_000_000_000 + version,
                manifest_list=path,
                summary=Summary(Operation.APPEND),
                schema_id=0,
            )
        )
    whole = metadata.model_copy(
        update={
            "snapshots": snapshots,
            "current_snapshot_id": versions,
            "last_sequence_number": versions,
            "refs": {"main": SnapshotRef(snapshot_id=versions, snapshot_ref_type=SnapshotRefType.BRANCH)},
        }
    )
    file = folder / "metadata" / "v1.metadata.json"
    file.write_text(whole.model_dump_json())
    return file
