"""Run one contender once: `python -m benchmarks.contenders NAME FORMAT OUTPUT_FOLDER FILE...`.

Prints the seconds that the conversion took as the last line. Imports and the start of a Spark session are not in them.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Callable
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

    encoding = Encoding(Format.PARQUET if form == "parquet" else Format.JSON, Compression.GZIP)
    target = Target(encoding, pq.read_schema(files[0]), RowRule("timestamp"))

    def stage(path: Path) -> None:
        checksum = hashlib.sha256()
        with (folder / f"{path.stem}{extension(encoding)}").open("wb") as file:

            def sink(data: bytes | bytearray | memoryview) -> None:
                checksum.update(data)
                file.write(data)

            source = Source(open=lambda: path.open("rb"), name=path.name, bytes=path.stat().st_size)
            encode([source], target, sink)

    def convert() -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(stage, files))

    return convert


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
    os.environ["POLARS_MAX_THREADS"] = str(THREADS)
    import polars as frames

    def convert() -> None:
        for file in files:
            lazy = frames.scan_parquet(file)
            if form == "parquet":
                lazy.sink_parquet(folder / f"{file.stem}.gz.parquet", compression="gzip")
            else:
                lazy.sink_ndjson(folder / f"{file.stem}.json.gz", compression="gzip")

    return convert


CONTENDERS: dict[str, Callable[[str, Path, list[Path]], Callable[[], None]]] = {
    "dataset_export": dataset_export,
    "spark": spark,
    "duckdb": duckdb,
    "polars": polars,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
