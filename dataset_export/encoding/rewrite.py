"""Rewrite: parquet in, parquet out, every value decoded and encoded again. For when rows, columns or codec change."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dataset_export.encoding.contract import Compression, Encoded, Sink, Source, Target, Way
from dataset_export.encoding.parquet_fields import Codec
from dataset_export.encoding.parquet_footer import read_footer
from dataset_export.encoding.parquet_layout import codecs
from dataset_export.encoding.rows import Rows
from dataset_export.errors import UnsupportedTable

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROW_GROUP_BYTES = 32 << 20
"""Arrow bytes of a row group that is written: it is held in memory until then. Measured: 64 MB saves 2.5 % of the output
and costs half as much memory again."""

ROW_GROUP_ROWS = 1 << 20

GZIP_LEVEL = 3
"""Measured (benchmarks/README.md): level 9, pyarrow's default, takes five times as long as this one for 1.6 % less; each
level from 4 on costs about a fifth more time for at most 1 %."""


NAMES = {
    Codec.SNAPPY: "SNAPPY",
    Codec.GZIP: "GZIP",
    Codec.BROTLI: "BROTLI",
    Codec.LZ4: "LZ4",
    Codec.ZSTD: "ZSTD",
    Codec.LZ4_RAW: "LZ4",
}
"""Codecs as pyarrow calls them when it writes; the others it cannot even read."""


def write(sources: Sequence[Source], target: Target, sink: Sink, minus: Sequence[Source]) -> Encoded:
    """Write the rows of `sources` into `sink` as parquet. Raises as `encode.encode` does; the sink then holds a part of
    a file, never a footer."""
    import pyarrow as pa

    rows = Rows(sources, target, minus)
    output = _SinkFile(sink)
    codec = codec_of(target.encoding.compression, sources[0])
    try:
        writer = _writer(output, rows.schema, codec)
        for table in row_groups(rows.batches(), rows.schema):
            writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        writer.close()
    except BaseException as error:
        # A ParquetWriter that is not closed writes the footer when it is collected: nobody may take that for a file.
        output.cut()
        if output.failure is not None:
            raise output.failure from None
        if isinstance(error, pa.ArrowNotImplementedError):
            raise UnsupportedTable(f"{sources[0].name} cannot be written as parquet: {error}.") from error
        raise
    return rows.encoded(Way.REWRITE)


def one_group(table: pa.Table, codec: str) -> bytes:
    """The table as a parquet file with one row group. Raises UnsupportedTable."""
    import pyarrow as pa

    written = io.BytesIO()
    try:
        with _writer(written, table.schema, codec) as writer:
            writer.write_table(table, row_group_size=max(1, table.num_rows))
    except pa.ArrowNotImplementedError as error:
        raise UnsupportedTable(f"The table cannot be written as parquet: {error}.") from error
    return written.getvalue()


def _writer(output: Any, schema: pa.Schema, codec: str) -> pq.ParquetWriter:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.ParquetWriter(
        pa.PythonFile(output, mode="w"),
        schema,
        compression=codec,
        compression_level=GZIP_LEVEL if codec == "GZIP" else None,
    )


def row_groups(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows, as many at a time as a row group of `ROW_GROUP_BYTES` has."""
    import pyarrow as pa

    held: list[pa.RecordBatch] = []
    size = rows = 0
    for batch in batches:
        held.append(batch)
        size += batch.nbytes
        rows += batch.num_rows
        if size >= ROW_GROUP_BYTES or rows >= ROW_GROUP_ROWS:
            yield pa.Table.from_batches(held, schema)
            held, size, rows = [], 0, 0
    if held:
        yield pa.Table.from_batches(held, schema)


def codec_of(compression: Compression, source: Source) -> str:
    """The writer's name for the codec. `source`: that of the file's first column; a file without rows has none."""
    if compression is not Compression.SOURCE:
        return compression.value.upper()
    found = codecs(read_footer(source).struct)
    return NAMES.get(found[0], "NONE") if found else "NONE"


class _SinkFile:
    """What pyarrow asks of a Python file, over a sink. Remembers what the sink raised, and goes deaf once cut."""

    def __init__(self, sink: Sink) -> None:
        self._sink: Sink | None = sink
        self._position = 0
        self.closed = False
        self.failure: BaseException | None = None

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        if self._sink is not None:
            try:
                self._sink(data)
            except BaseException as error:
                self.failure = error
                raise
        self._position += size
        return size

    def cut(self) -> None:
        self._sink = None

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        return None

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True
