"""A Delta table at one version, as deltalake reads it: immutable, so what was asked once is kept."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dataset_export.errors import LakeError, UnsupportedTable
from dataset_export.lake.deletion_vectors import vector_of
from dataset_export.lake.delta_checkpoint import Vectors
from dataset_export.lake.delta_columns import MappedColumns, mapped_columns, without_mapping
from dataset_export.lake.delta_log import counted_rows, data_path
from dataset_export.lake.location import TableLocation
from dataset_export.lake.objects import translated
from dataset_export.lake.table import FileColumns, SourceFile
from dataset_export.lake.timestamp_bounds import lower_bounds, upper_bounds

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

# With these, the rows of a file are those it shows less those of its deletion vector, under the names and with the types
# that the schema tells. A type change that is no widening is looked at, not the permission for one.
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


class DeltaSnapshot:
    """One version of the table `table` at `location`; `vectors` reads the deletion vectors of its files.

    Raises UnsupportedTable for a table with features of which wrong rows would come.
    """

    def __init__(self, table: "DeltaTable", location: TableLocation, vectors: Callable[[], Vectors]) -> None:
        self._table = table
        self._location = location
        self._vectors = vectors
        self.columns: MappedColumns = mapped_columns(table.schema().to_json(), table.metadata().configuration)
        self._refuse_wrong_rows()

    @cached_property
    def schema(self) -> "pa.Schema":
        """In table order, partition columns included, by the names that people use."""
        import pyarrow as pa

        return without_mapping(pa.schema(self._table.schema().to_arrow()))

    @cached_property
    def file_columns(self) -> FileColumns | None:
        """How the columns of its files are known; None when by their names."""
        return self.columns.file_columns(self._table.metadata().partition_columns)

    @cached_property
    def files(self) -> Mapping[str, SourceFile]:
        """The live files by path, in the log's order. Their partition values have the names that the log has."""
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
        """Partition columns, by the log's names, of which equal values always have equal text; decimals and timestamps
        have several."""
        import pyarrow as pa

        def exact(kind: Any) -> bool:
            return pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_date(kind)

        columns = self._table.metadata().partition_columns
        return frozenset(self.columns.stored_name(name) for name in columns if exact(self.schema.field(name).type))

    @cached_property
    def statistic_path(self) -> tuple[str, ...] | None:
        """Where the log's statistics have the dataset's timestamp column; None without one."""
        column = self._location.timestamp_column
        if column is None:
            return None
        # A column with dots in its own name comes before one inside a struct.
        path = (column,) if column in self.schema.names else tuple(column.split("."))
        return self.columns.stored_path(path)

    def _source_files(self, batch: "pa.RecordBatch") -> list[SourceFile]:
        # Column by column: a table may have very many files, and objects of Python for each of their statistics take seconds.
        uri = self._location.uri
        paths, sizes, rows = (batch[name].to_pylist() for name in ("path", "size_bytes", "num_records"))
        least, most, nulls = (self._statistics(batch, kind) for kind in ("min", "max", "null_count"))
        unknown: list[None] = [None] * batch.num_rows
        lower = unknown if least is None else lower_bounds(least)
        upper = unknown if most is None or nulls is None else upper_bounds(most, nulls)
        return [
            SourceFile(data_path(path, uri), size, count, partition, at_least, at_most)
            for path, size, count, partition, at_least, at_most in zip(
                paths, sizes, rows, self._partitions(batch), lower, upper, strict=True
            )
        ]

    def _partitions(self, batch: "pa.RecordBatch") -> list[dict[str, str | None]]:
        """The values of each file by the names that the log has; files with equal values share them."""
        if "partition" not in batch.schema.names:
            return [{}] * batch.num_rows
        column = batch["partition"]
        names = [self.columns.stored_name(field.name) for field in column.type]
        values = list(
            zip(*([_log_text(value) for value in part.to_pylist()] for part in column.flatten()), strict=True)
        )
        distinct = {one: dict(zip(names, one, strict=True)) for one in set(values)}
        return [distinct[one] for one in values]

    def _statistics(self, batch: "pa.RecordBatch", kind: str) -> "pa.Array | None":
        """What the log has of the timestamp column of each file; None when of none."""
        from pyarrow import types

        if self.statistic_path is None or kind not in batch.schema.names:
            return None
        column = batch[kind]
        for name in self.statistic_path:
            if not types.is_struct(column.type) or column.type.get_field_index(name) < 0:
                return None
            column = column.flatten()[column.type.get_field_index(name)]
        return column

    def _refuse_wrong_rows(self) -> None:
        used = self._unknown_features()
        if used:
            raise UnsupportedTable(
                f"the table {self._location.uri} uses the table feature {', '.join(sorted(used))}, with which wrong "
                "rows would be delivered: drop the feature (ALTER TABLE … DROP FEATURE) or export a copy of the table"
            )

    def _unknown_features(self) -> set[str]:
        protocol = self._table.protocol()
        used = set(protocol.reader_features or ()) - _READER_FEATURES
        if protocol.min_reader_version > 3:
            used.add(f"minReaderVersion {protocol.min_reader_version}")
        if self.columns.unknown_changes:
            used.add(f"typeWidening (of {', '.join(self.columns.unknown_changes)})")
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
