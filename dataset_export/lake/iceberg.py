"""Iceberg tables, from a SQL or REST catalog or by their metadata file, over pyiceberg (metadata and manifests) and this
package's own reader of objects (data files).

What a version is, is told in `iceberg_history`; which files make a slice, and why, in `iceberg_slice`.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from dataset_export.errors import CorruptFile, UnsupportedTable, VersionGone
from dataset_export.lake.delta_log import Commit, FileAction
from dataset_export.lake.delta_slice import slice_between
from dataset_export.lake.iceberg_catalog import find
from dataset_export.lake.iceberg_columns import (
    arrow_schema,
    columns_of,
    exact_partitions,
    least_timestamp,
    partition_texts,
)
from dataset_export.lake.iceberg_files import IcebergFiles
from dataset_export.lake.iceberg_history import History, version_of
from dataset_export.lake.iceberg_manifests import Entry, Manifests
from dataset_export.lake.iceberg_slice import commits_of, data_manifests, delete_manifests, live_entries
from dataset_export.lake.location import TableLocation
from dataset_export.lake.objects import RangedFile
from dataset_export.lake.table import FileColumns, RowSelection, Slice, SourceFile, Version

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from pyiceberg.manifest import ManifestFile
    from pyiceberg.schema import Schema
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot


class IcebergTable:
    """The `Table` protocol over an Iceberg table. Touches the table at the first question; one per thread."""

    def __init__(self, location: TableLocation) -> None:
        self._location = location
        self._state: _State | None = None

    def versions(self, limit: int | None = None) -> list[Version]:
        """The newest versions, newest first; all that the table still has without `limit`."""
        return list(islice(self._refreshed().history.versions(), limit))

    def newest_before(self, moment: datetime, *, at_least: int | None = None) -> Version | None:
        """The highest version committed strictly before `moment`, or `at_least` itself when nothing newer was; also when
        `main` was rolled back from that since.

        Raises:
            VersionGone: when the table has no version `at_least` (any more).
        """
        history = self._refreshed().history
        for version in history.versions():
            if at_least is not None and version.number < at_least:
                break
            if version.committed_at < moment.astimezone(UTC) or version.number == at_least:
                return version
        return version_of(history.snapshot(at_least)) if at_least is not None else None

    def slice(self, lower: int | None, upper: int) -> Slice:
        """The rows added after `lower` (None: from the beginning) up to and including `upper`; see `iceberg_slice`."""
        if lower is not None and lower > upper:
            raise ValueError(f"a slice from version {lower} to the older version {upper}")
        if lower == upper:
            return Slice(lower, upper)
        state = self._at(upper)
        after = state.history.snapshot(upper)
        if lower is None:
            return Slice(None, upper, tuple(state.live(after).values()))
        before = state.history.snapshot(lower)
        path = state.history.between(before, after)
        if path is None:
            commits = [_commit(upper, *state.difference(before, after))]
        else:
            commits = list(commits_of(path, state.manifests, state.to_file(after)))
        return slice_between(
            lower,
            upper,
            commits,
            live_at=lambda version: state.live(state.history.snapshot(version)),
            exact_partitions=exact_partitions(state.metadata),
            deleted_rows=_no_deleted_rows,
        )

    def schema(self, version: int) -> "pa.Schema":
        """The table's schema at a version, partition columns included, in table order."""
        state = self._at(version)
        return arrow_schema(state.schema_of(state.history.snapshot(version)), state.name)

    def row_count(self, version: int) -> int | None:
        """Rows in the table at a version by the snapshot's summary; None when it does not say."""
        state = self._at(version)
        snapshot = state.history.snapshot(version)
        summary = snapshot.summary.additional_properties if snapshot.summary is not None else {}
        total = summary.get("total-records")
        if total is None or not total.isdigit() or delete_manifests(snapshot, state.manifests):
            return None
        return int(total)

    def fingerprint(self, version: int) -> str | None:
        """The table and the snapshot: another table of the same name has snapshots of the same numbers."""
        state = self._at(version)
        return f"{state.metadata.table_uuid}/{state.history.snapshot(version).snapshot_id}"

    def require(self, version: int, recorded: str | None) -> None:
        """Raises VersionGone when the snapshot has expired, or is another one: the table was made anew."""
        if recorded is not None and self.fingerprint(version) != recorded:
            raise VersionGone(
                f"version {version} of the table {self._location.uri} is not the snapshot that was exported: the table was made anew; "
                "launch the export in full mode"
            )

    def open(self, file: SourceFile) -> RangedFile:
        """Open a data file for reading by ranges.

        Raises:
            VersionGone: when the file is gone and the newest version no longer has it: its snapshot has expired.
            CorruptFile: when it is gone although the table still has it, or its size is not the manifest's.
        """
        state = self._state or self._refreshed()
        try:
            size = state.files.size(file.path)
        except FileNotFoundError as error:
            raise self._missing(file) from error
        if size != file.bytes:
            raise CorruptFile(
                f"the file {file.path} of the table {state.name} has {size} bytes, and {file.bytes} by its manifest: restore it"
            )
        return state.files.open(file.path, size)

    def file_columns(self, file: SourceFile, version: int) -> FileColumns | None:
        """By field id: files keep the names that they were written with."""
        state = self._at(version)
        schema = state.schema_of(state.history.snapshot(version))
        return columns_of(state.metadata, schema, file.partition, state.name)

    def row_selection(self, file: SourceFile) -> RowSelection | None:
        """Every row: tables with deleted rows in their files are refused."""
        return None

    def _missing(self, file: SourceFile) -> VersionGone | CorruptFile:
        state = self._refreshed()
        newest = next(state.history.versions(), None)
        if newest is None or file.path not in state.live(state.history.snapshot(newest.number)):
            return VersionGone(
                f"the file {file.path} of the table {state.name}, which this export has to read, was removed with the snapshots "
                "that had it: launch the export in full mode, and export at shorter intervals than snapshots are kept"
            )
        return CorruptFile(
            f"the file {file.path} of the table {state.name} is missing although the table has it: restore it, or delete it "
            "from the table"
        )

    def _refreshed(self) -> "_State":
        found = find(self._location)
        if self._state is None or self._state.metadata != found.metadata:
            self._state = _State(found.metadata, found.files, self._location)
        return self._state

    def _at(self, version: int) -> "_State":
        """The table as it was seen last, or anew when that does not have the version."""
        state = self._state
        return state if state is not None and state.history.has(version) else self._refreshed()


