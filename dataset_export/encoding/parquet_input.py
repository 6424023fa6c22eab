"""Open a source file as parquet, and say whose fault it is when that fails."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dataset_export.encoding.contract import Source
from dataset_export.errors import CorruptFile, ExportError, TransientError, UnsupportedTable

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

READ_BUFFER = 4 << 20
"""Bytes read ahead per column chunk, so that a row group larger than memory can be read."""

BATCH_BYTES = 8 << 20
"""Uncompressed bytes of a batch, roughly; with wide rows a batch has fewer of them."""

BATCH_ROWS = 16_384
"""Rows of a batch at most: small enough to stay in the processor's cache, large enough for calls not to count."""


@contextmanager
def opened(source: Source, *, nanoseconds: bool = False) -> Generator[pq.ParquetFile]:
    """The source as a parquet file, closed at the end.

    Old writers store timestamps as INT96; they are read in microseconds, because nanoseconds in 64 bits end in the year
    2262 and wrap around silently. `nanoseconds` asks for those.

    Raises CorruptFile naming the source for anything that is wrong with its bytes, also while the block reads them.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with blamed_on(source):
        raw = source.open()
        try:
            file = pq.ParquetFile(
                raw if isinstance(raw, pa.NativeFile) else pa.PythonFile(_Readable(raw), mode="r"),
                pre_buffer=False,
                buffer_size=READ_BUFFER,
                page_checksum_verification=True,
                coerce_int96_timestamp_unit="ns" if nanoseconds else "us",
                metadata=_metadata(raw, source),
            )
            with file:
                yield file
        finally:
            raw.close()


def _metadata(raw: Any, source: Source) -> pq.FileMetaData | None:
    """The footer with the names that the table has; None when the file has them itself."""
    from dataset_export.encoding.parquet_footer import footer_of

    if source.columns is None:
        return None
    footer = footer_of(raw, source)
    raw.seek(0)
    return footer.metadata


def batches(
    file: pq.ParquetFile, columns: list[str] | None = None, groups: Sequence[int] | None = None
) -> Iterator[pa.RecordBatch]:
    """All rows of the file, or of row groups of it, some `BATCH_BYTES` at a time. Threads are the caller's affair: files run side by side."""
    metadata = file.metadata
    size = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    row_bytes = max(1, size // max(1, metadata.num_rows))
    rows = max(1, min(BATCH_ROWS, BATCH_BYTES // row_bytes))
    chosen = list(groups) if groups is not None else None
    yield from file.iter_batches(rows, row_groups=chosen, columns=columns, use_threads=False)


@contextmanager
def blamed_on(source: Source) -> Generator[None]:
    """Turn what pyarrow and the file system raise while reading `source` into errors of this package."""
    import pyarrow as pa

    try:
        yield
    except (ExportError, GeneratorExit):
        raise
    except (ConnectionError, TimeoutError) as error:
        raise TransientError(f"Reading {source.name} was interrupted: {error}.") from error
    except FileNotFoundError as error:
        raise CorruptFile(f"The table's data file {source.name} is missing: restore it, or vacuum less.") from error
    except NotImplementedError as error:
        raise UnsupportedTable(f"{source.name} uses a parquet feature that cannot be read: {_line(error)}.") from error
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        if "encrypted" in str(error):
            raise UnsupportedTable(f"{source.name} is encrypted: export a copy of the table that is not.") from error
        raise CorruptFile(
            f"{source.name} is truncated or is not a parquet file: {_line(error)}; restore it in the table."
        ) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")


class _Readable:
    """What pyarrow asks of a Python file, over the four methods that a lake's files have."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.closed = False

    def read(self, size: int = -1) -> Any:
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def flush(self) -> None:
        return None

    def close(self) -> None:
        self.closed = True
