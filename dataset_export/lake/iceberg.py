"""Iceberg tables, from a SQL or REST catalog or by their metadata file, over pyiceberg (metadata and manifests) and this
package's own reader of objects (data files).

What a version is, is told in `iceberg_history`; which files make a slice, and why, in `iceberg_slice`.
"""

from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from dataset_export.errors import VersionGone
from dataset_export.lake.iceberg_catalog import find
from dataset_export.lake.iceberg_columns import arrow_schema, columns_of
from dataset_export.lake.iceberg_deletes import target_in
from dataset_export.lake.iceberg_history import version_of
from dataset_export.lake.iceberg_slice import slice_between
from dataset_export.lake.iceberg_state import State
from dataset_export.lake.location import TableLocation
from dataset_export.lake.lost_files import Keeping, changed, lost
from dataset_export.lake.objects import RangedFile
from dataset_export.lake.origin import Origin
from dataset_export.lake.table import FileColumns, RowSelection, Slice, SourceFile, Version

if TYPE_CHECKING:
    import pyarrow as pa

_KEEPING = Keeping(
    removes="the expiry of snapshots",
    way_out="launch the export in full mode, and export at shorter intervals than snapshots are kept",
    forget="delete it from the table",
)


class IcebergTable:
    """The `Table` protocol over an Iceberg table. Touches the table at the first question; one per thread."""

    def __init__(self, location: TableLocation) -> None:
        self._location = location
        self._state: State | None = None

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
        return slice_between(state, state.history.snapshot(lower), after)

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
        if total is None or not total.isdigit() or state.delete_manifests(snapshot):
            return None
        return int(total)

    def fingerprint(self, version: int) -> str | None:
        """The table and the snapshot: another table of the same name has snapshots of the same numbers."""
        state = self._at(version)
        return f"{state.metadata.table_uuid}/{state.history.snapshot(version).snapshot_id}"

    def require(self, version: int, recorded: str | None, lower: int | None = None) -> None:
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
        what = f"the file {file.path}"
        try:
            size = state.files.size(file.path)
        except FileNotFoundError as error:
            raise lost(what, state.name, _KEEPING, is_listed=self._has(file)) from error
        if size != file.bytes:
            raise changed(what, state.name, found=size, listed=file.bytes)
        return state.files.open(file.path, size)

    def origin(self, file: SourceFile) -> Origin | None:
        """Where the bytes of a data file lie."""
        return (self._state or self._refreshed()).files.origin(file.path)

    def file_columns(self, file: SourceFile, version: int) -> FileColumns | None:
        """By field id: files keep the names that they were written with."""
        state = self._at(version)
        schema = state.schema_of(state.history.snapshot(version))
        return columns_of(state.metadata, schema, file.partition, state.name)

    def row_selection(self, file: SourceFile) -> RowSelection | None:
        """Which rows are left by the delete files of the versions that `file` names."""
        texts = [text for text in (file.deletes, file.only) if text is not None]
        if not texts:
            return None
        state = self._at(max(target_in(text, file.path)[0] for text in texts))
        return RowSelection.of(file, lambda text: state.deleted_rows(file, text))

    def _has(self, file: SourceFile) -> bool:
        """Whether the newest version has a file."""
        state = self._refreshed()
        newest = next(state.history.versions(), None)
        return newest is not None and file.path in state.live(state.history.snapshot(newest.number))

    def _refreshed(self) -> State:
        found = find(self._location)
        if self._state is None or self._state.metadata != found.metadata:
            self._state = State(found.metadata, found.files, self._location)
        return self._state

    def _at(self, version: int) -> State:
        """The table as it was seen last, or anew when that does not have the version."""
        state = self._state
        return state if state is not None and state.history.has(version) else self._refreshed()
