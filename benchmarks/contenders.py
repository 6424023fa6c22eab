"""Run one contender once: `python -m benchmarks.contenders NAME FORMAT OUTPUT_FOLDER FILE...`.

Prints the seconds that the conversion took as the last line. Imports and the start of a Spark session are not in them. FORMAT is
`parquet` (gzip inside), `json` (lines, gzip around them) or `copy` (the same bytes).
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

THREADS = 2


def main(name: str, form: str, folder: str, *files: str) -> None:
    """Prepare, then time the conversion of all files."""
    convert = CONTENDERS[name](form, Path(folder), [Path(file) for file in files])
    started = time.perf_counter()
    convert()
    print(time.perf_counter() - started, flush=True)


def dataset_export(form: str, folder: Path, files: list[Path]) -> Callable[[], None]:
    """What a stage step does: encode each file into a file with a checksum, two at a time."""
    import pyarrow.parquet as pq

    from dataset_export.encoding.contract import Compression, Encoding, Format, RowRule, Source, Target
    from dataset_export.encoding.encode import encode, extension

    encoding = Encoding(
        Format.JSON if form == "json" else Format.PARQUET,
        Compression.SOURCE if form == "copy" else Compression.GZIP,
    )
    schema = pq.read_schema(files[0])
    target = Target(encoding, schema, RowRule("timestamp" if "timestamp" in schema.names else None))

    def stage(path: Path) -> None:
        checksum = hashlib.sha256()
        with (folder / f"{path.stem}{extension(encoding)}").open("wb") as file:

            def sink(data: bytes | bytearray | memoryview) -> None:
                checksum.update(data)
                file.write(data)

            source = Source(open=lambda: path.open("rb"), name=path.name, bytes=path.stat().st_size)
            encode([source], target, sink)

    # What is imported when it is first needed is not in the others' seconds either.
    small = io.BytesIO()
    pq.write_table(pq.ParquetFile(files[0]).schema_arrow.empty_table(), small)
    empty = small.getvalue()
    encode([Source(lambda: io.BytesIO(empty), "empty", len(empty))], target, lambda data: None)
    return lambda: _two_at_a_time(stage, files)


def hashed_copy(form: str, folder: Path, files: list[Path]) -> Callable[[], None]:
    """The least that a delivery of the same bytes can be: read, hash, write, two files at a time."""

    def copy(path: Path) -> None:
        checksum = hashlib.sha256()
        with path.open("rb") as source, (folder / path.name).open("wb") as file:
            while data := source.read(1 << 20):
                checksum.update(data)
                file.write(data)

    return lambda: _two_at_a_time(copy, files)


def _two_at_a_time(convert: Callable[[Path], None], files: list[Path]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(convert, files))


def spark(form: str, folder: Path, files: list[Path]) -> Callable[[], None]:
    """PySpark, local[2], everything else at its defaults."""
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master(f"local[{THREADS}]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")

    def convert() -> None:
        writer = session.read.parquet(*map(str, files)).write.mode("overwrite").option("compression", "gzip")
        (writer.parquet if form == "parquet" else writer.json)(str(folder))

    return convert


def duckdb(form: str, folder: Path, files: list[Path]) -> Callable[[], None]:
    """DuckDB with two threads, each writing its own files."""
    import duckdb as database

    connection = database.connect(config={"threads": THREADS})
    names = ", ".join(f"'{file}'" for file in files)
    ending = "parquet" if form == "parquet" else "json.gz"

    def convert() -> None:
        connection.execute(
            f"COPY (SELECT * FROM read_parquet([{names}])) TO '{folder}' (FORMAT {form}, COMPRESSION gzip, "
            f"PER_THREAD_OUTPUT true, OVERWRITE_OR_IGNORE true, FILE_EXTENSION '{ending}')"
        )

    return convert


def polars(form: str, folder: Path, files: list[Path]) -> Callable[[], None]:
    """Polars' streaming sinks, file by file, with two threads inside; its own gzip at its own default level."""
    sink = _polars_sink(form, folder)

    def convert() -> None:
        for file in files:
            sink(file)

    return convert


def polars_two_files(form: str, folder: Path, files: list[Path]) -> Callable[[], None]:
    """As `polars`, but two sinks at a time: one of NDJSON compresses in one thread."""
    sink = _polars_sink(form, folder)
    return lambda: _two_at_a_time(sink, files)


def _polars_sink(form: str, folder: Path) -> Callable[[Path], None]:
    os.environ["POLARS_MAX_THREADS"] = str(THREADS)
    import polars as frames

    def sink(file: Path) -> None:
        lazy = frames.scan_parquet(file)
        if form == "parquet":
            lazy.sink_parquet(folder / f"{file.stem}.gz.parquet", compression="gzip")
        else:
            lazy.sink_ndjson(folder / f"{file.stem}.json.gz", compression="gzip")

    return sink


def pyarrow(form: str, folder: Path, files: list[Path]) -> Callable[[], None]:
    """pyarrow, two files at a time, batch by batch, gzip at its default level (9). It writes no JSON."""
    import pyarrow.parquet as pq

    def convert(file: Path) -> None:
        source = pq.ParquetFile(file)
        with pq.ParquetWriter(folder / f"{file.stem}.gz.parquet", source.schema_arrow, compression="gzip") as writer:
            for batch in source.iter_batches(1 << 17, use_threads=False):
                writer.write_batch(batch)

    return lambda: _two_at_a_time(convert, files)


def pandas(form: str, folder: Path, files: list[Path]) -> Callable[[], None]:
    """pandas, file by file, each in memory as a whole."""
    import pandas as frames

    def convert() -> None:
        for file in files:
            frame = frames.read_parquet(file)
            if form == "parquet":
                frame.to_parquet(folder / f"{file.stem}.gz.parquet", compression="gzip")
            else:
                path = folder / f"{file.stem}.json.gz"
                frame.to_json(path, orient="records", lines=True, date_format="iso", compression="gzip")

    return convert


def dlt(form: str, folder: Path, files: list[Path]) -> Callable[[], None]:
    """dlt: a pipeline of Arrow batches into its filesystem destination. It takes no strings as views."""
    os.environ |= {
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": "ERROR",
        "DATA_WRITER__COMPRESSION": "gzip",
        "NORMALIZE__DATA_WRITER__COMPRESSION": "gzip",
    }
    import dlt as pipelines
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.read_schema(files[0])
    schema = pa.schema([field.with_type(pa.string()) if field.type == pa.string_view() else field for field in schema])

    @pipelines.resource(name="rows")
    def rows() -> Iterator[object]:
        for file in files:
            yield from (batch.cast(schema) for batch in pq.ParquetFile(file).iter_batches(1 << 16))

    pipeline = pipelines.pipeline(
        "bench",
        destination=pipelines.destinations.filesystem(bucket_url=folder.as_uri()),
        dataset_name="delivered",
        pipelines_dir=str(folder / "working"),
    )

    def convert() -> None:
        pipeline.run(rows(), loader_file_format="jsonl" if form == "json" else "parquet")
        shutil.rmtree(folder / "working")

    return convert


CONTENDERS: dict[str, Callable[[str, Path, list[Path]], Callable[[], None]]] = {
    "dataset_export": dataset_export,
    "read, hash, write": hashed_copy,
    "spark": spark,
    "duckdb": duckdb,
    "polars": polars,
    "polars, two files at once": polars_two_files,
    "pyarrow": pyarrow,
    "pandas": pandas,
    "dlt": dlt,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
