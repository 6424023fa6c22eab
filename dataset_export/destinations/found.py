"""What stands where a store publishes, and what it says of that."""

import enum
import hashlib
from collections.abc import Callable
from typing import BinaryIO

from dataset_export.errors import Conflict, IntegrityError

READ_SIZE = 1 << 20
"""Bytes."""


class Found(enum.Enum):
    """What a destination shows at a path."""

    NOTHING = enum.auto()
    OURS = enum.auto()
    FOREIGN = enum.auto()


def reads_as(open_file: Callable[[str], BinaryIO], path: str, size: int, sha256: str) -> bool:
    """True when the file at a path is of these bytes; no more than its first `size` and a buffer are read. False when there is none.
    `open_file` raises FileNotFoundError then."""
    digest, read = hashlib.sha256(), 0
    try:
        with open_file(path) as stream:
            while read <= size and (chunk := stream.read(READ_SIZE)):
                digest.update(chunk)
                read += len(chunk)
    except FileNotFoundError:
        return False
    return read == size and digest.hexdigest() == sha256


def conflict(place: str) -> Conflict:
    """The error for what is not ours at a URI or path."""
    return Conflict(f"{place} exists and is not ours, so it was left as it is: move it away or change the folder")


def gone(place: str) -> IntegrityError:
    """The error for staged bytes of the file at a URI that are not there any more."""
    return IntegrityError(f"the bytes staged for {place} are gone: run the export again")
