"""Bytes that the kernel copies from one file into another: shared between both where the filesystem can (reflinks), and copied on
the server where it is mounted over a network that can."""

import os
from typing import Self

from dataset_export.destinations.contract import Origin
from dataset_export.errors import CorruptFile


class FileCopy:
    """Copies a file, piece by piece, into another one of the same filesystem. Close after use."""

    def __init__(self, name: str, source: int) -> None:
        self._name = name
        self._source = source
        self._was = _identity(os.fstat(source))
        self._position = 0
        self._refused = False

    @classmethod
    def begun(cls, origin: Origin, target: int) -> Self | None:
        """A copy of the file at `origin` into the open file `target`; None when it is not a file of the same filesystem that may be
        read."""
        if origin.server is not None:
            return None
        try:
            source = os.open(origin.key, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        if os.fstat(source).st_dev != os.fstat(target).st_dev:
            os.close(source)
            return None
        return cls(origin.key, source)

    def append(self, target: int, size: int) -> int:
        """Copy the next `size` bytes to where `target` is being written. Returns how many were: what is missing has to be written,
        and from then on so has everything."""
        copied = 0
        while copied < size and not self._refused:
            try:
                done = os.copy_file_range(self._source, target, size - copied, self._position + copied)
            except OSError:
                done = 0  # why, writing the bytes will tell, unless it is that this filesystem cannot copy
            self._refused = not done
            copied += done
        self._position += copied
        return copied

    def require_unchanged(self) -> None:
        """Raise CorruptFile when the file is not what it was when copying began."""
        if _identity(os.fstat(self._source)) != self._was:
            raise CorruptFile(
                f"the file {self._name} was changed while it was exported: export again, and write new files instead of "
                "changing those that are there"
            )

    def close(self) -> None:
        """Close the source."""
        os.close(self._source)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns
