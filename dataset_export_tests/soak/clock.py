"""Moved time: the process runs under libfaketime, which adds what a file says to the real time, for everything in it
(Python, SQLite, the table's log); sleeps and waits stay real."""

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

FILE_VARIABLE = "FAKETIME_TIMESTAMP_FILE"


def run_under_moved_time(file: Path) -> None:
    """Replace this process by the same command under moved time; `file` says by how much. Returns when it is already."""
    if os.environ.get(FILE_VARIABLE) == str(file):
        return
    import libfaketime

    library = Path(libfaketime.__file__).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
    if not library.exists():
        raise SystemExit(f"{library} is missing: the soak test needs the wheel of libfaketime for Linux")
    file.write_text("+0")
    environment = {
        **os.environ,
        "LD_PRELOAD": str(library),
        FILE_VARIABLE: str(file),
        "FAKETIME_NO_CACHE": "1",
        # Without it, waiting on a lock or an event never ends.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    os.execve(sys.executable, [sys.executable, "-m", "dataset_export_tests.soak", *sys.argv[1:]], environment)


class Clock:
    """The time of the simulation; it goes on by itself too, by the second."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._offset = float(file.read_text())

    def now(self) -> datetime:
        return datetime.now(UTC)

    def move_to(self, moment: datetime) -> None:
        """Jump forwards; a moment that has passed already is where the clock stands."""
        ahead = moment.timestamp() - time.time()
        if ahead > 0:
            self._offset += ahead
            self._file.write_text(f"+{self._offset:.3f}")
