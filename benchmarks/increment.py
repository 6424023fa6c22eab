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
        plan_seconds: of all.
        ids: of the rows that were delivered.
    """

    added: int | None
    plan_seconds: float
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
    started = time.perf_counter()
    plan = exporter.plan(request)
    planned = time.perf_counter()
    staged = exporter.stage(request, plan)
    seconds = time.perf_counter() - started
    manifest = exporter.publish(request, plan, staged).manifest
    [file] = (file for shard in plan.shards for file in shard.files)
    found = Found(
        added=table.rows_of(file.sources),
        plan_seconds=planned - started,
        ids=sorted(rows_of(exporter.store, manifest).elements()),
    )
    (Path(to) / "found.json").write_text(json.dumps(asdict(found)))
    print(seconds, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
