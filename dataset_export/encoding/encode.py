"""Make the bytes of one delivered file, in the cheapest way that gives the asked-for bytes.

Design: "How bytes are made".

with store.stage(path) as upload:
    encoded = encode([source], target, upload.write)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dataset_export.encoding.contract import (
    Compression,
    Encoded,
    Encoding,
    Format,
    Limits,
    OpenSink,
    Sink,
    Source,
    Target,
    Way,
)
from dataset_export.encoding.old_rows import old_rows, without_old_groups
from dataset_export.encoding.parquet_footer import Footer, Moved, read_footer
from dataset_export.errors import ConfigError, UsageError

EXTENSIONS = {
    (Format.PARQUET, Compression.NONE): ".parquet",
    (Format.PARQUET, Compression.GZIP): ".gz.parquet",
    (Format.PARQUET, Compression.ZSTD): ".zstd.parquet",
    (Format.PARQUET, Compression.SNAPPY): ".snappy.parquet",
    (Format.PARQUET, Compression.SOURCE): ".parquet",
    (Format.JSON, Compression.GZIP): ".json.gz",
}
"""Every combination there is (spec S6), with the ending of its file names."""

SMALL_CHUNK = 16 << 10
"""Bytes, before compression. Files whose column chunks are smaller on average are merged by encoding their values again: that
takes less time than moving so many chunks, and what comes of it is smaller and faster to read (docs/file-shape.md)."""


@dataclass(frozen=True)
class _Chosen:
    """The way of one source file, and its footer less what is not delivered."""

    way: Way
    footer: Footer


def encode(sources: Sequence[Source], target: Target, sink: Sink, *, minus: Sequence[Source] = ()) -> Encoded:
    """Write the rows of `sources` into `sink` as one file, in order.

    Memory is bounded whatever the size of the files; many rows in `minus` take room on the local disk (see `net_new`), and
    the sources are read twice then. When this raises, what the sink was given is not a whole file: the caller discards it.

    Args:
        sources: usually one; several are written one after the other into the same file.
        target: encoding, schema, row rule and column rule.
        sink: takes the bytes.
        minus: files whose rows were in the table before. Each row of them takes one equal row of the sources away
            (a multiset difference over all columns of the target schema, delivered or not; NaN equals NaN).

    Raises:
        ConfigError: an encoding that does not exist, a timestamp column that is none, or a column rule that does not fit
            the schema.
        CorruptFile: a source is missing, truncated or not parquet.
        UnsupportedTable: values that the target schema or format cannot hold.
        IntegrityError: rows were read that the footers do not count, or the other way round.
        StorageFull: the local disk has no room for the comparison with `minus`.
    """
    check_encoding(target.encoding)
    if not sources:
        raise UsageError("There is no source file to encode: an export without rows has no data files.")
    old = old_rows(sources, minus)
    if old is not None:
        return Encoded.nothing(Way.DROPPED, excluded=old)
    only = _way_of_only(sources, target, minus)
    if only is not None and only.way is Way.DROPPED:
        return Encoded.nothing(Way.DROPPED, excluded=only.footer.left_out)
    return _one_file(sources, target, sink, minus, only)


def encode_files(
    sources: Sequence[Source], target: Target, limits: Limits, open_sink: OpenSink, *, minus: Sequence[Source] = ()
) -> list[Encoded]:
    """Write the rows of `sources` into as many files as the limits ask for, one after the other, in order.

    The same sources give the same files again. Parquet is cut between row groups as far as each of them keeps to the
    limits, and merged by moving them where all sources have the same columns; else values are encoded again. A file
    whose only row is larger than the limit is the only one that is.

    Args:
        sources, target, minus: as in `encode`.
        limits: what each file keeps to.
        open_sink: begins a file.

    Returns:
        What is in each file; for no rows at all one that has none, whether or not its sink was opened. Rows that are in no
        file are counted with the last.

    Raises: as `encode` does.
    """
    from dataset_export.encoding import limited_ndjson, limited_parquet

    check_encoding(target.encoding)
    if not sources:
        raise UsageError("There is no source file to encode: an export without rows has no data files.")
    old = old_rows(sources, minus)
    if old is not None:
        return [Encoded.nothing(Way.DROPPED, excluded=old)]
    only = _way_of_only(sources, target, minus)
    if only is not None and only.way is Way.DROPPED:
        return [Encoded.nothing(Way.DROPPED, excluded=only.footer.left_out)]
    if target.encoding.format is Format.PARQUET and (limits != Limits() or len(sources) > 1):
        moved = _moved(sources, target, minus, only)
        if moved is None or not limited_parquet.is_one_file(moved, limits):
            if moved is not None and limited_parquet.groups_fit(moved, limits):
                return limited_parquet.copy(moved, target, limits, open_sink)
            if limits != Limits():
                return limited_parquet.rewrite(sources, target, limits, open_sink, minus)
    elif limits != Limits():
        return limited_ndjson.write(sources, target, limits, open_sink, minus)
    with open_sink(0) as sink:
        return [_one_file(sources, target, sink, minus, only)]


def _one_file(
    sources: Sequence[Source], target: Target, sink: Sink, minus: Sequence[Source], only: _Chosen | None
) -> Encoded:
    from dataset_export.encoding import ndjson, page_transcode, pass_through, rewrite

    if target.encoding.format is Format.JSON:
        return ndjson.write(sources, target, sink, minus)
    if only is None or only.way is Way.REWRITE:
        return rewrite.write(sources, target, sink, minus)
    if only.way is Way.PASS_THROUGH:
        return pass_through.copy(sources[0], only.footer.metadata, target, sink)
    return page_transcode.write(sources[0], only.footer, target, sink, only.way)


def _moved(
    sources: Sequence[Source], target: Target, minus: Sequence[Source], only: _Chosen | None
) -> list[Moved] | None:
    """How the column chunks of every source get into the same files; None when values have to be encoded again."""
    from dataset_export.encoding import page_transcode
    from dataset_export.encoding.delivered_columns import same_columns
    from dataset_export.encoding.joinable import joined

    found: list[Moved] = []
    for source in sources:
        if source.old is not None and not minus:
            found.append(Moved(source, None, Way.DROPPED, source.old))
            continue
        chosen = only or _aged_way(read_footer(source), source, target, minus)
        way, footer = chosen.way, chosen.footer
        if way is Way.DROPPED:
            found.append(Moved(source, None, way, footer.left_out))
            continue
        if way is Way.REWRITE or not page_transcode.is_possible(footer):
            return None
        # Of many small files, what was read along with the footers would be all of them.
        light = replace(footer, tail=b"") if len(sources) > 1 else footer
        found.append(Moved(source, light, Way.ROW_GROUP_COPY if way is Way.PASS_THROUGH else way, footer.left_out))
    footers = [one.footer for one in found if one.footer is not None]
    if len(footers) < 2:
        return found
    if _mean_chunk(footers) < SMALL_CHUNK:
        return None
    together = joined(footers)
    if together is None or not same_columns(
        together[0].metadata.schema.to_arrow_schema(), footers[0].metadata.schema.to_arrow_schema()
    ):
        return None
    common = iter(together)
    return [one if one.footer is None else replace(one, footer=next(common)) for one in found]


def _mean_chunk(footers: Sequence[Footer]) -> float:
    """Bytes of a column chunk, before compression, on average."""
    found = [one.metadata for one in footers]
    groups = [one.row_group(at) for one in found for at in range(one.num_row_groups)]
    chunks = sum(group.num_columns for group in groups)
    return sum(group.total_byte_size for group in groups) / chunks if chunks else SMALL_CHUNK


def choose_way(footer: Footer, source: Source, target: Target, minus: Sequence[Source] = ()) -> Way:
    """The way in which one source file becomes one delivered file; `footer` is the file's own."""
    if target.encoding.format is Format.JSON:
        return Way.NDJSON
    return _aged_way(footer, source, target, minus).way


