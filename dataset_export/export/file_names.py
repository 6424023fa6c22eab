"""Names of delivered files: unique, not guessable as a pattern, and the same again for a retry of the same run.

A dataflow may choose what they begin with instead of `part`. They are derived from dataflow, dataset, export time and root run id (promise P4), and look like the original's
`part-00000-tid-<19 digits>-<uuid>-<task>-<n>-c000.gz.parquet` (spec S6).
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from dataset_export.errors import ConfigError
from dataset_export.export.folder import FolderTemplate
from dataset_export.export.schedule import format_export_time

LONGEST_BEGINNING = 100
"""Bytes. Filesystems take names of 255, and the rest of a name, staged and encrypted, needs up to 150."""

_NAME = re.compile(r".+-(\d{5,})-tid-\d{19}-[0-9a-f-]{36}-\d+-\d+-c(\d{3,})(\.[A-Za-z0-9.]+)", re.DOTALL)


@dataclass(frozen=True)
class FileNameTemplate(FolderTemplate):
    """What names begin with, with the macros of a folder: what comes after it makes them unique, whatever it says."""

    text: str = "part"
    what: ClassVar[str] = "file_name"

    def __post_init__(self) -> None:
        if "/" in self.text:
            raise ConfigError(f"file_name {self.text!r} has a '/', which makes folders; put them into folder")
        super().__post_init__()

    def _checked(self, path: str) -> str:
        text = super()._checked(path)
        if text.startswith((".", "_", "manifest-")):
            raise ConfigError(
                f"file_name {self.text!r}: readers take names that begin with '.' or '_' for hidden files, and with "
                "'manifest-' for manifests; begin with something else"
            )
        if len(text.encode()) > LONGEST_BEGINNING:
            raise ConfigError(
                f"file_name {self.text!r}: it makes {len(text.encode())} bytes, and there is room for {LONGEST_BEGINNING} in "
                "a file's name; make it shorter"
            )
        return text


def name_mark(dataflow: str, dataset: str, export_time: datetime, run_id: str) -> str:
    """What all files of one run's export of one dataset carry in their names: `tid-<19 digits>-<uuid>`."""
    digest = _digest("mark", dataflow, dataset, format_export_time(export_time), run_id)
    # 19 digits, the first not zero, as a 63-bit transaction id prints.
    tid = 10**18 + int.from_bytes(digest[:8], "big") % (9 * 10**18)
    return f"tid-{tid}-{UUID(bytes=digest[8:24], version=4)}"


def file_name(beginning: str, mark: str, ordinal: int, extension: str) -> str:
    """The name of the `ordinal`-th file (from 0) of an export; `extension` begins with a dot."""
    task = int.from_bytes(hashlib.sha256(f"task\0{mark}\0{ordinal}".encode()).digest()[:4], "big") % 900_000 + 100_000
    return f"{beginning}-{ordinal:05d}-{mark}-{task}-1-c000{extension}"


def part_path(path: str, part: int) -> str:
    """Where the `part`-th file (from 0) goes of what was planned as one file at `path`: its `c000` counts up."""
    head, _, tail = path.rpartition("-c000.")
    return f"{head}-c{part:03d}.{tail}"


def place_in_export(name: str) -> tuple[int, int, str] | None:
    """The ordinal of a file by its name, which part of that file it is, and its ending; None for another name."""
    match = _NAME.fullmatch(name)
    return (int(match[1]), int(match[2]), match[3]) if match is not None else None


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode()).digest()
