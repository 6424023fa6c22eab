"""Statistics decide what becomes of files and row groups that are too old (spec S10): the same rows and counts as without."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_export.encoding.contract import Compression, Encoded, Encoding, Format, RowRule, Source, Target, Way
from dataset_export.encoding.encode import choose_way, encode
from dataset_export.encoding.parquet_footer import read_footer
from dataset_export_tests.encoding.parquet_validator import validate

LIMIT = datetime(2025, 11, 1, 8, tzinfo=UTC)
OLD, NEW = LIMIT - timedelta(microseconds=1), LIMIT
CODECS = {Compression.NONE: "UNCOMPRESSED", Compression.ZSTD: "ZSTD", Compression.SOURCE: "SNAPPY"}
KINDS = [pa.timestamp("us", "UTC"), pa.timestamp("ms"), pa.timestamp("ns", "UTC"), pa.date32()]


def source(data: bytes, **fields: Any) -> Source:
    return Source(open=lambda: io.BytesIO(data), name="x.parquet", bytes=len(data), **fields)


def target(schema: pa.Schema, column: str = "at", **encoding: Any) -> Target:
    return Target(Encoding(**encoding), schema, RowRule(column, LIMIT))


def written(table: pa.Table, rows_per_group: int, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=rows_per_group, **options)
    return out.getvalue()


def made(data: bytes, wanted: Target, **fields: Any) -> tuple[Encoded, bytes]:
    out = io.BytesIO()
    return encode([source(data, **fields)], wanted, out.write), out.getvalue()


def events(*moments: datetime | None) -> pa.Table:
    return pa.table({"id": range(len(moments)), "at": pa.array(moments, pa.timestamp("us", "UTC"))})


moment = st.one_of(
    st.none(),
    st.just(OLD),
    st.just(NEW),
    st.integers(-3, 3).map(lambda days: LIMIT + timedelta(days=days)),
)
group = st.one_of(
    st.lists(moment, min_size=1, max_size=4),
    st.lists(st.integers(-9, -1).map(lambda days: LIMIT + timedelta(days=days)), min_size=4, max_size=4),
    st.lists(st.integers(0, 9).map(lambda days: LIMIT + timedelta(days=days)), min_size=4, max_size=4),
)


@given(
    groups=st.lists(group, min_size=0, max_size=5),
    kind=st.sampled_from(KINDS),
    nested=st.booleans(),
    statistics=st.booleans(),
    compression=st.sampled_from([Compression.NONE, Compression.ZSTD, Compression.SOURCE]),
    format_=st.sampled_from(Format),
)
def test_s10_the_same_rows_and_counts_with_and_without_statistics(
    groups: list[list[datetime | None]],
    kind: pa.DataType,
    nested: bool,
    statistics: bool,
    compression: Compression,
    format_: Format,
) -> None:
    naive = [one and one.replace(tzinfo=None) for run in groups for one in run]
    times = pa.array(naive, pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
    column = times.cast(pa.timestamp("us")).cast(kind, safe=False)  # rounded down
    held = pa.StructArray.from_arrays([column], ["at"]) if nested else column
    table = pa.table({"id": pa.array(range(len(naive)), pa.int64()), "e" if nested else "at": held})
    out = io.BytesIO()
    with pq.ParquetWriter(out, table.schema, compression="snappy", write_statistics=statistics) as writer:
        start = 0
        for run in groups:
            writer.write_table(table.slice(start, len(run)))
            start += len(run)
    if format_ is Format.JSON:
        compression = Compression.GZIP
    wanted = target(table.schema, "e.at" if nested else "at", format=format_, compression=compression)
    done, data = made(out.getvalue(), wanted)

    def kept(value: Any) -> bool:
        if value is None:
            return True
        first = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
        return first.replace(tzinfo=UTC) >= LIMIT

    values = column.cast(pa.timestamp("us")).to_pylist() if not pa.types.is_date(kind) else column.to_pylist()
    expected = [number for number, value in enumerate(values) if kept(value)]
    assert (done.rows, done.excluded, done.carried_over) == (len(expected), len(values) - len(expected), 0)
    if done.way is Way.DROPPED:
        assert not data
    elif format_ is Format.PARQUET:
        assert pq.read_table(io.BytesIO(data)).column("id").to_pylist() == expected
        if done.way in (Way.ROW_GROUP_COPY, Way.PAGE_TRANSCODE):
            validate(data, CODECS[compression])
    told = [values[number] for number in expected if values[number] is not None]
    assert (done.first_timestamp is None) == (not told)
    if format_ is Format.PARQUET:
        start = source(out.getvalue())
        assert choose_way(read_footer(start), start, wanted) is done.way


@pytest.mark.parametrize(
    ("moments", "way", "codec"),
    [
        ([NEW, NEW, NEW, NEW], Way.PASS_THROUGH, Compression.SNAPPY),
        ([OLD, OLD, OLD, OLD], Way.DROPPED, Compression.SNAPPY),
        ([OLD, OLD, NEW, NEW], Way.ROW_GROUP_COPY, Compression.SNAPPY),
        ([NEW, NEW, OLD, OLD], Way.PAGE_TRANSCODE, Compression.GZIP),
        ([NEW, None, OLD, OLD], Way.ROW_GROUP_COPY, Compression.SOURCE),
        ([None, None, OLD, OLD], Way.ROW_GROUP_COPY, Compression.SOURCE),
        ([OLD, None, NEW, NEW], Way.REWRITE, Compression.SNAPPY),
        ([OLD, NEW, OLD, OLD], Way.REWRITE, Compression.SNAPPY),
    ],
)
def test_s10_the_way_by_row_groups(moments: list[datetime | None], way: Way, codec: Compression) -> None:
    table = events(*moments)
    options = {"write_page_index": True, "bloom_filter_options": {"id": True}}
    done, data = made(written(table, 2, **options), target(table.schema, compression=codec))
    assert done.way is way
    expected = [at for at, one in enumerate(moments) if one is None or one >= LIMIT]
    assert (done.rows, done.excluded) == (len(expected), len(moments) - len(expected))
    assert (pq.read_table(io.BytesIO(data)).column("id").to_pylist() if data else []) == expected


def test_s10_old_row_groups_are_not_read() -> None:
    table = events(*[OLD] * 5000, *[NEW, OLD] * 2500)
    data = written(table, 5000, use_dictionary=False, compression="none")
    reads: list[tuple[int, int]] = []

    class Counted(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            reads.append((self.tell(), size or 0))
            return super().read(size)

    counted = Source(open=lambda: Counted(data), name="x", bytes=len(data))
    done = encode([counted], target(table.schema), lambda _: None)
    assert (done.rows, done.excluded) == (2500, 7500)
    first = pq.read_metadata(io.BytesIO(data)).row_group(1).column(0).dictionary_page_offset or 0
    start = first or pq.read_metadata(io.BytesIO(data)).row_group(1).column(0).data_page_offset
    footer = pq.read_metadata(io.BytesIO(data)).serialized_size
    body = [at for at, size in reads if at < start and size < len(data) - footer]
    assert not body


def test_s10_what_the_log_proves_opens_nothing() -> None:
    def never() -> Any:
        raise AssertionError("opened")

    table = events(OLD)
    old = Source(open=never, name="x", bytes=9, old=7)
    for format_, codec in ((Format.PARQUET, Compression.ZSTD), (Format.JSON, Compression.GZIP)):
        wanted = target(table.schema, format=format_, compression=codec)
        assert encode([old], wanted, never) == Encoded(0, 7, 0, None, None, Way.DROPPED)
        done = encode([old, source(written(events(NEW, OLD), 2)), old], wanted, lambda _: None)
        assert (done.rows, done.excluded) == (1, 15)


def test_s10_old_rows_that_were_there_before_are_carried_over() -> None:
    """Not excluded: with and without statistics the counts are the same."""
    table = events(OLD, OLD, NEW, NEW)
    for statistics in (True, False):
        file = source(written(table, 2, write_statistics=statistics), old=None)
        before = source(written(table.slice(0, 1), 2))
        done = encode([file], target(table.schema), lambda _: None, minus=[before])
        assert (done.rows, done.excluded, done.carried_over) == (2, 1, 1)


def test_s10_a_column_of_another_type_is_looked_at() -> None:
    table = events(OLD, OLD, NEW, NEW)
    file = written(table.cast(pa.schema({"id": pa.int64(), "at": pa.timestamp("ms", "UTC")}), safe=False), 2)
    done, _ = made(file, target(table.schema))
    assert (done.way, done.rows, done.excluded) == (Way.REWRITE, 2, 2)


def test_s10_int96_has_no_statistics_to_go_by() -> None:
    table = pa.table({"id": [1, 2], "at": pa.array([OLD.replace(tzinfo=None)] * 2, pa.timestamp("us"))})
    done, _ = made(written(table, 2, use_deprecated_int96_timestamps=True), target(table.schema))
    assert (done.way, done.rows, done.excluded) == (Way.REWRITE, 0, 2)


def test_s10_a_folder_that_is_named_for_the_time_counts_and_not_the_file() -> None:
    table = pa.table({"id": [1], "at": pa.array([OLD.date()], pa.date32())})
    done, data = made(written(table, 1), target(table.schema), partition={"at": "2026-01-01"})
    assert (done.rows, done.excluded) == (1, 0)
    assert str(pq.read_table(io.BytesIO(data)).column("at")[0]) == "2026-01-01"
