"""Run a simulation: `python -m dataset_export_tests.soak --days 90 --seed 1`."""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from dataset_export_tests.soak.clock import run_under_moved_time

MEMORY = Path("/dev/shm")
"""Every event of a run is a transaction of its own: on a disk most of the time would be waiting for it."""


def main() -> int:
    """Simulate, account, report. Exit code 0 when all is accounted for, else 1."""
    parser = argparse.ArgumentParser(prog="python -m dataset_export_tests.soak", description=__doc__)
    parser.add_argument("--days", type=int, default=90, help="how long the simulated time is")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is left to chance")
    parser.add_argument("--folder", type=Path, help="where everything is kept, made anew; default: a temporary one")
    parser.add_argument("--json", type=Path, help="file for the result")
    arguments = parser.parse_args()
    run_under_moved_time()

    from dataset_export_tests.soak.simulation import result_text, simulate

    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="soak-", dir=MEMORY if MEMORY.is_dir() else None))
    wrong, summary = simulate(arguments.days, arguments.seed, folder)
    print(result_text(wrong, summary))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({**summary, "wrong": wrong}, indent=2))
    if arguments.folder is None and not wrong:
        shutil.rmtree(folder)
    elif wrong:
        print(f"everything is kept in {folder}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
