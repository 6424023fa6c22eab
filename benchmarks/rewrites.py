"""What it takes to tell which rows are new in a large table that was rewritten: `python -m benchmarks.rewrites`.

Each increment is planned, staged and published by a process of its own, and what a reader finds is compared with what was
changed.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from benchmarks import bars, process, report
from benchmarks.increment import Found
from benchmarks.rewritten_tables import FILE_ROWS, Rewrite, make

PACKAGES = ("deltalake", "pyiceberg", "pyarrow", "numpy")


@dataclass(frozen=True)
class Result:
    """One rewrite, and what its increment took."""

    rewrite: Rewrite
    measured: process.Measured
    found: Found


def main() -> None:
    """Measure, print, and write what was asked for."""
    options = _arguments()
    before = os.getloadavg()[0]
    folder, rewrites = make(options.rows)
    results = [measure(folder, rewrite) for rewrite in rewrites]
    machine = f"{process.machine(*PACKAGES)}. Load of the minute before: {before:.2f}, of the last minute: {os.getloadavg()[0]:.2f}"
    size = f"{options.rows:,} rows of three columns, in files of {FILE_ROWS:,} rows to begin with; one run each"
    rows = [_cells(result) for result in results]
    table = Table(*HEADINGS)
    for row in rows:
        table.add_row(*row)
    said = [_verdict(results)]
    Console(width=150).print(machine, size, table, *said, sep="\n")
    if options.write:
        wrote = report.written_by("python -m benchmarks.rewrites")
        report.write_section(
            "Rewrites",
            [
                f"{machine}.",
                wrote,
                "",
                f"* {size}",
                "",
                *report.markdown_table(HEADINGS, rows),
                "",
                *(f"* {one}" for one in said),
            ],
        )


def measure(folder: Path, rewrite: Rewrite) -> Result:
    """One increment. Raises RuntimeError when other rows were delivered than the new ones."""
    with TemporaryDirectory(dir=folder) as to:
        measured = process.measure(
            "benchmarks.increment",
            *(str(folder), rewrite.format, str(rewrite.lower), str(rewrite.upper), to),
            log=folder / "log.txt",
        )
        found = Found(**json.loads((Path(to) / "found.json").read_text()))
    if found.ids != sorted(rewrite.new_ids):
        raise RuntimeError(
            f"{rewrite.format}: {rewrite.what}: {len(found.ids)} rows were delivered, and {len(rewrite.new_ids)} others are new"
        )
    print(f"{rewrite.format}: {rewrite.what}: {measured.seconds:.1f} s", flush=True)
    return Result(rewrite, measured, found)


HEADINGS = (
    *("table", "what happened", "rows of the added files", "delivered"),
    *("seconds", "of the processor", "peak MB"),
)


def _cells(result: Result) -> list[str]:
    found = result.found
    return [
        result.rewrite.format.capitalize(),
        result.rewrite.what,
        *("" if rows is None else f"{rows:,}" for rows in (found.added, len(found.ids))),
        f"{result.measured.seconds:.1f}",
        f"{found.processor_seconds:.1f}",
        f"{result.measured.peak_rss / 1e6:.0f}",
    ]


def _verdict(results: list[Result]) -> str:
    most = max(result.measured.peak_rss for result in results)
    verdict = "held" if most <= bars.MEMORY else "MISSED"
    return f"At most {most / 1e6:.0f} MB of memory; the bar of {bars.MEMORY / 1e6:.0f} MB is {verdict}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rows", type=int, default=100_000_000, help="of the tables to begin with, a multiple of 10 million"
    )
    parser.add_argument("--write", action="store_true", help=f"write {report.RESULTS.name}")
    return parser.parse_args()


if __name__ == "__main__":
    main()
