"""An Iceberg table by one of its metadata files: what its snapshots consist of."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING

from dataset_export.errors import UnsupportedTable
from dataset_export.lake.iceberg_bounds import TimestampBounds, timestamp_field
from dataset_export.lake.iceberg_columns import (
    columns_of,
    field_kind,
    mapped_path,
    partition_texts,
)
from dataset_export.lake.iceberg_deleted_rows import Compared, DeletedRows
from dataset_export.lake.iceberg_deletes import PATH_ID, DeleteFiles, target_in, target_of
from dataset_export.lake.iceberg_files import IcebergFiles
from dataset_export.lake.iceberg_history import History, number_of
from dataset_export.lake.iceberg_manifests import Entry, Manifests
from dataset_export.lake.location import TableLocation
from dataset_export.lake.table import SourceFile

if TYPE_CHECKING:
    import numpy as np
    from pyiceberg.manifest import ManifestFile
    from pyiceberg.schema import Schema
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot

_DATA, _DELETES = 0, 1
"""What is in a manifest."""


class State:
    """Immutable, so what was asked once is kept."""

    def __init__(self, metadata: "TableMetadata", files: IcebergFiles, location: TableLocation) -> None:
        self.metadata = metadata
        self.files = files
        self.name = location.uri
        self.history = History(metadata, self.name)
        self._timestamp_column = location.timestamp_column
        fields = [timestamp_field(schema, self._timestamp_column) for schema in metadata.schemas]
        columns = {field.field_id for field in fields if field is not None}
        self.manifests = Manifests(files, self.name, frozenset({*columns, PATH_ID}))
        self._specs = metadata.specs()
        self._deleted = DeletedRows(files, self.name)
        self._delete_files: dict[int, DeleteFiles] = {}
        self._newest_schema = metadata.schema()
        self._bounds: dict[int, TimestampBounds] = {}
        self._partition_texts: dict[tuple[int, str], Mapping[str, str | None]] = {}

    def schema_of(self, snapshot: "Snapshot") -> "Schema":
        """The schema that was the table's when a snapshot was committed."""
        found = self.metadata.schema_by_id(snapshot.schema_id) if snapshot.schema_id is not None else None
        return found if found is not None else self.metadata.schema()

    def data_manifests(self, snapshot: "Snapshot") -> "list[ManifestFile]":
        """The manifests of a snapshot that have data files."""
        return [one for one in self.manifests.of(snapshot) if one.content == _DATA]

    def delete_manifests(self, snapshot: "Snapshot") -> "list[ManifestFile]":
        """The manifests of a snapshot that have delete files which count."""
        return [
            one
            for one in self.manifests.of(snapshot)
            if one.content == _DELETES and (one.has_added_files() or one.has_existing_files())
        ]

    def delete_entries(self, snapshot: "Snapshot") -> list[Entry]:
        """The delete files of a snapshot."""
        return [entry for entry in self.manifests.entries(self.delete_manifests(snapshot)) if entry.is_live]

    def delete_files(self, snapshot: "Snapshot") -> DeleteFiles:
        """The delete files of a snapshot, by what they apply to."""
        found = self._delete_files.get(snapshot.snapshot_id)
        if found is None:
            plain = frozenset(spec_id for spec_id, spec in self._specs.items() if spec.is_unpartitioned())
            found = self._delete_files[snapshot.snapshot_id] = DeleteFiles(
                self.delete_entries(snapshot), plain, self.name
            )
        return found

    def data_entries(self, manifests: "Iterable[ManifestFile]") -> dict[str, Entry]:
        """The data files of manifests by path, in their order.

        Raises:
            UnsupportedTable: for a file that is in them twice.
        """
        found: dict[str, Entry] = {}
        for entry in self.manifests.entries(manifests):
            if not entry.is_live:
                continue
            if entry.path in found:
                raise UnsupportedTable(
                    f"the table {self.name} has the file {entry.path} twice, so which of its rows are new cannot be told: delete it from the "
                    "table and add it once"
                )
            found[entry.path] = entry
        return found

    def live(self, snapshot: "Snapshot") -> dict[str, SourceFile]:
        """The files of the table at a snapshot by path."""
        entries = self.data_entries(self.data_manifests(snapshot))
        return {path: self.file(entry, snapshot) for path, entry in entries.items()}

    def file(self, entry: Entry, snapshot: "Snapshot") -> SourceFile:
        """A data file, less the rows of it that are deleted at a snapshot.

        Raises:
            UnsupportedTable: for one that is not parquet.
        """
        if entry.form != "PARQUET":
            raise UnsupportedTable(
                f"the table {self.name} has the {entry.form} file {entry.path}, and only parquet files are read: rewrite the table's files as "
                "parquet (write.format.default)"
            )
        deleting, bounds = self.delete_files(snapshot), self._bounds_at(snapshot)
        deletes = deleting.applying(target_of(entry)) if deleting else []
        return SourceFile(
            path=entry.path,
            bytes=entry.bytes,
            rows=_rows_left(entry, deletes) if deletes else entry.rows,
            partition=self._partition(entry),
            min_timestamp=bounds.least(entry),
            max_timestamp=bounds.greatest(entry),
            deletes=target_of(entry).text(number_of(snapshot)) if deletes else None,
        )

    def _bounds_at(self, snapshot: "Snapshot") -> TimestampBounds:
        """What reads the bounds of the dataset's timestamp column. Kept: it is asked for every file."""
        found = self._bounds.get(snapshot.snapshot_id)
        if found is None:
            field = timestamp_field(self.schema_of(snapshot), self._timestamp_column)
            found = self._bounds[snapshot.snapshot_id] = TimestampBounds(field)
        return found

    def _partition(self, entry: Entry) -> Mapping[str, str | None]:
        """The partition values of a file; files with equal values share them."""
        # By their text: 0.0 equals -0.0.
        key = entry.spec_id, repr(entry.partition)
        found = self._partition_texts.get(key)
        if found is None:
            found = partition_texts(entry, self._specs[entry.spec_id], self._newest_schema)
            self._partition_texts[key] = found
        return found

    def deleted_rows(self, file: SourceFile, text: str) -> "np.ndarray":
        """Positions of the rows that `text` (a `SourceFile.deletes` or `only`) marks."""
        version, target = target_in(text, file.path)
        snapshot = self.history.snapshot(version)
        schema = self.schema_of(snapshot)
        columns = columns_of(self.metadata, schema, file.partition, self.name)

        @cache
        def compared(field_id: int) -> Compared:
            name, kind = field_kind(schema, self.metadata, field_id, self.name)
            return Compared(field_id, kind, columns.missing.get(name), mapped_path(self.metadata, field_id))

        deletes = self.delete_files(snapshot).applying(target)
        return self._deleted.of(file.path, file.bytes, deletes, compared)


def _rows_left(entry: Entry, deletes: list[Entry]) -> int | None:
    """Rows of a data file that its delete files leave; None unless all are deletion vectors: others
    may be about rows of other files too, or mark one row twice."""
    if any(one.form != "PUFFIN" for one in deletes):
        return None
    return entry.rows - sum(one.rows for one in deletes)
