"""Parquet files by independent writers, and their contents as independent readers see them."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import arro3.io
import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from dataset_export_tests.encoding.tables import exact, parquet

Writer = Callable[[pa.Table, str, Path], bytes]
"""Table, codec (a pyarrow name) and an empty folder to the bytes of a file."""


def by_pyarrow(**options: Any) -> Writer:
    return lambda table, codec, folder: parquet(table, compression=codec, **options)


def by_polars(table: pa.Table, codec: str, folder: Path) -> bytes:
    buffer = io.BytesIO()
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    names = {"none": "uncompressed"}
    frame.write_parquet(buffer, compression=names.get(codec, codec), row_group_size=300, data_page_size=2000)
    return buffer.getvalue()


def by_duckdb(version: str) -> Writer:
    def write(table: pa.Table, codec: str, folder: Path) -> bytes:
        path = folder / "duckdb.parquet"
        names = {"none": "uncompressed"}
        with duckdb.connect() as connection:
            connection.register("given", table)
            connection.execute(
                f"COPY given TO '{path}' (FORMAT parquet, COMPRESSION {names.get(codec, codec)}, "
                f"PARQUET_VERSION {version}, ROW_GROUP_SIZE 2048)"
            )
        return path.read_bytes()

    return write


def by_arrow_rs(version: str) -> Writer:
    def write(table: pa.Table, codec: str, folder: Path) -> bytes:
        buffer = io.BytesIO()
        names = {"none": "uncompressed", "gzip": "gzip(6)", "zstd": "zstd(1)", "brotli": "brotli(1)"}
        arro3.io.write_parquet(
            table,
            buffer,
            compression=names.get(codec, codec),
            writer_version=f"parquet_{version}",
            bloom_filter_enabled=True,
            data_page_row_count_limit=100,
            write_batch_size=50,
            max_row_group_size=300,
        )
        return buffer.getvalue()

    return write


WRITERS: dict[str, Writer] = {
    "pyarrow, pages of version 1": by_pyarrow(),
    "pyarrow, pages of version 2": by_pyarrow(data_page_version="2.0"),
    "pyarrow, checksums and indexes, version 1": by_pyarrow(
        write_page_checksum=True, write_page_index=True, data_page_size=500, write_batch_size=50, row_group_size=300
    ),
    "pyarrow, checksums and indexes, version 2": by_pyarrow(
        data_page_version="2.0",
        write_page_checksum=True,
        write_page_index=True,
        data_page_size=500,
        write_batch_size=50,
        row_group_size=300,
    ),
    "pyarrow, no dictionaries": by_pyarrow(
        use_dictionary=False, store_decimal_as_integer=True, data_page_version="2.0"
    ),
    "pyarrow, no statistics": by_pyarrow(write_statistics=False, store_schema=False),
    "polars": by_polars,
    "duckdb, version 1": by_duckdb("V1"),
    "duckdb, version 2": by_duckdb("V2"),
    "parquet-rs, version 1": by_arrow_rs("1_0"),
    "parquet-rs, version 2": by_arrow_rs("2_0"),
}


def seen_by_pyarrow(path: Path) -> Any:
    return exact(pq.ParquetFile(path, page_checksum_verification=True).read())


def seen_by_polars(path: Path) -> Any:
    frame = pl.read_parquet(path)
    return frame.schema, repr(frame.rows())


def seen_by_duckdb(path: Path) -> Any:
    with duckdb.connect() as connection:
        relation = connection.sql(f"select * from read_parquet('{path}')")
        return list(map(str, relation.types)), repr(relation.fetchall())


READERS = {"pyarrow": seen_by_pyarrow, "polars": seen_by_polars, "duckdb": seen_by_duckdb}


def seen(path: Path) -> dict[str, Any]:
    """What each reader makes of a file; its error where it cannot read it."""
    found: dict[str, Any] = {}
    for name, read in READERS.items():
        try:
            found[name] = read(path)
        except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001
            found[name] = type(error)
    return found
