"""How fast, and in how much memory, the bytes of an export are made: `python -m benchmarks.staging`.

Every contender converts the same files in processes of its own, in turn, and the rows it wrote are counted.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
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
BARS = {("parquet", "spark"): 15, ("parquet", "polars"): 3, ("json", "spark"): 7, ("json", "polars"): 4}
"""How many times as fast as another ours has to be, by medians; polars makes gzip of level 6."""
MEMORY = 500_000_000
"""Bytes that ours may hold."""
FLAT = 0.1
"""Memory is flat when more rows take at most this share of their bytes more of it."""
STEADY = 1.5
"""The slowest run of a contender takes at most this many times its fastest one; else something else kept the machine busy,
and no bar is decided."""


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
    names = options.only or list(CONTENDERS)
    load = os.getloadavg()[0]
    results = [result for form in FORMATS for result in measure(names, form, 1, options.repeat)]
    if options.scale > 1:
        results += [result for form in FORMATS for result in measure([OURS], form, options.scale, options.repeat)]
    versions = process.machine("pyarrow", "arro3-io", "isal", "pyspark", "duckdb", "polars")
    busy = f"Load of the minute before: {load:.2f}, of the last minute: {os.getloadavg()[0]:.2f}"
    machine = f"{versions}; {THREADS} threads each. {busy}"
    Console(width=110).print(machine, _table(results), *verdicts(results), sep="\n")
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "results": [asdict(r) for r in results]}, indent=2))
    if options.write:
        report.write_section("Staging: measured", _markdown(machine, results))


def measure(contenders: list[str], form: str, scale: int, repeat: int) -> list[Result]:
    """Run every contender once in each of `repeat` rounds. Raises RuntimeError when one fails or writes another number of
    rows."""
    files = data.make(FOLDER, scale=scale)
    rows = sum(pq.read_metadata(file).num_rows for file in files)
    runs: dict[str, list[tuple[process.Measured, int]]] = {name: [] for name in contenders}
    for _ in range(repeat):
        for name in contenders:
            runs[name].append(_run(name, form, files, rows))
    return [
        Result(
            name,
            form,
            scale,
            [measured.seconds for measured, _ in found],
            max(measured.peak_rss for measured, _ in found),
            found[-1][1],
            rows,
        )
        for name, found in runs.items()
    ]


def _run(contender: str, form: str, files: list[Path], rows: int) -> tuple[process.Measured, int]:
    """What one run took, and the bytes that it wrote."""
    output = FOLDER / "output"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    measured = process.measure(
        "benchmarks.contenders", contender, form, str(output), *map(str, files), log=FOLDER / "log.txt"
    )
    written = _rows_in(output, form)
    if written != rows:
        raise RuntimeError(f"{contender} wrote {written} of {rows} rows as {form}.")
    size = sum(file.stat().st_size for file in _outputs(output, form))
    shutil.rmtree(output)
    return measured, size


def verdicts(results: list[Result]) -> list[str]:
    """What the figures say of the bars, in sentences."""
    found: list[str] = []
    for form, what in FORMATS.items():
        ours = sorted(
            (one for one in results if one.contender == OURS and one.format == form), key=lambda one: one.scale
        )
        others = [one for one in results if one.format == form and (form, one.contender) in BARS]
        found += [f"{what}: {_speed(ours[0], other)}" for other in others if ours]
        found += [f"{what}: {_memory(ours[0], ours[-1])}"] if ours else []
    return found


def _speed(ours: Result, other: Result) -> str:
    bar, times = BARS[ours.format, other.contender], other.median / ours.median
    said = f"ours is {times:.1f} times as fast as {other.contender}"
    if any(max(one.seconds) > STEADY * min(one.seconds) for one in (ours, other)):
        return f"{said}: UNDECIDED, since runs of one contender differ by more than {STEADY} times."
    return f"{said}: the bar of {bar} {'holds' if times >= bar else 'is MISSED'}."


def _memory(small: Result, large: Result) -> str:
    said = f"ours takes {large.peak_rss / 1e6:.0f} MB of memory, {MEMORY / 1e6:.0f} MB are allowed"
    held = "holds" if large.peak_rss <= MEMORY else "is MISSED"
    if large is small:
        return f"{said}: the bar {held}."
    more = sum(_size(large.scale)) - sum(_size(small.scale))
    flat = large.peak_rss - small.peak_rss <= FLAT * more
    return (
        f"{said}: the bar {held}. It {'is' if flat else 'is NOT'} flat: {small.peak_rss / 1e6:.0f} MB for "
        f"{small.scale}x and {large.peak_rss / 1e6:.0f} MB for {large.scale}x."
    )


def _size(scale: int) -> list[int]:
    return [file.stat().st_size for file in data.make(FOLDER, scale=scale)]


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
    size = sum(_size(1)) / 1e6
    return [
        f"{data.FILES} zstd parquet files, {data.ROWS:,} nested rows, {size:.0f} MB (1x). {machine}.",
        "Written by `python -m benchmarks.staging --write`; what is measured stands in README.md beside this file.",
        "",
        *report.markdown_table(HEADINGS, [_cells(result, results) for result in results]),
        "",
        *(f"* {verdict}" for verdict in verdicts(results)),
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3, help="rounds; each contender runs once in each")
    parser.add_argument("--only", nargs="+", choices=list(CONTENDERS), help="these contenders")
    parser.add_argument("--scale", type=int, default=1, help="measure ours also with this many times the rows")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--write", action="store_true", help=f"write {report.RESULTS.name}")
    return parser.parse_args()


if __name__ == "__main__":
    main()
