"""Moved time: the process runs under libfaketime, which adds what a variable says to the real time, for everything in it
(Python, SQLite, the table's log); sleeps and waits stay real."""

import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

AHEAD = "FAKETIME"
MARK = "DATASET_EXPORT_SOAK"


def run_under_moved_time() -> None:
    """Replace this process by the same command under moved time. Returns when it is already."""
    if MARK in os.environ:
        return
    import libfaketime

    library = Path(libfaketime.__file__).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
    if not library.exists():
        raise SystemExit(f"{library} is missing: the soak test needs the wheel of libfaketime for Linux")
    environment = {
        **os.environ,
        MARK: "1",
        "LD_PRELOAD": str(library),
        AHEAD: "+0",
        "FAKETIME_NO_CACHE": "1",
        # Without it, waiting on a lock or an event never ends.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # The order of strings in a set is chance too.
        "PYTHONHASHSEED": "0",
    }
    os.execve(sys.executable, [sys.executable, "-m", "dataset_export_tests.soak", *sys.argv[1:]], environment)


class Clock:
    """The time of the simulation; it goes on by itself too, by the second."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> datetime:
        """UTC."""
        return datetime.now(UTC)

    def move_to(self, moment: datetime) -> None:
        """Jump forwards; a moment that has passed already is where the clock stands."""
        ahead = moment.timestamp() - time.time()
        if ahead > 0:
            self._ahead += ahead
            os.environ[AHEAD] = f"+{self._ahead:.3f}"

    def pass_by(self, length: timedelta) -> None:
        """Let time pass."""
        self.move_to(self.now() + length)
