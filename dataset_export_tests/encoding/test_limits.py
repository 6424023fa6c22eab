"""Files keep to limits of rows and bytes, whatever way they are made in, and have every row once and in order."""

import gzip
import io
import json
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_export.encoding.contract import (
    Compression,
    Encoded,
    Encoding,
    Format,
    Limits,
    RowRule,
    Sink,
    Source,
    Target,
    Way,
)
from dataset_export.encoding.encode import encode_files, way_of_files
from dataset_export_tests.encoding.parquet_validator import validate
from dataset_export_tests.encoding.tables import exact, parquet, source, tables

GZIP = Encoding()
ZSTD = Encoding(Format.PARQUET, Compression.ZSTD)
JSON = Encoding(Format.JSON, Compression.GZIP)


class Files:
    """What a destination would have: the bytes of every file that ended well."""

    def __init__(self) -> None:
        self.whole: list[bytes] = []
        self.cut: list[bytes] = []

    @contextmanager
    def open(self, part: int) -> Generator[Sink]:
        assert part == len(self.whole)
        data = bytearray()
        try:
            yield data.extend
        except BaseException:
            self.cut.append(bytes(data))
            raise
        self.whole.append(bytes(data))


def encoded(
    sources: Sequence[Source], target: Target, limits: Limits, minus: Sequence[Source] = ()
) -> tuple[list[Encoded], list[bytes]]:
    files = Files()
    found = encode_files(sources, target, limits, files.open, minus=minus)
    again = Files()
    assert encode_files(sources, target, limits, again.open, minus=minus) == found
    assert again.whole == files.whole  # a retry makes the same files (P4)
    return found, files.whole


def rows_in(data: bytes, encoding: Encoding) -> int:
    if encoding.format is Format.JSON:
        return len(gzip.decompress(data).splitlines())
    validate(data, encoding.compression.upper())
    return pq.read_table(io.BytesIO(data)).num_rows


def ids_in(data: bytes) -> list[int]:
    if data[:4] == b"PAR1":
        return pq.read_table(io.BytesIO(data)).column("id").to_pylist()
    return [json.loads(line)["id"] for line in gzip.decompress(data).splitlines()]


def events(rows: int, *, start: int = 0) -> pa.Table:
    """Rows that compress badly, so that bytes count."""
    noise = np.random.default_rng(start + rows).bytes(rows * 40)
    return pa.table(
        {
            "id": pa.array(range(start, start + rows), pa.int64()),
            "at": pa.array(
                [1_793_520_000_000_000 + 10**6 * i for i in range(start, start + rows)], pa.timestamp("us", "UTC")
            ),
            "text": [noise[40 * i : 40 * i + 40].hex() for i in range(rows)],
        }
    )


@given(
    table=tables(max_rows=30),
    group=st.integers(1, 12),
    codec=st.sampled_from(["none", "gzip", "zstd"]),
    encoding=st.sampled_from([GZIP, ZSTD, JSON]),
    rows=st.one_of(st.none(), st.integers(1, 20)),
    size=st.one_of(st.none(), st.integers(1, 6000)),
)
@settings(deadline=None, max_examples=60)
def test_every_row_comes_once_and_no_file_is_too_large(
    table: pa.Table, group: int, codec: str, encoding: Encoding, rows: int | None, size: int | None
) -> None:
    data = parquet(table, row_group_size=group, compression=codec)
    one = source(data)
    target = Target(encoding, pq.read_schema(io.BytesIO(data)))
    found, files = encoded([one], target, Limits(rows, size))
    if table.num_rows == 0:
        assert [part.rows for part in found] == [0]
        return
    assert [part.rows for part in found] == [rows_in(file, encoding) for file in files]
    assert sum(part.rows for part in found) == table.num_rows
    assert rows is None or max(part.rows for part in found) <= rows
    assert size is None or all(len(file) <= size for part, file in zip(found, files, strict=True) if part.rows > 1)
    if encoding.format is Format.PARQUET:
        whole = [row for file in files for row in exact(pq.read_table(io.BytesIO(file)).cast(target.schema))]
        assert whole == exact(pq.read_table(io.BytesIO(data)))


