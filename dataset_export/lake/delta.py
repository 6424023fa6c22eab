"""Delta tables, local and on object stores, over deltalake (states) and the log itself (changes, commit times).

Which files make a slice, and why, is told in `delta_slice`.
"""

from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from dataset_export.errors import LakeError, NotFound, UnsupportedTable, VersionGone
from dataset_export.lake.deletion_vectors import deleted_rows, path_of, vector_of
from dataset_export.lake.delta_checkpoint import vectors_at
from dataset_export.lake.delta_log import DeltaLog
from dataset_export.lake.delta_slice import slice_between
from dataset_export.lake.delta_snapshot import DeltaSnapshot
from dataset_export.lake.location import TableLocation
from dataset_export.lake.lost_files import Keeping, changed, lost
from dataset_export.lake.objects import ObjectFolder, RangedFile, deltalake_options, local_path, translated
from dataset_export.lake.origin import Origin
from dataset_export.lake.table import FileColumns, RowSelection, Slice, SourceFile, Version, rows_of
from dataset_export.redaction import quoted

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from deltalake import DeltaTable

_SNAPSHOTS_KEPT = 2
_KEEPING = Keeping(
    removes="a vacuum",
    way_out="launch the export in full mode, and keep delta.deletedFileRetentionDuration above the time between exports",
    forget="take it out of the table's log (FSCK REPAIR TABLE)",
)


class DeltaLakeTable:
    """The `Table` protocol over a Delta table. Touches the table at the first question; one per thread."""

    def __init__(self, location: TableLocation) -> None:
        self._location = location
        self._objects = ObjectFolder(location)
        self._log = DeltaLog(self._objects, location.uri)
        self._snapshots: OrderedDict[int, DeltaSnapshot] = OrderedDict()

    def versions(self, limit: int | None = None) -> list[Version]:
        """The newest versions, newest first; all that the log still has without `limit`."""
        return list(islice(self._log.versions(), limit))

    def newest_before(self, moment: datetime, *, at_least: int | None = None) -> Version | None:
        """The highest version committed strictly before `moment`, or `at_least` itself when nothing newer was.

        Raises:
            VersionGone: when the table has no version `at_least` (any more).
        """
        newest: int | None = None
        for version in self._log.versions():
            newest = version.number if newest is None else newest
            if at_least is not None and version.number < at_least:
                break
            if version.committed_at < moment.astimezone(UTC) or version.number == at_least:
                return version
        if at_least is not None:
            raise self._without(at_least, newest)
        return None

    def slice(self, lower: int | None, upper: int) -> Slice:
        """The rows added after `lower` (None: from the beginning) up to and including `upper`; see `delta_slice`."""
        if lower is None:
            return Slice(None, upper, tuple(self._snapshot(upper).files.values()))
        if lower > upper:
            raise ValueError(f"a slice from version {lower} to the older version {upper}")
        if lower == upper:
            return Slice(lower, upper)
        commits = list(self._log.commits(lower, upper, lambda: self._snapshot(upper).statistic_path))
        return slice_between(
            lower,
            upper,
            commits,
            live_at=lambda version: self._snapshot(version).files,
            exact_partitions=self._snapshot(upper).exact_partitions,
            deleted_rows=self._deleted_rows,
        )

    def schema(self, version: int) -> "pa.Schema":
        """The table's schema at a version, partition columns included, in table order."""
        return self._snapshot(version).schema

    def row_count(self, version: int) -> int | None:
        """Rows in the table at a version by the log's statistics; None when a file has none."""
        return rows_of(self._snapshot(version).files.values())

    def fingerprint(self, version: int) -> None:
        """None: the log says what a version consists of, and is never changed."""

    def require(self, version: int, recorded: str | None, lower: int | None = None) -> None:
        """Nothing: a version that is gone shows when it is read."""

    def open(self, file: SourceFile) -> RangedFile:
        """Open a data file for reading by ranges.

        Raises:
            VersionGone: when the file is gone and the newest version no longer has it: a vacuum removed it.
            CorruptFile: when it is gone although the table still has it, or its size is not the log's.
        """
        what, uri = f"the file {file.path}", self._location.uri
        try:
            size = self._objects.head(file.path).bytes
        except FileNotFoundError as error:
            raise lost(what, uri, _KEEPING, is_listed=file.path in self._newest_files()) from error
        if file.bytes and size != file.bytes:
            raise changed(what, uri, found=size, listed=file.bytes)
        return RangedFile(self._objects, file.path, size)

    def origin(self, file: SourceFile) -> Origin | None:
        """Where the bytes of a data file lie."""
        return self._objects.origin(file.path)

    def file_columns(self, file: SourceFile, version: int) -> FileColumns | None:
        """How the columns of a data file are known at a version: by physical names or ids with column mapping, else None."""
        return self._snapshot(version).file_columns

    def row_selection(self, file: SourceFile) -> RowSelection | None:
        """Which rows of a data file count, by its deletion vectors; None for all of them.

        Raises:
            VersionGone: when a vector's file is gone and the newest version no longer has it: a vacuum removed it.
            CorruptFile: when it is damaged, or gone although the table still has it.
        """
        return RowSelection.of(file, self._deleted_rows)

    def _deleted_rows(self, text: str) -> "np.ndarray":
        vector = vector_of(text)
        try:
            return deleted_rows(vector, self._objects, self._location)
        except FileNotFoundError as error:
            is_listed = any(file.deletes == text for file in self._newest_files().values())
            what = f"the deletion vector {path_of(vector)}"
            raise lost(what, self._location.uri, _KEEPING, is_listed=is_listed, is_data=False) from error

    def _newest_files(self) -> Mapping[str, SourceFile]:
        newest = next(iter(self._log.versions()))
        return self._snapshot(newest.number).files

    def _snapshot(self, version: int) -> DeltaSnapshot:
        snapshot = self._snapshots.get(version)
        if snapshot is None:
            snapshot = self._snapshots[version] = DeltaSnapshot(
                self._load(version),
                self._location,
                vectors=lambda: vectors_at(version, self._objects, self._log, self._location.uri),
            )
            if len(self._snapshots) > _SNAPSHOTS_KEPT:
                self._snapshots.popitem(last=False)
        return snapshot

    def _load(self, version: int) -> "DeltaTable":
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError, TableNotFoundError

        uri = self._location.uri
        local = local_path(uri)
        try:
            with translated(uri):
                return DeltaTable(
                    str(local) if local is not None else uri,
                    version=version,
                    storage_options=deltalake_options(self._location.storage_options),
                )
        except LakeError as error:
            cause = error.__context__  # what deltalake raised; it is not shown, since it may repeat what was sent
            if not isinstance(cause, DeltaError):
                raise
            if "Unsupported" in str(cause):
                reason = quoted(str(cause).rsplit("Unsupported: ", 1)[-1])
                raise UnsupportedTable(
                    f"the table {uri} cannot be read without the risk of wrong rows: {reason}; drop the table feature"
                ) from error
            if isinstance(cause, TableNotFoundError) or "LogSegment" in str(cause):
                newest = next(iter(self._log.versions()), None)
                raise self._without(version, newest and newest.number) from error
            raise

    def _without(self, version: int, newest: int | None) -> NotFound | VersionGone:
        uri = self._location.uri
        if newest is not None and version > newest:
            return VersionGone(
                f"the table {uri} has no version {version}, its newest is {newest}: if it was made anew, launch the "
                "export in full mode"
            )
        return VersionGone(
            f"version {version} of the table {uri} is no longer in its log: launch the export in full mode, and export "
            "at shorter intervals than delta.logRetentionDuration keeps"
        )
