"""The increment between two versions of a table, exported into an empty folder: `python -m benchmarks.increment FOLDER FORMAT LOWER
UPPER TO`.

Writes what it found into `TO/found.json`, and prints the seconds from the plan to the last staged byte as the last line.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.rewritten_tables import catalog_of
from dataset_export.destinations.local import LocalStore
from dataset_export.export.ledger import Delivered
from dataset_export.lake import table
from dataset_export_tests.export.exporter import START, Exporter, rows_of

HOURS = (datetime.now(UTC) - START) // timedelta(hours=1) + 2
"""Until after all commits."""


@dataclass(frozen=True)
class Found:
    """What an increment came to.

    Attributes:
        added: rows of the added files.
        processor_seconds: of all threads, from the plan to the last staged byte.
        ids: of the rows that were delivered.
    """

    added: int | None
    processor_seconds: float
    ids: list[int]


def main(folder: str, form: str, lower: str, upper: str, to: str) -> None:
    """Plan and stage, timed; then publish, and read what a reader finds."""
    exporter = Exporter(
        LocalStore(Path(to)),
        str(Path(folder) / form),
        format="iceberg" if form == "iceberg" else "delta",
        catalog=catalog_of(Path(folder)) if form == "iceberg" else None,
    )
    for hour, bounds in ((0, (None, int(lower))), (HOURS + 1, (int(upper), int(upper)))):
        moment = exporter.request(hour).export_time
        exporter.ledger.records[moment] = Delivered(moment, *bounds, "before", "manifest.json", "")
    request = exporter.request(HOURS)
    exporter.ledger.running.add(request.run_id)
    started, used = time.perf_counter(), time.process_time()
    plan = exporter.plan(request)
    staged = exporter.stage(request, plan)
    seconds, processor_seconds = time.perf_counter() - started, time.process_time() - used
    manifest = exporter.publish(request, plan, staged).manifest
    [file] = (file for shard in plan.shards for file in shard.files)
    found = Found(
        added=table.rows_of(file.sources),
        processor_seconds=processor_seconds,
        ids=sorted(rows_of(exporter.store, manifest).elements()),
    )
    (Path(to) / "found.json").write_text(json.dumps(asdict(found)))
    print(seconds, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
