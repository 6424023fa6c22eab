"""A remote file as a raw stream: ranges of one version of it, each a request that is tried again on its own."""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

RANGE_BYTES = 4 << 20
BUFFER_BYTES = 1 << 20


def ranged_stream(first: bytes, size: int, read_range: Callable[[int, int], bytes]) -> BinaryIO:
    """A buffered stream over a file of `size` bytes that begins with `first`. `read_range` gives the bytes from a position
    on, at most as many as its second argument says and at least one, and raises ExportError when the file is not what it
    was when `first` was read."""
    return cast("BinaryIO", io.BufferedReader(_RangedFile(first, size, read_range), BUFFER_BYTES))


class _RangedFile(io.RawIOBase):
    def __init__(self, first: bytes, size: int, read_range: Callable[[int, int], bytes]) -> None:
        self._size = size
        self._read_range = read_range
        self._at = len(first)
        self._chunk = memoryview(first)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        if not self._chunk and self._at < self._size:
            self._chunk = memoryview(self._read_range(self._at, min(RANGE_BYTES, self._size - self._at)))
            self._at += len(self._chunk)
        view = memoryview(buffer).cast("B")
        taken = self._chunk[: len(view)]
        view[: len(taken)] = taken
        self._chunk = self._chunk[len(taken) :]
        return len(taken)
