"""Parquet files put together from row groups of other files, a new one whenever the next row group would be too much.

A row group is moved as it stands, or page by page in another codec. How many bytes it will take is known before the first
of them is written, but for what its new place does to the length of positions, of which the longest is assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from types import TracebackType
from typing import Self

from dataset_export.encoding.chunk_moves import move_chunks
from dataset_export.encoding.contract import Encoded, Limits, OpenSink, Sink, Source, Target, Way
from dataset_export.encoding.file_series import FileSeries
from dataset_export.encoding.page_codecs import CODECS
from dataset_export.encoding.parquet_fields import FileMetaData, RowGroup
from dataset_export.encoding.parquet_footer import MAGIC, Footer, write_footer
from dataset_export.encoding.parquet_layout import Kind, pieces
from dataset_export.encoding.parquet_output import Output
from dataset_export.encoding.same_rows import timestamp_range
from dataset_export.encoding.thrift_compact import I16, I64, LIST, STRUCT, Struct, write_struct

CHUNK_POSITIONS = 64
"""Bytes by which the positions and sizes of a column chunk can grow in a footer."""

INDEX_GROWTH = 4
"""An offset index is at most so many times as large when its positions have become longer."""

NEARLY_FULL = 1 / 32
"""Share of the limit."""

_MOST_ORDINALS = 1 << 15

Moments = tuple[datetime | None, datetime | None]
"""The earliest and the latest timestamp, UTC; None when there is none."""


@dataclass(frozen=True)
class Group:
    """One row group of a source: its number there, and its footer as that of a file which has nothing else."""

    source: Source
    footer: Footer
    struct: Struct
    number: int

    @property
    def rows(self) -> int:
        return self.struct.integer(FileMetaData.NUM_ROWS)

    @cached_property
    def size(self) -> int:
        """Bytes that it adds to a file at most, when it is copied."""
        found = pieces(self.struct, self.footer.start)
        data = sum(piece.size * (INDEX_GROWTH if piece.kind is Kind.OFFSET_INDEX else 1) for piece in found)
        [group] = self.struct.structs(FileMetaData.ROW_GROUPS)
        columns = len(group.structs(RowGroup.COLUMNS))
        return data + len(write_struct(group)) + CHUNK_POSITIONS * (columns + 1)

    def timestamps(self, target: Target) -> Moments:
        """Range of the timestamp column over its rows."""
        metadata = replace(self.footer, raw=write_struct(self.struct)).metadata
        return timestamp_range(self.source, metadata, target, [self.number])


def groups_of(source: Source, footer: Footer) -> list[Group]:
    """The row groups of a source that have rows, in its order; `footer` less what is not delivered. Raises Malformed."""
    whole = footer.copy()
    return [
        Group(source, footer, _only(whole, [group]), number)
        for number, group in enumerate(whole.structs(FileMetaData.ROW_GROUPS))
        if group.integer(RowGroup.NUM_ROWS)
    ]


class ParquetSeries:
    """Parquet files in the making. The row groups that follow each other in a file have the same schema."""

    def __init__(self, open_sink: OpenSink, target: Target, limits: Limits) -> None:
        self.files = FileSeries(open_sink)
        self._target = target
        self._limits = limits
        self._file: _File | None = None

    def add(self, group: Group, way: Way, moments: Moments) -> None:
        """Put a row group, whose timestamps lie between `moments`, behind the others; into a new file when it would be too
        much for the one that is open. One that is too large for any file gets its own: the caller has seen to that."""
        if self._file is not None and not self.has_room(group):
            self.end()
        if self._file is None:
            self._file = _File(Output(self.files.begin()), group.struct, self._target)
        self._file.add(group, way, moments)

    @property
    def room(self) -> Limits:
        """What the open file can still take; without one, a new one."""
        used_rows, used_bytes = (self._file.rows, self._file.size) if self._file is not None else (0, 0)
        rows, size = self._limits.rows, self._limits.bytes
        return Limits(
            rows=None if rows is None else rows - used_rows,
            bytes=None if size is None else size - used_bytes,
        )

    def has_room(self, group: Group) -> bool:
        """Whether the open file, or without one a new one, can take a row group."""
        if self._file is None:
            return self.fits_alone(group)
        room = self.room
        return (room.rows is None or group.rows <= room.rows) and (room.bytes is None or group.size <= room.bytes)

    def fits_alone(self, group: Group) -> bool:
        """Whether a new file can take a row group."""
        rows, size = self._limits.rows, self._limits.bytes
        alone = base_size(group.struct) + group.size
        return (rows is None or group.rows <= rows) and (size is None or alone <= size)

    @property
    def is_nearly_full(self) -> bool:
        """Whether a row group for what is left of the open file would be tiny."""
        left, size = self.room.bytes, self._limits.bytes
        return left is not None and size is not None and left < size * NEARLY_FULL

    @property
    def is_empty(self) -> bool:
        """Whether the next row group begins a file."""
        return self._file is None

    def settle(self) -> None:
        """Read all that was added: its sources may go now."""
        if self._file is not None:
            self._file.move()

    def end(self) -> None:
        """The file that is open, if any, is whole."""
        if self._file is not None:
            self.files.end(self._file.end())
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.files.__exit__(kind, error, trace)


def write_alone(group: Group, target: Target, sink: Sink) -> int:
    """Write a row group as a file of its own; its size in bytes. Raises as `move_chunks` does."""
    output = Output(sink)
    file = _File(output, group.struct, target)
    file.add(group, Way.PAGE_TRANSCODE, (None, None))
    file.end()
    return output.position


def base_size(struct: Struct) -> int:
    """Bytes of a file with this footer and without a row group, at most."""
    return len(MAGIC) + len(write_footer(_only(struct, []))) + CHUNK_POSITIONS


class _File:
    """One parquet file: row groups that follow each other in the source wait until they can be moved in one go."""

    def __init__(self, output: Output, struct: Struct, target: Target) -> None:
        self._output = output
        self._output.write(MAGIC)
        self._struct = struct
        self._target = target
        self._groups: list[Struct] = []
        self._waiting: list[Group] = []
        self._ways: set[Way] = set()
        self._ranges: list[datetime] = []
        self.rows = 0
        self.size = base_size(struct)

    def add(self, group: Group, way: Way, moments: Moments) -> None:
        if self._waiting and self._waiting[-1].footer is not group.footer:
            self.move()
        self._waiting.append(group)
        self._ways.add(way)
        self._ranges += [moment for moment in moments if moment is not None]
        self.rows += group.rows
        self.size += group.size

    def end(self) -> Encoded:
        self.move()
        struct = _only(self._struct, self._groups)
        for number, group in enumerate(self._groups):
            if RowGroup.ORDINAL in group and number < _MOST_ORDINALS:
                group.put(RowGroup.ORDINAL, I16, number)
            else:
                group.pop(RowGroup.ORDINAL, None)
        self._output.write(write_footer(struct))
        self._output.flush()
        return Encoded(
            rows=self.rows,
            excluded=0,
            carried_over=0,
            first_timestamp=min(self._ranges, default=None),
            last_timestamp=max(self._ranges, default=None),
            way=next(way for way in _BY_WORK if way in self._ways),
        )

    def move(self) -> None:
        if not self._waiting:
            return
        first = self._waiting[0]
        groups = [group for one in self._waiting for group in one.struct.structs(FileMetaData.ROW_GROUPS)]
        codec = CODECS.get(self._target.encoding.compression)
        move_chunks(first.source, first.footer, _only(first.struct, groups), codec, self._output)
        self._groups += groups
        self._waiting = []


_BY_WORK = (Way.REWRITE, Way.PAGE_TRANSCODE, Way.COLUMN_COPY, Way.ROW_GROUP_COPY)


def _only(struct: Struct, groups: Sequence[Struct]) -> Struct:
    """The footer of a file that has these row groups, which are not copied."""
    left = Struct(struct)
    left.put(FileMetaData.ROW_GROUPS, LIST, (STRUCT, list(groups)))
    left.put(FileMetaData.NUM_ROWS, I64, sum(group.integer(RowGroup.NUM_ROWS) for group in groups))
    return left