class _State:
    """The table by one of its metadata files: immutable, so what was asked once is kept."""

    def __init__(self, metadata: "TableMetadata", files: IcebergFiles, location: TableLocation) -> None:
        self.metadata = metadata
        self.files = files
        self.name = location.uri
        self.history = History(metadata, self.name)
        self.manifests = Manifests(files, self.name)
        self._timestamp_column = location.timestamp_column
        self._specs = metadata.specs()

    def schema_of(self, snapshot: "Snapshot") -> "Schema":
        """The schema that was the table's when a snapshot was committed."""
        found = self.metadata.schema_by_id(snapshot.schema_id) if snapshot.schema_id is not None else None
        return found if found is not None else self.metadata.schema()

    def live(self, snapshot: "Snapshot") -> dict[str, SourceFile]:
        """The files of the table at a snapshot by path, in the manifests' order."""
        self.refuse_deletes(snapshot)
        return self._files(snapshot, data_manifests(snapshot, self.manifests))

    def difference(self, before: "Snapshot", after: "Snapshot") -> tuple[dict[str, SourceFile], dict[str, SourceFile]]:
        """The files that only the later of two snapshots has, and those that only the earlier one has."""
        for snapshot in (before, after):
            self.refuse_deletes(snapshot)
        earlier, later = (data_manifests(snapshot, self.manifests) for snapshot in (before, after))
        shared = {one.manifest_path for one in earlier} & {one.manifest_path for one in later}
        gone = self._files(before, [one for one in earlier if one.manifest_path not in shared])
        new = self._files(after, [one for one in later if one.manifest_path not in shared])
        both = gone.keys() & new.keys()
        return (
            {path: file for path, file in new.items() if path not in both},
            {path: file for path, file in gone.items() if path not in both},
        )

    def to_file(self, snapshot: "Snapshot") -> "Callable[[Entry], SourceFile]":
        """What makes of a manifest's entry a file of the table. Raises UnsupportedTable for one that is not parquet."""
        schema = self.schema_of(snapshot)

        def convert(entry: Entry) -> SourceFile:
            if entry.form != "PARQUET":
                raise UnsupportedTable(
                    f"the table {self.name} has the {entry.form} file {entry.path}, and only parquet files are read: rewrite the "
                    "table's files as parquet (write.format.default)"
                )
            return SourceFile(
                path=entry.path,
                bytes=entry.bytes,
                rows=entry.rows,
                partition=partition_texts(entry, self._specs[entry.spec_id], self.metadata.schema()),
                min_timestamp=least_timestamp(entry, schema, self._timestamp_column),
            )

        return convert

    def refuse_deletes(self, snapshot: "Snapshot") -> None:
        """Raise UnsupportedTable when rows of a snapshot's files are deleted."""
        if delete_manifests(snapshot, self.manifests):
            raise UnsupportedTable(
                f"the table {self.name} has delete files, so its data files hold deleted rows: rewrite them (CALL "
                "system.rewrite_data_files) and set write.delete.mode, write.update.mode and write.merge.mode to copy-on-write"
            )

    def _files(self, snapshot: "Snapshot", manifests: "list[ManifestFile]") -> dict[str, SourceFile]:
        convert = self.to_file(snapshot)
        found: dict[str, SourceFile] = {}
        for entry in live_entries(self.manifests, manifests):
            if entry.path in found:
                raise UnsupportedTable(
                    f"the table {self.name} has the file {entry.path} twice, so which of its rows are new cannot be told: "
                    "delete it from the table and add it once"
                )
            found[entry.path] = convert(entry)
        return found


def _commit(number: int, added: dict[str, SourceFile], removed: dict[str, SourceFile]) -> Commit:
    """A difference of two states as if one commit had made it."""
    signed = [(file, True) for file in added.values()] + [(file, False) for file in removed.values()]
    return Commit(number, [FileAction(file, adds=adds, data_change=True, complete=True) for file, adds in signed])


def _no_deleted_rows(_: str) -> "np.ndarray":
    raise AssertionError("files with deleted rows are refused")
