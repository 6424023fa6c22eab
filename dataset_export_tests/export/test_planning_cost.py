"""What planning costs: little more than opening the table, and for an increment what changed, however long the history.

`benchmarks.planning` has it in seconds.
"""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyiceberg.table import StaticTable

from dataset_export.destinations.local import LocalStore
from dataset_export.export.bounds import Bounds
from dataset_export.export.dataflow import Behavior
from dataset_export.export.plan import describe
from dataset_export.lake.objects import ObjectFolder
from dataset_export.lake.open import TableLocation, open_table
from dataset_export.lake.table import Table
from dataset_export_tests.export.exporter import Exporter
from dataset_export_tests.lake.delta_tables import DeltaBuilder
from dataset_export_tests.lake.unwritten_tables import write_delta_log, write_iceberg_metadata

AMPLE = 30
"""How many times the processor time of the library's own opening a plan may take: it takes 4 to 7 times, and ten times that with one
object of Python too many for every file and version."""


def seconds(act: Callable[[], object]) -> float:
    """Of all threads on the processor, the least of three: other work on the machine counts little."""

    def once() -> float:
        began = time.process_time()
        act()
        return time.process_time() - began

    return min(once() for _ in range(3))


def exporter_of(folder: Path) -> Exporter:
    return Exporter(
        LocalStore(folder / "to"), str(folder / "lake"), behavior=Behavior.TIME_SERIES, timestamp_column="at"
    )


def test_a_plan_of_everything_takes_no_more_than_a_few_times_what_opening_takes(tmp_path: Path) -> None:
    write_delta_log(tmp_path / "lake", versions=200, files=100, checkpoint_at=190)
    exporter = exporter_of(tmp_path)

    def open_by_library() -> None:
        assert pa.table(DeltaTable(exporter.uri).get_add_actions(flatten=False)).num_rows == 20_000

    def plan() -> None:
        described = describe(exporter.request(0), Bounds(None, 199), DeltaBuilder(exporter.uri).table("at"))
        assert sum(len(shard.files) for shard in described.shards) == 20_000
        assert described.source_rows == 200_000

    assert seconds(plan) < AMPLE * seconds(open_by_library)


def test_a_plan_of_all_of_an_iceberg_table_takes_little_more_than_opening(tmp_path: Path) -> None:
    metadata = str(write_iceberg_metadata(tmp_path / "lake", versions=40, files=100))
    exporter = exporter_of(tmp_path)

    def open_by_library() -> None:
        table = StaticTable.from_metadata(metadata)
        snapshot = table.current_snapshot()
        assert snapshot is not None
        assert sum(len(one.fetch_manifest_entry(table.io)) for one in snapshot.manifests(table.io)) == 4000

    def plan() -> None:
        table = open_table(TableLocation("iceberg", metadata, {}, timestamp_column="at"))
        described = describe(exporter.request(0), Bounds(None, 40), table)
        assert sum(len(shard.files) for shard in described.shards) == 4000
        assert described.source_rows == 40_000

    assert seconds(plan) < 3 * seconds(open_by_library)


def test_an_increment_reads_what_changed_however_long_the_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def table_of(versions: int) -> Callable[[], Table]:
        folder = tmp_path / str(versions)
        write_delta_log(folder, versions, files=2, checkpoint_at=versions - 5)
        return lambda: DeltaBuilder(str(folder)).table("at")

    costs = {versions: cost_of_three_versions(tmp_path, table_of(versions), monkeypatch) for versions in (20, 400)}
    assert costs[20] == costs[400]
    # Three commits, the hint to the checkpoint, and when the newest was.
    assert costs[400]["read"] <= 5


def test_an_increment_of_an_iceberg_table_reads_what_changed_however_long_the_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def table_of(versions: int) -> Callable[[], Table]:
        metadata = str(write_iceberg_metadata(tmp_path / str(versions), versions, files=2))
        return lambda: open_table(TableLocation("iceberg", metadata, {}, timestamp_column="at"))

    costs = {versions: cost_of_three_versions(tmp_path, table_of(versions), monkeypatch) for versions in (20, 400)}
    assert costs[20] == costs[400]
    # Three manifests, the lists of the newest snapshot and of the one that was exported, and the metadata.
    assert costs[400]["read"] <= 6


def cost_of_three_versions(
    folder: Path, table_of: Callable[[], Table], monkeypatch: pytest.MonkeyPatch
) -> "Counter[str]":
    """How often a plan asked for what of the metadata, and how many names it was told."""
    exporter = exporter_of(folder)
    asked: Counter[str] = Counter()

    def counted(name: str) -> Callable[..., Any]:
        method = getattr(ObjectFolder, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            asked[name] += 1
            found = method(*args, **kwargs)
            if name != "list":
                return found
            names = list(found)
            asked["listed"] += len(names)
            return iter(names)

        return call

    with monkeypatch.context() as patch:
        for name in ("list", "read", "read_range", "head"):
            patch.setattr(ObjectFolder, name, counted(name))
        table = table_of()
        newest = table.newest_before(exporter.request(0).export_time)
        assert newest is not None
        described = describe(exporter.request(0), Bounds(newest.number - 3, newest.number), table)
    assert sum(len(shard.files) for shard in described.shards) == 6
    return asked
