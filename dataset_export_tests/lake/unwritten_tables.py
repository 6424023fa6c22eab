"""Tables of very many files, of which only the metadata is ever written: planning reads no more."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

from deltalake import DeltaTable

FIELDS = [
    {"name": "id", "type": "long", "nullable": True, "metadata": {}},
    {"name": "at", "type": "timestamp", "nullable": True, "metadata": {}},
    {"name": "part", "type": "string", "nullable": True, "metadata": {}},
]


def write_delta_log(folder: Path, versions: int, files: int, checkpoint_at: int) -> None:
    """A Delta log of appends of `files` files each, of 10 rows; deltalake makes the checkpoint."""
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
            entries += [{"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}, {"metaData": metadata}]
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
    DeltaTable(str(folder), version=checkpoint_at).create_checkpoint()
