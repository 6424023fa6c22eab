"""Names of delivered files: unique, not guessable as a pattern, and the same again for a retry of the same run.

They are derived from dataflow, dataset, export time and root run id (promise P4), and look like the original's
`part-00000-tid-<19 digits>-<uuid>-<task>-<n>-c000.gz.parquet` (spec S6).
"""

import hashlib
from datetime import datetime
from uuid import UUID

from dataset_export.export.schedule import format_export_time


def name_mark(dataflow: str, dataset: str, export_time: datetime, run_id: str) -> str:
    """What all files of one run's export of one dataset carry in their names: `tid-<19 digits>-<uuid>`."""
    digest = _digest("mark", dataflow, dataset, format_export_time(export_time), run_id)
    # 19 digits, the first not zero, as a 63-bit transaction id prints.
    tid = 10**18 + int.from_bytes(digest[:8], "big") % (9 * 10**18)
    return f"tid-{tid}-{UUID(bytes=digest[8:24], version=4)}"


def file_name(mark: str, ordinal: int, extension: str) -> str:
    """The name of the `ordinal`-th file (from 0) of an export; `extension` begins with a dot."""
    task = int.from_bytes(_digest("task", mark, str(ordinal))[:4], "big") % 900_000 + 100_000
    return f"part-{ordinal:05d}-{mark}-{task}-1-c000{extension}"


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode()).digest()
