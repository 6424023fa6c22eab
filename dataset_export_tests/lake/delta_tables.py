"""Small Delta tables for the tests, and the rows that a slice of one describes."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake

from dataset_export.lake.open import TableLocation, open_table
from dataset_export.lake.table import RowSelection, Slice, SourceFile, Table


class DeltaBuilder:
    """One Delta table that a test changes step by step; every method is one commit and returns its version."""

    def __init__(self, uri: str, options: dict[str, str] | None = None) -> None:
        self.uri = uri
        self.options = options or {}

    def raw(self, version: int | None = None) -> DeltaTable:
        return DeltaTable(self.uri, version=version, storage_options=self.options)

    def table(self, timestamp_column: str | None = None) -> Table:
        return open_table(TableLocation("delta", self.uri, self.options, timestamp_column))

    def append(self, *ids: int, **write: Any) -> int:
        return self.write(pa.table({"id": pa.array(ids, pa.int64()), "name": [f"n{i % 3}" for i in ids]}), **write)

    def write(self, data: pa.Table, *, mode: str = "append", **write: Any) -> int:
        write_deltalake(self.uri, data, mode=mode, storage_options=self.options, **write)
        return self.version

    def overwrite(self, *ids: int) -> int:
        return self.append(*ids, mode="overwrite")

    def change(self, act: Callable[[DeltaTable], Any]) -> int:
        act(self.raw())
        return self.version

    def delete(self, where: str) -> int:
        return self.change(lambda table: table.delete(where))

    def compact(self) -> int:
        return self.change(lambda table: table.optimize.compact())

    def update(self, where: str, **updates: str) -> int:
        return self.change(lambda table: table.update(predicate=where, updates=updates))

    def vacuum(self) -> None:
        self.raw().vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)

    @property
    def version(self) -> int:
        return self.raw().version()

    @property
    def log(self) -> Path:
        return Path(self.uri) / "_delta_log"

    def edit_log(self, version: int, edit: Callable[[dict[str, Any]], object]) -> None:
        """Change every entry of one commit in place, as another writer would have written it."""
        file = self.log / f"{version:020}.json"
        entries = [json.loads(line) for line in file.read_text().split("\n") if line]
        for entry in entries:
            edit(entry)
        file.write_text("".join(json.dumps(entry) + "\n" for entry in entries))

    def commit_time(self, version: int, moment: datetime) -> None:
        def edit(entry: dict[str, Any]) -> None:
            if "commitInfo" in entry:
                entry["commitInfo"]["timestamp"] = int(moment.timestamp() * 1000)

        self.edit_log(version, edit)

    def state(self, version: int | None) -> "Counter[str]":
        """The rows of the table at a version, by deltalake's own reader."""
        if version is None:
            return Counter()
        return _counted(pa.table(self.raw(version).scan().read_all()))


def net_new(table: Table, slice_: Slice) -> "Counter[str]":
    """The multiset of rows that a slice describes, by reading its files."""
    assert slice_.upper is not None
    schema = table.schema(slice_.upper)
    return read(table, slice_.added, schema) - read(table, slice_.removed, schema)


def read(table: Table, files: Iterable[SourceFile], schema: pa.Schema) -> "Counter[str]":
    rows: Counter[str] = Counter()
    for file in files:
        reader = table.open(file)
        data = _counted_rows(pq.ParquetFile(reader).read(), table.row_selection(file))
        assert file.rows in {None, data.num_rows}
        columns = []
        for field in schema:
            if field.name in file.partition:
                column = pa.array([file.partition[field.name]] * data.num_rows, pa.string()).cast(field.type)
            elif field.name in data.column_names:
                column = data.column(field.name).cast(field.type)
            else:
                column = pa.nulls(data.num_rows, field.type)
            columns.append(column)
        rows += _counted(pa.table(columns, schema=schema))
        reader.close()
    return rows


def _counted_rows(data: pa.Table, selection: RowSelection | None) -> pa.Table:
    if selection is None:
        return data
    every = range(data.num_rows) if selection.only is None else selection.only.tolist()
    pieces = [data.slice(at, 1) for at in sorted(set(every) - set(selection.dropped.tolist()))]
    return pa.concat_tables([data.slice(0, 0), *pieces])


def day(number: int, hour: int = 12) -> datetime:
    return datetime(2026, 11, number, hour, tzinfo=UTC)


def _counted(data: pa.Table) -> "Counter[str]":
    # A column that one of two versions does not have yet is null in its rows.
    return Counter(repr(sorted((k, v) for k, v in row.items() if v is not None)) for row in data.to_pylist())
