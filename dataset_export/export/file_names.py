"""Names of delivered files: unique, not guessable as a pattern, and the same again for a retry of the same run.

They are derived from dataflow, dataset, export time and root run id (promise P4), and look like the original's
`part-00000-tid-<19 digits>-<uuid>-<task>-<n>-c000.gz.parquet` (spec S6).
"""

import hashlib
import re
from datetime import datetime
from uuid import UUID

from dataset_export.export.schedule import format_export_time

_NAME = re.compile(r"part-(\d{5,})-tid-\d{19}-[0-9a-f-]{36}-\d+-\d+-c(\d{3,})(\.[A-Za-z0-9.]+)")


def name_mark(dataflow: str, dataset: str, export_time: datetime, run_id: str) -> str:
    """What all files of one run's export of one dataset carry in their names: `tid-<19 digits>-<uuid>`."""
    digest = _digest("mark", dataflow, dataset, format_export_time(export_time), run_id)
    # 19 digits, the first not zero, as a 63-bit transaction id prints.
    tid = 10**18 + int.from_bytes(digest[:8], "big") % (9 * 10**18)
    return f"tid-{tid}-{UUID(bytes=digest[8:24], version=4)}"


def file_name(mark: str, ordinal: int, extension: str) -> str:
    """The name of the `ordinal`-th file (from 0) of an export; `extension` begins with a dot."""
    task = int.from_bytes(hashlib.sha256(f"task\0{mark}\0{ordinal}".encode()).digest()[:4], "big") % 900_000 + 100_000
    return f"part-{ordinal:05d}-{mark}-{task}-1-c000{extension}"


def part_path(path: str, part: int) -> str:
    """Where the `part`-th file (from 0) goes of what was planned as one file at `path`: its `c000` counts up."""
    head, _, tail = path.rpartition("-c000.")
    return f"{head}-c{part:03d}.{tail}"


def place_in_export(name: str) -> tuple[int, int, str] | None:
    """The ordinal that a file's name begins with, which part of that file it is, and its ending; None for another name."""
    match = _NAME.fullmatch(name)
    return (int(match[1]), int(match[2]), match[3]) if match is not None else None


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode()).digest()
