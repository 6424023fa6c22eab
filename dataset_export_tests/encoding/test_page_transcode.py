"""Files in another codec are the same files: read back equal by three readers, with footers that a validator accepts."""

import io
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from random import Random

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st

from dataset_export.encoding.contract import Compression, Encoded, Encoding, Format, Source, Target, Way
from dataset_export.encoding.encode import choose_way, encode
from dataset_export.encoding.parquet_footer import read_footer
from dataset_export.encoding.ranged_input import READ
from dataset_export.encoding.thrift_compact import BINARY, BOOL, I32, I64, Struct, write_struct
from dataset_export.errors import UnsupportedTable
from dataset_export.lake.location import TableLocation
from dataset_export.lake.objects import ObjectFolder, RangedFile
from dataset_export_tests.encoding.parquet_edits import chunks, footer_of, page, with_footer, with_page
from dataset_export_tests.encoding.parquet_validator import Walked, validate
from dataset_export_tests.encoding.parquet_writers import WRITERS, seen
from dataset_export_tests.encoding.tables import parquet, source, tables

WANTED = {"none": "UNCOMPRESSED", "gzip": "GZIP", "zstd": "ZSTD", "snappy": "SNAPPY"}
CODECS = [*WANTED, "brotli", "lz4"]


def transcode(data: bytes, wanted: str = "gzip", *, way: Way = Way.PAGE_TRANSCODE) -> bytes:
    out = io.BytesIO()
    encoded = encode([source(data)], target_for(data, wanted), out.write)
    metadata = pq.read_metadata(io.BytesIO(data))
    assert encoded == Encoded(metadata.num_rows, 0, 0, None, None, way)
    return out.getvalue()


def target_for(data: bytes, wanted: str) -> Target:
    return Target(Encoding(compression=Compression(wanted)), pq.read_schema(io.BytesIO(data)))


def check(data: bytes, wanted: str, folder: Path, before: dict[str, object] | None = None) -> Walked:
    """Transcode, validate, and compare what the readers see."""
    if before is None:
        (folder / "before.parquet").write_bytes(data)
        before = seen(folder / "before.parquet")
    done = transcode(data, wanted)
    (folder / "after.parquet").write_bytes(done)
    assert seen(folder / "after.parquet") == before
    return validate(done, WANTED[wanted])


def everything(rows: int = 500) -> pa.Table:
    """Every physical type, nested three deep, with nulls, and columns that are nothing else."""
    random = Random(rows)
    numbers = range(rows)

    def gaps(values: list) -> list:
        return [None if random.random() < 0.3 else value for value in values]

    struct = pa.struct([("a", pa.int32()), ("b", pa.struct([("c", pa.string())]))])
    item = pa.struct([("sku", pa.string()), ("tags", pa.list_(pa.string()))])
    return pa.table(
        {
            "bool": pa.array(gaps([n % 3 == 0 for n in numbers])),
            "int32": pa.array(numbers, pa.int32()),
            "int64": pa.array(gaps(list(numbers)), pa.int64()),
            "float": pa.array(gaps([n / 7 for n in numbers]), pa.float32()),
            "double": pa.array([n / 7 if n % 9 else float("nan") for n in numbers]),
            "few": pa.array(gaps([f"value {n % 17}" for n in numbers])),
            "many": pa.array([f"{random.random():.15f}" for _ in numbers]),
            "empty": pa.array([""] * rows),
            "bytes": pa.array(gaps([random.randbytes(n % 30) for n in numbers])),
            "decimal": pa.array(gaps([Decimal(n) / 100 for n in numbers]), pa.decimal128(25, 2)),
            "short decimal": pa.array(gaps([Decimal(n) / 100 for n in numbers]), pa.decimal128(9, 2)),
            "date": pa.array(gaps([date.fromordinal(700_000 + n) for n in numbers])),
            "time": pa.array(numbers, pa.time64("us")),
            "timestamp": pa.array(gaps([n * 10**9 for n in numbers]), pa.timestamp("us", "UTC")),
            "list": pa.array(gaps([gaps(list(range(n % 5))) for n in numbers]), pa.list_(pa.int64())),
            "struct": pa.array(gaps([{"a": n, "b": {"c": str(n)}} for n in numbers]), struct),
            "structs": pa.array(
                gaps([[{"sku": "x", "tags": ["t"] * (n % 3)}] * (n % 3) for n in numbers]), pa.list_(item)
            ),
            "null": pa.nulls(rows, pa.int64()),
            "null text": pa.nulls(rows, pa.string()),
            "null lists": pa.nulls(rows, pa.list_(pa.int32())),
        }
    )


