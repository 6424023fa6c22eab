"""How fast, and in how much memory, the bytes of an export are made: `python -m benchmarks.staging`.

Every contender converts the same files in processes of its own, in turn, and the rows it wrote are compared with those it was
given.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from benchmarks import bars, outputs, process, report
from benchmarks.contenders import CONTENDERS, THREADS
from benchmarks.field import FORMATS, OURS, SKIPPED, Entry, field
from benchmarks.inputs import FOLDER, INPUTS, Input, events

ROOM = 8_000_000_000
"""Bytes that the largest output takes at most."""


@dataclass(frozen=True)
class Result:
    """One contender, one input, one format.

    Attributes:
        input: its name.
        share: of the files that were converted, one in so many.
        seconds: of each round, for all files: those of a share are multiplied.
        peak_rss, output: bytes; the output for all files.
    """

    contender: str
    input: str
    format: str
    share: int
    seconds: list[float]
    peak_rss: int
    output: int

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def main() -> None:
    """Measure, print, and write what was asked for."""
    options = _arguments()
    before, started = os.getloadavg()[0], time.monotonic()
    tables = [INPUTS[name]() for name in options.inputs]
    results: list[Result] = []
    failed: list[str] = []
    for table in tables:
        for form in ("parquet", "json"):
            results += compete(table, form, options.only, options.rounds, failed)
    if options.scale > 1 and OURS in (options.only or CONTENDERS):
        large = events(options.scale)
        tables.append(large)
        results += compete(large, "copy", None, options.rounds, failed)
        for form in ("parquet", "json"):
            results += compete(large, form, [OURS], 1, failed)
    busy = f"Load of the minute before: {before:.2f}, of the last minute: {os.getloadavg()[0]:.2f}"
    took = f"{(time.monotonic() - started) / 60:.0f} minutes"
    machine = f"{process.machine(*PACKAGES)}; {THREADS} threads each. {busy}; {took}"
    said = [verdict for results_of in _by_input(results) for verdict in bars.speeds(results_of)]
    said += bars.memory([result for result in results if result.contender == OURS]) + failed
    said += _skipped(options.only)
    Console(width=130).print(machine, *map(str, tables), _table(results), *said, sep="\n")
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "results": [asdict(r) for r in results]}, indent=2))
    if options.write:
        report.write_section("Staging: measured", _markdown(machine, tables, results, said))


PACKAGES = ("pyarrow", "arro3-io", "isal", "pyspark", "duckdb", "polars", "pandas", "dlt")


def compete(table: Input, form: str, only: list[str] | None, rounds: int, failed: list[str]) -> list[Result]:
    """Run every contender once in each round, beginning with another one each time.

    One that fails, or writes other rows, is out of it and in `failed`. Raises RuntimeError when ours is it."""
    entries = field(form, table.name, only, rounds, len(table.files))
    for file in table.files:
        _read(file)  # or whoever is first would wait for the disk
    runs: dict[Entry, list[tuple[process.Measured, int]]] = {entry: [] for entry in entries}
    for number in range(rounds):
        turn = number % max(1, len(entries))
        for entry in entries[turn:] + entries[:turn]:
            if number >= entry.rounds or entry not in runs:
                continue
            try:
                runs[entry].append(_run(entry, form, table, check=number == 0))
            except RuntimeError as error:
                if entry.contender == OURS:
                    raise
                del runs[entry]
                failed.append(f"{table.name}, {FORMATS[form]}: {entry.contender} FAILED: {str(error).splitlines()[-1]}")
                print(error, flush=True)
            else:
                seconds = runs[entry][-1][0].seconds
                print(f"{table.name}, {form}, round {number + 1}: {entry.contender} {seconds:.2f} s", flush=True)
    return [_result(entry, form, table, found) for entry, found in runs.items()]


def _read(file: Path) -> None:
    with file.open("rb") as stream:
        while stream.read(1 << 20):
            pass


def _result(entry: Entry, form: str, table: Input, found: list[tuple[process.Measured, int]]) -> Result:
    return Result(
        contender=entry.contender,
        input=table.name,
        format=form,
        share=entry.share,
        seconds=[measured.seconds * entry.share for measured, _ in found],
        peak_rss=max(measured.peak_rss for measured, _ in found),
        output=found[-1][1] * entry.share,
    )


def _run(entry: Entry, form: str, table: Input, *, check: bool) -> tuple[process.Measured, int]:
    """What one run took, and the bytes that it wrote."""
    with TemporaryDirectory(dir=_scratch()) as folder:
        return _run_in(Path(folder), entry, form, table, check=check)


def _scratch() -> Path:
    """Where outputs go: into memory where there is room, so that no disk is measured."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and shutil.disk_usage(memory).free > ROOM else FOLDER


def _run_in(output: Path, entry: Entry, form: str, table: Input, *, check: bool) -> tuple[process.Measured, int]:
    files = table.files[: len(table.files) // entry.share]
    measured = process.measure(
        "benchmarks.contenders", entry.contender, form, str(output), *map(str, files), log=FOLDER / "log.txt"
    )
    written = outputs.files_in(output, form)
    if check:
        outputs.require_equal(files, written, form, table)
    return measured, sum(file.stat().st_size for file in written)


def _by_input(results: list[Result]) -> list[list[Result]]:
    keys = dict.fromkeys((result.input, result.format) for result in results)
    return [[result for result in results if (result.input, result.format) == key] for key in keys]


def _table(results: list[Result]) -> Table:
    table = Table(*HEADINGS)
    for group in _by_input(results):
        for result in group:
            table.add_row(*_cells(result, group), end_section=result is group[-1])
    return table


HEADINGS = (
    *("input", "output", "contender", "rounds", "seconds: median (min to max)"),
    *("ours is faster by", "peak MB", "output MB"),
)


def _cells(result: Result, group: list[Result]) -> list[str]:
    ours = next((one for one in group if one.contender == OURS), None)
    share = f", 1 of {result.share} files" if result.share > 1 else ""
    return [
        result.input,
        FORMATS[result.format],
        result.contender + share,
        str(len(result.seconds)),
        report.spread(result.seconds),
        "" if ours in (None, result) else f"{result.median / ours.median:.1f}",
        f"{result.peak_rss / 1e6:.0f}",
        f"{result.output / 1e6:.0f}",
    ]


def _skipped(only: list[str] | None) -> list[str]:
    return [
        f"Not measured: {name} with {FORMATS.get(what, what)}: {why}."
        for (name, what), why in SKIPPED.items()
        if name in (only or CONTENDERS)
    ]


def _markdown(machine: str, tables: list[Input], results: list[Result], said: list[str]) -> list[str]:
    rows = [_cells(result, group) for group in _by_input(results) for result in group]
    return [
        f"{machine}.",
        report.written_by("python -m benchmarks.staging"),
        "",
        *(f"* {table}" for table in tables),
        "",
        *report.markdown_table(HEADINGS, rows),
        "",
        *(f"* {sentence}" for sentence in said),
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="each contender runs once in each; slow ones in fewer")
    parser.add_argument("--only", nargs="+", choices=list(CONTENDERS), help="these contenders")
    parser.add_argument("--inputs", nargs="+", choices=list(INPUTS), default=list(INPUTS), help="these inputs")
    parser.add_argument("--scale", type=int, default=16, help="measure ours also with this many times the events")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--write", action="store_true", help=f"write {report.RESULTS.name}")
    return parser.parse_args()


if __name__ == "__main__":
    main()
