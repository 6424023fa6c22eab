"""Files that Spark wrote are transcoded, and Spark reads what is transcoded."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_export_tests.encoding.parquet_writers import seen
from dataset_export_tests.encoding.tables import parquet
from dataset_export_tests.encoding.test_page_transcode import EVERYTHING, WANTED, check, transcode

pytestmark = [pytest.mark.slow, pytest.mark.spark]


@pytest.mark.parametrize("writer", ["v1", "v2"])
@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd", "lz4_raw"])
def test_files_of_spark_read_back_equal(spark: Any, codec: str, writer: str, tmp_path: Path) -> None:
    pq.write_table(EVERYTHING.drop_columns(["time"]), tmp_path / "given.parquet")
    frame = spark.read.parquet(str(tmp_path / "given.parquet"))
    options = {
        "compression": codec,
        "parquet.writer.version": writer,
        "parquet.bloom.filter.enabled": "true",
        "parquet.bloom.filter.expected.ndv": "1000",
        "parquet.page.row.count.limit": "100",
        "parquet.page.write-checksum.enabled": "true",
    }
    frame.coalesce(1).write.options(**options).parquet(str(tmp_path / "written"))
    (written,) = (tmp_path / "written").glob("*.parquet")
    before = seen(written)
    assert not any(isinstance(found, type) for found in before.values())
    rows = frame.collect()
    for wanted in WANTED:
        if wanted != codec:
            walked = check(written.read_bytes(), wanted, tmp_path, before)
            assert walked.checksums == walked.pages
            assert walked.offset_indexes >= walked.column_indexes > 10
            assert walked.bloom_filters > 5
            same_rows(spark, tmp_path / "after.parquet", rows)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("wanted", WANTED)
def test_spark_reads_what_is_transcoded(spark: Any, wanted: str, version: str, tmp_path: Path) -> None:
    table = pa.concat_tables([EVERYTHING.drop_columns(["time"]), EVERYTHING.drop_columns(["time"]).slice(0, 0)])
    data = parquet(
        table,
        compression="brotli",
        data_page_version=version,
        write_page_index=True,
        write_page_checksum=True,
        data_page_size=500,
        write_batch_size=50,
        row_group_size=400,
    )
    pq.write_table(table, tmp_path / "given.parquet")
    (tmp_path / "after.parquet").write_bytes(transcode(data, wanted))
    same_rows(spark, tmp_path / "after.parquet", spark.read.parquet(str(tmp_path / "given.parquet")).collect())


def same_rows(spark: Any, file: Path, rows: list) -> None:
    """All rows, by both of Spark's readers, and single ones, which it looks for with page indexes and bloom filters."""
    frame = spark.read.parquet(str(file))
    for vectorized in ("true", "false"):
        spark.conf.set("spark.sql.parquet.enableVectorizedReader", vectorized)
        assert repr(frame.collect()) == repr(rows)
    assert frame.where("int32 = 412").count() == 1
    assert frame.where(f"many = '{EVERYTHING['many'][7].as_py()}'").count() == 1
    assert frame.where("many = 'not there'").count() == 0