EVERYTHING = everything()


@pytest.mark.parametrize("have", CODECS)
@pytest.mark.parametrize("writer", WRITERS)
def test_files_of_every_writer_read_back_equal(writer: str, have: str, tmp_path: Path) -> None:
    data = WRITERS[writer](EVERYTHING, have, tmp_path)
    if have == "lz4" and writer.startswith("parquet-rs"):
        # It writes LZ4 with Hadoop's frames.
        assert choose_way(read_footer(source(data)), source(data), target_for(data, "gzip")) is Way.REWRITE
        return
    (tmp_path / "before.parquet").write_bytes(data)
    before = seen(tmp_path / "before.parquet")
    assert not any(isinstance(found, type) for found in before.values())
    # Every codec for every writer; all of their pairs are in the tests of any table.
    others = [wanted for wanted in WANTED if wanted not in (have, "gzip")]
    for wanted in {"gzip", others[CODECS.index(have) % len(others)]} - {have}:
        walked = check(data, wanted, tmp_path, before)
        if "checksums" in writer:
            assert (walked.checksums, walked.offset_indexes) == (walked.pages, walked.column_indexes)
            assert walked.pages > 2 * walked.offset_indexes > 0
        if "parquet-rs" in writer:
            assert walked.bloom_filters > 0


ENCODINGS = {
    pa.int32(): ["PLAIN", "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"],
    pa.int64(): ["PLAIN", "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"],
    pa.string(): ["PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"],
    pa.float32(): ["PLAIN", "BYTE_STREAM_SPLIT"],
    pa.float64(): ["PLAIN", "BYTE_STREAM_SPLIT"],
    pa.binary(4): ["PLAIN", "DELTA_BYTE_ARRAY", "BYTE_STREAM_SPLIT"],
    pa.bool_(): ["PLAIN", "RLE"],
}


