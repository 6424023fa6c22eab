"""Reading one file of an SFTP server as a stream that outlives its connections."""

import io
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, BinaryIO, cast

from dataset_export.destinations.retry import with_retries
from dataset_export.errors import IntegrityError, TransientError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from dataset_export.destinations.sftp_calls import OpenFile, SFTPCalls

CHUNK_BYTES = 1 << 20
CHUNKS_AHEAD = 4


def open_stream(calls: "SFTPCalls", path: str) -> BinaryIO:
    """A stream over the file as it is now. When its connection breaks, reading goes on where it stopped, as long as the
    file has the same size and time of modification.

    Raises (opening and reading):
        FileNotFoundError: when there is no regular file (only at opening).
        IntegrityError: when the file was replaced or deleted while it was read.
        TransientError: when reading breaks again and again at one place.
    """
    return cast("BinaryIO", io.BufferedReader(_Body(calls, path), CHUNK_BYTES))


class _Body(io.RawIOBase):
    """A file's bytes, some of them asked for before they are wanted."""

    def __init__(self, calls: "SFTPCalls", path: str) -> None:
        self._calls = calls
        self._path = path
        self._file: OpenFile | None = calls.open(path)
        self._status = self._file.status
        self._read_so_far = 0
        self._asked_to = 0
        self._coming: deque[Future[bytes]] = deque()
        self._chunk = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        view = memoryview(buffer).cast("B")
        if not self._chunk:
            self._chunk = memoryview(with_retries(self._next))
        taken = self._chunk[: len(view)]
        view[: len(taken)] = taken
        self._chunk = self._chunk[len(taken) :]
        return len(taken)

    def close(self) -> None:
        if not self.closed:
            self._drop()
        super().close()

    def _next(self) -> bytes:
        try:
            file = self._file or self._opened_again()
            while len(self._coming) < CHUNKS_AHEAD and self._asked_to < self._status.bytes:
                size = min(CHUNK_BYTES, self._status.bytes - self._asked_to)
                self._coming.append(file.begin_read(size, self._asked_to))
                self._asked_to += size
            if not self._coming:
                return b""
            chunk = self._coming.popleft().result()
            expected = min(CHUNK_BYTES, self._status.bytes - self._read_so_far)
        except TransientError:
            self._drop()
            raise
        if len(chunk) != expected:
            raise self._changed()
        self._read_so_far += len(chunk)
        return chunk

    def _opened_again(self) -> "OpenFile":
        self._asked_to = self._read_so_far
        try:
            file = self._calls.open_once(self._path)
        except FileNotFoundError:
            raise self._changed() from None
        self._file = file
        if file.status != self._status:
            raise self._changed()
        return file

    def _drop(self) -> None:
        for one in self._coming:
            one.cancel()
        self._coming.clear()
        file, self._file = self._file, None
        if file is not None:
            file.forget()

    def _changed(self) -> IntegrityError:
        return IntegrityError(
            f"{self._calls.uri(self._path)} was replaced, cut or deleted while it was read: read it again"
        )
