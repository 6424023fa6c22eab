"""Staging a file on an SFTP server: a hidden file, written by many requests that are on their way at once."""

import hashlib
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from dataset_export.destinations.contract import Staged
from dataset_export.errors import ExportError

if TYPE_CHECKING:
    from dataset_export.destinations.sftp_calls import OpenFile, SFTPCalls

CHUNK_BYTES = 2 << 20
CHUNKS_ON_THEIR_WAY = 3
"""Each is sent as several requests; memory per file is bounded by one more than these."""


class SFTPUpload:
    """One file being staged. It has a place on one connection for as long as the block lasts.

    A connection that breaks ends it with TransientError; nothing is visible, and the run stages the file again.
    """

    def __init__(self, calls: "SFTPCalls", path: str, hidden: str) -> None:
        self._calls = calls
        self._path = path
        self._hidden = hidden
        self._digest = hashlib.sha256()
        self._bytes = 0
        self._sent = 0
        self._buffer = bytearray()
        self._sending: deque[Future[None]] = deque()
        self._file: OpenFile | None = None
        self._staged: Staged | None = None

    @property
    def staged(self) -> Staged:
        """The receipt."""
        if self._staged is None:
            raise RuntimeError(f"{self._path} is not staged yet: the receipt exists after the with block")
        return self._staged

    def __enter__(self) -> Self:
        self._file = self._calls.create(self._hidden)
        return self

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes. Blocks while too many are on their way; raises what the sending of earlier ones raised."""
        view = memoryview(data).cast("B")
        self._digest.update(view)
        self._bytes += len(view)
        while view:
            if not self._buffer and len(view) >= CHUNK_BYTES:
                self._send(bytes(view[:CHUNK_BYTES]))
                view = view[CHUNK_BYTES:]
                continue
            taken = view[: CHUNK_BYTES - len(self._buffer)]
            self._buffer += taken
            view = view[len(taken) :]
            if len(self._buffer) == CHUNK_BYTES:
                self._flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._finish()
        except BaseException as failed:
            self._abort(failed)
            raise
        if error is not None:
            self._abort(error)

    def _finish(self) -> None:
        self._flush()
        while self._sending:
            self._sending.popleft().result()
        self._opened.end()
        self._staged = Staged(self._path, self._bytes, self._digest.hexdigest(), {"hidden": self._hidden})

    def _flush(self) -> None:
        if self._buffer:
            data, self._buffer = self._buffer, bytearray()
            self._send(data)

    def _send(self, data: bytes | bytearray) -> None:
        if len(self._sending) >= CHUNKS_ON_THEIR_WAY:
            self._sending.popleft().result()
        self._sending.append(self._opened.begin_write(data, self._sent))
        self._sent += len(data)

    def _abort(self, error: BaseException) -> None:
        # What is on its way is waited for: after the file is closed nothing may write to it any more.
        for one in self._sending:
            one.cancel()
        for one in self._sending:
            with suppress(BaseException):
                one.result()
        self._sending.clear()
        try:
            self._opened.drop()
        except ExportError as failed:
            error.add_note(f"and the staged bytes of {self._path} could not be removed: {failed}")

    @property
    def _opened(self) -> Any:
        if self._file is None:
            raise RuntimeError("write() belongs inside the with block")
        return self._file
