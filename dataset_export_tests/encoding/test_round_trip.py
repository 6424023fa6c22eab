"""Rows go in and come out equal, whatever the way, read back by two independent readers."""

import io
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_export.encoding import rewrite
from dataset_export.encoding.conform import plain_schema
from dataset_export.encoding.contract import Compression, Encoding, Target, Way
from dataset_export.encoding.encode import encode
from dataset_export_tests.encoding.tables import exact, parquet, source, tables

CODECS = {"none": "UNCOMPRESSED", "gzip": "GZIP", "zstd": "ZSTD", "snappy": "SNAPPY"}


@settings(max_examples=120, deadline=None)
@given(
    tables(), st.sampled_from(["none", "gzip", "zstd", "snappy"]), st.sampled_from(["none", "gzip", "zstd", "snappy"])
)
def test_parquet_reads_back_equal(table: pa.Table, have: str, wanted: str) -> None:
    out = io.BytesIO()
    read = pq.ParquetFile(io.BytesIO(parquet(table, compression=have)))
    target = Target(Encoding(compression=Compression(wanted)), read.schema_arrow)
    encoded = encode([source(parquet(table, compression=have))], target, out.write)
    assert encoded.rows == table.num_rows
    if have == wanted:
        assert encoded.way is Way.PASS_THROUGH
        assert out.getvalue() == parquet(table, compression=have)
    check(out.getvalue(), table, read, wanted)


@settings(max_examples=120)
@given(tables(), st.sampled_from(["none", "gzip", "zstd", "snappy"]))
def test_a_rewrite_reads_back_equal(table: pa.Table, wanted: str) -> None:
    out = io.BytesIO()
    read = pq.ParquetFile(io.BytesIO(parquet(table)))
    target = Target(Encoding(compression=Compression(wanted)), read.schema_arrow)
    encoded = rewrite.write([source(parquet(table))], target, out.write, ())
    assert (encoded.way, encoded.rows) == (Way.REWRITE, table.num_rows)
    check(out.getvalue(), table, read, wanted)


def check(data: bytes, table: pa.Table, read: pq.ParquetFile, wanted: str) -> None:
    back = pq.ParquetFile(io.BytesIO(data))
    assert exact(back.read()) == exact(read.read())
    assert back.schema_arrow.names == table.schema.names
    assert [field.type for field in plain_schema(back.schema_arrow)] == [
        f.type for f in plain_schema(read.schema_arrow)
    ]
    codecs = {
        back.metadata.row_group(group).column(column).compression
        for group in range(back.metadata.num_row_groups)
        for column in range(back.metadata.num_columns)
    }
    assert codecs <= {CODECS[wanted]}


@settings(max_examples=40, deadline=None)
@given(tables())
def test_duckdb_reads_the_same_rows_before_and_after_a_rewrite(table: pa.Table) -> None:
    with TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.parquet", Path(folder) / "after.parquet"
        before.write_bytes(parquet(table))
        schema = pq.ParquetFile(before).schema_arrow
        with after.open("wb") as file:
            rewrite.write([source(before.read_bytes())], Target(Encoding(), schema), file.write, ())
        query = "select * from read_parquet('{}')"
        rows = [repr(duckdb.sql(query.format(path)).fetchall()) for path in (before, after)]
        assert rows[0] == rows[1]


def test_several_sources_become_one_file_in_their_order() -> None:
    parts = [pa.table({"n": [1, 2]}), pa.table({"n": pa.array([], pa.int64())}), pa.table({"n": [3]})]
    out = io.BytesIO()
    encoded = encode([source(part) for part in parts], Target(Encoding(), parts[0].schema), out.write)
    assert (encoded.rows, encoded.way) == (3, Way.REWRITE)
    assert pq.read_table(io.BytesIO(out.getvalue())).column("n").to_pylist() == [1, 2, 3]


@pytest.mark.parametrize("codec", ["snappy", "zstd", "gzip", "none", "brotli"])
def test_source_keeps_the_codec_also_when_rows_are_written_anew(codec: str) -> None:
    table = pa.table({"n": list(range(1000))})
    wider = pa.schema([("n", pa.int64()), ("later", pa.string())])
    out = io.BytesIO()
    target = Target(Encoding(compression=Compression.SOURCE), wider)
    assert encode([source(parquet(table, compression=codec))], target, out.write).way is Way.REWRITE
    column = pq.ParquetFile(io.BytesIO(out.getvalue())).metadata.row_group(0).column(0)
    assert column.compression == ("UNCOMPRESSED" if codec == "none" else codec.upper())
