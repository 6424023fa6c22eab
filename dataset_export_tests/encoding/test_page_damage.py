"""A damaged source is named, and never becomes rows that it does not hold."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_export.encoding.contract import Compression, Encoding, Target, Way
from dataset_export.encoding.encode import encode
from dataset_export.encoding.thrift_compact import I32, Struct, write_struct
from dataset_export.errors import CorruptFile, ExportError
from dataset_export_tests.encoding.parquet_edits import chunks, footer_of, with_page
from dataset_export_tests.encoding.parquet_validator import Chunk
from dataset_export_tests.encoding.tables import parquet, source

NAME = "year=2026/part-7.parquet"
TABLE = pa.table(
    {
        "n": [None, *range(60)],
        "s": [None, *(f"value {n % 7}" for n in range(60))],
        "l": [None, *([n] * (n % 3) for n in range(60))],
    }
)
CODECS = ["zstd", "snappy", "gzip", "none", "lz4", "brotli"]


def encoded(data: bytes, wanted: str = "gzip") -> bytes | None:
    """The transcoded file; None when the footer sent it into the rewrite."""
    out = io.BytesIO()
    schema = pq.read_schema(io.BytesIO(parquet(TABLE)))
    done = encode([source(data, NAME)], Target(Encoding(compression=Compression(wanted)), schema), out.write)
    return out.getvalue() if done.way is Way.PAGE_TRANSCODE else None


def rows(data: bytes) -> pa.Table | None:
    """None for a file that cannot be read. Text need not be text any more, so that there may be no Python values."""
    try:
        table = pq.ParquetFile(io.BytesIO(data)).read()
        table.validate()
    except (pa.ArrowException, OSError):
        return None
    return table


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@settings(max_examples=60)
@given(st.sampled_from(CODECS), st.data())
def test_bodies_with_a_checksum(version: str, codec: str, data: st.DataObject) -> None:
    whole = parquet(TABLE, compression=codec, data_page_version=version, write_page_checksum=True, row_group_size=30)
    footer, end = footer_of(whole)
    chunk = Chunk(whole, data.draw(st.sampled_from(chunks(footer))), end)
    _, start, stop = data.draw(st.sampled_from(chunk.places()))
    damaged = bytearray(whole)
    damaged[data.draw(st.integers(start, stop - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CorruptFile, match=f"{NAME}.*page at byte .*checksum"):
        encoded(bytes(damaged), "gzip" if codec != "gzip" else "zstd")


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@settings(max_examples=100)
@given(st.sampled_from(CODECS), st.booleans(), st.data())
def test_any_byte(version: str, codec: str, checksum: bool, data: st.DataObject) -> None:
    whole = parquet(TABLE, compression=codec, data_page_version=version, write_page_checksum=checksum)
    damaged = bytearray(whole)
    damaged[data.draw(st.integers(0, footer_of(whole)[1] - 1))] ^= data.draw(st.integers(1, 255))
    try:
        done = encoded(bytes(damaged), "gzip" if codec != "gzip" else "zstd")
    except CorruptFile as error:
        assert NAME in str(error)  # noqa: PT017
        return
    # What a reader of the source could not see either: headers and, without checksums, values.
    assert rows(done) == rows(bytes(damaged))


@settings(max_examples=150)
@given(st.data())
def test_any_byte_of_the_footer(data: st.DataObject) -> None:
    whole = parquet(TABLE, compression="zstd", write_page_index=True)
    damaged = bytearray(whole)
    damaged[data.draw(st.integers(footer_of(whole)[1], len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        done = encoded(bytes(damaged))
    except ExportError as error:
        assert NAME in str(error)  # noqa: PT017
        return
    # Its true rows too: a position that is damaged may not be needed.
    assert done is None or rows(done) in (rows(bytes(damaged)), rows(whole))


@settings(max_examples=60)
@given(st.sampled_from(["1.0", "2.0"]), st.data())
def test_a_file_that_is_cut(version: str, data: st.DataObject) -> None:
    whole = parquet(TABLE, compression="zstd", data_page_version=version)
    start, stop = sorted(data.draw(st.tuples(st.integers(0, len(whole)), st.integers(0, len(whole)))))
    if start == stop:
        return
    with pytest.raises(CorruptFile, match=NAME):
        encoded(whole[:start] + whole[stop:])


WRONG_HEADERS = {
    "a negative size": ("1.0", lambda header: header.put(2, I32, -1), "negative size"),
    "a negative stored size": ("1.0", lambda header: header.put(3, I32, -1), "negative size"),
    "more bytes than the column chunk": ("1.0", lambda header: header.put(3, I32, 10**6), "more than its column chunk"),
    "more bytes than there are": ("1.0", lambda header: header.put(2, I32, 10**6), "its header says 1000000"),
    "no sizes": ("1.0", lambda header: header.pop(3), "does not begin with its kind and sizes"),
    "no header of its kind": ("1.0", lambda header: header.pop(5), "field 5 is missing"),
    "no number of values": ("1.0", lambda header: header.struct(5).pop(1), "field 1 is missing"),
    "more values than the footer": ("1.0", lambda header: header.struct(5).put(1, I32, 501), "hold 501 values"),
    "fewer values than the footer": ("1.0", lambda header: header.struct(5).put(1, I32, 499), ""),
    "negative values": ("2.0", lambda header: header.struct(8).put(1, I32, -1), "negative size"),
    "more levels than bytes": ("2.0", lambda header: header.struct(8).put(5, I32, 10**6), "bytes are levels"),
    "negative levels": ("2.0", lambda header: header.struct(8).put(6, I32, -8), "negative size"),
}


@pytest.mark.parametrize("wrong", WRONG_HEADERS)
def test_headers_that_cannot_be_true(wrong: str) -> None:
    version, change, message = WRONG_HEADERS[wrong]

    def changed(header: Struct, body: bytes) -> bytes:
        change(header)
        return write_struct(header) + body

    table = pa.table({"n": range(500)})
    whole = parquet(table, use_dictionary=False, compression="none", data_page_version=version)
    target = Target(Encoding(), pq.read_schema(io.BytesIO(whole)))
    with pytest.raises(CorruptFile, match=f"{NAME} is damaged in column n: .*{message}"):
        encode([source(with_page(whole, changed), NAME)], target, io.BytesIO().write)
