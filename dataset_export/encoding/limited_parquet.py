"""Parquet files that keep to limits: whole row groups where each is small enough, values encoded again where not."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING

from dataset_export.encoding.contract import Encoded, Limits, OpenSink, RowRule, Source, Target, Way
from dataset_export.encoding.cut_rows import RowCutter
from dataset_export.encoding.parquet_footer import Moved, read_footer
from dataset_export.encoding.parquet_series import Group, ParquetSeries, base_size, groups_of, write_alone
from dataset_export.encoding.projection import Projection
from dataset_export.encoding.rewrite import codec_of, one_group, row_groups
from dataset_export.encoding.rows import Rows
from dataset_export.encoding.timestamps import TimestampColumn
from dataset_export.errors import CorruptFile

if TYPE_CHECKING:
    import pyarrow as pa

IN_MEMORY = 32 << 20
"""Bytes of a row group in its new codec that are held in memory; a larger one waits in a temporary file."""


def groups_fit(sources: Sequence[Moved], limits: Limits) -> bool:
    """Whether no row group is too large for a file, as far as that shows before it is in its new codec."""
    return all(_fits(one, group, limits) for one in sources for group in _groups(one))


def _fits(moved: Moved, group: Group, limits: Limits) -> bool:
    if limits.rows is not None and group.rows > limits.rows:
        return False
    if limits.bytes is None or moved.way is Way.PAGE_TRANSCODE:
        return True
    return base_size(group.struct) + group.size <= limits.bytes


def is_one_file(sources: Sequence[Moved], limits: Limits) -> bool:
    """Whether the sources are one, and the file that `encode.encode` makes of it keeps to the limits for certain."""
    if len(sources) > 1:
        return False
    [moved] = sources
    if moved.footer is None or (limits.rows is not None and moved.footer.metadata.num_rows > limits.rows):
        return False
    is_whole = moved.way is Way.ROW_GROUP_COPY and not moved.left_out
    return limits.bytes is None or (is_whole and moved.source.bytes <= limits.bytes)


def copy(sources: Sequence[Moved], target: Target, limits: Limits, open_sink: OpenSink) -> list[Encoded]:
    """Move whole row groups into files. In another codec one may be too large for a file: its rows are encoded again.

    Raises as `encode.encode` does, and Malformed.
    """
    with ParquetSeries(open_sink, target, limits) as series:
        for one in sources:
            _require_size(one)
            for group in _groups(one):
                moments = group.timestamps(target)
                if one.way is not Way.PAGE_TRANSCODE or limits.bytes is None:
                    series.add(group, one.way, moments)
                    continue
                with _in_new_codec(group, target) as moved:
                    if series.fits_alone(moved):
                        series.add(moved, one.way, moments)
                        series.settle()
                        continue
                    series.end()
                    _write_rows(Rows([moved.source], _as_delivered(target), ()), moved.source, target, series)
                    series.end()
        series.end()
        return series.files.encoded(sum(one.left_out for one in sources), 0, Encoded.nothing(Way.DROPPED))


def rewrite(
    sources: Sequence[Source], target: Target, limits: Limits, open_sink: OpenSink, minus: Sequence[Source]
) -> list[Encoded]:
    """Encode the rows again. Raises as `encode.encode` does."""
    rows = Rows(sources, target, minus)
    with ParquetSeries(open_sink, target, limits) as series:
        _write_rows(rows, sources[0], target, series)
        series.end()
        return series.files.encoded(rows.excluded, rows.carried_over, Encoded.nothing(Way.REWRITE))


def _require_size(moved: Moved) -> None:
    if moved.footer is not None and moved.footer.file_size != moved.source.bytes:
        raise CorruptFile(
            f"{moved.source.name} has {moved.footer.file_size} bytes where the table says {moved.source.bytes}: restore it "
            "in the table."
        )


def _groups(moved: Moved) -> list[Group]:
    return groups_of(moved.source, moved.footer) if moved.footer is not None else []


def _write_rows(rows: Rows, first: Source, target: Target, series: ParquetSeries) -> None:
    """Encode rows into row groups that fit; `first` is the source whose codec is kept where that is asked for."""
    cutter = RowCutter(_EncodedAgain(rows, codec_of(target.encoding.compression, first), series))
    for table in row_groups(rows.batches(), rows.schema):
        cutter.write(table)


class _EncodedAgain:
    """`LimitedFiles` of which a piece is a row group."""

    def __init__(self, rows: Rows, codec: str, series: ParquetSeries) -> None:
        self._rows = rows
        self._codec = codec
        self._series = series

    @property
    def room(self) -> Limits:
        return self._series.room

    @property
    def is_empty(self) -> bool:
        return self._series.is_empty

    @property
    def is_nearly_full(self) -> bool:
        return self._series.is_nearly_full

    def encode(self, rows: pa.Table) -> tuple[Group, int]:
        group = _encoded(rows, self._codec)
        return group, group.size

    def has_room(self, piece: Group) -> bool:
        return self._series.has_room(piece)

    def add(self, rows: pa.Table, piece: Group) -> None:
        self._series.add(piece, Way.REWRITE, self._rows.range_of(rows))
        self._series.settle()

    def end(self) -> None:
        self._series.end()


def _encoded(table: pa.Table, codec: str) -> Group:
    data = one_group(table, codec)
    source = Source(open=lambda: BytesIO(data), name="rows that were encoded again", bytes=len(data))
    [group] = groups_of(source, read_footer(source))
    return group


@contextmanager
def _in_new_codec(group: Group, target: Target) -> Generator[Group]:
    with SpooledTemporaryFile(IN_MEMORY) as file:
        size = write_alone(group, target, file.write)
        source = replace(group.source, open=lambda: _Kept(file), bytes=size, partition={}, selection=None, columns=None)
        [moved] = groups_of(source, read_footer(source))
        yield moved


def _as_delivered(target: Target) -> Target:
    """For rows that already are what is to be delivered."""
    column = target.rule.timestamp_column
    projection = Projection(target.schema, target.columns)
    kept = column is not None and projection.keeps(TimestampColumn(target.schema, target.rule).path)
    return Target(target.encoding, projection.schema, RowRule(timestamp_column=column if kept else None))


class _Kept:
    """A file that whoever opens it may close: it stays."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1, /) -> bytes:
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        return None
