"""Is this a well-formed parquet file? Walks every page, checks every position, size, count and checksum, and accounts for
every byte. Raises AssertionError."""

import io
import zlib
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_export.encoding.thrift_compact import Struct, read_struct

MAGIC = b"PAR1"
CODECS = {0: "UNCOMPRESSED", 1: "SNAPPY", 2: "GZIP", 6: "ZSTD"}


@dataclass(frozen=True)
class Walked:
    """What a valid file was found to consist of."""

    pages: int
    checksums: int
    offset_indexes: int
    column_indexes: int
    bloom_filters: int


def validate(data: bytes, codec: str) -> Walked:
    """Check a file all of whose column chunks are compressed with `codec` (its name in a footer)."""
    assert data[:4] == MAGIC
    assert data[-4:] == MAGIC
    length = int.from_bytes(data[-8:-4], "little")
    start = len(data) - 8 - length
    footer, end = read_struct(data, start)
    assert end == len(data) - 8
    metadata = pq.read_metadata(io.BytesIO(data))
    groups = footer.structs(4)
    assert footer.integer(3) == sum(group.integer(3) for group in groups) == metadata.num_rows
    used = [(0, 4)]
    pages = checksums = 0
    for index, group in enumerate(groups):
        for chunk, column in zip(group.structs(1), columns(metadata.row_group(index)), strict=True):
            walked = Chunk(data, chunk, start)
            walked.check(column, codec)
            used += walked.used
            pages += len(walked.pages)
            checksums += walked.checksums
        metas = [chunk.struct(3) for chunk in group.structs(1)]
        assert group.integer(2) == sum(meta.integer(6) for meta in metas)
        assert group.integer(6) == sum(meta.integer(7) for meta in metas)
        assert group.integer(5) == min(first_page(meta) for meta in metas)
    used = sorted(span for span in used if span[0] < span[1])
    assert [after[0] for after in used[1:]] == [before[1] for before in used[:-1]], "gaps or overlaps"
    assert used[-1][1] == start
    chunks = [chunk for group in groups for chunk in group.structs(1)]
    return Walked(
        pages,
        checksums,
        sum(4 in chunk for chunk in chunks),
        sum(6 in chunk for chunk in chunks),
        sum(14 in chunk.struct(3) for chunk in chunks),
    )


def columns(group: pq.RowGroupMetaData) -> list[pq.ColumnChunkMetaData]:
    return [group.column(position) for position in range(group.num_columns)]


def first_page(meta: Struct) -> int:
    return min((place for place in (meta.integer(9), meta.integer(11, 0)) if place), default=0)


class Chunk:
    """One column chunk: its pages as (kind, position, size with header)."""

    def __init__(self, data: bytes, chunk: Struct, data_end: int) -> None:
        self.data, self.chunk, self.data_end = data, chunk, data_end
        self.meta = chunk.struct(3)
        self.pages: list[tuple[int, int, int]] = []
        self.checksums = 0
        self.used: list[tuple[int, int]] = []

    def check(self, column: pq.ColumnChunkMetaData, codec: str) -> None:
        assert column.compression == CODECS[self.meta.integer(4)] == codec
        start = first_page(self.meta)
        end = start + self.meta.integer(7)
        assert end <= self.data_end
        assert start >= 4 or start == end == 0
        values = uncompressed = 0
        for at, body, after in self.places():
            header, _ = read_struct(self.data, at)
            values += self.check_page(header, self.data[body:after], codec)
            uncompressed += body - at + header.integer(2)
            self.pages.append((header.integer(1), at, after - at))
        self.used.append((start, end))
        assert values == self.meta.integer(5) == column.num_values
        assert uncompressed == self.meta.integer(6) == column.total_uncompressed_size
        assert self.chunk.integer(2) == 0
        self.check_positions()
        self.check_encoding_stats()
        self.check_indexes()
        self.check_bloom_filter()

    def places(self) -> list[tuple[int, int, int]]:
        """Of each page: where its header begins, its body begins, and its body ends."""
        at = first_page(self.meta)
        end = at + self.meta.integer(7)
        found: list[tuple[int, int, int]] = []
        while at < end:
            header, body = read_struct(self.data, at)
            found.append((at, body, body + header.integer(3)))
            at = found[-1][2]
        assert at == end
        return found

    def check_page(self, header: Struct, body: bytes, codec: str) -> int:
        """Values of a page, once its body is what the header says."""
        kind, size = header.integer(1), header.integer(2)
        assert len(body) == header.integer(3)
        if 4 in header:
            self.checksums += 1
            assert header.integer(4) % 2**32 == zlib.crc32(body)
        if kind != 3:
            assert len(decompressed(body, size, codec)) == size
            return header.struct(5).integer(1) if kind == 0 else 0
        about = header.struct(8)
        levels = about.integer(5) + about.integer(6)
        is_compressed = about.get(7, (1, True))[1]
        values, size = body[levels:], size - levels
        assert len(decompressed(values, size, codec if is_compressed else "UNCOMPRESSED")) == size
        return about.integer(1)

    def check_positions(self) -> None:
        kinds = [kind for kind, _, _ in self.pages]
        assert set(kinds) <= {0, 2, 3}
        assert 2 not in kinds[1:]
        data_pages = [at for kind, at, _ in self.pages if kind != 2]
        if data_pages:
            assert self.meta.integer(9) == data_pages[0]
        assert (11 in self.meta) == (2 in kinds)
        if 11 in self.meta:
            assert self.meta.integer(11) == self.pages[0][1]
        assert 10 not in self.meta

    def check_encoding_stats(self) -> None:
        if 13 in self.meta:
            stats = [(one.integer(1), one.integer(3)) for one in self.meta.structs(13)]
            kinds = [kind for kind, _, _ in self.pages]
            assert sum(count for kind, count in stats if kind == 2) == kinds.count(2)
            # pyarrow counts data pages of both versions as those of the first.
            assert sum(count for kind, count in stats if kind != 2) == len(kinds) - kinds.count(2)

    def check_indexes(self) -> None:
        data_pages = [(at, size) for kind, at, size in self.pages if kind != 2]
        if 4 in self.chunk:
            index = self.structure(self.chunk.integer(4), self.chunk.integer(5))
            locations = index.structs(1)
            assert [(one.integer(1), one.integer(2)) for one in locations] == data_pages
            rows = [one.integer(3) for one in locations]
            assert rows == sorted(rows)
        if 6 in self.chunk:
            index = self.structure(self.chunk.integer(6), self.chunk.integer(7))
            assert len(index[1][1][1]) == len(data_pages)

    def check_bloom_filter(self) -> None:
        if 14 in self.meta:
            start, length = self.meta.integer(14), self.meta.integer(15)
            header, end = read_struct(self.data, start)
            assert end + header.integer(1) == start + length
            self.used.append((start, start + length))

    def structure(self, start: int, length: int) -> Struct:
        index, end = read_struct(self.data, start)
        assert end == start + length
        self.used.append((start, end))
        return index


def decompressed(body: bytes, size: int, codec: str) -> bytes:
    """The body, decompressed by a library that checks it, to exactly `size` bytes."""
    if codec == "UNCOMPRESSED":
        return body
    if codec == "GZIP":
        member = zlib.decompressobj(31)
        data = member.decompress(body)
        assert member.eof
        assert not member.unused_data
        return data
    return pa.Codec(codec.lower()).decompress(body, size, asbytes=True)
