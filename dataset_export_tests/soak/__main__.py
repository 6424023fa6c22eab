"""Run a simulation: `python -m dataset_export_tests.soak --days 90 --seed 1`."""

import argparse
import json
import logging
import os
import random
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dataset_export_tests.soak.clock import FILE_VARIABLE, Clock, run_under_moved_time

START = datetime(2027, 1, 1, tzinfo=UTC)
MEMORY = Path("/dev/shm")
"""Every event of a run is a transaction of its own: on a disk most of the time would be waiting for it."""
STEP = timedelta(hours=1)
GROWING = 0.35
"""How likely a table grows in an hour."""
DAEMON_FAILS = 0.004
"""How likely the daemon is stopped, in an hour."""
OUTAGES_PER_WEEK = 1
BREAK_OFF = 0.01
"""How many calls of a destination break off."""


def main() -> int:
    """Simulate, account, report. Exit code 0 when all is accounted for, else 1."""
    parser = argparse.ArgumentParser(prog="python -m dataset_export_tests.soak", description=__doc__)
    parser.add_argument("--days", type=int, default=90, help="how long the simulated time is")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is left to chance")
    parser.add_argument("--folder", type=Path, help="where everything is kept, made anew; default: a temporary one")
    parser.add_argument("--json", type=Path, help="file for the result")
    arguments = parser.parse_args()
    file = os.environ.get(FILE_VARIABLE)
    run_under_moved_time(Path(file) if file else Path(tempfile.mkdtemp(prefix="soak-")) / "offset")
    return simulate(arguments.days, arguments.seed, arguments.folder, arguments.json)


def simulate(days: int, seed: int, folder: Path | None, result: Path | None) -> int:
    """One simulation; see `main`."""
    import dagster as dg

    from dataset_export.export.schedule import format_export_time
    from dataset_export.orchestration import failures
    from dataset_export_tests.soak.account import complaints
    from dataset_export_tests.soak.daemon import remove, simulated_daemon
    from dataset_export_tests.soak.declarations import changed, changes, flows, write
    from dataset_export_tests.soak.faults import Weather, let_local_folders_fail
    from dataset_export_tests.soak.lake import new_lake

    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    clock = Clock(Path(os.environ[FILE_VARIABLE]))
    clock.move_to(START)
    folder = folder or Path(tempfile.mkdtemp(prefix="soak-", dir=MEMORY if MEMORY.is_dir() else None))
    remove(folder)
    dice = random.Random(seed)
    length = timedelta(days=days)
    lake, declared, coming = new_lake(folder / "lake"), flows(START, length), changes(START, length)
    interrupted = {change.flow for change in coming if "datasets" in change.changes}
    weather = Weather(random.Random(seed + 1), clock.now, BREAK_OFF)
    for destination in ("partner", "archive"):
        for _ in range(max(1, days * OUTAGES_PER_WEEK // 7)):
            begin = START + length * dice.uniform(0.05, 0.9)
            weather.outages.setdefault(destination, []).append((begin, begin + timedelta(hours=dice.uniform(1, 30))))
    # A step that breaks off is tried again at once: waiting is real time here.
    failures.FIRST_WAIT_SECONDS = 0.0
    let_local_folders_fail(weather)
    defs = folder / "defs"
    write(defs, folder / "lake", folder / "delivery", declared, [])
    began, stopped_until, stops = time.monotonic(), START, 0
    with simulated_daemon(folder / "home", defs) as (instance, daemon):
        for table in lake.values():
            table.grow(clock.now(), dice)
        daemon.reload()
        now = START
        while now < START + length:
            now += STEP
            clock.move_to(now + timedelta(seconds=dice.randint(1, 50)))
            for table in lake.values():
                if dice.random() < GROWING:
                    table.grow(clock.now(), dice)
            if coming and START + coming[0].after <= now:
                declared = changed(declared, coming.pop(0))
                write(defs, folder / "lake", folder / "delivery", declared, [])
                daemon.reload()
            if now >= stopped_until and dice.random() < DAEMON_FAILS:
                stopped_until, stops = now + timedelta(hours=dice.uniform(2, 60)), stops + 1
                daemon.stop()
                daemon.reload()
            if now >= stopped_until:
                daemon.turn()
            if now.hour == 0:
                _progress(now - START, length, began)
        # Then the sun shines, until what was missed has been made up for.
        weather.break_off, weather.outages = 0.0, {}
        for _ in range(48):
            now += STEP
            clock.move_to(now)
            daemon.turn()
        by_hand = 0
        for flow in declared:
            keys = [dg.AssetKey([flow.name, dataset]) for dataset in flow.datasets]
            done = set.intersection(*(instance.get_materialized_partitions(key) for key in keys))
            for export_time in map(format_export_time, flow.due(now)):
                if export_time not in done and flow.name not in interrupted:
                    daemon.deliver_by_hand(flow.name, export_time)
                    by_hand += 1
        runs = instance.get_runs_count()
        wrong = complaints(folder / "delivery", declared, lake, now, interrupted)
    summary = {
        "days": days,
        "seed": seed,
        "runs": runs,
        "rows": sum(len(ids) for table in lake.values() for _, ids in table.commits),
        "by_hand": by_hand,
        "daemon_stops": stops,
        "refused_calls": weather.refused,
        "broken_calls": weather.broken,
        "seconds": round(time.monotonic() - began),
        "wrong": wrong,
    }
    print(json.dumps(summary, indent=2))
    if result is not None:
        result.write_text(json.dumps(summary))
    return 1 if wrong else 0


def _progress(passed: timedelta, length: timedelta, began: float) -> None:
    print(f"day {passed.days} of {length.days}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
