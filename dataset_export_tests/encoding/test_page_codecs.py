"""Bodies of pages come back as they were, or are refused: never fewer bytes, more, or some that were not there."""

import zlib

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_export.encoding.page_codecs import READABLE, compressor, decompressor
from dataset_export.encoding.parquet_fields import Codec
from dataset_export.encoding.thrift_compact import Malformed

NAMES = {
    Codec.SNAPPY: "snappy",
    Codec.GZIP: "gzip",
    Codec.BROTLI: "brotli",
    Codec.ZSTD: "zstd",
    Codec.LZ4_RAW: "lz4_raw",
}
BODIES = st.one_of(
    st.binary(min_size=1, max_size=300),
    st.tuples(st.binary(min_size=1), st.integers(1, 3000)).map(lambda p: p[0] * p[1]),
)


def by_pyarrow(codec: int, body: bytes) -> bytes:
    return pa.Codec(NAMES[codec]).compress(body, asbytes=True) if codec in NAMES else body


@pytest.mark.parametrize("codec", sorted(READABLE))
@settings(max_examples=40)
@given(BODIES, st.integers(1, 100))
def test_a_body_has_exactly_the_size_that_is_said(codec: int, body: bytes, difference: int) -> None:
    decompress = decompressor(codec)
    compressed = memoryview(by_pyarrow(codec, body))
    assert bytes(decompress(compressed, len(body))) == body
    for size in (len(body) + difference, max(0, len(body) - difference)):
        with pytest.raises(Malformed):
            decompress(compressed, size)


@pytest.mark.parametrize("codec", sorted(READABLE))
@settings(max_examples=40)
@given(BODIES, st.data())
def test_a_body_that_is_cut_is_malformed(codec: int, body: bytes, data: st.DataObject) -> None:
    compressed = by_pyarrow(codec, body)
    with pytest.raises(Malformed):
        decompressor(codec)(compressed[: data.draw(st.integers(0, len(compressed) - 1))], len(body))


@pytest.mark.parametrize("codec", [Codec.UNCOMPRESSED, Codec.SNAPPY, Codec.GZIP, Codec.ZSTD])
@settings(max_examples=40)
@given(st.just(b"") | BODIES)
def test_others_read_what_is_compressed(codec: int, body: bytes) -> None:
    compressed = bytes(compressor(codec)(memoryview(body)))
    if codec == Codec.GZIP:
        member = zlib.decompressobj(31)
        assert member.decompress(compressed) == body
        assert (member.eof, member.unused_data) == (True, b"")
    elif codec in NAMES:
        assert pa.Codec(NAMES[codec]).decompress(compressed, len(body), asbytes=True) == body
    else:
        assert compressed == body


@pytest.mark.parametrize("bits", [15, 31])
def test_gzip_may_be_zlib(bits: int) -> None:
    assert decompressor(Codec.GZIP)(zlib.compress(b"body", wbits=bits), 4) == b"body"


def test_a_page_that_grows_without_end_is_stopped() -> None:
    with pytest.raises(Malformed, match="does not end after the 1000 bytes"):
        decompressor(Codec.GZIP)(zlib.compress(bytes(100_000_000), wbits=31), 1000)
