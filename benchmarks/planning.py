"""What planning takes, compared with what the table's library takes to open the table: `python -m benchmarks.planning`.

Nobody has written the files of these tables: planning reads metadata only. Everything is done in this process, in seconds of
the processor.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
from deltalake import DeltaTable
from pyiceberg.table import StaticTable
from rich.console import Console
from rich.table import Table

from benchmarks import process, report
from dataset_export.destinations.local import LocalStore
from dataset_export.export.bounds import Bounds
from dataset_export.export.dataflow import Behavior
from dataset_export.export.plan import describe
from dataset_export.lake.open import TableLocation, open_table
from dataset_export.lake.table import Table as LakeTable
from dataset_export_tests.export.exporter import Exporter
from dataset_export_tests.lake.delta_tables import DeltaBuilder
from dataset_export_tests.lake.unwritten_tables import VECTORS, mark_delta_rows, write_delta_log, write_iceberg_metadata

BAR = 2
"""Seconds that a plan of everything may take more than the library needs to open the table, by medians."""
INCREMENT = 3
"""Versions of an increment."""
PACKAGES = ("deltalake", "pyiceberg", "pyarrow")


@dataclass(frozen=True)
class Subject:
    """A table: how its library opens it, which is to read the metadata of every file; and how we do.

    Attributes:
        format: its format, and what is special about it.
        open_by_library: returns the number of files.
        open_by_us: likewise without having asked for them yet.
        appends: versions that added files.
        recent: those among the newest ones that an increment has.
    """

    format: str
    open_by_library: Callable[[], int]
    open_by_us: Callable[[], LakeTable]
    appends: int
    recent: int = INCREMENT


@dataclass(frozen=True)
class Result:
    """Seconds of the processor, of each round."""

    format: str
    opening: list[float]
    everything: list[float]
    increment: list[float]

    @property
    def more(self) -> float:
        """What a plan of everything takes more than opening, by medians."""
        return statistics.median(self.everything) - statistics.median(self.opening)


def main() -> None:
    """Measure, print, and write what was asked for."""
    options = _arguments()
    with TemporaryDirectory() as folder:
        made = [make(Path(folder), options.versions, options.files) for make in SUBJECTS]
        results = [measure(one, Path(folder), options.files, options.rounds) for one in made]
    machine = f"{process.machine(*PACKAGES)}. Load of the last minute: {os.getloadavg()[0]:.2f}"
    size = f"{options.versions:,} versions of {options.files:,} files each, {options.rounds} rounds"
    rows = [_cells(result) for result in results]
    said = [_verdict(result) for result in results]
    table = Table(*HEADINGS)
    for row in rows:
        table.add_row(*row)
    Console(width=130).print(machine, size, table, *said, sep="\n")
    if options.write:
        wrote = report.written_by("python -m benchmarks.planning")
        lines = [f"{machine}.", wrote, "", f"* {size}", "", *report.markdown_table(HEADINGS, rows), ""]
        report.write_section("Planning", [*lines, *(f"* {sentence}" for sentence in said)])


def delta(folder: Path, versions: int, files: int) -> Subject:
    """A Delta table with a checkpoint 10 versions before the newest one."""
    lake = folder / "delta"
    write_delta_log(lake, versions, files, checkpoint_at=max(versions - 10, 0))
    return Subject(
        "Delta",
        lambda: pa.table(DeltaTable(str(lake)).get_add_actions(flatten=False)).num_rows,
        lambda: DeltaBuilder(str(lake)).table("at"),
        versions,
    )


def delta_vectors(folder: Path, versions: int, files: int) -> Subject:
    """A Delta table with deletion vectors and without a checkpoint; the rows that its newest version marks are in files of its oldest."""
    lake = folder / "delta-vectors"
    write_delta_log(lake, versions - 1, files, checkpoint_at=None, protocol=VECTORS)
    mark_delta_rows(lake, version=0)
    return Subject(
        "Delta with deletion vectors, no checkpoint",
        lambda: pa.table(DeltaTable(str(lake)).get_add_actions(flatten=False)).num_rows,
        lambda: DeltaBuilder(str(lake)).table("at"),
        versions - 1,
        INCREMENT - 1,
    )


def iceberg(folder: Path, versions: int, files: int) -> Subject:
    """An Iceberg table of which every snapshot added a manifest; none was merged."""
    metadata = str(write_iceberg_metadata(folder / "iceberg", versions, files))

    def open_by_library() -> int:
        table = StaticTable.from_metadata(metadata)
        snapshot = table.current_snapshot()
        manifests = snapshot.manifests(table.io) if snapshot is not None else []
        return sum(len(manifest.fetch_manifest_entry(table.io)) for manifest in manifests)

    def open_by_us() -> LakeTable:
        return open_table(TableLocation("iceberg", metadata, {}, timestamp_column="at"))

    return Subject("Iceberg", open_by_library, open_by_us, versions)


SUBJECTS = (delta, delta_vectors, iceberg)


def measure(subject: Subject, folder: Path, files: int, rounds: int) -> Result:
    """Open and plan in turn, each time with nothing kept of the time before, and what that left collected.

    Raises RuntimeError when something else is planned than the table has."""
    exporter = Exporter(LocalStore(folder / "to"), str(folder), behavior=Behavior.TIME_SERIES, timestamp_column="at")

    def plan(lower: int | None) -> int:
        table = subject.open_by_us()
        newest = table.newest_before(exporter.request(0).export_time)
        if newest is None:
            raise RuntimeError(f"{subject.format}: no version found")
        bounds = Bounds(None if lower is None else newest.number - lower, newest.number)
        shards = describe(exporter.request(0), bounds, table).shards
        return sum(len(file.sources) for shard in shards for file in shard.files)

    steps = (
        (subject.open_by_library, subject.appends * files),
        (lambda: plan(None), subject.appends * files),
        (lambda: plan(INCREMENT), subject.recent * files),
    )
    taken: list[list[float]] = [[], [], []]
    for _ in range(rounds):
        for (step, expected), seconds in zip(steps, taken, strict=True):
            gc.collect()
            began = time.process_time()
            found = step()
            seconds.append(time.process_time() - began)
            if found != expected:
                raise RuntimeError(f"{subject.format}: {found} files, and the table has {expected}")
    return Result(subject.format, *taken)


HEADINGS = (
    "table",
    "the library opens it: processor seconds, median (min to max)",
    "plan of everything",
    f"plan of {INCREMENT} versions",
)


def _cells(result: Result) -> list[str]:
    return [result.format, *map(report.spread, (result.opening, result.everything, result.increment))]


def _verdict(result: Result) -> str:
    verdict = "held" if result.more < BAR else "MISSED"
    return f"{result.format}: a plan of everything takes {result.more:.2f} s more than opening; the bar of {BAR} s is {verdict}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", type=int, default=1000)
    parser.add_argument("--files", type=int, default=100, help="that each version adds")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help=f"write {report.RESULTS.name}")
    return parser.parse_args()


if __name__ == "__main__":
    main()
