"""Deletion vectors of Delta tables: which rows of a data file are deleted, without the file being written anew.

The log describes a vector (`DeletionVector`); what it holds is a bitmap of row positions, in the log itself or in a file
of its own (Delta: "Deletion Vector Format").
"""

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from uuid import UUID

from dataset_export.errors import CorruptFile, UnsupportedTable
from dataset_export.lake.location import TableLocation
from dataset_export.lake.objects import ObjectFolder

if TYPE_CHECKING:
    import numpy as np

MAGIC = 1681511377
"""Of a bitmap in the portable format, the one that the protocol has."""

INLINE, RELATIVE, ABSOLUTE = "i", "u", "p"
_UUID_LETTERS = 20
_VERSION_BYTES = 1
_LENGTH_BYTES = _MAGIC_BYTES = _CHECKSUM_BYTES = 4
_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_B85 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
_B85_OF_Z85 = str.maketrans(_Z85, _B85)


@dataclass(frozen=True)
class DeletionVector:
    """Where a vector is.

    Attributes:
        storage: `i` in the log, `u` in a file below the table that is named by a UUID, `p` in a file elsewhere.
        place: the bitmap itself, a folder and a UUID, or a path, by `storage`.
        offset: of the vector in its file, in bytes; None in the log.
        bytes: size of the bitmap with its magic number.
        rows: deleted rows.
    """

    storage: str
    place: str
    offset: int | None
    bytes: int
    rows: int

    @property
    def text(self) -> str:
        """As JSON, the same for equal vectors: how `SourceFile` carries it."""
        return json.dumps(asdict(self), sort_keys=True)


def vector_in_log(entry: Mapping[str, Any] | None) -> DeletionVector | None:
    """The vector of an add or remove action, or of a checkpoint's row; None when the file has none."""
    if not entry or entry.get("storageType") is None:
        return None
    return DeletionVector(
        storage=entry["storageType"],
        place=entry["pathOrInlineDv"],
        offset=entry.get("offset"),
        bytes=int(entry["sizeInBytes"]),
        rows=int(entry["cardinality"]),
    )


def vector_of(text: str) -> DeletionVector:
    """The vector that `DeletionVector.text` came from."""
    return DeletionVector(**json.loads(text))


def path_of(vector: DeletionVector) -> str | None:
    """Path of the vector's file, relative to the table or, for an absolute one, as the log has it; None when it is in the
    log. Raises CorruptFile when the name is none."""
    if vector.storage == RELATIVE:
        folder, name = vector.place[:-_UUID_LETTERS], vector.place[-_UUID_LETTERS:]
        decoded = _decoded(name)
        if len(decoded) != 16:
            raise CorruptFile(f"the deletion vector {vector.place} is named by no UUID: restore the table's log")
        return f"{folder}/{_file_name(decoded)}" if folder else _file_name(decoded)
    return unquote(vector.place) if vector.storage == ABSOLUTE else None


def deleted_rows(vector: DeletionVector, objects: ObjectFolder, location: TableLocation) -> "np.ndarray":
    """Positions of the deleted rows: 64-bit integers, sorted.

    Args:
        vector: which.
        objects: the table's.
        location: the table's, for a vector that is elsewhere: it is read with the same credentials.

    Raises:
        FileNotFoundError: its file is gone.
        CorruptFile: what is there is not the vector that the log describes.
        UnsupportedTable: it is stored in a way that this version does not know.
    """
    if vector.storage == INLINE:
        bitmap = _decoded(vector.place)[: vector.bytes]
    elif vector.storage == RELATIVE:
        bitmap = _in_file(vector, objects, path_of(vector) or "", location.uri)
    elif vector.storage == ABSOLUTE:
        folder, _, name = vector.place.rpartition("/")
        bitmap = _in_file(vector, ObjectFolder(replace(location, uri=folder or "/")), unquote(name), location.uri)
    else:
        raise UnsupportedTable(
            f"the table {location.uri} has deletion vectors of the storage type {vector.storage!r}, which is not known: "
            "purge them (REORG TABLE … APPLY (PURGE))"
        )
    return _positions(vector, bitmap, location.uri)


def _in_file(vector: DeletionVector, objects: ObjectFolder, path: str, uri: str) -> bytes:
    start = _VERSION_BYTES if vector.offset is None else vector.offset
    length = _LENGTH_BYTES + vector.bytes + _CHECKSUM_BYTES
    if start + length > objects.head(path).bytes:
        raise _damaged(vector, uri, f"its file {path} is too short")
    data = objects.read_range(path, start, length)
    bitmap = data[_LENGTH_BYTES:-_CHECKSUM_BYTES]
    if int.from_bytes(data[:_LENGTH_BYTES], "big") != vector.bytes:
        raise _damaged(vector, uri, f"{path} has another size for it than the log")
    if int.from_bytes(data[-_CHECKSUM_BYTES:], "big") != zlib.crc32(bitmap):
        raise _damaged(vector, uri, f"its checksum in {path} is wrong")
    return bitmap


def _positions(vector: DeletionVector, bitmap: bytes, uri: str) -> "np.ndarray":
    import numpy as np
    from pyroaring import BitMap64

    if len(bitmap) != vector.bytes or int.from_bytes(bitmap[:_MAGIC_BYTES], "little") != MAGIC:
        raise _damaged(vector, uri, "it does not begin as one")
    try:
        rows = BitMap64.deserialize(bitmap[_MAGIC_BYTES:])
    except ValueError as error:
        raise _damaged(vector, uri, "its bitmap cannot be read") from error
    if len(rows) != vector.rows:
        raise _damaged(vector, uri, f"it has {len(rows)} rows, and {vector.rows} by the log")
    return np.asarray(rows.to_array(), dtype=np.uint64).astype(np.int64)


def _damaged(vector: DeletionVector, uri: str, why: str) -> CorruptFile:
    shown = vector.place if len(vector.place) <= 60 else f"{vector.place[:60]}…"
    return CorruptFile(f"the deletion vector {shown} of the table {uri} is damaged: {why}; restore it")


def _file_name(uuid: bytes) -> str:
    return f"deletion_vector_{UUID(bytes=uuid)}.bin"


def _decoded(z85: str) -> bytes:
    """The bytes of a text in Z85; none when it is no such text."""
    try:
        return base64.b85decode(z85.translate(_B85_OF_Z85)) if set(z85) <= set(_Z85) else b""
    except ValueError:
        return b""