@pytest.mark.parametrize("wanted", ["gzip", "none"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_every_encoding_stays(version: str, wanted: str, tmp_path: Path) -> None:
    values = {
        pa.string(): [None, "one", "two"] * 300,
        pa.binary(4): [b"abcd", None] * 450,
        pa.bool_(): [True, None] * 450,
    }
    names = {f"{kind} {encoding}": (kind, encoding) for kind, all_of in ENCODINGS.items() for encoding in all_of}
    table = pa.table({name: pa.array(values.get(kind, [None, *range(899)]), kind) for name, (kind, _) in names.items()})
    data = parquet(
        table,
        compression="zstd",
        use_dictionary=False,
        data_page_version=version,
        column_encoding={name: encoding for name, (_, encoding) in names.items()},
    )
    check(data, wanted, tmp_path)
    group = pq.read_metadata(io.BytesIO(transcode(data, wanted))).row_group(0)
    assert all(encoding in group.column(at).encodings for at, (_, encoding) in enumerate(names.values()))


OPTIONS = st.fixed_dictionaries(
    {
        "data_page_version": st.sampled_from(["1.0", "2.0"]),
        "use_dictionary": st.booleans(),
        "write_page_checksum": st.booleans(),
        "write_page_index": st.booleans(),
        "store_decimal_as_integer": st.booleans(),
        "write_statistics": st.booleans(),
        "data_page_size": st.sampled_from([1, 1 << 20]),
        "write_batch_size": st.sampled_from([1, 1024]),
        "row_group_size": st.sampled_from([3, 1024]),
        "compression": st.sampled_from(CODECS),
    }
)


@settings(max_examples=60)
@given(tables(), OPTIONS, st.sampled_from([*WANTED]))
def test_any_table_in_any_shape_reads_back_equal(
    tmp_path_factory: pytest.TempPathFactory, table: pa.Table, options: dict, wanted: str
) -> None:
    data = parquet(table, **options)
    folder = tmp_path_factory.getbasetemp()
    if options["compression"] != wanted:
        check(data, wanted, folder)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(tables(max_rows=40), st.sampled_from([*WRITERS]), st.sampled_from(CODECS), st.sampled_from([*WANTED]))
def test_any_table_of_any_writer_reads_back_equal(
    tmp_path_factory: pytest.TempPathFactory, table: pa.Table, writer: str, have: str, wanted: str
) -> None:
    folder = tmp_path_factory.mktemp("written")
    try:
        data = WRITERS[writer](table, have, folder)
    except (Exception, pl.exceptions.PanicException):  # noqa: BLE001
        reject()  # a type or a value that it cannot write
    target = target_for(data, wanted)
    assume(choose_way(read_footer(source(data)), source(data), target) is Way.PAGE_TRANSCODE)
    check(data, wanted, folder)


def test_old_timestamps_and_half_floats_read_back_equal(tmp_path: Path) -> None:
    table = pa.table({"t": pa.array([1, None, 3] * 100, pa.timestamp("ns"))})
    check(parquet(table, use_deprecated_int96_timestamps=True), "gzip", tmp_path)
    halves = pa.table({"h": pa.array([1.5, None, float("nan")] * 100, pa.float16())})
    check(parquet(halves), "gzip", tmp_path)


def test_everything_else_in_the_footer_stays() -> None:
    table = EVERYTHING.replace_schema_metadata({"owner": "sales"})
    order = [pq.SortingColumn(1)]
    data = parquet(table, sorting_columns=order, write_page_index=True, compression="zstd")
    data = with_footer(data, lambda footer: footer.put(200, BINARY, b"of a later version"))
    done = transcode(data)
    before, after = (pq.read_metadata(io.BytesIO(one)) for one in (data, done))
    assert after.schema.equals(before.schema)
    assert (after.metadata, after.created_by, after.format_version) == (
        before.metadata,
        before.created_by,
        before.format_version,
    )
    assert b"owner" in after.metadata
    assert after.row_group(0).sorting_columns == tuple(order)
    for at in range(before.num_columns):
        one, other = before.row_group(0).column(at), after.row_group(0).column(at)
        assert (one.statistics and one.statistics.to_dict()) == (other.statistics and other.statistics.to_dict())
        assert one.encodings == other.encodings
        assert other.total_uncompressed_size == pytest.approx(one.total_uncompressed_size, abs=200)
    assert footer_of(done)[0][200] == (BINARY, b"of a later version")


def test_chunks_that_have_the_codec_are_copied(tmp_path: Path) -> None:
    codecs = {"a": "gzip", "b": "zstd", "c": "none", "d": "gzip"}
    table = pa.table({name: [f"{name}{n % 50}" for n in range(2000)] for name in codecs})
    data = parquet(table, compression=codecs, write_page_index=True, data_page_size=500, row_group_size=800)
    walked = check(data, "gzip", tmp_path)
    assert walked.offset_indexes == 12
    done = transcode(data)
    for one, other in zip(chunks(footer_of(data)[0]), chunks(footer_of(done)[0]), strict=True):
        if one.struct(3).integer(4) == 2:
            before, after = (
                file[chunk.struct(3).integer(11) :][: chunk.struct(3).integer(7)]
                for file, chunk in ((data, one), (done, other))
            )
            assert before == after


def rows_in_groups(*sizes: int, **options: object) -> bytes:
    buffer = io.BytesIO()
    schema = pa.schema([("n", pa.int64()), ("s", pa.string()), ("l", pa.list_(pa.int32()))])
    with pq.ParquetWriter(buffer, schema, **options) as writer:
        for size in sizes:
            writer.write_table(pa.table({"n": range(size), "s": ["x"] * size, "l": [[1]] * size}, schema=schema))
    return buffer.getvalue()


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize("sizes", [(0,), (0, 0), (3, 0, 5), (0, 4)], ids=str)
@pytest.mark.parametrize("wanted", ["gzip", "none"])
def test_row_groups_without_rows(sizes: tuple, dictionary: bool, version: str, wanted: str, tmp_path: Path) -> None:
    options = {"use_dictionary": dictionary, "data_page_version": version, "compression": "zstd"}
    check(rows_in_groups(*sizes, **options), wanted, tmp_path)


def test_a_file_without_row_groups_has_every_codec(tmp_path: Path) -> None:
    data = rows_in_groups()
    assert transcode(data, way=Way.PASS_THROUGH) == data


@pytest.mark.parametrize("codec", [1, 2, 4, 6, 7])
def test_pages_without_values_need_not_be_compressed(codec: int, tmp_path: Path) -> None:
    table = pa.table({"n": pa.nulls(50, pa.int64())})
    data = parquet(table, compression="none", data_page_version="2.0", use_dictionary=False)
    (tmp_path / "before.parquet").write_bytes(data)
    before = seen(tmp_path / "before.parquet")
    data = with_footer(data, lambda footer: chunks(footer)[0].struct(3).put(4, I32, codec))
    for wanted, name in WANTED.items():
        if codec != {"snappy": 1, "gzip": 2, "zstd": 6}.get(wanted):
            done = transcode(data, wanted)
            validate(done, name)
            (tmp_path / "after.parquet").write_bytes(done)
            assert seen(tmp_path / "after.parquet") == before


def numbers(rows: int = 500, **options: object) -> bytes:
    """A file of one column, without dictionary, in one page."""
    return parquet(pa.table({"n": range(rows)}), use_dictionary=False, compression="none", **options)


def test_what_is_no_data_is_left_out(tmp_path: Path) -> None:
    def with_index_page(header: Struct, body: bytes) -> bytes:
        index = Struct({1: (I32, 1), 2: (I32, 9), 3: (I32, 9), 6: (12, Struct())})
        return write_struct(index) + b"something" + write_struct(header) + body

    (tmp_path / "before.parquet").write_bytes(numbers())
    before = seen(tmp_path / "before.parquet")
    for changed in (
        with_page(numbers(), with_index_page),
        with_page(numbers(), lambda header, body: page(header, body) + b"padding"),
        with_footer(numbers(), lambda footer: chunks(footer)[0].struct(3).put(10, I64, 4)),
    ):
        # Not every reader skips these pages.
        assert check(changed, "gzip", tmp_path, before).pages == 1


@pytest.mark.parametrize("checksum", [True, False])
def test_a_header_may_be_long(checksum: bool, tmp_path: Path) -> None:
    def with_statistics(header: Struct, body: bytes) -> bytes:
        header.struct(5).struct(5).put(3000, BINARY, bytes(300_000))
        return page(header, body)

    check(with_page(numbers(write_page_checksum=checksum), with_statistics), "gzip", tmp_path)


def test_dictionaries_need_not_be_pointed_at(tmp_path: Path) -> None:
    def forget(footer: Struct) -> None:
        meta = chunks(footer)[0].struct(3)
        meta.put(9, I64, meta.pop(11)[1])

    data = parquet(pa.table({"s": ["a", "b"] * 100}), compression="zstd")
    check(with_footer(data, forget), "gzip", tmp_path)
    (tmp_path / "before.parquet").write_bytes(numbers())
    before = seen(tmp_path / "before.parquet")
    zero = with_footer(numbers(), lambda footer: chunks(footer)[0].struct(3).put(11, I64, 0))
    check(zero, "gzip", tmp_path, before)


def test_bodies_of_version_2_need_not_be_compressed(tmp_path: Path) -> None:
    def uncompressed(header: Struct, body: bytes) -> bytes:
        header.struct(8).put(7, BOOL, False)
        return page(header, body)

    data = with_page(numbers(data_page_version="2.0"), uncompressed)
    data = with_footer(data, lambda footer: chunks(footer)[0].struct(3).put(4, I32, 6))
    check(data, "gzip", tmp_path)


def test_indexes_that_are_about_other_pages_are_left_out(tmp_path: Path) -> None:
    def swap(footer: Struct) -> None:
        one, other = chunks(footer)
        one[4], other[4] = other[4], one[4]
        one[5], other[5] = other[5], one[5]

    data = parquet(pa.table({"a": range(300), "b": range(300)}), compression="zstd", write_page_index=True)
    assert validate(transcode(data), "GZIP").offset_indexes == 2
    walked = validate_without_gaps(transcode(with_footer(data, swap)))
    assert walked == {(4, False), (6, False)}


def validate_without_gaps(data: bytes) -> set[tuple[int, bool]]:
    return {(field, field in chunk) for chunk in chunks(footer_of(data)[0]) for field in (4, 6)}


def test_bloom_filters_of_unknown_length_are_left_out(tmp_path: Path) -> None:
    data = WRITERS["parquet-rs, version 1"](EVERYTHING, "zstd", tmp_path)
    assert validate(transcode(data), "GZIP").bloom_filters > 10
    data = with_footer(data, lambda footer: [chunk.struct(3).pop(15, None) for chunk in chunks(footer)])
    assert validate(transcode(data), "GZIP").bloom_filters == 0


def first_meta(footer: Struct) -> Struct:
    return chunks(footer)[0].struct(3)


REFUSED = {
    "encrypted columns": lambda footer: footer.put(8, 12, Struct()),
    "an encrypted column": lambda footer: chunks(footer)[0].put(8, 12, Struct()),
    "a column in another file": lambda footer: chunks(footer)[0].put(1, BINARY, b"other.parquet"),
    "LZO": lambda footer: first_meta(footer).put(4, I32, 3),
    "LZ4 with Hadoop's frames": lambda footer: first_meta(footer).put(4, I32, 5),
    "a codec of tomorrow": lambda footer: first_meta(footer).put(4, I32, 99),
    "a writer that got sizes wrong": lambda footer: footer.put(6, BINARY, b"parquet-mr version 1.2.8 (build 1)"),
    "a writer that says no version": lambda footer: footer.put(6, BINARY, b"parquet-mr"),
    "columns that overlap": lambda footer: first_meta(footer).put(7, I64, first_meta(footer).integer(7) + 1),
    "columns behind the end": lambda footer: chunks(footer)[-1].struct(3).put(7, I64, 10**6),
    "columns before the beginning": lambda footer: first_meta(footer).put(9, I64, 3),
    "a negative size": lambda footer: first_meta(footer).put(7, I64, -5),
    "more rows than values": lambda footer: first_meta(footer).put(5, I64, 7),
    "more rows than row groups have": lambda footer: footer.put(3, I64, 10**6),
}


@pytest.mark.parametrize("change", REFUSED)
def test_what_cannot_be_walked_is_for_the_rewrite(change: str) -> None:
    data = parquet(pa.table({"a": range(300), "b": range(300)}), compression="zstd", use_dictionary=False)
    changed = with_footer(data, REFUSED[change])
    assert changed != data
    target = target_for(data, "gzip")
    assert choose_way(read_footer(source(data)), source(data), target) is Way.PAGE_TRANSCODE
    assert choose_way(read_footer(source(changed)), source(changed), target) is Way.REWRITE


@pytest.mark.parametrize("encoding", [Encoding(), Encoding(Format.JSON)], ids=["parquet", "json"])
def test_what_is_encrypted_is_refused_by_name(encoding: Encoding) -> None:
    data = numbers()
    for encrypted in (data[:-1] + b"E", with_footer(data, REFUSED["an encrypted column"])):
        target = Target(encoding, pq.read_schema(io.BytesIO(data)))
        with pytest.raises(UnsupportedTable, match=r"part-1\.parquet is encrypted"):
            encode([source(encrypted)], target, io.BytesIO().write)


@pytest.mark.parametrize("version", ["1.2.9", "1.2.10", "1.3.0", "1.10.1", "1.16.0", "2.0.0", "10.0.0"])
def test_writers_that_got_sizes_right(version: str) -> None:
    data = with_footer(numbers(), lambda footer: footer.put(6, BINARY, f"parquet-mr version {version}".encode()))
    transcode(data)


class Requests:
    """A source that remembers what was asked of it: how often it was opened, and the ranges that were read."""

    def __init__(self, data: bytes) -> None:
        self.opened = 0
        self.ranges: list[tuple[int, int]] = []
        self.source = Source(open=lambda: _Asked(self, data), name="part-1", bytes=len(data))


class _Asked(io.BytesIO):
    def __init__(self, requests: Requests, data: bytes) -> None:
        super().__init__(data)
        self.requests = requests
        requests.opened += 1

    def read(self, size: int | None = -1, /) -> bytes:
        start = self.tell()
        data = super().read(size)
        self.requests.ranges.append((start, start + len(data)))
        return data


def test_a_small_file_takes_one_request() -> None:
    data = parquet(EVERYTHING, compression="zstd", write_page_index=True)
    requests = Requests(data)
    encode([requests.source], target_for(data, "gzip"), io.BytesIO().write)
    assert (requests.opened, requests.ranges) == (1, [(0, len(data))])


@pytest.mark.parametrize("columns", [1, 40])
def test_every_byte_of_a_large_file_is_read_once(columns: int) -> None:
    random = Random(1)
    words = pa.array([random.randbytes(4000) for _ in range(8000 // columns)])
    table = pa.table({f"c{at}": words for at in range(columns)})
    data = parquet(table, compression="snappy", use_dictionary=False, data_page_size=100_000, row_group_size=5000)
    requests = Requests(data)
    out = io.BytesIO()
    pieces: list[int] = []
    encode([requests.source], target_for(data, "zstd"), lambda piece: pieces.append(out.write(piece)))
    validate(out.getvalue(), "ZSTD")
    ranges = sorted(requests.ranges)
    assert all(before[1] <= after[0] for before, after in pairwise(ranges))
    assert sum(end - start for start, end in ranges) >= len(data) - 4
    assert max(end - start for start, end in ranges) <= READ
    assert len(ranges) <= len(data) // READ + 3
    # Small pages do not become small writes.
    assert len(pieces) <= 1.2 * len(out.getvalue()) / 1e5


def test_an_object_store_is_asked_for_every_byte_once() -> None:
    asked: list[tuple[int, int]] = []

    class Objects(ObjectFolder):
        def __init__(self) -> None:
            super().__init__(TableLocation("delta", "s3://nowhere"))

        def read_range(self, path: str, start: int, length: int) -> bytes:
            asked.append((start, start + length))
            return data[start : start + length]

    words = pa.array([Random(n).randbytes(3000) for n in range(4000)])
    data = parquet(pa.table({"a": words, "b": words}), compression="snappy", use_dictionary=False)
    objects = Objects()
    whole = Source(open=lambda: RangedFile(objects, "part-1", len(data)), name="part-1", bytes=len(data))
    encode([whole], target_for(data, "gzip"), io.BytesIO().write)
    assert all(before[1] <= after[0] for before, after in pairwise(sorted(asked)))
    assert len(asked) <= len(data) // READ + 3


def test_a_page_may_be_larger_than_the_window() -> None:
    words = pa.array([Random(1).randbytes(1 << 20)] * 20)
    data = parquet(pa.table({"a": words, "b": words}), compression="none", use_dictionary=False, data_page_size=1 << 30)
    assert len(data) > 4 * READ
    done = transcode(data, "zstd")
    validate(done, "ZSTD")
    assert pq.read_table(io.BytesIO(done)).equals(pq.read_table(io.BytesIO(data)))


def test_several_threads_do_not_disturb_each_other() -> None:
    from concurrent.futures import ThreadPoolExecutor

    files = [parquet(everything(rows), compression=codec) for rows in (300, 700) for codec in ("gzip", "zstd", "lz4")]
    alone = [transcode(data, "snappy") for data in files]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda data: transcode(data, "snappy"), files * 5)) == alone * 5
