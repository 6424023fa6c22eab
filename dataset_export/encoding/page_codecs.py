"""Compress and decompress the bodies of parquet pages. The processor's work is done without the interpreter's lock.

A page says how many bytes it holds. A body that holds more or fewer is Malformed: snappy, gzip, brotli and LZ4 as pyarrow
offers them fill what is missing with whatever the memory held.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

from dataset_export.encoding.contract import Compression
from dataset_export.encoding.gzip_member import GzipMaker
from dataset_export.encoding.parquet_fields import Codec
from dataset_export.encoding.thrift_compact import Bytes, Malformed

_GZIP_OR_ZLIB = 47
"""Window bits. Readers of parquet take both for GZIP; the format asks for gzip."""

CODECS = {
    Compression.NONE: Codec.UNCOMPRESSED,
    Compression.GZIP: Codec.GZIP,
    Compression.ZSTD: Codec.ZSTD,
    Compression.SNAPPY: Codec.SNAPPY,
}
"""What a compression is in a parquet footer."""

Compress = Callable[[Bytes], Any]
"""Page body to its compressed form."""


class Decompress(Protocol):
    """Compressed form of a page body that holds `size` bytes to the body. Raises Malformed."""

    def __call__(self, body: Bytes, size: int) -> Any: ...


def compressor(codec: int) -> Compress:
    """How to compress for `codec`: UNCOMPRESSED, SNAPPY, GZIP or ZSTD. Not for use by several threads at once."""
    import pyarrow as pa

    if codec == Codec.UNCOMPRESSED:
        return lambda body: body
    if codec == Codec.GZIP:
        return GzipMaker().member
    return pa.Codec({Codec.SNAPPY: "snappy", Codec.ZSTD: "zstd"}[codec]).compress


def decompressor(codec: int) -> Decompress:
    """How to decompress `codec`, one of `READABLE`. Not for use by several threads at once."""
    return _DECOMPRESSORS[codec]()


def exactly(body: Bytes, size: int) -> Bytes:
    """The body as it is. Raises Malformed when it has another size."""
    if len(body) != size:
        raise Malformed(f"it holds {len(body)} bytes and its header says {size}")
    return body


def _snappy() -> Decompress:
    decompress = _by_pyarrow("snappy")

    def checked(body: Bytes, size: int) -> Any:
        held = shift = 0
        for byte in body[:5]:
            held |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        if held != size:
            raise Malformed(f"it holds {held} bytes and its header says {size}")
        return decompress(body, size)

    return checked


def _gzip() -> Decompress:
    from isal import isal_zlib

    broken = cast("type[Exception]", isal_zlib.error)  # its stub says that it is one, not a type of it

    def decompress(body: Bytes, size: int) -> Bytes:
        stream = isal_zlib.decompressobj(_GZIP_OR_ZLIB)
        try:
            data = stream.decompress(body, size + 1)
        except broken as error:
            raise Malformed(f"it cannot be decompressed: {error}") from None
        if not stream.eof:
            raise Malformed(f"it does not end after the {size} bytes that its header says")
        return exactly(data, size)

    return decompress


def _brotli(body: Bytes, size: int) -> Bytes:
    import pyarrow as pa

    try:
        with pa.CompressedInputStream(pa.BufferReader(body), "brotli") as stream:
            return exactly(stream.read(size + 1), size)
    except (pa.ArrowException, OSError) as error:
        raise Malformed(f"it cannot be decompressed: {error}") from None


def _lz4() -> Decompress:
    decompress = _by_pyarrow("lz4_raw")

    def checked(body: Bytes, size: int) -> Any:
        data = decompress(body, size)
        if size:
            try:
                decompress(body, size - 1)
            except Malformed:
                return data
            raise Malformed(f"it holds fewer bytes than the {size} that its header says")
        return data

    return checked


def _by_pyarrow(name: str) -> Decompress:
    import pyarrow as pa

    codec = pa.Codec(name)

    def decompress(body: Bytes, size: int) -> Any:
        try:
            return codec.decompress(body, size)
        except (pa.ArrowException, OSError) as error:
            raise Malformed(f"it cannot be decompressed: {error}") from None

    return decompress


_DECOMPRESSORS: dict[int, Callable[[], Decompress]] = {
    Codec.UNCOMPRESSED: lambda: exactly,
    Codec.SNAPPY: _snappy,
    Codec.GZIP: _gzip,
    Codec.BROTLI: lambda: _brotli,
    Codec.ZSTD: lambda: _by_pyarrow("zstd"),
    Codec.LZ4_RAW: _lz4,
}

READABLE = frozenset(_DECOMPRESSORS)
"""Codecs that can be decompressed: not LZO, and not LZ4 with Hadoop's frames."""
