"""What goes into encoding a file and what comes out.

`encode.encode` reads one or more parquet files and writes the bytes of one delivered file into a sink, in the cheapest
way that gives the asked-for bytes (design: "How bytes are made").
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from dataset_export.encoding.column_path import ColumnPath

if TYPE_CHECKING:
    import pyarrow as pa

Sink = Callable[[bytes | bytearray | memoryview], object]
"""Takes the encoded bytes, in order; consumes each piece before it returns."""

OpenSink = Callable[[int], AbstractContextManager[Sink]]
"""Begins one of several files, counted from 0. The file is whole when its block ends normally, and nobody's when it is left
by an exception."""


@runtime_checkable
class CopyingSink(Protocol):
    """A sink that may have bytes copied from where they lie, so that they need not be sent. It is given them all the same."""

    def __call__(self, data: bytes | bytearray | memoryview, /) -> object: ...

    def copies(self, origin: Any) -> None:
        """Say, before the first byte, that the source at `origin` is all that follows."""
        ...


class Format(StrEnum):
    """File formats of a delivery (spec S6)."""

    PARQUET = "parquet"
    JSON = "json"


class Compression(StrEnum):
    """Compressions of a delivery (spec S6). For parquet the codec inside the file; `source` keeps each file's own."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"
    SNAPPY = "snappy"
    SOURCE = "source"


class Way(StrEnum):
    """How the bytes of a delivered file were made."""

    PASS_THROUGH = "pass-through"  # noqa: S105
    ROW_GROUP_COPY = "row group copy"
    COLUMN_COPY = "column copy"
    PAGE_TRANSCODE = "page transcode"
    REWRITE = "rewrite"
    NDJSON = "ndjson"
    DROPPED = "dropped"
    """None were: no row of the file is delivered."""


@dataclass(frozen=True)
class Encoding:
    """The asked-for format and compression, valid together (see `encode.check_encoding`)."""

    format: Format = Format.PARQUET
    compression: Compression = Compression.GZIP


@dataclass(frozen=True)
class RowRule:
    """Which rows of a source file are delivered. All fields empty: all of them.

    Attributes:
        timestamp_column: the time_series column; a dotted path for a nested one.
        not_before: rows with an earlier timestamp (UTC) are left out and counted; a null timestamp stays (spec S10).
    """

    timestamp_column: str | None = None
    not_before: datetime | None = None


@dataclass(frozen=True)
class ColumnRule:
    """Which columns of a table, and which fields inside them, are delivered, and how. All fields empty: all, as they are.

    Attributes:
        include: only these, with all that is in them; empty: all.
        exclude: but not these.
        hashed: these as hashes of their values.
        masked: these as the same text for every row, or as null.
        salt: what comes before every text that is hashed. A secret.
    """

    include: tuple[ColumnPath, ...] = ()
    exclude: tuple[ColumnPath, ...] = ()
    hashed: tuple[ColumnPath, ...] = ()
    masked: Mapping[ColumnPath, str | None] = field(default_factory=dict[ColumnPath, "str | None"])
    salt: bytes = field(default=b"", repr=False)


class Selection(Protocol):
    """Which rows of a source count, by their positions in the file from 0: sorted arrays of 64-bit integers."""

    @property
    def dropped(self) -> Any:
        """Rows that do not count."""
        ...

    @property
    def only(self) -> Any | None:
        """The rows that count unless they are dropped; None for all."""
        ...


class FileColumns(Protocol):
    """How a table knows the columns of a file whose names may be others than the table's, and what those are that the file
    may lack."""

    @property
    def by_id(self) -> Mapping[int, str] | None:
        """Field ids to names in the table, of columns and of fields inside structs. None: ids mean nothing."""
        ...

    @property
    def by_path(self) -> Mapping[ColumnPath, str] | None:
        """Names in the file (paths of them) to names in the table, for files without field ids, and for all when `by_id`
        is None. None: a file without ids cannot be read."""
        ...

    @property
    def missing(self) -> Mapping[str, Any]:
        """The value (an Arrow scalar) that a column has in every row when the file lacks it; null for all others."""
        ...


@dataclass(frozen=True)
class Source:
    """One parquet file to encode.

    Attributes:
        open: opens the file for random access; the encoder closes it.
        name: what to call it in errors.
        bytes: its size.
        partition: partition values to restore as columns, as the table log writes them.
        whole: True when the log proves that no row is older than the rule's `not_before`, so the rule need not be
            applied.
        old: rows of the file that count, when the log proves that every one of them is older than that; else None.
        selection: tells which rows count, when not all may; it is asked once for every reading. Rows that do not are not
            in the table, and so are in no count.
        columns: how the table knows the columns of the file; None when by the names they have in it.
        origin: tells a `CopyingSink` where the bytes of the file lie at this moment; None when they cannot be copied.
    """

    open: Callable[[], Any]
    name: str
    bytes: int
    partition: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    whole: bool = False
    old: int | None = None
    selection: Callable[[], Selection | None] | None = None
    columns: FileColumns | None = None
    origin: Callable[[], Any | None] | None = None


@dataclass(frozen=True)
class Limits:
    """How large a file may become: rows, and bytes as the sink is given them. None: as large as it comes."""

    rows: int | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class Encoded:
    """What was written: rows delivered, rows left out by the rule, rows dropped because they were in the table before
    (net-new difference), the range of the timestamp column over the delivered rows (UTC; None without one, and when it is
    not delivered as it is), and the way."""

    rows: int
    excluded: int
    carried_over: int
    first_timestamp: datetime | None
    last_timestamp: datetime | None
    way: Way

    @classmethod
    def nothing(cls, way: Way, excluded: int = 0) -> "Encoded":
        """No row was written."""
        return cls(0, excluded, 0, None, None, way)


@dataclass(frozen=True)
class Target:
    """What to make.

    Attributes:
        encoding: of the delivered file.
        schema: that of the table at the upper version. Every delivered file has its columns, but for what `columns` says.
        rule: which rows; for time_series also the column whose range is recorded.
        columns: which columns.
    """

    encoding: Encoding
    schema: "pa.Schema"
    rule: RowRule = field(default_factory=RowRule)
    columns: ColumnRule = field(default_factory=ColumnRule)