@pytest.mark.parametrize("encoding", [GZIP, ZSTD, JSON], ids=str)
@pytest.mark.parametrize("group", [100, 5_000, 20_000])
def test_files_come_near_the_bound_of_bytes(encoding: Encoding, group: int) -> None:
    table = events(20_000)
    one = source(parquet(table, row_group_size=group, compression="zstd"))
    found, files = encoded([one], Target(encoding, table.schema, RowRule("at")), Limits(bytes=200_000))
    assert [row for data in files for row in ids_in(data)] == list(range(20_000))
    assert all(len(data) <= 200_000 for data in files)
    if encoding.format is Format.JSON or group != 5_000:
        assert all(len(data) >= 0.9 * 200_000 for data in files[:-1])
    for part, data in zip(found, files, strict=True):
        ids = ids_in(data)
        assert part.first_timestamp == table["at"][ids[0]].as_py()
        assert part.last_timestamp == table["at"][ids[-1]].as_py()


def test_row_groups_are_copied_where_they_fit() -> None:
    one = source(parquet(events(1000), row_group_size=100, compression="gzip"))
    found, files = encoded([one], Target(GZIP, events(1).schema), Limits(rows=250))
    assert [(part.rows, part.way) for part in found] == [(200, Way.ROW_GROUP_COPY)] * 5
    assert [pq.read_metadata(io.BytesIO(data)).num_row_groups for data in files] == [2] * 5
    transcoded, _ = encoded([one], Target(ZSTD, events(1).schema), Limits(rows=250))
    assert {part.way for part in transcoded} == {Way.PAGE_TRANSCODE}
    cut, _ = encoded([one], Target(GZIP, events(1).schema), Limits(rows=70))
    assert [(part.rows, part.way) for part in cut] == [(70, Way.REWRITE)] * 14 + [(20, Way.REWRITE)]


def test_a_file_that_keeps_to_the_limits_is_passed_through() -> None:
    data = parquet(events(100), compression="gzip")
    found, files = encoded([source(data)], Target(GZIP, events(1).schema), Limits(rows=100, bytes=len(data)))
    assert files == [data]
    assert found[0].way is Way.PASS_THROUGH


@pytest.mark.parametrize("encoding", [GZIP, ZSTD])
def test_limits_read_no_more_of_a_file_that_keeps_to_them(encoding: Encoding) -> None:
    data = parquet(events(500), compression="zstd")
    opened: list[int] = []
    one = source(data)
    counted = replace(one, open=lambda: (opened.append(1), one.open())[1])
    target = Target(encoding, events(1).schema)
    counts: list[int] = []
    for limits in (Limits(), Limits(rows=500)):
        opened.clear()
        files = Files()
        encode_files([counted], target, limits, files.open)
        counts.append(len(opened))
    assert counts[0] == counts[1], counts


@pytest.mark.parametrize("limits", [Limits(), Limits(rows=50), Limits(bytes=10**6)])
@pytest.mark.parametrize("several", [False, True])
def test_s10_a_file_of_old_rows_alone_begins_none(limits: Limits, several: bool) -> None:
    made = events(100)
    target = Target(
        GZIP, made.schema, RowRule(timestamp_column="at", not_before=datetime.now(UTC) + timedelta(days=9999))
    )
    one = source(parquet(made, compression="gzip"))
    # Another writer: the two could not be merged.
    other = source(parquet(made.replace_schema_metadata({"a": "b"}), compression="zstd", version="1.0"))

    def never(part: int) -> AbstractContextManager[Sink]:
        raise AssertionError(f"file {part} was begun")

    found = encode_files([one, other] if several else [one], target, limits, never)
    assert found == [Encoded.nothing(Way.DROPPED, excluded=200 if several else 100)]


def test_files_are_merged_by_copying_row_groups() -> None:
    sources = [source(parquet(events(1000, start=1000 * n), compression="gzip"), f"part-{n}") for n in range(5)]
    found, files = encoded(sources, Target(GZIP, events(1).schema, RowRule("at")), Limits())
    assert [(part.rows, part.way) for part in found] == [(5000, Way.ROW_GROUP_COPY)]
    validate(files[0], "GZIP")
    assert ids_in(files[0]) == list(range(5000))
    metadata = pq.read_metadata(io.BytesIO(files[0]))
    assert metadata.num_row_groups == 5
    assert found[0].last_timestamp == events(5000)["at"][4999].as_py()


