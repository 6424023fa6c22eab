"""What every table format can do: the seam between the pipeline and a lake.

A table has versions, numbered upwards; a slice is what was added between two of them. `lake.open_table` returns the
implementation for a location.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from dataset_export.lake.origin import Origin

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@dataclass(frozen=True)
class Version:
    """One committed state of a table: its number and when it was committed (UTC, by the table's own log)."""

    number: int
    committed_at: datetime


@dataclass(frozen=True)
class SourceFile:
    """Rows of one parquet data file of a table: all of them, or those that `deletes` and `only` leave. What a slice takes
    from a file is known by `path`, `deletes` and `only` together: the same file may be in it with other rows. JSON-able:
    it travels between workers inside a shard.

    Attributes:
        path: relative to the table's location, or absolute; only the table that made it can open it.
        bytes: size of the file.
        rows: rows that count, or None when the log does not say (reading the file does).
        partition: values of partition columns, which are not in the file, as the log writes them (text or null).
        min_timestamp: a lower bound (ISO-8601, UTC) of the dataset's timestamp column in this file, when the log has
            one.
        max_timestamp: an upper bound, when the log has one and proves that no timestamp in this file is null.
        deletes: what marks rows of the file as deleted; they do not count. Text for `Table.row_selection` alone.
        only: what marks the rows that count, as `deletes` does; None for all. So the rows that a commit deletes from a
            file are those with its `deletes` of before, `only` those of after.
        modified: when the file was last modified (ISO-8601, UTC), of a table that has no log to say what the file is.
    """

    path: str
    bytes: int
    rows: int | None = None
    partition: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    min_timestamp: str | None = None
    max_timestamp: str | None = None
    deletes: str | None = None
    only: str | None = None
    modified: str | None = None


@dataclass(frozen=True)
class RowSelection:
    """Which rows of a file count, by their positions in it from 0: sorted arrays of 64-bit integers, each position once.

    Attributes:
        dropped: rows that do not count.
        only: the rows that count unless they are dropped; None for all.
    """

    dropped: "np.ndarray"
    only: "np.ndarray | None" = None

    @classmethod
    def of(cls, file: SourceFile, deleted_rows: "Callable[[str], np.ndarray]") -> "RowSelection | None":
        """What `deletes` and `only` of a file come to; None for all rows. `deleted_rows`: the positions that one stands for."""
        import numpy as np

        if file.deletes is None and file.only is None:
            return None
        return cls(
            dropped=np.empty(0, np.int64) if file.deletes is None else deleted_rows(file.deletes),
            only=None if file.only is None else deleted_rows(file.only),
        )


@dataclass(frozen=True)
class FileColumns:
    """How a table knows the columns of one of its files.

    Attributes:
        by_id: field ids to names in the table, of columns and of fields inside structs; None when ids mean nothing.
        by_path: names in the file (paths of them, with `element`, `key` and `value` for what is in lists and maps) to names
            in the table, for files without field ids, and for all when `by_id` is None. None when such files cannot be
            read.
        missing: the value (an Arrow scalar) of columns that the file may lack; other columns that it lacks are null.
        partition: names in `SourceFile.partition` to names in the table, of columns that the file does not have.
    """

    by_id: Mapping[int, str] | None = None
    by_path: Mapping[tuple[str, ...], str] | None = None
    missing: Mapping[str, Any] = field(default_factory=dict[str, Any])
    partition: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Slice:
    """What must be delivered between two versions (design: "Which rows belong to an export").

    The rows are those of `added`, less those of `removed`, as multisets: with `removed` empty every added file counts
    whole; otherwise files of `added` repeat rows that were there before, and only net-new rows belong to the slice.
    `lower` None means from the beginning; `upper` None means the table had no version yet, and the slice is empty.
    """

    lower: int | None
    upper: int | None
    added: tuple[SourceFile, ...] = ()
    removed: tuple[SourceFile, ...] = ()

    @property
    def added_rows(self) -> int | None:
        """Rows of the added files by the log; None when it does not say for one of them."""
        return rows_of(self.added)


def rows_of(files: Iterable[SourceFile]) -> int | None:
    """Rows of files by the log; None when it does not say for one of them."""
    total = 0
    for file in files:
        if file.rows is None:
            return None
        total += file.rows
    return total


class ReadableFile(Protocol):
    """A file-like object with random access, as pyarrow takes it; close it after use."""

    def read(self, size: int = -1, /) -> Any: ...
    def seek(self, offset: int, whence: int = 0, /) -> int: ...
    def tell(self) -> int: ...
    def close(self) -> None: ...


class Table(Protocol):
    """One table of a lake. Methods raise NotFound (no such table), AccessDenied, LakeError, TransientError."""

    def versions(self, limit: int | None = None) -> list[Version]:
        """The newest versions, newest first; all that the log still has without `limit`."""
        ...

    def newest_before(self, moment: datetime, *, at_least: int | None = None) -> Version | None:
        """The newest version committed strictly before `moment` (UTC), seen now; never one below `at_least`. None when
        there is none. Commit times need not rise with the numbers: the highest number wins. With `at_least`, nothing
        newer means `at_least` itself (VersionGone when the log no longer has it)."""
        ...

    def slice(self, lower: int | None, upper: int) -> Slice:
        """The rows added after version `lower` (None: from the beginning) up to and including `upper`.

        Reads the log only. Compaction adds nothing. Raises VersionGone when the log no longer reaches back to `lower`
        or the files of `upper` were vacuumed as far as the log can tell, UnsupportedTable for features that would give
        wrong rows."""
        ...

    def schema(self, version: int) -> "pa.Schema":
        """The table's schema at a version, partition columns included, in table order."""
        ...

    def row_count(self, version: int) -> int | None:
        """Rows in the table at a version by the log's statistics; None when a file has none."""
        ...

    def fingerprint(self, version: int) -> str | None:
        """What tells whether a version still is what it was: recorded with its export. None for a format whose log does."""
        ...

    def require(self, version: int, recorded: str | None, lower: int | None = None) -> None:
        """Raise VersionGone when a version is not what its recorded fingerprint says, naming what was changed in it. Of it, what
        came after version `lower` (None: all) is to be delivered; what came before was delivered, and is not asked for again."""
        ...

    def open(self, file: SourceFile) -> ReadableFile:
        """Open a data file for reading by ranges. Raises VersionGone when a vacuum removed it, CorruptFile when it is
        gone although the newest version has it, or has another size than the log says. Reading raises CorruptFile
        and TransientError."""
        ...

    def origin(self, file: SourceFile) -> Origin | None:
        """Where the bytes of a data file lie; None when that cannot be told. It need not be there any more. Raises AccessDenied
        and TransientError."""
        ...

    def file_columns(self, file: SourceFile, version: int) -> FileColumns | None:
        """How the columns of a data file are known at a version; None when by the names they have in it, and then
        `SourceFile.partition` has those that it lacks."""
        ...

    def row_selection(self, file: SourceFile) -> RowSelection | None:
        """Which rows of a data file count; None for all of them. Reads what its `deletes` and `only` refer to. Raises
        VersionGone when that was vacuumed, CorruptFile when it is damaged."""
        ...
