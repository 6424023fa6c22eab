"""The data files of a plain folder of parquet files: which they are, in which order they came, and what their folders tell."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from urllib.parse import unquote

from dataset_export.errors import CorruptFile, UnsupportedTable
from dataset_export.lake.objects import Listed

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

ENDINGS = (".parquet", ".parq", ".pq")
"""By which an object without any bytes is told from the mark of an empty folder, which some tools leave on object stores."""

NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
"""How Hive and Spark write a null, or an empty text, into the name of a folder."""

OTHER_FORMATS = {"_delta_log": "delta", ".hoodie": "hudi"}
"""Folders by which a table format is known. Its data files alone are not its rows."""


@dataclass(frozen=True)
class DataFile:
    """One data file: path relative to the folder, size in bytes, last modification (UTC)."""

    path: str
    bytes: int
    modified: datetime

    @cached_property
    def version(self) -> int:
        """The version that it came with: microseconds from 1970 to its last modification."""
        return version_at(self.modified)

    @property
    def partition(self) -> Mapping[str, str | None]:
        """Columns that its folders are named for (`name=value`), as text or null."""
        pairs = (folder.partition("=") for folder in self.path.split("/")[:-1])
        return {unquote(name): _value(value) for name, equals, value in pairs if name and equals}


def version_at(moment: datetime) -> int:
    """The number of the version that ends with files of this modification time."""
    since = moment - EPOCH
    return max(0, (since.days * 86_400 + since.seconds) * 10**6 + since.microseconds)


def moment_of(version: int) -> datetime:
    """The modification time (UTC) of the newest files of a version."""
    return EPOCH + timedelta(microseconds=version)


def data_files(listed: Iterable[Listed], uri: str) -> list[DataFile]:
    """The data files among the objects of a folder, by modification and path.

    What is hidden is none (a name, or that of a folder around it, that begins with `.` or `_`), nor is the mark of an empty
    folder. Everything else has to be parquet.

    Raises:
        UnsupportedTable: when the folder is a table of another format.
        CorruptFile: for a parquet file without any bytes.
    """
    found: list[DataFile] = []
    for entry in listed:
        segments = entry.path.split("/")
        other = OTHER_FORMATS.get(segments[0])
        if other is not None or (entry.path.startswith("metadata/") and entry.path.endswith(".metadata.json")):
            raise UnsupportedTable(
                f"{uri} is no plain folder but a table of the format {other or 'iceberg'}, which has rows that its files "
                "alone do not tell: write that as the dataset's format, or export a copy of the table"
            )
        if any(segment.startswith((".", "_")) for segment in segments):
            continue
        if entry.bytes:
            found.append(DataFile(entry.path, entry.bytes, entry.modified))
        elif entry.path.lower().endswith(ENDINGS):
            raise CorruptFile(f"the file {entry.path} of the folder {uri} is empty: write it again, or remove it")
    return sorted(found, key=lambda file: (file.version, file.path))


def _value(text: str) -> str | None:
    return unquote(text) if text and text != NULL_PARTITION else None
