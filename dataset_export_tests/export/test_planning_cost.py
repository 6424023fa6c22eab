"""What planning costs: little more than opening the table, and for an increment what changed, however long the history."""

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from deltalake import DeltaTable

from dataset_export.destinations.local import LocalStore
from dataset_export.export.bounds import Bounds
from dataset_export.export.dataflow import Behavior
from dataset_export.export.plan import describe
from dataset_export.lake.objects import ObjectFolder
from dataset_export_tests.export.exporter import Exporter
from dataset_export_tests.lake.delta_tables import DeltaBuilder

FIELDS = [
    {"name": "id", "type": "long", "nullable": True, "metadata": {}},
    {"name": "at", "type": "timestamp", "nullable": True, "metadata": {}},
    {"name": "part", "type": "string", "nullable": True, "metadata": {}},
]


def write_log(folder: Path, versions: int, files: int, checkpoint_at: int) -> None:
    """A log of appends of `files` files each, which nobody has written; deltalake makes the checkpoint."""
    log = folder / "_delta_log"
    log.mkdir(parents=True)
    stats = {
        "numRecords": 10,
        "minValues": {"id": 1, "at": "2026-01-01T00:00:00.000Z"},
        "maxValues": {},
        "nullCount": {},
    }
    metadata = {
        "id": str(uuid4()),
        "format": {"provider": "parquet", "options": {}},
        "schemaString": json.dumps({"type": "struct", "fields": FIELDS}),
        "partitionColumns": ["part"],
        "configuration": {},
    }
    for version in range(versions):
        entries: list[dict[str, Any]] = [
            {"commitInfo": {"timestamp": 1_790_000_000_000 + version, "operation": "WRITE"}}
        ]
        if version == 0:
            entries += [{"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}, {"metaData": metadata}]
        entries += [
            {
                "add": {
                    "path": f"part={version % 10}/part-{version:05}-{number:05}-{uuid4()}.parquet",
                    "partitionValues": {"part": str(version % 10)},
                    "size": 1000,
                    "modificationTime": 1_790_000_000_000,
                    "dataChange": True,
                    "stats": json.dumps(stats),
                }
            }
            for number in range(files)
        ]
        (log / f"{version:020}.json").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    DeltaTable(str(folder), version=checkpoint_at).create_checkpoint()


def seconds(act: Callable[[], object]) -> float:
    """Of all threads on the processor: other work on the machine does not count, and the table is on a local disk."""
    began = time.process_time()
    act()
    return time.process_time() - began


TIMES = 2.5
"""So many times its share of the files a large table takes at most, to be planned from the beginning."""


@pytest.mark.slow
def test_a_plan_of_a_hundred_thousand_files_takes_time_for_each_file_and_no_more(tmp_path: Path) -> None:
    taken = {versions: seconds_of_a_plan(tmp_path / str(versions), versions, files=100) for versions in (200, 1000)}
    print(f"planning takes {taken[1000]:.2f} s for 100,000 files, {taken[200]:.2f} s for 20,000")
    assert taken[1000] < TIMES * 5 * taken[200]


def seconds_of_a_plan(folder: Path, versions: int, files: int) -> float:
    write_log(folder / "lake", versions, files, checkpoint_at=versions - 10)
    exporter = Exporter(
        LocalStore(folder / "to"), str(folder / "lake"), behavior=Behavior.TIME_SERIES, timestamp_column="at"
    )

    def plan() -> None:
        table = DeltaBuilder(exporter.uri).table("at")
        described = describe(exporter.request(0), Bounds(None, versions - 1), table)
        assert sum(len(shard.files) for shard in described.shards) == versions * files
        assert described.source_rows == versions * files * 10

    return min(seconds(plan) for _ in range(3))


def test_an_increment_reads_what_changed_however_long_the_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = {versions: cost_of_three_commits(tmp_path / str(versions), versions, monkeypatch) for versions in (20, 400)}
    assert costs[20] == costs[400]
    # Three commits, the hint to the checkpoint, and when the newest was.
    assert costs[400]["read"] <= 5


def cost_of_three_commits(folder: Path, versions: int, monkeypatch: pytest.MonkeyPatch) -> "Counter[str]":
    """How often a plan asked for what of the log, and how many names it was told."""
    write_log(folder / "lake", versions, files=2, checkpoint_at=versions - 5)
    exporter = Exporter(
        LocalStore(folder / "to"), str(folder / "lake"), behavior=Behavior.TIME_SERIES, timestamp_column="at"
    )
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
        table = DeltaBuilder(exporter.uri).table("at")
        newest = table.newest_before(exporter.request(0).export_time)
        assert newest is not None
        described = describe(exporter.request(0), Bounds(newest.number - 3, newest.number), table)
    assert sum(len(shard.files) for shard in described.shards) == 6
    return asked
