"""Small folders of parquet files for the tests, with times of modification as they choose."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_export.lake.open import TableLocation, open_table
from dataset_export.lake.parquet_folder import ParquetFolder


class FolderBuilder:
    """One local folder that a test changes step by step."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.path = Path(uri)
        self.path.mkdir(parents=True, exist_ok=True)

    def table(self, settle_minutes: int = 10, retention_days: int | None = None) -> ParquetFolder:
        place = TableLocation("parquet", self.uri, settle_minutes=settle_minutes, retention_days=retention_days)
        found = open_table(place)
        assert isinstance(found, ParquetFolder)
        return found

    def add(self, name: str, *ids: int, at: datetime) -> Path:
        """A file with rows of these ids, last modified at `at`."""
        return self.write(name, pa.table({"id": pa.array(ids, pa.int64())}), at=at)

    def write(self, name: str, data: pa.Table, *, at: datetime, **options: Any) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(data, file, **options)
        return touch(file, at)


def touch(file: Path, at: datetime) -> Path:
    """Set a file's time of modification."""
    nanoseconds = int((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 10**6) * 1000
    os.utime(file, ns=(nanoseconds, nanoseconds))
    return file
