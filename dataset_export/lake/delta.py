"""Delta tables, local and on object stores, over deltalake (states) and the log itself (changes, commit times).

Which files make a slice, and why, is told in `delta_slice`.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from dataset_export.errors import CorruptFile, LakeError, NotFound, UnsupportedTable, VersionGone
from dataset_export.lake.deletion_vectors import deleted_rows, path_of, vector_of
from dataset_export.lake.delta_checkpoint import Vectors, vectors_at
from dataset_export.lake.delta_log import DeltaLog, counted_rows, data_path, nested_value, utc_text
from dataset_export.lake.delta_slice import slice_between
from dataset_export.lake.location import TableLocation
from dataset_export.lake.objects import ObjectFolder, RangedFile, deltalake_options, local_path, translated
from dataset_export.lake.table import FileColumns, RowSelection, Slice, SourceFile, Version
from dataset_export.redaction import quoted

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from deltalake import DeltaTable

# With these a file's rows are those it shows less those of its deletion vector, under the names the schema has. A table
# that allows column mapping or type widening need not use them, so their use is looked at, not the permission.
_READER_FEATURES = frozenset(
    {
        "columnMapping",
        "deletionVectors",
        "timestampNtz",
        "typeWidening",
        "typeWidening-preview",
        "v2Checkpoint",
        "vacuumProtocolCheck",
    }
)
_SNAPSHOTS_KEPT = 2
_AFTER_A_VACUUM = (
    "launch the export in full mode, and keep delta.deletedFileRetentionDuration above the time between exports"
)


class DeltaLakeTable:
    """The `Table` protocol over a Delta table. Touches the table at the first question; one per thread."""

    def __init__(self, location: TableLocation) -> None:
        self._location = location
        self._objects = ObjectFolder(location)
        self._log = DeltaLog(self._objects, location.uri, location.timestamp_column)
        self._snapshots: OrderedDict[int, _Snapshot] = OrderedDict()

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
        commits = list(self._log.commits(lower, upper))
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
        total = 0
        for file in self._snapshot(version).files.values():
            if file.rows is None:
                return None
            total += file.rows
        return total

    def fingerprint(self, version: int) -> None:
        """None: the log says what a version consists of, and is never changed."""

    def require(self, version: int, recorded: str | None) -> None:
        """Nothing: a version that is gone shows when it is read."""

    def open(self, file: SourceFile) -> RangedFile:
        """Open a data file for reading by ranges.

        Raises:
            VersionGone: when the file is gone and the newest version no longer has it: a vacuum removed it.
            CorruptFile: when it is gone although the table still has it, or its size is not the log's.
        """
        uri = self._location.uri
        try:
            size = self._objects.head(file.path).bytes
        except FileNotFoundError as error:
            if file.path not in self._newest_files():
                raise VersionGone(
                    f"a vacuum removed the file {file.path} of the table {uri}, which this export has to read: "
                    f"{_AFTER_A_VACUUM}"
                ) from error
            raise CorruptFile(
                f"the file {file.path} of the table {uri} is missing although the table's log has it: restore it, or "
                "take it out of the log (FSCK REPAIR TABLE)"
            ) from error
        if file.bytes and size != file.bytes:
            raise CorruptFile(
                f"the file {file.path} of the table {uri} has {size} bytes, and {file.bytes} by the log: restore it"
            )
        return RangedFile(self._objects, file.path, size)

    def file_columns(self, file: SourceFile, version: int) -> FileColumns | None:
        """By the names they have in the file: tables with others are refused."""
        return None

    def row_selection(self, file: SourceFile) -> RowSelection | None:
        """Which rows of a data file count, by its deletion vectors; None for all of them.

        Raises:
            VersionGone: when a vector's file is gone and the newest version no longer has it: a vacuum removed it.
            CorruptFile: when it is damaged, or gone although the table still has it.
        """
        import numpy as np

        if file.deletes is None and file.only is None:
            return None
        return RowSelection(
            dropped=np.empty(0, np.int64) if file.deletes is None else self._deleted_rows(file.deletes),
            only=None if file.only is None else self._deleted_rows(file.only),
        )

    def _deleted_rows(self, text: str) -> "np.ndarray":
        vector = vector_of(text)
        try:
            return deleted_rows(vector, self._objects, self._location)
        except FileNotFoundError as error:
            uri, path = self._location.uri, path_of(vector)
            if all(file.deletes != text for file in self._newest_files().values()):
                raise VersionGone(
                    f"a vacuum removed the deletion vector {path} of the table {uri}, which this export has to read: "
                    f"{_AFTER_A_VACUUM}"
                ) from error
            raise CorruptFile(
                f"the deletion vector {path} of the table {uri} is missing although the table's log has it: restore it"
            ) from error

    def _newest_files(self) -> Mapping[str, SourceFile]:
        newest = next(iter(self._log.versions()))
        return self._snapshot(newest.number).files

    def _snapshot(self, version: int) -> "_Snapshot":
        snapshot = self._snapshots.get(version)
        if snapshot is None:
            snapshot = self._snapshots[version] = _Snapshot(
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


class _Snapshot:
    """The table at one version: immutable, so what was asked once is kept."""

    def __init__(self, table: "DeltaTable", location: TableLocation, vectors: Callable[[], Vectors]) -> None:
        self._table = table
        self._location = location
        self._vectors = vectors
        self._refuse_wrong_rows()

    @cached_property
    def schema(self) -> "pa.Schema":
        import pyarrow as pa

        return pa.schema(self._table.schema().to_arrow())

    @cached_property
    def files(self) -> Mapping[str, SourceFile]:
        """The live files by path, in the log's order."""
        import pyarrow as pa

        with translated(self._location.uri):
            actions = pa.table(self._table.get_add_actions(flatten=False))
        files = {file.path: file for batch in actions.to_batches() for file in self._source_files(batch)}
        if "deletionVectors" not in (self._table.protocol().reader_features or ()):
            return files
        vectors = self._vectors()
        if vectors.keys() != files.keys():
            raise LakeError(
                f"the log of the table {self._location.uri} was read in two ways that tell different files of version "
                f"{self._table.version()}: export again, and check its checkpoints"
            )
        return {path: _with_vector(file, vectors[path]) for path, file in files.items()}

    @cached_property
    def exact_partitions(self) -> frozenset[str]:
        """Partition columns of which equal values always have equal text; decimals and timestamps have several."""
        import pyarrow as pa

        def exact(kind: Any) -> bool:
            return pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_date(kind)

        columns = self._table.metadata().partition_columns
        return frozenset(name for name in columns if exact(self.schema.field(name).type))

    def _source_files(self, batch: Any) -> Iterator[SourceFile]:
        partitions = batch["partition"].to_pylist() if "partition" in batch.schema.names else [None] * batch.num_rows
        least = batch["min"].to_pylist() if self._location.timestamp_column and "min" in batch.schema.names else None
        paths, sizes, rows = (batch[name].to_pylist() for name in ("path", "size_bytes", "num_records"))
        for at, path in enumerate(paths):
            bound = least and nested_value(least[at], self._location.timestamp_column or "")
            yield SourceFile(
                path=data_path(path, self._location.uri),
                bytes=sizes[at],
                rows=rows[at],
                partition={name: _log_text(value) for name, value in (partitions[at] or {}).items()},
                min_timestamp=utc_text(bound),
            )

    def _refuse_wrong_rows(self) -> None:
        used = self._used_features()
        if used:
            raise UnsupportedTable(
                f"the table {self._location.uri} uses the table feature {', '.join(sorted(used))}, with which wrong "
                "rows would be delivered: drop the feature (ALTER TABLE … DROP FEATURE) or export a copy of the table"
            )

    def _used_features(self) -> set[str]:
        protocol = self._table.protocol()
        declared = set(protocol.reader_features or ())
        used = declared - _READER_FEATURES
        if protocol.min_reader_version > 3:
            used.add(f"minReaderVersion {protocol.min_reader_version}")
        if self._table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
            used.add("columnMapping")
        if "delta.typeChanges" in self._table.schema().to_json():
            used.add("typeWidening")
        return used


def _with_vector(file: SourceFile, text: str | None) -> SourceFile:
    if text is None:
        return file
    return replace(file, deletes=text, rows=counted_rows(file.rows, vector_of(text)))


def _log_text(value: Any) -> str | None:
    """A typed partition value as the log writes it (Delta: "Partition Value Serialization")."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
    if isinstance(value, bytes):
        return value.decode("utf-8")
    return str(value)