@pytest.mark.parametrize("limits", [Limits(), Limits(rows=150)])
@pytest.mark.parametrize("encoding", [GZIP, ZSTD])
def test_row_groups_that_are_very_small_become_large_ones(encoding: Encoding, limits: Limits) -> None:
    sources = [source(parquet(events(10, start=10 * n), compression="gzip"), f"part-{n}") for n in range(20)]
    target = Target(encoding, events(1).schema, RowRule("at"))
    assert way_of_files(sources, target, limits) is Way.REWRITE
    found, files = encoded(sources, target, limits)
    assert [(part.rows, part.way) for part in found] == [
        (rows, Way.REWRITE) for rows in ([200] if limits == Limits() else [150, 50])
    ]
    assert [row for data in files for row in ids_in(data)] == list(range(200))
    groups = [pq.read_metadata(io.BytesIO(data)).num_row_groups for data in files]
    assert max(groups) <= 2, groups


def test_files_that_differ_in_schema_or_writer_are_merged_by_encoding_them_again() -> None:
    schema = events(1).schema
    narrow = pa.table({"id": pa.array([200, 201], pa.int64())})
    found, files = encoded([source(parquet(events(200))), source(narrow)], Target(GZIP, schema), Limits())
    assert [(part.rows, part.way) for part in found] == [(202, Way.REWRITE)]
    assert ids_in(files[0]) == list(range(202))


def test_rows_left_out_and_carried_over_are_counted_once() -> None:
    from datetime import UTC, datetime

    table = events(1000)
    oldest = table["at"][100].as_py()
    assert oldest > datetime(2026, 1, 1, tzinfo=UTC)
    for encoding in (GZIP, JSON):
        target = Target(encoding, table.schema, RowRule("at", oldest))
        found, files = encoded([source(table)], target, Limits(rows=300), minus=[source(table.slice(500, 10))])
        assert [part.rows for part in found] == [300, 300, 290]
        assert (sum(p.excluded for p in found), sum(p.carried_over for p in found)) == (100, 10)
        assert [row for data in files for row in ids_in(data)] == [*range(100, 500), *range(510, 1000)]


@pytest.mark.parametrize("encoding", [GZIP, JSON], ids=str)
def test_a_file_that_was_begun_is_no_file_when_reading_fails(encoding: Encoding) -> None:
    good = parquet(events(40_000), row_group_size=4_000, compression="zstd", write_page_checksum=True)
    broken = bytearray(good)
    broken[len(good) * 3 // 4 : len(good) * 3 // 4 + 2000] = bytes(2000)
    files = Files()
    with pytest.raises(Exception, match="part-1"):
        encode_files([source(bytes(broken))], Target(encoding, events(1).schema), Limits(bytes=500_000), files.open)
    assert files.whole
    assert len(files.cut) <= 1
    for cut in files.cut:
        with pytest.raises((pa.ArrowInvalid, EOFError)):
            ids_in(cut)


@pytest.mark.parametrize("encoding", [GZIP, ZSTD, JSON], ids=str)
def test_old_files_and_row_groups_are_left_out_of_what_is_merged(encoding: Encoding) -> None:
    table = events(6000)
    old = source(parquet(table.slice(0, 1000)), "old", old=1000)
    mixed = source(parquet(table.slice(1000, 3000), row_group_size=1000, compression="gzip"), "mixed")
    new = source(parquet(table.slice(4000, 2000), compression="gzip"), "new")
    target = Target(encoding, table.schema, RowRule("at", table["at"][2000].as_py()))
    for limits in (Limits(), Limits(rows=2000)):
        found, files = encoded([old, mixed, new], target, limits)
        assert (sum(part.rows for part in found), sum(part.excluded for part in found)) == (4000, 2000)
        assert [row for data in files for row in ids_in(data)] == list(range(2000, 6000))
        assert encoding is JSON or Way.REWRITE not in {part.way for part in found}
    nothing, _ = encoded([old], target, Limits(rows=10))
    assert [(part.rows, part.excluded) for part in nothing] == [(0, 1000)]