def way_of_files(sources: Sequence[Source], target: Target, limits: Limits, minus: Sequence[Source] = ()) -> Way:
    """The way in which `encode_files` makes files of sources, by their footers. In another codec a row group may turn out
    to be too large for a file; it is rewritten then."""
    from dataset_export.encoding import limited_parquet

    if old_rows(sources, minus) is not None:
        return Way.DROPPED
    if target.encoding.format is Format.JSON:
        return Way.NDJSON
    only = _way_of_only(sources, target, minus)
    if only is not None and (limits == Limits() or only.way is Way.DROPPED):
        return only.way
    moved = _moved(sources, target, minus, only)
    if only is not None and moved is not None and limited_parquet.is_one_file(moved, limits):
        return only.way
    if moved is None or not limited_parquet.groups_fit(moved, limits):
        return Way.REWRITE
    ways = {one.way for one in moved}
    return next(way for way in (Way.PAGE_TRANSCODE, Way.COLUMN_COPY, Way.ROW_GROUP_COPY, Way.DROPPED) if way in ways)


def _way_of_only(sources: Sequence[Source], target: Target, minus: Sequence[Source]) -> _Chosen | None:
    """Of one source of parquet; None for several, and for NDJSON, of which every file is made alike."""
    if len(sources) > 1 or target.encoding.format is Format.JSON:
        return None
    return _aged_way(read_footer(sources[0]), sources[0], target, minus)


