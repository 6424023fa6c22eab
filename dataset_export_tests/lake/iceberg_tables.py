"""Small Iceberg tables for the tests: commits by pyiceberg, and those that it does not make (compactions, row-level deletes) by
its own writers of manifests."""

import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError
from pyiceberg.io.pyarrow import _dataframe_to_data_files
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    ManifestWriterV2,
    write_manifest_list,
)
from pyiceberg.schema import Schema
from pyiceberg.table import Table as RawTable
from pyiceberg.table.snapshots import Operation, Snapshot, Summary
from pyiceberg.table.update import AddSnapshotUpdate, SetSnapshotRefUpdate
from pyiceberg.table.update.spec import UpdateSpec
from pyiceberg.typedef import Record

from dataset_export.encoding.contract import Encoding, Target
from dataset_export.encoding.rows import Rows
from dataset_export.export.stage import source_of
from dataset_export.lake.location import IcebergCatalog
from dataset_export.lake.open import TableLocation, open_table
from dataset_export.lake.table import Slice, SourceFile, Table

NAME = "shop.orders"
SCHEMA = pa.schema([("id", pa.int64()), ("name", pa.string())])

Placed = list[str | None]
"""The rows of a data file by their positions; None where one is deleted."""


class IcebergBuilder:
    """One Iceberg table that a test changes step by step; every method is one commit and returns its version.

    It knows the rows of every version by itself, so that `state` can tell also what pyiceberg cannot read."""

    def __init__(
        self,
        folder: str | Path,
        schema: pa.Schema | Schema = SCHEMA,
        partition: Callable[[UpdateSpec], Any] | None = None,
        *,
        catalog: Catalog | None = None,
        location: IcebergCatalog | None = None,
        options: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.options = dict(options or {})
        self.location = location or IcebergCatalog("sql", "default", NAME, f"sqlite:///{self.folder / 'catalog.db'}")
        self.catalog = catalog or SqlCatalog(
            "default", uri=self.location.uri, warehouse=f"file://{self.folder / 'warehouse'}"
        )
        with suppress(NamespaceAlreadyExistsError):
            self.catalog.create_namespace(NAME.split(".", maxsplit=1)[0])
        table = self.catalog.create_table(NAME, schema, properties=dict(properties or {}))
        if partition is not None:
            with table.update_spec() as update:
                partition(update)
        self.live: dict[str, Placed] = {}
        self.states: dict[int, Counter[str]] = {}
        self.placed: dict[int, dict[str, Placed]] = {}

    def close(self) -> None:
        self.catalog.close()

    def raw(self) -> RawTable:
        return self.catalog.load_table(NAME)

    def table(self, timestamp_column: str | None = None) -> Table:
        uri = f"iceberg://{self.location.name}/{NAME}"
        return open_table(
            TableLocation("iceberg", uri, self.options, timestamp_column=timestamp_column, catalog=self.location)
        )

    @property
    def version(self) -> int:
        current = self.raw().current_snapshot()
        assert current is not None
        return current.sequence_number or 0

    def state(self, version: int | None) -> "Counter[str]":
        """The rows of the table at a version."""
        return Counter() if version is None else self.states[version]

    @property
    def reads_by_itself(self) -> bool:
        """Whether pyiceberg can read the newest version."""
        deletes = self.entries(ManifestContent.DELETES)
        return all(entry.data_file.content != DataFileContent.EQUALITY_DELETES for entry in deletes)

    # Commits of pyiceberg

    def append(self, *ids: int) -> int:
        return self.write(rows(*ids))

    def write(self, data: pa.Table) -> int:
        self.raw().append(data)
        return self.seen()

    def overwrite(self, *ids: int) -> int:
        """The whole table: two commits, of which the first deletes."""
        self.raw().overwrite(rows(*ids))
        self.states.setdefault(self.version - 1, Counter())
        return self.seen()

    def delete(self, where: str) -> int:
        """Whole files are dropped and others written anew (copy-on-write): one or two commits, or none."""
        before = self.version
        self.raw().delete(where)
        self.seen()
        for version in range(before + 1, self.version):
            self.states[version] = self.scanned(version)
        return self.version

    def rollback(self, version: int) -> int:
        with self.raw().manage_snapshots() as manage:
            manage.rollback_to_snapshot(self.snapshot(version).snapshot_id)
        self.live = deepcopy(self.placed[version])
        return self.seen()

    def expire(self, *versions: int) -> None:
        expire = self.raw().maintenance.expire_snapshots()
        for version in versions:
            expire = expire.by_id(self.snapshot(version).snapshot_id)
        expire.commit()

    def snapshot(self, version: int) -> Snapshot:
        return next(one for one in self.raw().snapshots() if one.sequence_number == version)

    def scanned(self, version: int) -> "Counter[str]":
        """The rows by pyiceberg's own reader, which cannot read equality deletes."""
        return counted(self.raw().scan(snapshot_id=self.snapshot(version).snapshot_id).to_arrow())

    # Commits that pyiceberg does not make

    def compact(self, paths: Iterable[str] | None = None) -> int:
        """Files (all of them without `paths`) into one for each partition, by a `replace`."""
        chosen = set(self.live if paths is None else paths)
        gone = [entry for entry in self.entries() if entry.data_file.file_path in chosen]
        left = [row for entry in gone for row in self.live[entry.data_file.file_path] if row is not None]
        table = self.raw()
        data = pa.Table.from_pylist([dict(eval(row)) for row in left], table.schema().as_arrow())
        return self.commit(Operation.REPLACE, add=list(files_of(table, data)) if left else [], remove=chosen)

    def delete_positions(self, positions: Mapping[str, Iterable[int]], add: pa.Table | None = None) -> int:
        """One position delete file for all the given rows of data files of one partition; `add` makes it an update."""
        found = sorted((path, row) for path, places in positions.items() for row in places)
        data = pa.table(
            [pa.array([path for path, _ in found]), pa.array([row for _, row in found], pa.int64())],
            schema=pa.schema(
                [identified("file_path", pa.string(), 2147483546), identified("pos", pa.int64(), 2147483545)]
            ),
        )
        like = next(entry.data_file for entry in self.entries() if entry.data_file.file_path in positions)
        file = self.delete_file(data, DataFileContent.POSITION_DELETES, like.partition, like.spec_id)
        for path, row in found:
            self.live[path][row] = None
        return self.commit(Operation.OVERWRITE if add else Operation.DELETE, add=self.files(add), deletes=[file])

    def delete_equal(self, values: pa.Table, add: pa.Table | None = None, *, like: str | None = None) -> int:
        """One equality delete file: rows with these values in the columns of `values` go, in the partition of the file `like`
        or everywhere; what is added by the same commit stays."""
        schema = self.raw().schema()
        ids = [schema.find_field(name).field_id for name in values.column_names]
        fields = [identified(f.name, f.type, number) for f, number in zip(values.schema, ids, strict=True)]
        entries = {entry.data_file.file_path: entry.data_file for entry in self.entries()}
        where = entries[like] if like is not None else None
        file = self.delete_file(
            values.cast(pa.schema(fields)),
            DataFileContent.EQUALITY_DELETES,
            where.partition if where is not None else Record(),
            where.spec_id if where is not None else 0,
            equality_ids=ids,
        )
        gone = values.to_pylist()
        for path, placed in self.live.items():
            if where is None or (entries[path].spec_id, entries[path].partition) == (where.spec_id, where.partition):
                for at, row in enumerate(placed):
                    if row is not None and any(
                        one.items() <= {**dict.fromkeys(one), **dict(eval(row))}.items() for one in gone
                    ):
                        placed[at] = None
        return self.commit(Operation.OVERWRITE if add else Operation.DELETE, add=self.files(add), deletes=[file])

    def files(self, data: pa.Table | None) -> list[DataFile]:
        return [] if data is None else list(files_of(self.raw(), data))

    def delete_file(
        self, data: pa.Table, content: DataFileContent, partition: Record, spec_id: int, **more: Any
    ) -> DataFile:
        table = self.raw()
        path = f"{table.location()}/data/{uuid.uuid4()}-deletes.parquet"
        with table.io.new_output(path).create() as out:
            pq.write_table(data, out)
        file = DataFile.from_args(
            content=content,
            file_path=path,
            file_format=FileFormat.PARQUET,
            partition=partition,
            record_count=data.num_rows,
            file_size_in_bytes=len(table.io.new_input(path)),
            **more,
        )
        file.spec_id = spec_id
        return file

    def entries(self, content: ManifestContent = ManifestContent.DATA) -> list[ManifestEntry]:
        table = self.raw()
        snapshot = table.current_snapshot()
        assert snapshot is not None
        return [
            entry
            for manifest in snapshot.manifests(table.io)
            if manifest.content == content
            for entry in manifest.fetch_manifest_entry(table.io)
        ]

    def commit(
        self,
        operation: Operation,
        add: Iterable[DataFile] = (),
        remove: Iterable[str] = (),
        deletes: Iterable[DataFile] = (),
        *,
        sequence: int | None = None,
    ) -> int:
        """A snapshot of this operation; `sequence` is the data sequence number of what it adds, its own without."""
        table, gone = self.raw(), set(remove)
        metadata, parent = table.metadata, table.current_snapshot()
        number, snapshot_id = metadata.next_sequence_number(), metadata.new_snapshot_id()
        manifests: list[ManifestFile] = []

        def written(content: ManifestContent, spec_id: int, entries: list[tuple[str, ManifestEntry]]) -> None:
            path = f"{table.location()}/metadata/{uuid.uuid4()}.avro"
            kind = _DeletesWriter if content == ManifestContent.DELETES else ManifestWriterV2
            with kind(
                table.specs()[spec_id], table.schema(), table.io.new_output(path), snapshot_id, "deflate"
            ) as writer:
                for how, entry in entries:
                    getattr(writer, how)(entry)
            manifests.append(writer.to_manifest_file())

        for manifest in parent.manifests(table.io) if parent is not None else []:
            entries = manifest.fetch_manifest_entry(table.io)
            if any(entry.data_file.file_path in gone for entry in entries):
                how = [("delete" if one.data_file.file_path in gone else "existing", one) for one in entries]
                written(manifest.content, manifest.partition_spec_id, how)
            elif entries:
                manifests.append(manifest)
        for content, files in ((ManifestContent.DATA, list(add)), (ManifestContent.DELETES, list(deletes))):
            for spec_id in {file.spec_id for file in files}:
                entries = [
                    ManifestEntry.from_args(status=ManifestEntryStatus.ADDED, sequence_number=sequence, data_file=file)
                    for file in files
                    if file.spec_id == spec_id
                ]
                written(content, spec_id, [("add", entry) for entry in entries])
        path = f"{table.location()}/metadata/snap-{snapshot_id}.avro"
        parent_id = parent.snapshot_id if parent is not None else None
        with write_manifest_list(2, table.io.new_output(path), snapshot_id, parent_id, number, "deflate") as writer:
            writer.add_manifests(manifests)
        snapshot = Snapshot(
            snapshot_id=snapshot_id,
            parent_snapshot_id=parent_id,
            sequence_number=number,
            manifest_list=path,
            summary=Summary(operation),
            schema_id=metadata.current_schema_id,
        )
        reference = SetSnapshotRefUpdate(
            ref_name="main", type="branch", snapshot_id=snapshot_id, **dict.fromkeys(_AGES, None)
        )
        self.catalog.commit_table(table, (), (AddSnapshotUpdate(snapshot=snapshot), reference))
        return self.seen()

    def seen(self) -> int:
        """Take in the files of the newest version, and return its number."""
        paths = {entry.data_file.file_path for entry in self.entries()}
        io = self.raw().io
        for path in paths - self.live.keys():
            with io.new_input(path).open() as file:
                self.live[path] = [shown(row) for row in pq.read_table(file).to_pylist()]
        self.live = {path: placed for path, placed in self.live.items() if path in paths}
        self.states[self.version] = Counter(row for placed in self.live.values() for row in placed if row is not None)
        self.placed[self.version] = deepcopy(self.live)
        return self.version

    def edit_metadata(self, edit: Callable[[dict[str, Any]], object]) -> None:
        """Change the table's metadata file in place, as another writer would have written it."""
        file = Path(self.raw().metadata_location.removeprefix("file://"))
        document = json.loads(file.read_text())
        edit(document)
        file.write_text(json.dumps(document))

    def commit_time(self, version: int, moment: datetime) -> None:
        def edit(document: dict[str, Any]) -> None:
            for snapshot in document["snapshots"]:
                if snapshot["sequence-number"] == version:
                    snapshot["timestamp-ms"] = int(moment.timestamp() * 1000)

        self.edit_metadata(edit)


_AGES = ("max_ref_age_ms", "max_snapshot_age_ms", "min_snapshots_to_keep")


class _DeletesWriter(ManifestWriterV2):
    """A writer of delete manifests, which pyiceberg does not have."""

    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


def rows(*ids: int) -> pa.Table:
    return pa.table({"id": pa.array(ids, pa.int64()), "name": [f"n{i % 3}" for i in ids]}, schema=SCHEMA)


def identified(name: str, kind: pa.DataType, number: int) -> pa.Field:
    return pa.field(name, kind, metadata={"PARQUET:field_id": str(number)})


def files_of(table: RawTable, data: pa.Table) -> list[DataFile]:
    found = list(_dataframe_to_data_files(table.metadata, data, table.io))
    for file in found:
        file.spec_id = table.spec().spec_id
    return found


def net_new(table: Table, slice_: Slice) -> "Counter[str]":
    """The multiset of rows that a slice describes, by reading its files as an export does."""
    assert slice_.upper is not None
    return read(table, slice_.added, slice_.upper) - read(table, slice_.removed, slice_.upper)


def read(table: Table, files: Iterable[SourceFile], version: int) -> "Counter[str]":
    target = Target(Encoding(), table.schema(version))
    found: Counter[str] = Counter()
    for file in files:
        read = Rows([source_of(file, target, table, version)], target, ())
        found += counted(pa.Table.from_batches(list(read.batches()), read.schema))
        assert file.rows in {None, read.delivered}
    return found


def counted(data: pa.Table) -> "Counter[str]":
    return Counter(map(shown, data.to_pylist()))


def shown(row: Mapping[str, Any]) -> str:
    # A column that one of two versions does not have yet is null in its rows.
    return repr(sorted((name, value) for name, value in row.items() if value is not None))
