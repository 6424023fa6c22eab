"""How fast, and in how much memory, the bytes of an export are made: `python -m benchmarks.staging`.

Every contender converts the same files in processes of its own, one after the other, and the rows it wrote are counted.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from benchmarks import data, process, report
from benchmarks.contenders import CONTENDERS, THREADS

FOLDER = Path(".bench").resolve()
FORMATS = {"parquet": "gzip parquet", "json": "NDJSON, gzip"}
OURS = "dataset_export"


@dataclass(frozen=True)
class Result:
    """One contender, one format, one size: seconds, bytes of memory and bytes of output."""

    contender: str
    format: str
    scale: int
    seconds: list[float]
    peak_rss: int
    output: int
    rows: int

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def main() -> None:
    """Measure, print, and write what was asked for."""
    options = _arguments()
    results = [measure(name, form, 1, options.repeat) for form in FORMATS for name in options.only or list(CONTENDERS)]
    if options.scale > 1:
        results += [measure(OURS, form, options.scale, options.repeat) for form in FORMATS]
    versions = process.machine("pyarrow", "arro3-io", "isal", "pyspark", "duckdb", "polars")
    machine = f"{versions}; {THREADS} threads each"
    Console(width=110).print(machine, _table(results), sep="\n")
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "results": [asdict(r) for r in results]}, indent=2))
    if options.write:
        report.write_section("Staging: measured", _markdown(machine, results))


def measure(contender: str, form: str, scale: int, repeat: int) -> Result:
    """Run a contender `repeat` times. Raises RuntimeError when it fails or writes another number of rows."""
    files = data.make(FOLDER, scale=scale)
    rows = sum(pq.read_metadata(file).num_rows for file in files)
    output = FOLDER / "output"
    seconds: list[float] = []
    peak = 0
    for _ in range(repeat):
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
        measured = process.measure(
            "benchmarks.contenders", contender, form, str(output), *map(str, files), log=FOLDER / "log.txt"
        )
        seconds.append(measured.seconds)
        peak = max(peak, measured.peak_rss)
    written = _rows_in(output, form)
    if written != rows:
        raise RuntimeError(f"{contender} wrote {written} of {rows} rows as {form}.")
    size = sum(file.stat().st_size for file in _outputs(output, form))
    shutil.rmtree(output)
    return Result(contender, form, scale, seconds, peak, size, rows)


def _outputs(output: Path, form: str) -> Iterator[Path]:
    return output.glob("*.parquet" if form == "parquet" else "*.json.gz")


def _rows_in(output: Path, form: str) -> int:
    if form == "parquet":
        return sum(pq.read_metadata(file).num_rows for file in _outputs(output, form))
    return sum(_lines(file) for file in _outputs(output, form))


def _lines(file: Path) -> int:
    with gzip.open(file) as stream:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(1 << 20), b""))


def _table(results: list[Result]) -> Table:
    table = Table(*HEADINGS)
    for result in results:
        table.add_row(*_cells(result, results), end_section=result.contender == "polars")
    return table


HEADINGS = ("output", "contender", "size", "seconds: median (min to max)", "ours is faster by", "peak MB", "output MB")


def _cells(result: Result, results: list[Result]) -> list[str]:
    ours = next((r for r in results if (r.contender, r.format, r.scale) == (OURS, result.format, result.scale)), result)
    return [
        FORMATS[result.format],
        result.contender,
        f"{result.scale}x",
        report.spread(result.seconds),
        "" if result is ours else f"{result.median / ours.median:.1f}",
        f"{result.peak_rss / 1e6:.0f}",
        f"{result.output / 1e6:.0f}",
    ]


def _markdown(machine: str, results: list[Result]) -> list[str]:
    size = sum(file.stat().st_size for file in data.make(FOLDER)) / 1e6
    return [
        f"{data.FILES} zstd parquet files, {data.ROWS:,} nested rows, {size:.0f} MB (1x). {machine}.",
        "Written by `python -m benchmarks.staging --write`; what is measured stands in README.md beside this file.",
        "",
        *report.markdown_table(HEADINGS, [_cells(result, results) for result in results]),
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3, help="runs of each contender")
    parser.add_argument("--only", nargs="+", choices=list(CONTENDERS), help="these contenders")
    parser.add_argument("--scale", type=int, default=1, help="measure ours also with this many times the rows")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--write", action="store_true", help=f"write {report.RESULTS.name}")
    return parser.parse_args()


if __name__ == "__main__":
    main()