def _aged_way(footer: Footer, source: Source, target: Target, minus: Sequence[Source]) -> _Chosen:
    """As `_way`, where row groups that are too old as a whole may be left out."""
    chosen = _way(footer, source, target, minus)
    if chosen.way is not Way.REWRITE or minus:
        return chosen
    younger = without_old_groups(footer, source, target)
    if younger is None:
        return chosen
    if not younger.metadata.num_rows:
        return _Chosen(Way.DROPPED, younger)
    chosen = _way(younger, source, target, minus)
    return replace(chosen, way=Way.ROW_GROUP_COPY) if chosen.way is Way.PASS_THROUGH else chosen


def _way(footer: Footer, source: Source, target: Target, minus: Sequence[Source]) -> _Chosen:
    from dataset_export.encoding import page_transcode, pass_through
    from dataset_export.encoding.delivered_columns import delivered_columns
    from dataset_export.encoding.same_rows import has_same_rows

    if minus or not has_same_rows(footer.metadata, source, target):
        return _Chosen(Way.REWRITE, footer)
    left = delivered_columns(footer, source, target)
    if left is None:
        return _Chosen(Way.REWRITE, footer)
    has_codec = pass_through.is_possible(left, target.encoding.compression)
    if has_codec and left is footer and not footer.renamed:
        return _Chosen(Way.PASS_THROUGH, footer)
    if not page_transcode.is_possible(left):
        return _Chosen(Way.REWRITE, footer)
    return _Chosen(Way.COLUMN_COPY if has_codec else Way.PAGE_TRANSCODE, left)


def check_encoding(encoding: Encoding) -> None:
    """Refuse a compression that the format does not have (spec S6). Raises ConfigError naming those it has."""
    if (encoding.format, encoding.compression) not in EXTENSIONS:
        allowed = [compression.value for form, compression in EXTENSIONS if form is encoding.format]
        raise ConfigError(
            f"Format {encoding.format.value} cannot be delivered with compression {encoding.compression.value}: "
            f"set compression to {' or '.join(allowed)}."
        )


def extension(encoding: Encoding) -> str:
    """The ending of a delivered file's name, with its leading dot."""
    check_encoding(encoding)
    return EXTENSIONS[encoding.format, encoding.compression]
