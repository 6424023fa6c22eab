"""The files of Iceberg tables, by the addresses that their metadata has: whole URLs, in any bucket.

pyiceberg reads catalogs' metadata through the same class (its `py-io-impl`), so that there is one way to the objects, one
set of credentials and one kind of error.
"""

import io
from collections.abc import Mapping
from typing import Any

from dataset_export.errors import NotFound, UnsupportedTable
from dataset_export.lake.location import TableLocation
from dataset_export.lake.objects import ObjectFolder, RangedFile
from dataset_export.lake.origin import Origin
from dataset_export.redaction import remember

NAME = "dataset-export.table"
"""The property with the table's name for errors."""

OPTION = "dataset-export.option."
"""What properties begin with that are storage options of the dataset."""

_VENDED = {
    "s3.access-key-id": "aws_access_key_id",
    "s3.secret-access-key": "aws_secret_access_key",
    "s3.session-token": "aws_session_token",
    "s3.endpoint": "aws_endpoint_url",
    "s3.region": "aws_region",
    "client.region": "aws_region",
}
"""What a REST catalog may hand out for a table, and what our storage options call it."""

_SECRET = frozenset({"aws_secret_access_key", "aws_session_token"})


class IcebergFiles:
    """Reads files by address. `properties` are pyiceberg's: those made by `properties_for`, and those of the catalog."""

    def __init__(self, properties: Mapping[str, Any]) -> None:
        self.properties = dict(properties)
        self._name = str(self.properties.get(NAME, ""))
        self._options = _storage_options(self.properties)
        self._roots: dict[str, ObjectFolder] = {}

    def new_input(self, location: str) -> "_Input":
        """A file as pyiceberg reads it: whole."""
        return _Input(self, location)

    def read(self, location: str) -> bytes:
        """All bytes of a file. Raises FileNotFoundError, and else as `ObjectFolder` does."""
        objects, path = self._at(location)
        return objects.read(path)

    def read_range(self, location: str, start: int, length: int) -> bytes:
        """Bytes of a file from `start`. Raises FileNotFoundError, and else as `ObjectFolder` does."""
        objects, path = self._at(location)
        return objects.read_range(path, start, length)

    def size(self, location: str) -> int:
        """Bytes of a file. Raises FileNotFoundError, and else as `ObjectFolder` does."""
        objects, path = self._at(location)
        return objects.head(path).bytes

    def open(self, location: str, size: int) -> RangedFile:
        """A file of `size` bytes for reading by ranges."""
        objects, path = self._at(location)
        return RangedFile(objects, path, size)

    def origin(self, location: str) -> Origin | None:
        """Where the bytes of a file lie; see `ObjectFolder.origin`."""
        objects, path = self._at(location)
        return objects.origin(path)

    def _at(self, location: str) -> tuple[ObjectFolder, str]:
        root, path = _root_and_path(location, self._name)
        if root not in self._roots:
            self._roots[root] = ObjectFolder(TableLocation("iceberg", root, self._options), name=self._name)
        return self._roots[root], path


def properties_for(location: TableLocation) -> dict[str, str]:
    """Properties of a catalog by which pyiceberg reads with the storage options of a table."""
    return {
        "py-io-impl": f"{IcebergFiles.__module__}.{IcebergFiles.__name__}",
        NAME: location.uri,
        **{OPTION + name: value for name, value in location.storage_options.items()},
    }


def _storage_options(properties: Mapping[str, Any]) -> dict[str, str]:
    """The dataset's own, and where they say nothing, what the catalog hands out."""
    own = {key.removeprefix(OPTION): str(value) for key, value in properties.items() if key.startswith(OPTION)}
    said = {name.lower() for name in own} | {f"aws_{name.lower()}" for name in own}
    vended: dict[str, str] = {}
    for key, name in _VENDED.items():
        value = properties.get(key)
        if value is not None and name not in said and name not in vended:
            vended[name] = remember(str(value)) if name in _SECRET else str(value)
    if "aws_access_key_id" in said:
        # A pair of keys belongs together, and a session token to them.
        vended = {name: value for name, value in vended.items() if name in {"aws_endpoint_url", "aws_region"}}
    return {**own, **vended}


def _root_and_path(location: str, table: str) -> tuple[str, str]:
    scheme, separator, rest = location.partition("://")
    if not separator:
        return "/", location.removeprefix("file:").lstrip("/")
    if scheme == "file":
        return "/", rest.partition("/")[2]
    if scheme in {"s3", "s3a", "s3n"}:
        bucket, _, key = rest.partition("/")
        return f"s3://{bucket}", key
    raise UnsupportedTable(
        f"the table {table} has the file {location}, and {scheme}:// is not read: keep the table on s3:// or on a local disk"
    )


class _Input:
    """What pyiceberg asks of an input file."""

    def __init__(self, files: IcebergFiles, location: str) -> None:
        self._files = files
        self.location = location

    def __len__(self) -> int:
        return self._files.size(self.location)

    def exists(self) -> bool:
        try:
            self._files.size(self.location)
        except (FileNotFoundError, NotFound):
            return False
        return True

    def open(self, seekable: bool = True) -> io.BytesIO:
        return io.BytesIO(self._files.read(self.location))
